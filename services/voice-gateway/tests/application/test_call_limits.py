"""Bounds of a call: each ends it, or refuses a message, with a reason of its own."""

import asyncio
from dataclasses import replace

import pytest
from gateway_playback import acknowledge

from servicekit.testing import run_virtual
from voice_gateway.application.config import CallConfig, Limits
from voice_gateway.application.messages import (
    AudioIn,
    AudioOut,
    Capability,
    ControlIn,
    DtmfIn,
    EventKind,
    EventOut,
    Hello,
    Inbound,
    Overrides,
    PongOut,
    SpeakIn,
    TextIn,
    UpdateIn,
    Wish,
)
from voice_gateway.domain.errors import (
    BadRequest,
    CallIdle,
    CallTooLong,
    ChunkTooLarge,
    GatewayError,
    InvalidMessage,
    SlowConsumer,
    UnexpectedMessage,
)
from voice_gateway.testing.backends import AsrScript, LlmScript
from voice_gateway.testing.world import Caller, FixedConfig, World

LONG = "Once upon a time there was a small harbour. " * 40

ACKS = Hello(sample_rate_hz=16_000, capabilities=frozenset({Capability.PLAYBACK_ACKS, Capability.PLAYBACK_FLUSHES}))


def errors(world_events: list[EventOut]) -> list[tuple[str, bool]]:
    return [(event.reason, event.fatal) for event in world_events if event.kind is EventKind.ERROR]


def audio_seconds(caller: Caller) -> float:
    pieces = (item.message for item in caller.transport.audio())
    return sum(len(piece.pcm) for piece in pieces if isinstance(piece, AudioOut)) / 32_000


def test_a_caller_that_does_not_read_pauses_generation_and_then_loses_its_call() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(replies=[LONG], token_interval_ms=20))
        async with world.call(ends_with=SlowConsumer) as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(1_000)
            caller.transport.flowing.clear()
            blocked_ms = asyncio.get_running_loop().time() * 1000
            await caller.silence(5_000)
            asked = len(world.log.of("tts_request"))
            tokens = world.telemetry.counts["llm_tokens"]
            await caller.silence(9_500)
            assert len(world.log.of("tts_request")) == asked
            assert world.telemetry.counts["llm_tokens"] == tokens
        assert "15 seconds" in str(caller.error)
        ended_ms = asyncio.get_running_loop().time() * 1000
        assert 15_000 <= ended_ms - blocked_ms <= 17_000
        assert [entry.detail for entry in world.log.of("llm_closed")] == ["cancelled"]
        assert len(world.log.of("tts_request")) == len(world.log.of("tts_closed"))

    run_virtual(scenario())


def test_a_caller_that_reads_again_in_time_hears_the_rest() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(replies=["Once upon a time there was a small harbour. " * 8]))
        async with world.call() as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(1_000)
            caller.transport.flowing.clear()
            await caller.silence(8_000)
            caller.transport.flowing.set()
            await caller.listen_for(EventKind.END_OF_TURN)
        spoken = sum(len(entry.detail) for entry in world.log.of("tts_request"))
        assert audio_seconds(caller) == spoken * 0.06

    run_virtual(scenario())


def test_a_caller_whose_acknowledgements_stall_is_held_and_then_loses_its_call() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(replies=[LONG]))
        async with world.call(ACKS, ends_with=SlowConsumer) as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await asyncio.wait((asyncio.create_task(caller.silence(60_000)), caller.running))
        audio = caller.transport.audio(1)
        assert 4_800 <= audio[-1].at_ms - audio[0].at_ms <= 5_300, "nothing more is sent after 5 s without a word"
        fatal = [item for item in caller.transport.received if getattr(item.message, "fatal", False)]
        assert 15_000 <= fatal[0].at_ms - audio[0].at_ms <= 15_500

    run_virtual(scenario())


def test_a_caller_that_acknowledges_hears_a_long_answer_to_its_end() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(replies=[LONG]))
        async with world.call(ACKS) as caller:
            loudspeaker = asyncio.create_task(acknowledge(caller))
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN)
            loudspeaker.cancel()
        assert audio_seconds(caller) > 60

    run_virtual(scenario())


def test_the_end_of_an_answer_need_not_be_acknowledged() -> None:
    """Acks come "every 100 to 200 ms while audio plays": the last one may miss the last 200 ms."""

    async def scenario() -> None:
        world = World()
        async with world.call(ACKS) as caller:
            loudspeaker = asyncio.create_task(acknowledge(caller, short_by_ms=150))
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN)
            await caller.silence(30_000)
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
            loudspeaker.cancel()

    run_virtual(scenario())


