"""What the fake recogniser answers, and when: one object per stream, over frames of audio and given times.

Audio time is counted in samples; wall time comes in as `now_ms`. The owner calls `tick` at `deadline()`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

FRAME_MS = 10


@dataclass(frozen=True)
class RecognitionPlan:
    first_interim_ms: float
    word_interval_ms: float
    final_after_speech_end_ms: float
    two_pass_eou_ms: float | None
    eou_ms: float | None
    """None: force_eou is ignored."""
    half_close_final_ms: float
    empty_final: bool
    word_delay_ms: float = 0.0
    """Of words that are heard: from a word's end to the interim that holds it."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that was recognised from the sound itself, and the sample of the stream at which it ended."""

    text: str
    end_sample: int


@dataclass(frozen=True)
class SpeechStarted:
    utterance: int
    at_ms: float
    audio_ms: float


@dataclass(frozen=True)
class Interim:
    """`settled` marks the first pass of two-pass end-of-utterance."""

    utterance: int
    text: str
    words: int
    audio_ms: float
    settled: bool = False


@dataclass(frozen=True)
class Final:
    """`last_speech_at_ms` is the arrival of the last speech frame; None when there was no speech."""

    utterance: int
    text: str
    why: str
    begin_ms: float
    end_ms: float
    last_speech_at_ms: float | None


Heard = SpeechStarted | Interim | Final


@dataclass
class _Utterance:
    words: tuple[str, ...]
    begin_sample: int
    end_sample: int
    last_speech_at_ms: float
    first_heard: int = 0
    """Of words that are heard: those before it belong to earlier utterances."""
    shown: int = 0
    settled: bool = False
    forced_at_ms: float = inf


