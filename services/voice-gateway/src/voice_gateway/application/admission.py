"""Who may call: decided at once, never awaited."""

from collections.abc import Generator
from contextlib import contextmanager

from voice_gateway.domain.errors import AtCapacity, Draining

AT_CAPACITY_RETRY_MS = 2_000
"""Calls last minutes, so a place is free every few seconds; another gateway may have one now."""

DRAINING_RETRY_MS = 500
"""Another gateway is there already; the client only has to find it."""


class Admission:
    """Counts the calls of the process against its capacity."""

    def __init__(self, max_calls: int) -> None:
        self.max_calls = max_calls
        self._running = 0
        self._draining = False

    @property
    def running(self) -> int:
        """Calls that were admitted and have not ended."""
        return self._running

    @property
    def draining(self) -> bool:
        """Whether the process takes no more calls."""
        return self._draining

    def drain(self) -> None:
        """Take no more calls."""
        self._draining = True

    @contextmanager
    def place(self) -> Generator[None]:
        """Hold a call's place. Raises Draining or AtCapacity."""
        if self._draining:
            raise Draining("This gateway is about to stop; call again.", retry_after_ms=DRAINING_RETRY_MS)
        if self._running >= self.max_calls:
            raise AtCapacity(
                f"All {self.max_calls} places of this gateway are taken; try again in a moment.",
                retry_after_ms=AT_CAPACITY_RETRY_MS,
            )
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
