"""Whole calls on virtual time: what the caller gets, what the backends see."""

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.messages import (
    AudioOut,
    Capability,
    EventKind,
    Hello,
    PlaybackOut,
    PlaybackVerb,
    PlayedIn,
    TextIn,
)
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.phases import Phase
from voice_gateway.testing.backends import AsrScript, LlmScript
from voice_gateway.testing.world import ALL_CAPABILITIES, World

LONG = "Once upon a time there was a small harbour. " * 8
NOISE = {4_096: ""}
"""Sound of this sample value is speech to the detector and has no words to the recogniser."""


def test_a_spoken_question_is_answered_in_speech() -> None:
    async def scenario() -> None:
        world = World()
        async with world.call() as caller:
            speech_end_ms = await caller.speak(1000)
            await caller.listen_for(EventKind.END_OF_TURN)
            transport = caller.transport
            assert transport.finals() == ["what time is it"]
            assert transport.interims()[0] == "what"
            assert transport.answer(1) == "It is noon."
            assert transport.events() == ["listening", "processing", "speaking", "end_of_turn", "listening"]
            first = transport.audio()[0].at_ms
            # The answer is begun after 120 ms of silence; 120 ms first token, 2 tokens of 10 ms, 80 ms first chunk.
            assert 340 <= first - speech_end_ms <= 380
        assert caller.call.machine.phase is Phase.CLOSED
        assert [m.text for m in caller.call.machine.state.history] == ["what time is it", "It is noon."]
        assert world.telemetry.reports[0].endpoint_rule == "complete"

    run_virtual(scenario())


def test_all_of_the_answer_is_played_in_order_and_paced() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(replies=["First sentence here. Second sentence follows. Third one ends."]))
        async with world.call() as caller:
            await caller.speak(600)
            await caller.listen_for(EventKind.END_OF_TURN)
            audio = caller.transport.audio(1)
            pcm = b"".join(item.message.pcm for item in audio if isinstance(item.message, AudioOut))
            numbers = [pcm[index] for index in range(0, len(pcm), 2)]
            assert numbers == sorted(numbers)
            assert set(numbers) == {1, 2, 3}
            spoken = sum(len(entry.detail) for entry in world.log.of("tts_request"))
            assert len(numbers) == spoken * 60 * 16
            length_ms = len(numbers) / 16
            taken_ms = audio[-1].at_ms - audio[0].at_ms
            assert length_ms - 60 - 40 <= taken_ms <= length_ms + 40

    run_virtual(scenario())


def test_speech_over_the_answer_stops_it_and_cancels_upstream() -> None:
    async def scenario() -> None:
        world = World(
            asr=AsrScript(transcripts=["tell me a story", "stop please"]),
            llm=LlmScript(replies=[LONG, "All right."], token_interval_ms=60),
        )
        hello = Hello(sample_rate_hz=16_000, capabilities=ALL_CAPABILITIES)
        async with world.call(hello) as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(1500)
            onset_ms = caller.transport.received[-1].at_ms
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
        transport = caller.transport
        last_old = transport.audio(1)[-1].at_ms
        assert last_old - onset_ms <= 240
        flush = next(
            i for i in transport.received if isinstance(i.message, PlaybackOut) and i.message.verb is PlaybackVerb.FLUSH
        )
        assert flush.at_ms - onset_ms <= 240
        assert [entry.detail for entry in world.log.of("llm_closed")] == ["cancelled", "finished"]
        stopped_ms = world.log.of("llm_closed")[0].at_ms
        assert not [e for e in world.log.of("tts_request") if e.at_ms > stopped_ms and "harbour" in e.detail]
        assert transport.finals() == ["tell me a story", "stop please"]
        history = caller.call.machine.state.history
        assert [message.role for message in history] == [Role.USER, Role.ASSISTANT, Role.USER, Role.ASSISTANT]
        assert history[1].cut
        assert LONG.startswith(history[1].text)
        assert 0 < len(history[1].text) < len(LONG) / 2
        report = world.telemetry.reports[0]
        assert report.outcome == "interrupted"
        assert report.interruption_ms is not None
        assert report.interruption_ms <= 240

    run_virtual(scenario())


