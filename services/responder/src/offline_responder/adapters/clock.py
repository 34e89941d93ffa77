"""The machine's clocks."""

import asyncio
import time
from datetime import datetime


class SystemClock:
    def now_s(self) -> float:
        return time.monotonic()

    async def sleep_until(self, moment_s: float) -> None:
        await asyncio.sleep(max(0.0, moment_s - time.monotonic()))

    def local_time(self) -> datetime:
        """Wall time in the zone of the machine: people ask for the time where they are."""
        return datetime.now().astimezone()
