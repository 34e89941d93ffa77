"""Signals in a real process."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from servicekit.lifecycle import beside, run

PROGRAM = """
import asyncio, sys
from servicekit.lifecycle import run, until_signalled

async def main():
    waiter = asyncio.create_task(until_signalled())
    await asyncio.sleep(0)
    print("ready", type(asyncio.get_running_loop()).__module__, flush=True)
    print(await waiter, flush=True)
    if "stay" in sys.argv:
        await asyncio.Event().wait()
    return 3

sys.exit(run(main()))
"""


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert (await process.stdout.readline()).startswith(b"ready")
        yield process, process.stdout
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.edge
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_is_given_by_name(number: signal.Signals) -> None:
    async with started() as (process, out):
        process.send_signal(number)
        assert (await out.readline()).decode().strip() == number.name
        assert await process.wait() == 3


@pytest.mark.edge
async def test_the_second_signal_ends_the_process_at_once() -> None:
    async with started("stay") as (process, out):
        process.send_signal(signal.SIGTERM)
        await out.readline()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 128 + signal.SIGINT


def test_the_result_is_the_exit_code() -> None:
    async def silent() -> None:
        return None

    async def failing() -> int:
        return 2

    async def interrupted() -> int:
        raise KeyboardInterrupt

    assert [run(silent()), run(failing()), run(interrupted())] == [0, 2, 130]


def test_a_failure_beside_is_told_at_once_and_ends_nothing_else() -> None:
    ended: list[str] = []

    async def fail() -> None:
        raise ValueError("a bug")

    async def last() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("last")

    async def main() -> int:
        with capture_logs() as logs:
            async with beside(watch=fail(), reports=last()):
                for _ in range(3):
                    await asyncio.sleep(0)
                assert [(line["event"], line["task"], line["log_level"]) for line in logs] == [
                    ("background_task_failed", "watch", "error")
                ]
                assert not ended
        assert ended == ["last"]
        return 4

    assert run(main()) == 4


def test_what_runs_beside_ends_where_the_context_fails() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with beside(forever=forever()):
            await asyncio.sleep(0)
            raise OSError("no address")

    with pytest.raises(OSError, match="no address"):
        run(main())