def test_a_cough_over_the_answer_does_not_stop_it() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(meanings=NOISE), llm=LlmScript(replies=[LONG]))
        hello = Hello(sample_rate_hz=16_000, capabilities=frozenset({Capability.PLAYBACK_CONTROL}))
        async with world.call(hello) as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(500)
            await caller.speak(140, sample=b"\x00\x10")
            await caller.listen_for(EventKind.END_OF_TURN)
            ducks = [i.message.gain_db for i in caller.transport.received if isinstance(i.message, PlaybackOut)]
            assert ducks == [-15.0, 0.0]
            assert caller.call.machine.state.history[-1] == Message(Role.ASSISTANT, LONG.strip())

    run_virtual(scenario())


def test_what_is_played_and_heard_again_does_not_even_duck_the_answer() -> None:
    """The first phrase of the fake voice has samples of 1: this microphone records just that."""

    async def scenario() -> None:
        world = World(
            asr=AsrScript(transcripts=["tell me a story"], meanings={1: "once upon a time"}),
            llm=LlmScript(replies=[LONG]),
        )
        async with world.call(Hello(capabilities=frozenset({Capability.PLAYBACK_CONTROL}))) as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(500)
            await caller.speak(600, sample=b"\x01\x00")
            await caller.listen_for(EventKind.END_OF_TURN)
            assert not [item for item in caller.transport.received if isinstance(item.message, PlaybackOut)]
            assert caller.call.machine.state.history[-1] == Message(Role.ASSISTANT, LONG.strip())

    run_virtual(scenario())


def test_a_caller_who_speaks_over_the_echo_is_heard_and_the_echo_is_not() -> None:
    """The loudspeaker is heard without a pause, so that no new speech begins where the caller does."""
    meanings = {1: "once upon a time", 4_096: "what time is it"}

    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["tell me a story"], meanings=meanings), llm=LlmScript(replies=[LONG]))
        async with world.call(Hello(capabilities=frozenset({Capability.PLAYBACK_CONTROL}))) as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(500)
            await caller.speak(600, sample=b"\x01\x00")
            began_ms = await caller.speak(900, sample=b"\x00\x10") - 900
            await caller.listen_for(EventKind.END_OF_TURN)
            flushed = next(item for item in caller.transport.received if isinstance(item.message, PlaybackOut))
            assert 0 < flushed.at_ms - began_ms <= 400
            await caller.listen_for(EventKind.PROCESSING)
            heard = caller.asr.audio[-1]
            assert heard.count(b"\x00\x10") == 900 * 16, "all that the caller says"
            assert heard.count(b"\x01\x00") <= 300 * 16, "and of the echo what may be the caller's beginning"

    run_virtual(scenario())


def test_a_file_sent_faster_than_real_time_is_heard_to_its_end() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["first question", "second question"], final_after_speech_end_ms=None))
        async with world.call() as caller:
            for _ in range(2):
                await caller.speak(1500, paced=False)
                await caller.silence(1500, paced=False)
            await caller.half_close()
            await caller.running
        transport = caller.transport
        assert transport.finals() == ["first question", "second question"]
        assert transport.events().count("end_of_turn") == 2
        assert [entry.detail for entry in world.log.of("llm_closed")] == ["finished", "finished"]
        assert len(transport.audio(1)) == len(transport.audio(2)) > 0

    run_virtual(scenario())


def test_a_half_close_right_after_speech_still_gets_its_answer() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["what time is it"], final_after_speech_end_ms=None))
        async with world.call() as caller:
            await caller.speak(900, paced=False)
            await caller.half_close()
            await caller.running
        assert caller.transport.finals() == ["what time is it"]
        assert caller.transport.events() == ["listening", "processing", "speaking", "end_of_turn"]

    run_virtual(scenario())


