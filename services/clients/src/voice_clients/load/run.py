"""A run: the callers, their end, and the report of what they measured."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from voice_clients.channel import open_channel, until_connected
from voice_clients.errors import GatewayUnreachableError
from voice_clients.load.clockwork import Clockwork
from voice_clients.load.progress import Progress
from voice_clients.load.records import Records
from voice_clients.load.report import Generator, Report, make_report
from voice_clients.load.scenario import Scenario
from voice_clients.load.speech import Utterance
from voice_clients.load.user import CONNECT_TIMEOUT_S, HANG_UP_S, Line, User

LOOK_EVERY_S = 1.0
FINISH_S = 15.0
"""On top of the longest wait for an answer: how long turns in progress may take when the run is over."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What `voice load` was asked for."""

    scenario: Scenario
    line: Line
    pool: list[Utterance]
    lag_limit_ms: float


async def run_load(options: LoadOptions, progress: Progress) -> Report:
    """Call, wait, and add up. A signal ends it early. Raises GatewayUnreachableError where nothing is there at all."""
    line, scenario = options.line, options.scenario
    await _anything_there(line)
    records, clockwork = Records(time.monotonic_ns()), Clockwork()
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    finishing, stopped = asyncio.Event(), asyncio.Event()
    users = [
        User(
            number,
            scenario=scenario,
            line=line,
            pool=options.pool,
            records=records,
            chunks=clockwork.chunks,
            finishing=finishing,
        )
        for number in range(scenario.users)
    ]
    with _on_signals(stopped):
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(clockwork.run(), name="load-clockwork"),
                tasks.create_task(_watch(records, scenario, progress), name="load-progress"),
            ]
            calling = [tasks.create_task(user.run(), name=f"load-user-{n}") for n, user in enumerate(users)]
            if not await _happened(stopped, scenario.duration_s):
                finishing.set()
                await _over(calling, stopped, scenario.answer_timeout_s + FINISH_S)
            ended_ns, generator = time.monotonic_ns(), _generator(clockwork, options.lag_limit_ms)
            for task in [*background, *calling]:
                task.cancel()
    records.calls_up.append((ended_ns, 0))
    return make_report(
        records,
        target=", ".join(line.targets),
        scenario=scenario,
        started_at=started_at,
        ended_ns=ended_ns,
        interrupted=stopped.is_set(),
        generator=generator,
    )


async def _anything_there(line: Line) -> None:
    """Raises GatewayUnreachableError where no target can be reached."""
    for number, target in enumerate(line.targets, start=1):
        try:
            async with await open_channel(target, line.security) as channel:
                await until_connected(channel, target, line.security, CONNECT_TIMEOUT_S)
                return
        except GatewayUnreachableError:
            if number == len(line.targets):
                raise


async def _happened(event: asyncio.Event, timeout_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
    return event.is_set()


async def _over(calling: Sequence["asyncio.Task[None]"], stopped: asyncio.Event, timeout_s: float) -> None:
    """Wait for the callers, a signal, or so long."""
    signalled = asyncio.create_task(stopped.wait(), name="load-signalled")
    try:
        until_s = time.monotonic() + timeout_s + HANG_UP_S
        pending: set[asyncio.Task[None]] = set(calling)
        while pending and not signalled.done() and (left_s := until_s - time.monotonic()) > 0:
            done, _ = await asyncio.wait({*pending, signalled}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            pending -= done
    finally:
        signalled.cancel()


async def _watch(records: Records, scenario: Scenario, progress: Progress) -> None:
    """Note how many calls are up, and show it."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        records.calls_up.append((time.monotonic_ns(), records.calls.up))
        progress.show(records, scenario, time.monotonic_ns())
        due_s += LOOK_EVERY_S
        await asyncio.sleep(max(0.0, due_s - loop.time()))


def _generator(clockwork: Clockwork, lag_limit_ms: float) -> Generator:
    chunks = clockwork.chunks
    return Generator(
        lag_p99_ms=round(clockwork.lag_p99_ms(), 2),
        lag_max_ms=round(clockwork.lag_max_ms(), 2),
        lag_limit_ms=lag_limit_ms,
        cores=round(clockwork.cores(), 3),
        chunks=chunks.sent,
        late_chunks=chunks.late,
        worst_chunk_ms=round(chunks.worst_ms, 1),
    )


@contextlib.contextmanager
def _on_signals(stopped: asyncio.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set the event."""
    loop, caught = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    added = []
    for number in caught:
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopped.set)
            added.append(number)
    try:
        yield
    finally:
        for number in added:
            loop.remove_signal_handler(number)
