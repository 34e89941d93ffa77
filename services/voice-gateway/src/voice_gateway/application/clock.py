"""Where a call's time comes from."""

import asyncio
import time


class MonotonicClock:
    """The process's monotonic clock. An event loop's own time will not do: uvloop's has a resolution of 1 ms."""

    def ms(self) -> float:
        """Milliseconds since an arbitrary moment."""
        return time.monotonic() * 1000


class LoopClock:
    """The running event loop's time, which a virtual-time loop controls."""

    def ms(self) -> float:
        """Milliseconds since an arbitrary moment."""
        return asyncio.get_running_loop().time() * 1000
