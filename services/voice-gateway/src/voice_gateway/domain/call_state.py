"""What the turn machine remembers of a call. Plain data, so that a call can be written down and taken up again."""

from dataclasses import dataclass, field

from voice_gateway.domain.conversation import Message
from voice_gateway.domain.events import AsrResult, SpeakRequest
from voice_gateway.domain.heard import HeardLedger
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import TurnPolicy


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's speech and what was recognised of it."""

    number: int
    onset_ms: int
    ended_by: str = ""
    """What ended it; empty while the caller is still speaking."""
    paused: bool = False
    """Silent, but not yet for long enough."""
    speech_end_ms: int = 0
    stretch_sample: int = 0
    """Where the latest stretch of its speech began: its onset, or the last continuation after a pause."""
    finals: tuple[str, ...] = ()
    final_words: int = 0
    final_sample: int | None = 0
    """The last final result speaks of the audio before this; 0 where the server did not say; None where it did not say
    and the caller spoke on after a pause, so that it may be about the speech before.
    """
    covered: bool = False
    """The last final result speaks of all that was said, as far as is known."""
    interim: str = ""
    interim_words: int = 0
    done: bool = False
    """Nothing more is awaited from the recogniser."""
    patience_until_ms: int | None = None
    """When a server that was asked with `force_eou` counts as one that ignores it."""
    final_until_ms: int | None = None
    """When the interim result has to do."""

    @property
    def open(self) -> bool:
        """Whether the caller is still speaking."""
        return not self.ended_by

    @property
    def settled(self) -> bool:
        """The recogniser has finalised all that it heard."""
        return bool(self.finals) and self.covered and not self.interim_words

    @property
    def words(self) -> int:
        """Words recognised so far."""
        return self.final_words + self.interim_words

    @property
    def text(self) -> str:
        """Text recognised so far."""
        return " ".join(part for part in (*self.finals, self.interim) if part)

    def pause(self, speech_end_sample: int, at_ms: int) -> None:
        """The caller fell silent, perhaps for good."""
        self.paused, self.speech_end_ms = True, at_ms
        if self.final_sample is None:
            self.covered = False
        else:
            self.covered = bool(self.finals) and (not self.final_sample or self.final_sample >= speech_end_sample)

    def go_on(self, sample: int) -> None:
        """The caller speaks again."""
        self.paused = self.covered = False
        self.stretch_sample = sample
        self.final_sample = self.final_sample or None

    def take_final(self, event: AsrResult) -> None:
        """Note a final result. In a pause it speaks of all that was said, unless the server says that it speaks of
        audio before the latest stretch of speech; while the caller speaks, the next pause decides.
        """
        if event.words:
            self.finals = (*self.finals, event.text)
        self.final_words += event.words
        self.interim, self.interim_words = "", 0
        if event.through_sample or self.final_sample is not None:
            self.final_sample = event.through_sample
        silent = self.paused or not self.open
        self.covered = silent and (not event.through_sample or event.through_sample > self.stretch_sample)

    def take_over(self, older: "Utterance") -> None:
        """Put the words of an utterance that came before in front of this one's."""
        self.finals = (*older.finals, *((older.interim,) if older.interim else ()), *self.finals)
        self.final_words += older.words


@dataclass(slots=True)
class ReplyMarks:
    """When the answer came so far, in ms of call time."""

    first_token_ms: int | None = None
    text_done_ms: int | None = None
    first_phrase_ms: int | None = None
    audio_ready_ms: int | None = None
    playback_ms: int | None = None


@dataclass(slots=True)
class ReplyState:
    """The answer under way."""

    turn: int
    generation: int
    rule: str
    """What ended the caller's turn."""
    ledger: HeardLedger
    asked_ms: int
    """When the caller's turn had ended, and the answer was asked for."""
    speech_end_ms: int
    """Zero of the turn's latency report."""
    uninterruptible: bool = False
    released: bool = False
    audible: bool = False
    ducked: bool = False
    troubled: bool = False
    marks: ReplyMarks = field(default_factory=ReplyMarks)


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The last answer that was interrupted: its history is put right when the client says what it played."""

    generation: int
    ledger: HeardLedger
    message: Message
    complete: bool
    """Its text was all there when it was interrupted."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What of the configuration decisions depend on."""

    policy: TurnPolicy = field(default_factory=TurnPolicy)
    system_prompt: str = ""
    history_tokens: int = 3_000


@dataclass(frozen=True, slots=True)
class Closing:
    """What brings a call to its end at the next turn boundary."""

    input_closed: bool = False
    drain_until_ms: int | None = None


@dataclass(slots=True)
class CallState:
    """All of a call's memory."""

    phase: Phase = Phase.NEW
    now_ms: int = 0
    started_ms: int = 0
    output_sample_rate_hz: int = 16_000
    tuning: Tuning = field(default_factory=Tuning)
    turn: int = 0
    generation: int = 0
    utterance: int = 0
    utterances: list[Utterance] = field(default_factory=list)
    """Of the turn that the caller is making, oldest first; at most one is open."""
    reply: ReplyState | None = None
    cut: CutAnswer | None = None
    history: tuple[Message, ...] = ()
    queued_speech: tuple[SpeakRequest, ...] = ()
    closing: Closing = field(default_factory=Closing)
    force_eou_ignored: bool = False

    @property
    def policy(self) -> TurnPolicy:
        """Numbers of turn-taking."""
        return self.tuning.policy

    def open_utterance(self) -> Utterance | None:
        """The utterance that the caller is speaking, if any."""
        return next((utterance for utterance in self.utterances if utterance.open), None)

    def find_utterance(self, number: int) -> Utterance | None:
        """The utterance of that number, if it still matters."""
        return next((utterance for utterance in self.utterances if utterance.number == number), None)

    def pending_text(self) -> str:
        """What was recognised of the turn that the caller is making."""
        return " ".join(utterance.text for utterance in self.utterances if utterance.text)

    def pending_words(self) -> int:
        """Words in it."""
        return sum(utterance.words for utterance in self.utterances)