class Recognition:
    """With `heard`, a list that grows as words are heard in the stream's audio, an utterance's words are those; else it
    is given the next transcript, and time alone shows its words.
    """

    def __init__(
        self,
        plan: RecognitionPlan,
        *,
        sample_rate_hz: int,
        next_transcript: Callable[[], str],
        heard: Sequence[HeardWord] | None = None,
    ) -> None:
        self._plan = plan
        self._heard = heard
        self._told = 0
        """Of words that are heard: those that are in finals."""
        self._rate_hz = sample_rate_hz
        self._frame_samples = sample_rate_hz * FRAME_MS // 1000
        self._next_transcript = next_transcript
        self._position = 0
        self._utterance: _Utterance | None = None
        self._closing_at_ms = inf
        self.finals = 0
        self.finished = False

    @property
    def audio_ms(self) -> float:
        return self._ms(self._position)

    def _ms(self, samples: int) -> float:
        return samples * 1000 / self._rate_hz

    def hear(self, loud: Sequence[bool], *, now_ms: float) -> list[Heard]:
        """Takes frames of 10 ms, each loud or not, that arrived together at `now_ms`."""
        heard: list[Heard] = []
        for frame in loud:
            if frame:
                self._speech(heard, now_ms)
            self._position += self._frame_samples
        spoken = self._utterance
        if spoken is not None:
            shown = self._shown(spoken)
            if shown > spoken.shown:
                spoken.shown = shown
                words = self._words(spoken)
                heard.append(Interim(self.finals, " ".join(words[:shown]), shown, self.audio_ms))
        return heard

    def _shown(self, spoken: "_Utterance") -> int:
        """How many words an interim holds now."""
        if self._heard is not None:
            delay = self._plan.word_delay_ms * self._rate_hz / 1000
            return sum(word.end_sample + delay <= self._position for word in self._heard[spoken.first_heard :])
        speech_ms = self._ms(spoken.end_sample - spoken.begin_sample) - self._plan.first_interim_ms
        return min(len(spoken.words), 1 + int(speech_ms // self._plan.word_interval_ms)) if speech_ms >= 0 else 0

    def _words(self, spoken: "_Utterance") -> Sequence[str]:
        """All words of an utterance that are known now."""
        return spoken.words if self._heard is None else [word.text for word in self._heard[spoken.first_heard :]]

    def _speech(self, heard: list[Heard], now_ms: float) -> None:
        spoken = self._utterance
        # A file played faster than real time holds its pauses in audio time only.
        if spoken is not None and self._ms(self._position - spoken.end_sample) >= self._plan.final_after_speech_end_ms:
            heard.append(self._finish(spoken, "next_speech"))
            spoken = None
        if spoken is None:
            words = () if self._heard is not None else tuple(self._next_transcript().split())
            spoken = _Utterance(words, self._position, self._position, now_ms, first_heard=self._told)
            self._utterance = spoken
            heard.append(SpeechStarted(self.finals, now_ms, self.audio_ms))
        spoken.end_sample = self._position + self._frame_samples
        spoken.last_speech_at_ms = now_ms
        spoken.settled = False

    def force_eou(self, *, now_ms: float) -> bool:
        """True when a final follows because of it."""
        if self._plan.eou_ms is None or self._utterance is None:
            return False
        self._utterance.forced_at_ms = min(self._utterance.forced_at_ms, now_ms + self._plan.eou_ms)
        return True

    def half_close(self, *, now_ms: float) -> None:
        self._closing_at_ms = now_ms + self._plan.half_close_final_ms

    def deadline(self) -> float:
        """The next moment in ms at which `tick` has something to do; infinity when there is none."""
        return min(self._final_at_ms(), self._settled_at_ms(), self._closing_at_ms)

    def _final_at_ms(self) -> float:
        spoken = self._utterance
        if spoken is None:
            return inf
        return min(spoken.last_speech_at_ms + self._plan.final_after_speech_end_ms, spoken.forced_at_ms)

    def _settled_at_ms(self) -> float:
        spoken = self._utterance
        if spoken is None or spoken.settled or self._plan.two_pass_eou_ms is None:
            return inf
        return spoken.last_speech_at_ms + self._plan.two_pass_eou_ms

    def tick(self, *, now_ms: float) -> list[Heard]:
        heard: list[Heard] = []
        spoken = self._utterance
        if spoken is not None and now_ms >= self._settled_at_ms() and now_ms < self._final_at_ms():
            words = self._words(spoken)
            spoken.settled, spoken.shown = True, len(words)
            heard.append(Interim(self.finals, " ".join(words), len(words), self.audio_ms, settled=True))
        if spoken is not None and now_ms >= min(self._final_at_ms(), self._closing_at_ms):
            forced, closing = spoken.forced_at_ms <= now_ms, self._closing_at_ms <= now_ms
            heard.append(self._finish(spoken, "force_eou" if forced else "half_close" if closing else "endpoint"))
        if now_ms >= self._closing_at_ms:
            self.finished, self._closing_at_ms = True, inf
            if self.finals == 0 and self._plan.empty_final:
                heard.append(Final(0, "", "half_close", self.audio_ms, self.audio_ms, None))
                self.finals += 1
        return heard

    def _finish(self, spoken: _Utterance, why: str) -> Final:
        words = self._words(spoken)
        self._told = len(self._heard or ())
        self._utterance = None
        self.finals += 1
        begin_ms, end_ms = self._ms(spoken.begin_sample), self._ms(spoken.end_sample)
        return Final(self.finals - 1, " ".join(words), why, begin_ms, end_ms, spoken.last_speech_at_ms)


def spread_words(words: Sequence[str], begin_ms: float, end_ms: float) -> list[tuple[str, int, int]]:
    """Each word with its start and end in ms, in proportion to its letters."""
    total = sum(len(word) for word in words) or 1
    spread: list[tuple[str, int, int]] = []
    done = 0
    for word in words:
        start = begin_ms + (end_ms - begin_ms) * done / total
        done += len(word)
        spread.append((word, round(start), round(begin_ms + (end_ms - begin_ms) * done / total)))
    return spread
