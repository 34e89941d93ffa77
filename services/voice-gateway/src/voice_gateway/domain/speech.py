"""Voice activity, frame by frame, into edges of speech. Time is counted in samples; there is no clock here.

The shape is that of Home Assistant's voice command segmenter and ricky0123/vad: tentative start, confirmed start,
misfire, end; between them the two edges that an answering machine needs, pause and continuation.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from voice_gateway.domain.events import SpeechEdge
from voice_gateway.domain.policy import TurnPolicy


class _State(Enum):
    SILENT = auto()
    TENTATIVE = auto()
    SPEAKING = auto()
    PAUSED = auto()


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge and the sample where it lies."""

    kind: SpeechEdge
    sample: int


@dataclass(slots=True)
class SpeechSegmenter:
    """One caller's speech. `process` takes consecutive frames."""

    sample_rate_hz: int
    policy: TurnPolicy
    position: int = 0
    """Samples processed so far."""
    silence_ms: int | None = None
    """Silence that ends the pause under way; None: the policy's."""
    _state: _State = field(default=_State.SILENT)
    _voiced: int = 0
    """Leaky count of speech samples: silence drains it, so that clicks do not add up to an onset."""
    _onset: int = 0
    _last_voiced: int = 0
    """One past the last sample of speech."""

    @property
    def active(self) -> bool:
        """Whether a start was told whose end was not."""
        return self._state is not _State.SILENT

    @property
    def voiced_end(self) -> int:
        """One past the last sample judged as speech."""
        return self._last_voiced

    def reset(self) -> None:
        """Forget the speech under way."""
        self._state, self._voiced, self.silence_ms = _State.SILENT, 0, None

    def process(self, samples: int, is_speech: bool, late_samples: int = 0) -> Edge | None:
        """Take the next frame of `samples` samples; give the edge it makes, if any. Where it is speech, so were the
        `late_samples` before it, though they were judged otherwise.
        """
        start, self.position = self.position, self.position + samples
        if is_speech:
            if self._state in (_State.SILENT, _State.TENTATIVE):
                start -= min(late_samples, start - self._last_voiced)
            self._voiced += self.position - start
            self._last_voiced = self.position
        elif self._state in (_State.SILENT, _State.TENTATIVE):
            self._voiced = max(0, self._voiced - samples)
        match self._state:
            case _State.SILENT:
                return self._silent(start, is_speech)
            case _State.TENTATIVE:
                return self._tentative(is_speech)
            case _State.SPEAKING:
                if not is_speech and self._silence() >= self._samples(self.policy.soft_end_ms):
                    self._state = _State.PAUSED
                    return Edge(SpeechEdge.PAUSED, self._last_voiced)
            case _State.PAUSED:
                if is_speech:
                    self._state, self.silence_ms = _State.SPEAKING, None
                    return Edge(SpeechEdge.CONTINUED, start)
                if self._silence() >= self._samples(self.silence_ms or self.policy.endpoint_silence_ms):
                    return self.end()
        return None

    def end(self) -> Edge | None:
        """The audio ends here: the edge that closes the speech under way, if any."""
        if self._state is _State.SILENT:
            return None
        kind = SpeechEdge.MISFIRE if self._state is _State.TENTATIVE else SpeechEdge.ENDED
        self.reset()
        return Edge(kind, self._last_voiced)

    def _silent(self, start: int, is_speech: bool) -> Edge | None:
        if is_speech and self._voiced == self.position - start:
            self._onset = start
        if self._voiced < self._samples(self.policy.onset_ms):
            return None
        self._state = _State.TENTATIVE
        return Edge(SpeechEdge.STARTED, self._onset)

    def _tentative(self, is_speech: bool) -> Edge | None:
        if self._voiced >= self._samples(self.policy.confirm_ms):
            self._state = _State.SPEAKING
            return Edge(SpeechEdge.CONFIRMED, self._onset)
        if not is_speech and self._silence() >= self._samples(self.policy.misfire_ms):
            return self.end()
        return None

    def _silence(self) -> int:
        return self.position - self._last_voiced

    def _samples(self, milliseconds: int) -> int:
        return milliseconds * self.sample_rate_hz // 1000
