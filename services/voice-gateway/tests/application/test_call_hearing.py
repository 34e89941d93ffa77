"""What the recogniser is given: every sample of speech, once, whatever the pieces it comes in."""

import asyncio
from dataclasses import replace

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import AudioIn, ControlIn, EventKind, Hello, TranscriptOut, Wish
from voice_gateway.domain.errors import BackendRejected, BackendUnavailable, SlowConsumer
from voice_gateway.domain.policy import ConversationPolicy, Finalize
from voice_gateway.testing.backends import AsrScript, LlmScript
from voice_gateway.testing.world import SPEECH_SAMPLE, Caller, FixedConfig, World

PATIENT = AsrScript(transcripts=["first question", "second question"], final_after_speech_end_ms=None)


def voiced_ms(pcm: bytes | bytearray, *, rate_hz: int = 16_000) -> float:
    """Length of what is not silence."""
    return sum(1 for at in range(0, len(pcm), 2) if pcm[at] or pcm[at + 1]) * 1000 / rate_hz


async def send_in_chunks(caller: Caller, pcm: bytes, size: int) -> None:
    for at in range(0, len(pcm), size):
        await caller.send(AudioIn(pcm[at : at + size]))


def sound(speech_ms: int, silence_ms: int, *, rate_hz: int = 16_000) -> bytes:
    return SPEECH_SAMPLE * (speech_ms * rate_hz // 1000) + bytes(2 * (silence_ms * rate_hz // 1000))


@pytest.mark.parametrize("size", [1, 333, 641, 8_192, 65_536])
def test_chunks_of_any_size_make_the_same_two_turns(size: int) -> None:
    """8192 bytes are the 4096 frames of deployed clients; odd sizes end within a sample."""

    async def scenario() -> None:
        world = World(asr=PATIENT)
        async with world.call() as caller:
            await send_in_chunks(caller, sound(1_500, 1_500) * 2, size)
        assert caller.transport.finals() == ["first question", "second question"]
        assert [voiced_ms(pcm) for pcm in caller.asr.audio] == [1_500, 1_500]

    run_virtual(scenario())


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_a_fast_file_of_any_rate_is_heard_to_its_end(rate_hz: int) -> None:
    async def scenario() -> None:
        world = World(asr=PATIENT)
        async with world.call(Hello(sample_rate_hz=rate_hz)) as caller:
            await send_in_chunks(caller, sound(1_500, 1_500, rate_hz=rate_hz) * 2, 8_192)
        assert caller.transport.finals() == ["first question", "second question"]
        audio = caller.transport.audio()
        spoken = sum(len(entry.detail) for entry in world.log.of("tts_request"))
        played_ms = sum(len(getattr(item.message, "pcm", b"")) for item in audio) / 2 * 1000 / rate_hz
        assert abs(played_ms - spoken * 60) <= 5

    run_virtual(scenario())


def test_speech_that_follows_in_the_same_chunk_is_not_given_to_the_utterance_before() -> None:
    async def scenario() -> None:
        world = World(asr=PATIENT)
        async with world.call() as caller:
            pcm = sound(400, 520) + sound(400, 600)
            await caller.send(AudioIn(pcm))
            await caller.half_close()
            await caller.running
        assert [voiced_ms(audio) for audio in caller.asr.audio] == [400, 400]
        assert caller.transport.finals() == ["first question second question"]

    run_virtual(scenario())


def test_speech_soon_after_the_recogniser_s_own_end_is_not_given_twice() -> None:
    """The pre-roll of a new utterance does not reach back into the one before."""

    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["what time is it", "in Paris"], final_after_speech_end_ms=130))
        async with world.call() as caller:
            await caller.speak(600)
            await caller.silence(180)
            await caller.speak(600)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
        assert [voiced_ms(audio) for audio in caller.asr.audio] == [600, 600]
        assert caller.transport.finals() == ["what time is it", "in Paris"]
        assert caller.call.machine.state.history[0].text == "what time is it in Paris"

    run_virtual(scenario())


def test_the_stream_of_an_utterance_that_ended_is_not_given_the_next_one() -> None:
    """The server ignores `force_eou`, and the caller speaks on while the gateway still waits for it."""

    async def scenario() -> None:
        config = CallConfig()
        config = replace(config, turn=replace(config.turn, force_eou_patience_ms=900))
        script = replace(PATIENT, honours_force_eou=False, answer_ms=100)
        world = World(config=FixedConfig(config), asr=script)
        async with world.call() as caller:
            await caller.speak(600)
            await caller.silence(560)
            await caller.speak(600)
            await caller.listen_for(EventKind.PROCESSING)
        first, second = (voiced_ms(audio) for audio in caller.asr.audio)
        assert second == 600
        assert first <= 600 + 200, "what was sent before the onset was noticed cannot be taken back"
        assert caller.transport.finals() == ["first question second question"]

    run_virtual(scenario())


