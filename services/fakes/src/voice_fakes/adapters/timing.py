"""Waits until points in time. Deadlines are absolute, so that lateness never adds up, and nothing happens early."""

import asyncio
from math import ceil, isinf

from voice_fakes.log import now_ms


def delay_s(due_ms: float) -> float:
    """Seconds to wait, rounded up to whole ms: event loops keep time in ms, and would wake early."""
    return ceil(max(0.0, due_ms - now_ms())) / 1000


async def sleep_until(due_ms: float) -> None:
    while now_ms() < due_ms:  # noqa: ASYNC110 - it waits for time, not for a state
        await asyncio.sleep(delay_s(due_ms))


class Wake:
    """One waiter that wakes at a moment, or when poked."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._poked = asyncio.Event()

    def poke(self) -> None:
        self._poked.set()

    async def wait(self, due_ms: float) -> None:
        """Returns when poked since the last return, or at `due_ms`; infinity waits for a poke only."""
        timer = None if isinf(due_ms) else self._loop.call_later(delay_s(due_ms), self._poked.set)
        try:
            await self._poked.wait()
        finally:
            self._poked.clear()
            if timer is not None:
                timer.cancel()