def test_messages_that_pile_up_unread_end_the_call_with_one_error() -> None:
    async def scenario() -> None:
        world = World()
        async with world.call(ends_with=SlowConsumer) as caller:
            await caller.silence(100)
            caller.transport.flowing.clear()
            for number in range(2_000):
                await caller.send(ControlIn(Wish.PING, number))

    run_virtual(scenario())


def test_an_idle_call_ends() -> None:
    async def scenario() -> None:
        world = World()
        async with world.call(ends_with=CallIdle) as caller:
            pass
        assert "600 seconds" in str(caller.error)
        assert 600 <= asyncio.get_running_loop().time() <= 601
        assert errors([m.message for m in caller.transport.received if isinstance(m.message, EventOut)]) == [
            ("CALL_IDLE", True)
        ]

    run_virtual(scenario())


def test_the_longest_call_ends() -> None:
    async def scenario() -> None:
        world = World(config=FixedConfig(CallConfig(limits=Limits(max_call_ms=1_200_000))))
        async with world.call(ends_with=CallTooLong) as caller:
            while not caller.running.done():
                await caller.send(TextIn("still there"))
                await asyncio.wait((caller.running,), timeout=100)
        assert "1200 seconds" in str(caller.error)
        assert 1_200 <= asyncio.get_running_loop().time() <= 1_202

    run_virtual(scenario())


def test_audio_that_is_never_finalised_is_bounded_and_not_lost() -> None:
    async def scenario() -> None:
        config = CallConfig()
        config = replace(config, asr=replace(config.asr, max_utterance_ms=10_000))
        world = World(
            config=FixedConfig(config),
            asr=AsrScript(transcripts=["one", "two", "three"], final_after_speech_end_ms=None),
        )
        async with world.call() as caller:
            longest = 0
            for _ in range(250):
                await caller.speak(100)
                log = caller.call.hearing.log
                longest = max(longest, log.end - log.start)
            assert longest <= 12_500 * 16
            await caller.listen_for(EventKind.PROCESSING)
        assert caller.transport.finals() == ["one", "two", "three"]
        assert caller.llm.requests[-1].messages[-1].text == "one two three", "it is one question to the model"
        spoken_ms = sum(sum(1 for at in range(0, len(pcm), 2) if pcm[at]) for pcm in caller.asr.audio) / 16
        assert 24_000 <= spoken_ms <= 25_600, "all of it is recognised, and little of it twice"

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (AudioIn(bytes(65_538)), ChunkTooLarge),
        (Hello(), UnexpectedMessage),
    ],
)
def test_a_message_that_breaks_the_protocol_ends_the_call(message: Inbound, error: type[GatewayError]) -> None:
    async def scenario() -> None:
        world = World()
        async with world.call(ends_with=error) as caller:
            await caller.silence(100)
            await caller.send(message)
        last = caller.transport.received[-1].message
        assert isinstance(last, EventOut)
        assert (last.reason, last.fatal) == (error.reason, True)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("message", "reason", "says"),
    [
        (TextIn("x" * 4_001), "TEXT_TOO_LONG", "text_input has 4001 characters; at most 4000 are allowed."),
        (SpeakIn("x" * 4_001, False), "TEXT_TOO_LONG", "speak.text has 4001 characters; at most 4000 are allowed."),
        (TextIn("  "), "INVALID_MESSAGE", "text_input is empty; there is nothing to say."),
        (DtmfIn("x"), "INVALID_MESSAGE", "dtmf.digit is 'x'; allowed is one of 0-9, *, #, A-D."),
        (DtmfIn("12"), "INVALID_MESSAGE", "dtmf.digit is '12'; allowed is one of 0-9, *, #, A-D."),
        (
            UpdateIn(Overrides(llm_system_prompt="Be rude.")),
            "INVALID_CONFIG",
            (
                "overrides.llm_system_prompt may not be set by callers of this gateway; allowed: endpoint_silence_ms, "
                "llm_max_tokens, llm_temperature, tts_voice."
            ),
        ),
        (InvalidMessage("control.kind is 99."), "INVALID_MESSAGE", "control.kind is 99."),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_and_the_call_goes_on(
    message: Inbound | BadRequest, reason: str, says: str
) -> None:
    async def scenario() -> None:
        world = World()
        async with world.call() as caller:
            await caller.send(message)
            await caller.send(ControlIn(Wish.PING, 7))
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN)
        received = [item.message for item in caller.transport.received]
        assert EventOut(0, EventKind.ERROR, says, reason) in received
        assert PongOut(7) in received
        assert caller.transport.finals() == ["what time is it"]

    run_virtual(scenario())
