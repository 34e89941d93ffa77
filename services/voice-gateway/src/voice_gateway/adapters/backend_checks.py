"""How the backends are, asked of all at once and kept for a while."""

import asyncio
import time
from collections.abc import Callable, Sequence

from voice_gateway.application.ports import BackendCheck, BackendProbe

KEPT_S = 5.0
"""However many clients ask, a backend is asked once in this time."""

TIMEOUT_MS = 3_000


class BackendChecks:
    """Answers from the last check while it is fresh; those who ask during a check wait for it."""

    def __init__(self, probes: Sequence[BackendProbe], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._probes = tuple(probes)
        self._now_s = now_s
        self._lock = asyncio.Lock()
        self._checks: tuple[BackendCheck, ...] = ()
        self._stale_at_s = float("-inf")

    async def all(self) -> tuple[BackendCheck, ...]:
        """One entry for each backend, in the order of the probes."""
        async with self._lock:
            if self._now_s() >= self._stale_at_s:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(probe.check(timeout_ms=TIMEOUT_MS), name=f"check-{number}")
                        for number, probe in enumerate(self._probes)
                    ]
                self._checks = tuple(task.result() for task in tasks)
                self._stale_at_s = self._now_s() + KEPT_S
            return self._checks
