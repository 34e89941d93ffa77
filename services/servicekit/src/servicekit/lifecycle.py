"""Start and stop of a process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from servicekit.logs import get_logger

EXIT_INTERRUPTED = 128 + signal.SIGINT

log = get_logger(__name__)


def catch_signals() -> "asyncio.Future[str]":
    """From now on, SIGTERM or SIGINT resolves the future with its name. To be called before a process says that it is
    ready: who reads that may signal at once.

    A second signal ends the process at once, with the exit code that shells give such an end: somebody waits.
    """
    loop = asyncio.get_running_loop()
    first: asyncio.Future[str] = loop.create_future()

    def received(number: signal.Signals) -> None:
        if first.done():
            os._exit(128 + number)
        first.set_result(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)
    return first


async def until_signalled() -> str:
    """Wait for SIGTERM or SIGINT and give its name; the handlers stay, for a second signal."""
    return await catch_signals()


@asynccontextmanager
async def beside(**work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these while the context lasts, each as a task of its name. One that fails is logged at once and not begun
    again; it neither ends the others nor what they run beside.
    """
    tasks = [asyncio.create_task(_told(name, each), name=name) for name, each in work.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _told(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("background_task_failed", task=name)


def run(main: Coroutine[Any, Any, int | None]) -> int:
    """Run `main` on a fresh event loop, uvloop where there is one, and give its result as an exit code."""
    with asyncio.Runner(loop_factory=_loop_factory) as runner:
        try:
            return runner.run(main) or 0
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED


def _loop_factory() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
