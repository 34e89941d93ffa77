"""One named thread for one model: a device does one thing at a time, and the event loop never waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class ModelThread:
    """Jobs run one after the other, in the order they were given."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Jobs that were given and have not ended."""
        return self._waiting

    async def run(self, job: Callable[..., T], *arguments: Any) -> T:
        """The job's result. A caller that is cancelled leaves; the job itself runs to its end."""
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, job, *arguments)
        future.add_done_callback(self._ended)
        return await future

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # seen, also where the caller has left

    async def close(self) -> None:
        """Wait for the job that runs; the ones behind it are dropped."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
