"""Start and stop of a process."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

EXIT_INTERRUPTED = 128 + signal.SIGINT


async def until_signalled() -> str:
    """Wait for SIGTERM or SIGINT and give its name.

    A second signal ends the process at once, with the exit code that shells give such an end: somebody waits.
    """
    loop = asyncio.get_running_loop()
    first: asyncio.Future[signal.Signals] = loop.create_future()

    def received(number: signal.Signals) -> None:
        if first.done():
            os._exit(128 + number)
        first.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)
    # The handlers stay after this returns, for the second signal.
    return (await first).name


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
