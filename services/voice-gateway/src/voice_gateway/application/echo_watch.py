"""Whether what the microphone hears is the answer that plays, told by the sound."""

from collections.abc import Callable
from typing import Protocol

from voice_gateway.application.audio_log import BYTES_PER_SAMPLE, AudioLog

WINDOW_MS = 600
"""Audio that is compared with what was played. Less knows fewer echoes, more takes callers for one
(`python -m bench.echo_sound`)."""

REACH_MS = 1_500
"""How far behind what is sent an echo may be: the client's buffer, and a room."""

STEP_MS = 100
"""While an echo is heard it is compared this often, to notice a caller who speaks over it."""

LEFT_BELOW = 0.1
"""An echo is over where its likeness is this much less than what makes one: of 2,200 comparisons with an echo alone,
1 in 200 is; a caller who speaks over it is found in 100 to 300 ms (p50, echoes of -20 to -8 dB)."""

CALLER_BEGAN_MS = 300
"""How long the caller speaks before the sound has ceased to be an echo."""


class Loudspeaker(Protocol):
    """What the caller is played."""

    @property
    def sample_rate_hz(self) -> int:
        """Of that audio."""
        ...

    def heard_samples(self) -> int:
        """Samples of the current answer that the caller has heard."""
        ...

    def sent_lately(self, milliseconds: int) -> bytes:
        """The last audio of the answer under way that was sent, s16le; empty where none is being heard."""
        ...


class EchoWatch:
    """One caller's microphone against its loudspeaker."""

    def __init__(
        self,
        loudspeaker: Loudspeaker,
        log: AudioLog,
        *,
        likeness: Callable[[bytes, int, bytes, int], float],
        sample_rate_hz: int,
    ) -> None:
        self._loudspeaker = loudspeaker
        self._log = log
        self._likeness = likeness
        self._rate_hz = sample_rate_hz
        self._looked = 0
        """Sample up to which was compared last."""
        self._echoing = False

    def likeness(self, end: int) -> float:
        """How much the sound before the sample `end` is like what is being played, 0 to 1; takes about a millisecond
        while an answer is heard.
        """
        reach_ms, played_hz = WINDOW_MS + REACH_MS, self._loudspeaker.sample_rate_hz
        sent = self._loudspeaker.sent_lately(reach_ms)
        if not sent:
            return 0.0
        heard = self._log.read(end - self._samples(WINDOW_MS), end)
        # Before an answer, and while it stood still, nothing played.
        sent = sent.rjust(BYTES_PER_SAMPLE * (played_hz * reach_ms // 1000), b"\0")
        return self._likeness(heard, self._rate_hz, sent, played_hz)

    def speech(self, end: int, threshold: float) -> float:
        """Speech begins, or is confirmed: give its likeness, and watch it if that is an echo's."""
        found = self.likeness(end)
        self._echoing, self._looked = found >= threshold > 0, end
        return found

    def caller_began(self, end: int, threshold: float) -> int | None:
        """Where the caller began to speak over the echo, once the sound before `end` is no longer one."""
        if not self._echoing or end - self._looked < self._samples(STEP_MS):
            return None
        self._looked = end
        if self.likeness(end) >= threshold - LEFT_BELOW:
            return None
        self._echoing = False
        return end - self._samples(CALLER_BEGAN_MS)

    def forget(self) -> None:
        """The speech is over."""
        self._echoing = False

    def _samples(self, milliseconds: int) -> int:
        return milliseconds * self._rate_hz // 1000
