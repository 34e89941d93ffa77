"""Who may call: decided at once, but for a call that comes back, which waits until its older half has left."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

from voice_gateway.domain.errors import AtCapacity, Draining

AT_CAPACITY_RETRY_MS = 2_000
"""Calls last minutes, so a place is free every few seconds; another gateway may have one now."""

DRAINING_RETRY_MS = 500
"""Another gateway is there already; the client only has to find it."""

HANDOVER_S = 2.5
"""Longest wait for a place to be handed over: what a call may take to end in one stream, and its stream to end."""


class Admission:
    """Counts the calls of the process against its capacity."""

    def __init__(self, max_calls: int) -> None:
        self.max_calls = max_calls
        self._running = 0
        self._promised = 0
        """Places that go to calls which come back, as soon as they are free."""
        self._draining = False
        self._changed = asyncio.Event()

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
        self._changed.set()

    @contextmanager
    def place(self) -> Generator[None]:
        """Hold a call's place. Raises Draining or AtCapacity."""
        self._refuse_unless(self._running + self._promised < self.max_calls)
        with self._held():
            yield

    @asynccontextmanager
    async def handed_over(self, leave: Callable[[], Awaitable[bool]]) -> AsyncGenerator[None]:
        """Hold the place of a call that comes back, which nobody else gets meanwhile. `leave` ends its older half, and
        gives False where there is none. Raises Draining or AtCapacity.
        """
        left = False
        self._promised += 1
        try:
            async with asyncio.timeout(HANDOVER_S):
                left = await leave()
                while left and self._running >= self.max_calls and not self._draining:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            left = False
        finally:
            self._promised -= 1
        self._refuse_unless(left)
        with self._held():
            yield

    def _refuse_unless(self, there_is_room: bool) -> None:
        if self._draining:
            raise Draining("This gateway is about to stop; call again.", retry_after_ms=DRAINING_RETRY_MS)
        if not there_is_room:
            raise AtCapacity(
                f"All {self.max_calls} places of this gateway are taken; try again in a moment.",
                retry_after_ms=AT_CAPACITY_RETRY_MS,
            )

    @contextmanager
    def _held(self) -> Generator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._changed.set()
