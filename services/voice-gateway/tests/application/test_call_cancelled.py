"""A caller that disappears: the call is cancelled wherever it is, and nothing of it is left."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from gateway_lives import LIVES, Converse, Life
from gateway_random_calls import CountedJournals

from servicekit.testing import run_virtual
from voice_gateway.adapters.journal_files import JournalFiles, JournalOptions
from voice_gateway.application.messages import Hello
from voice_gateway.domain.errors import CallTooLong
from voice_gateway.testing.backends import Log
from voice_gateway.testing.world import ALL_CAPABILITIES, Caller, World

HELLO = Hello(sample_rate_hz=16_000, capabilities=ALL_CAPABILITIES)
Trigger = Callable[["asyncio.Task[None]"], None]


async def live(converse: Converse, world: World, trigger: Trigger = lambda _: None) -> Caller:
    """Live; `trigger` is given the call's task and cancels it at some time."""
    try:
        async with world.call(HELLO) as caller:
            trigger(caller.running)
            conversing = asyncio.create_task(converse(caller))
            await asyncio.wait((conversing, caller.running), return_when=asyncio.FIRST_COMPLETED)
            conversing.cancel()
            await asyncio.gather(conversing, return_exceptions=True)
    except asyncio.CancelledError:
        assert caller.running.cancelled()
    except CallTooLong:
        assert not caller.running.cancelled()
    return caller


def assert_nothing_is_left(log: Log, caller: Caller) -> None:
    """Tasks that are left fail in `run_virtual`."""
    seen = Counter(entry.what for entry in log.entries)
    assert seen["asr_opened"] == seen["asr_closed"]
    assert seen["llm_request"] == seen["llm_closed"]
    assert seen["tts_request"] == seen["tts_closed"]
    assert not caller.call.hearing.recognitions
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    waiting = [timer for timer in timers if not timer.cancelled() and "Inbox" in repr(timer)]
    assert not waiting, "a timer of the call would keep it in memory for up to an hour"


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_the_whole_life_of_the_call_is_covered(life: Life) -> None:
    async def scenario() -> None:
        world = life.world(Log(), CountedJournals())
        await live(life.converse, world)
        assert life.seconds - 1 <= asyncio.get_running_loop().time() <= life.seconds
        assert life.passes_through <= world.telemetry.counts.keys()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("name", "second"), [(name, second) for name, life in LIVES.items() for second in range(life.seconds)]
)
def test_a_call_cancelled_at_any_moment_leaves_nothing(name: str, second: int) -> None:
    async def scenario(moment_ms: float) -> None:
        log, journals = Log(), CountedJournals()

        def trigger(running: asyncio.Task[None]) -> None:
            asyncio.get_running_loop().call_later(moment_ms / 1000, running.cancel)

        caller = await live(LIVES[name].converse, LIVES[name].world(log, journals), trigger)
        assert_nothing_is_left(log, caller)
        assert (journals.opened, len(journals.outcomes)) in [(1, 1), (0, 0)]
        if caller.running.cancelled() and journals.outcomes:
            assert journals.outcomes[0].status == "cancelled"

    for offset_ms in range(0, 1_000, 20):
        run_virtual(scenario(second * 1_000 + offset_ms))
        run_virtual(scenario(second * 1_000 + offset_ms + 7.5))


@dataclass(slots=True)
class Tripwire(Log):
    """Cancels the call when a backend sees its `trip`-th thing: in the middle of whatever the call waits for."""

    trip: int = 0
    running: "asyncio.Task[None] | None" = None

    def add(self, what: str, detail: str = "") -> None:
        Log.add(self, what, detail)
        if len(self.entries) == self.trip and self.running is not None:
            self.running.cancel()


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
def test_a_call_cancelled_at_any_request_leaves_nothing_but_its_journal(life: Life, tmp_path: Path) -> None:
    async def scenario(trip: int) -> bool:
        log = Tripwire(trip=trip)

        def trigger(running: asyncio.Task[None]) -> None:
            log.running = running

        folder = tmp_path / str(trip)
        async with JournalFiles(JournalOptions(folder)).running() as files:
            caller = await live(life.converse, life.world(log, files), trigger)
        assert_nothing_is_left(log, caller)
        (journal,) = folder.iterdir()
        assert journal.suffix == ".jsonl", "it was finished"
        last = json.loads(journal.read_text().splitlines()[-1])
        assert caller.running.cancelled() is ("cancelled" in str(last))
        return caller.running.cancelled()

    trips = 0
    while run_virtual(scenario(trips + 1)):
        trips += 1
    assert trips > 60
