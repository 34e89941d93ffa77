"""A caller that disappears: the call is cancelled wherever it is, and nothing of it is left."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import EventKind, Hello, SpeakIn, TextIn
from voice_gateway.testing.backends import AsrScript, LlmScript, Log, TtsScript
from voice_gateway.testing.world import ALL_CAPABILITIES, Caller, FixedConfig, World

STORY = "Once upon a time, there was a harbour. It was small. Ships came, and ships went away again. The end."


async def converse(caller: Caller) -> None:
    """Two spoken turns, one of them an interruption, a typed turn, a text spoken as it is, and the end."""
    await caller.speak(400)
    await caller.listen_for(EventKind.SPEAKING)
    await caller.silence(600)
    await caller.speak(500)
    await caller.silence(200)
    await caller.speak(200)
    await caller.listen_for(EventKind.SPEAKING, count=2)
    await caller.send(TextIn("never mind"))
    await caller.send(SpeakIn("Good night.", True))
    await caller.listen_for(EventKind.END_OF_TURN, count=3)
    await caller.half_close()
    await caller.running


def small_world(log: Log | None = None) -> World:
    """Small delays everywhere, streams that break, and a buffer that fills."""
    config = CallConfig()
    playout = replace(config.playout, buffer_ms=400)
    return World(
        asr=AsrScript(
            transcripts=["tell me a story", "stop it", "please"], break_after_ms=[300, 200], open_ms=15, take_ms=3
        ),
        llm=LlmScript(replies=[STORY, "All right then.", "As you like."], first_token_ms=60),
        tts=TtsScript(first_chunk_ms=40, ms_per_character=20),
        config=FixedConfig(replace(config, playout=playout)),
        log=log or Log(),
    )


def assert_nothing_is_left(world: World, caller: Caller) -> None:
    seen = Counter(entry.what for entry in world.log.entries)
    assert seen["asr_opened"] == seen["asr_closed"]
    assert seen["llm_request"] == seen["llm_closed"]
    assert seen["tts_request"] == seen["tts_closed"]
    assert not caller.call.hearing.recognitions
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    waiting = [timer for timer in timers if not timer.cancelled() and "Inbox" in repr(timer)]
    assert not waiting, "a timer of the call would keep it in memory for up to an hour"


HELLO = Hello(sample_rate_hz=16_000, capabilities=ALL_CAPABILITIES)


def life_ms() -> int:
    async def scenario() -> int:
        async with small_world().call(HELLO) as caller:
            await converse(caller)
        return int(asyncio.get_running_loop().time() * 1000)

    return run_virtual(scenario())


async def talk_until_cancelled(world: World, trigger: Callable[[asyncio.Task[None]], None]) -> Caller:
    """Run `converse`; `trigger` is given the call's task and cancels it at some time."""
    try:
        async with world.call(HELLO) as caller:
            trigger(caller.running)
            talking = asyncio.create_task(converse(caller))
            await asyncio.wait((talking, caller.running), return_when=asyncio.FIRST_COMPLETED)
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
    except asyncio.CancelledError:
        assert caller.running.cancelled()
    return caller


def test_the_whole_life_of_the_call_is_covered() -> None:
    assert 3_000 <= life_ms() <= 3_990


@pytest.mark.parametrize("second", range(4))
def test_a_call_cancelled_at_any_moment_leaves_nothing(second: int) -> None:
    async def scenario(moment_ms: float) -> None:
        world = small_world()

        def trigger(running: asyncio.Task[None]) -> None:
            asyncio.get_running_loop().call_later(moment_ms / 1000, running.cancel)

        caller = await talk_until_cancelled(world, trigger)
        assert_nothing_is_left(world, caller)

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


def test_a_call_cancelled_at_any_request_leaves_nothing() -> None:
    async def scenario(trip: int) -> bool:
        log = Tripwire(trip=trip)

        def trigger(running: asyncio.Task[None]) -> None:
            log.running = running

        world = small_world(log)
        caller = await talk_until_cancelled(world, trigger)
        assert_nothing_is_left(world, caller)
        return caller.running.cancelled()

    trips = 0
    while run_virtual(scenario(trips + 1)):
        trips += 1
    assert trips > 60