def test_a_server_that_ignores_force_eou_is_noticed_once() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(final_after_speech_end_ms=None, honours_force_eou=False))
        for expected in (1, 1):
            async with world.call() as caller:
                await caller.speak(900)
                await caller.listen_for(EventKind.END_OF_TURN)
            assert caller.transport.finals() == ["what time is it"]
            assert len(world.log.of("asr_force_eou")) == expected
        assert world.knowledge.force_eou_ignored

    run_virtual(scenario())


def test_a_call_begins_with_what_is_known_of_the_recognisers_lag() -> None:
    async def scenario() -> None:
        # Three words are shown while the caller speaks; the fourth comes with the final result.
        world = World(asr=AsrScript(transcripts=["will it rain today"], interim_every_ms=250))
        async with world.call() as caller:
            await caller.speak(900)
            await caller.listen_for(EventKind.END_OF_TURN)
        known = world.knowledge.recogniser_lag
        assert known.ms >= 200
        async with world.call() as caller:
            assert caller.call.machine.state.learned.lag == known

    run_virtual(scenario())


def test_a_broken_recognition_is_replayed_on_a_new_stream() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(break_after_ms=[600]))
        async with world.call() as caller:
            await caller.speak(1000)
            await caller.listen_for(EventKind.END_OF_TURN)
            assert caller.transport.finals() == ["what time is it"]
            assert "error" not in caller.transport.events()
        assert len(world.log.of("asr_opened")) == 2
        assert world.telemetry.counts["asr_BACKEND_UNAVAILABLE"] == 1

    run_virtual(scenario())


def test_a_recogniser_that_never_answers_does_not_hang_the_call() -> None:
    async def scenario() -> None:
        world = World(asr=AsrScript(deaf=True))
        async with world.call() as caller:
            await caller.speak(900)
            await caller.listen_for(EventKind.LISTENING, count=2)
            assert caller.transport.finals() == []

    run_virtual(scenario())


def test_a_typed_turn_interrupts_and_is_answered() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(replies=[LONG, "Typed answer."]))
        async with world.call() as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(1000)
            await caller.send(TextIn("never mind, what is two plus two"))
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
            assert caller.transport.answer(2) == "Typed answer."
            assert caller.transport.finals()[-1] == "never mind, what is two plus two"

    run_virtual(scenario())


def test_a_failing_model_says_so_and_the_call_goes_on() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(fail_after_tokens=0))
        async with world.call() as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN)
            events = ["listening", "processing", "error", "speaking", "end_of_turn", "listening"]
            assert caller.transport.events() == events
            world.llm.fail_after_tokens = None
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
            assert caller.transport.answer(2) == "It is noon."

    run_virtual(scenario())


def test_a_failing_voice_leaves_the_text() -> None:
    async def scenario() -> None:
        world = World(llm=LlmScript(replies=["First sentence here. Second sentence follows."]))
        world.tts.fail_on_phrase = 0
        async with world.call() as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN)
            assert caller.transport.answer(1) == "First sentence here. Second sentence follows."
            events = ["listening", "processing", "error", "speaking", "end_of_turn", "listening"]
            assert caller.transport.events() == events

    run_virtual(scenario())


def test_a_report_goes_from_the_mouth_to_the_ear() -> None:
    """Up to when the client says that it began to play: 50 ms after the first audio was sent."""

    async def scenario() -> None:
        world = World(asr=AsrScript(transcripts=["what time is it"]))
        async with world.call(Hello(capabilities=ALL_CAPABILITIES)) as caller:
            speech_end_ms = await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(150)
            await caller.send(PlayedIn(caller.call.machine.state.generation, 1_600))
            await caller.listen_for(EventKind.END_OF_TURN)
            (report,) = world.telemetry.reports
            ends = {stage.name: stage.end_ms for stage in report.stages}
            assert list(ends)[:2] == ["asr_final", "endpoint"]
            assert ends["asr_final"] <= ends["endpoint"] <= ends["tts_first_audio"] <= ends["first_audio_sent"]
            assert ends["first_audio_played"] - ends["first_audio_sent"] == pytest.approx(50, abs=21)
            assert report.speech_end_ms == pytest.approx(speech_end_ms, abs=21)

    run_virtual(scenario())