def test_a_client_that_stops_sending_in_the_middle_of_speech_is_answered() -> None:
    async def scenario() -> None:
        world = World()
        async with world.call() as caller:
            await caller.speak(900)
            await caller.transport.until_event(EventKind.END_OF_TURN)
        assert caller.transport.finals() == ["what time is it"]

    run_virtual(scenario())


def test_a_client_that_sends_a_second_at_a_time_is_not_taken_to_pause() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["one", "two"]))
        async with world.call() as caller:
            for _ in range(4):
                await asyncio.sleep(1)
                await caller.send(AudioIn(sound(1_000, 0)))
            await asyncio.sleep(1)
            await caller.send(AudioIn(sound(0, 1_000)))
            await caller.transport.until_event(EventKind.END_OF_TURN)
        assert caller.transport.finals() == ["one"]
        assert len(caller.asr.audio) == 1

    run_virtual(scenario())


def test_a_fast_client_that_stops_mid_speech_and_reads_nothing_is_still_watched() -> None:
    async def scenario() -> None:
        world = World(asr=replace(PATIENT), llm=LlmScript(replies=["Once upon a time there was a harbour. " * 40]))
        async with world.call(ends_with=SlowConsumer) as caller:
            await send_in_chunks(caller, sound(4_000, 0), 8_192)
            caller.transport.flowing.clear()
            await asyncio.wait((caller.running,), timeout=60)
            assert caller.running.done()

    run_virtual(scenario())


def test_push_to_talk_ends_the_turn_without_any_silence() -> None:
    async def scenario() -> None:
        world = World(asr=PATIENT)
        async with world.call() as caller:
            await caller.speak(900)
            pressed_ms = asyncio.get_running_loop().time() * 1000
            await caller.send(ControlIn(Wish.COMMIT_AUDIO))
            answered = await caller.transport.until_event(EventKind.PROCESSING)
            assert answered.at_ms - pressed_ms <= 20
            assert voiced_ms(caller.asr.audio[0]) == 900

    run_virtual(scenario())


def test_an_interim_text_is_told_once() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["seaside"], interim_every_ms=100))
        async with world.call() as caller:
            await caller.speak(2_000)
            await caller.listen_for(EventKind.END_OF_TURN)
        told = [i.message for i in caller.transport.received if isinstance(i.message, TranscriptOut)]
        assert [message.text for message in told if not message.final] == ["seaside"]

    run_virtual(scenario())


@pytest.mark.parametrize("finalize", list(Finalize))
def test_each_way_of_finalising_gets_the_transcript(finalize: Finalize) -> None:
    async def scenario() -> None:
        config = CallConfig()
        config = replace(config, turn=replace(config.turn, finalize=finalize))
        world = World(config=FixedConfig(config), asr=replace(PATIENT))
        async with world.call() as caller:
            await caller.speak(900)
            await caller.listen_for(EventKind.END_OF_TURN)
        assert caller.transport.finals() == ["first question"]
        assert bool(world.log.of("asr_force_eou")) is (finalize is not Finalize.HALF_CLOSE)

    run_virtual(scenario())


@pytest.mark.parametrize("retryable", [True, False])
def test_a_recogniser_that_refuses_every_stream_says_so_and_the_call_goes_on(retryable: bool) -> None:
    async def scenario() -> None:
        kind = BackendUnavailable if retryable else BackendRejected
        quiet = replace(CallConfig(), conversation=ConversationPolicy(apologise=False))
        world = World(asr=AsrScript(refuse=kind("asr", "The recogniser is away.")), config=FixedConfig(quiet))
        async with world.call() as caller:
            await caller.speak(900)
            await caller.listen_for(EventKind.LISTENING, count=2)
            assert caller.transport.events() == ["listening", "error", "listening"]
            world.asr.refuse = None
            await caller.speak(900)
            await caller.listen_for(EventKind.END_OF_TURN)
        assert world.telemetry.counts[f"asr_{kind.reason}"] == (3 if retryable else 1)
        assert caller.transport.finals() == ["what time is it"]

    run_virtual(scenario())
