"""Where a microphone's audio lies in the call, at the client's rate, whatever is lost, sent again or put in between."""

from collections import deque
from dataclasses import dataclass, field

KEPT_SHIFTS = 32
"""What is asked for is some seconds old; a shift is a gap in the client's audio."""

ROUNDING_SAMPLES = 1
"""A piece may end within a sample: its neighbours may count that one as theirs."""


@dataclass(frozen=True, slots=True)
class _Shift:
    """From this sample at the recogniser's rate on, the client's audio lies elsewhere."""

    sample: int
    origin: int
    """Position of the recogniser's sample 0, if all audio lay as it does from here on."""
    least: int
    """Position of the first sample after the shift."""


@dataclass(slots=True)
class Positions:
    """One caller's. Audio that the call accounts for already is left out; what is missing is noted."""

    client_rate_hz: int
    rate_hz: int
    start: int = 0
    """Position of the first sample that is wanted."""
    given: int = 0
    """Position of the client's next sample, unless it says otherwise."""
    next: int = field(init=False)
    """Position of the next sample that is wanted."""
    gaps: int = 0
    """Times that audio was missing."""
    _shifts: deque[_Shift] = field(default_factory=lambda: deque(maxlen=KEPT_SHIFTS))

    def __post_init__(self) -> None:
        self.next = self.start
        self._shifts.append(_Shift(0, self.start, self.start))

    def take(self, first_sample: int, samples: int, made: int) -> int:
        """The client sends `samples` more, from `first_sample` on where it numbers its audio, else 0; `made` samples at
        the recogniser's rate came of what it sent before. Gives how many of them, at the front, are not wanted.
        """
        at = first_sample or self.given
        self.given = at + samples
        if at > self.next + ROUNDING_SAMPLES:
            self.gaps += 1
            self._shift(made, at - self.next)
            self.next = at
        surplus = self.next - at
        if surplus <= ROUNDING_SAMPLES:
            surplus = 0
        skipped = min(samples, surplus)
        self.next += samples - skipped
        return skipped

    def told_gaps(self) -> int:
        """Times that audio was missing since this was asked last."""
        gaps, self.gaps = self.gaps, 0
        return gaps

    def filled(self, samples: int, made: int) -> None:
        """`samples` at the recogniser's rate, from the sample `made` on, are none of the client's."""
        self._shift(made, -(samples * self.client_rate_hz // self.rate_hz))

    def of(self, sample: int) -> int:
        """Position, at the client's rate, of a sample at the recogniser's rate."""
        shift = next((shift for shift in reversed(self._shifts) if shift.sample <= sample), self._shifts[0])
        return min(self.next, max(shift.least, shift.origin + sample * self.client_rate_hz // self.rate_hz))

    def _shift(self, made: int, by: int) -> None:
        last = self._shifts[-1]
        least = self.of(made) + max(0, by)
        self._shifts.append(_Shift(made, last.origin + by, least))
