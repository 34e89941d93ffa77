"""Whether the machine kept up: a generator that is late measures itself."""

import asyncio
import time
from array import array
from dataclasses import dataclass, field

from voice_clients.load.statistics import percentile

PERIOD_S = 0.01
LATE_CHUNK_MS = 20.0
"""A chunk sent later than this is counted as late: one interval of the usual chunks."""


@dataclass(slots=True)
class Chunks:
    """How punctual the microphones were."""

    sent: int = 0
    late: int = 0
    worst_ms: float = 0.0

    def note(self, late_s: float) -> None:
        """A chunk was due so long ago."""
        self.sent += 1
        late_ms = late_s * 1000
        if late_ms > LATE_CHUNK_MS:
            self.late += 1
        self.worst_ms = max(self.worst_ms, late_ms)


@dataclass(slots=True)
class Clockwork:
    """Lag of the event loop and CPU of this process, from `run()`'s start on."""

    chunks: Chunks = field(default_factory=Chunks)
    _lags_ms: "array[float]" = field(default_factory=lambda: array("f"))  # 4 bytes every 10 ms
    _began: tuple[float, float] = (0.0, 0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        self._began = (time.monotonic(), time.process_time())
        while True:
            due_s = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self._lags_ms.append((loop.time() - due_s) * 1000)

    def lag_p99_ms(self) -> float:
        """How late the loop ran its timers."""
        return percentile(sorted(self._lags_ms), 0.99) if self._lags_ms else 0.0

    def lag_max_ms(self) -> float:
        """The same, at worst."""
        return max(self._lags_ms, default=0.0)

    def cores(self) -> float:
        """CPU seconds of this process for each second."""
        began_s, cpu_s = self._began
        return (time.process_time() - cpu_s) / max(1e-9, time.monotonic() - began_s)
