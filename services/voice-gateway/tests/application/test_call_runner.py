"""The process's calls: admitted, drained, retuned."""

import asyncio
from dataclasses import replace

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.clock import LoopClock
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import EventKind, GoAwayOut, Hello, Overrides, TextIn
from voice_gateway.application.ports import Backends
from voice_gateway.application.runner import CallRunner
from voice_gateway.application.services import CallServices, SharedKnowledge
from voice_gateway.domain.errors import Draining, InvalidConfig
from voice_gateway.testing.backends import (
    AsrScript,
    FakeAsr,
    FakeLlm,
    FakeTts,
    FixedBackends,
    LlmScript,
    Log,
    TtsScript,
)
from voice_gateway.testing.world import FakeAudioTools, FakeTelemetry, FakeTransport, FixedConfig, World, prepared

STORY = "Once upon a time there was a harbour. It was small, and the sea was wide."


def runner() -> CallRunner:
    log = Log()
    backends = Backends(FakeAsr(AsrScript(), log), FakeLlm(LlmScript(replies=[STORY]), log), FakeTts(TtsScript(), log))
    config = FixedConfig(CallConfig())
    services = CallServices(config, FakeAudioTools(), LoopClock(), FakeTelemetry(), SharedKnowledge(), prepared(config))
    return CallRunner(services, FixedBackends(backends))


def test_a_call_that_is_refused_never_counts() -> None:
    async def scenario() -> None:
        calls = runner()
        with pytest.raises(InvalidConfig):
            await calls.run(Hello(overrides=Overrides(llm_model="x")), FakeTransport(), call_id="a")
        assert calls.running == 0

    run_virtual(scenario())


def test_a_drain_ends_idle_calls_and_lets_answers_finish() -> None:
    async def scenario() -> None:
        calls = runner()
        idle, busy = FakeTransport(), FakeTransport()
        tasks = [
            asyncio.create_task(calls.run(Hello(), transport, call_id=name))
            for name, transport in (("idle", idle), ("busy", busy))
        ]
        await busy.inbound.put(TextIn("tell me a story"))
        await busy.until_event(EventKind.SPEAKING)
        assert calls.running == 2
        await calls.drain(deadline_ms=20_000)
        await asyncio.sleep(0.1)
        assert tasks[0].done()
        assert not tasks[1].done()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [Draining, Draining]
        assert calls.running == 0
        for transport in (idle, busy):
            assert [item for item in transport.received if isinstance(item.message, GoAwayOut)]
        assert busy.events() == ["listening", "processing", "speaking", "end_of_turn", "error"]
        spoken = sum(len(getattr(item.message, "pcm", b"")) for item in busy.audio())
        assert spoken == len(STORY.replace(". It", ".It")) * 60 * 32

    run_virtual(scenario())


def test_a_drain_does_not_wait_for_ever() -> None:
    async def scenario() -> None:
        calls = runner()
        transport = FakeTransport()
        task = asyncio.create_task(calls.run(Hello(), transport, call_id="a"))
        await transport.inbound.put(TextIn("tell me a story"))
        await transport.until_event(EventKind.SPEAKING)
        now = asyncio.get_running_loop().time()
        await calls.drain(deadline_ms=300)
        with pytest.raises(Draining):
            await task
        assert asyncio.get_running_loop().time() - now == pytest.approx(0.3, abs=0.05)

    run_virtual(scenario())


def test_a_cancelled_call_is_forgotten() -> None:
    async def scenario() -> None:
        calls = runner()
        task = asyncio.create_task(calls.run(Hello(), FakeTransport(), call_id="a"))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert calls.running == 0

    run_virtual(scenario())


def test_a_new_rate_of_the_recogniser_holds_only_for_new_calls() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["one", "two"]))
        async with world.call() as caller:
            await caller.speak(600)
            await caller.listen_for(EventKind.END_OF_TURN)
            config = world.config.config
            world.config.config = replace(config, revision="2", asr=replace(config.asr, sample_rate_hz=8_000))
            await caller.speak(600)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
        assert [len(pcm) // 32 >= 600 for pcm in caller.asr.audio] == [True, True]
        assert caller.asr.rates_hz == [16_000, 16_000]
        async with world.call() as caller:
            await caller.speak(600)
            await caller.listen_for(EventKind.END_OF_TURN)
        assert caller.asr.rates_hz == [8_000]

    run_virtual(scenario())
