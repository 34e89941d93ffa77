"""The pace of an answer: when each token goes out."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    def now_s(self) -> float:
        """Monotonic seconds."""

    async def sleep_until(self, moment_s: float) -> None:
        """Returns at `moment_s` of this clock, at once when that has passed."""


@dataclass(frozen=True)
class Pace:
    first_token_ms: float
    token_interval_ms: float


async def paced(tokens: Sequence[str], pace: Pace, clock: Clock) -> AsyncIterator[str]:
    """Yields each token at its moment, counted from the first call: late tokens are not made later by a slow reader."""
    begin_s = clock.now_s()
    for index, token in enumerate(tokens):
        due_s = begin_s + (pace.first_token_ms + index * pace.token_interval_ms) / 1000
        if due_s > clock.now_s():
            await clock.sleep_until(due_s)
        yield token
