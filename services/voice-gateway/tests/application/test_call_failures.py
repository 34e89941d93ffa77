"""Calls whose backends fail: what the caller hears, when, and what the conversation remembers."""

from dataclasses import replace

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.canned import CannedSpeech
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import AudioOut, EventKind, Hello
from voice_gateway.domain.apology import ApologyConfig
from voice_gateway.domain.earcon import earcon
from voice_gateway.domain.errors import BackendUnavailable
from voice_gateway.domain.policy import SpeculationPolicy, TurnPolicy
from voice_gateway.testing.backends import LlmScript, TtsScript
from voice_gateway.testing.world import APOLOGY_SAMPLE, Caller, FakeAudioTools, World

SORRY = ApologyConfig()
FAST = CallConfig(
    # An answer begun early is a second try: here, every request counts.
    turn=TurnPolicy(speculation=SpeculationPolicy(enabled=False)),
    llm=replace(CallConfig().llm, first_token_timeout_ms=2_000, token_timeout_ms=1_000),
    tts=replace(CallConfig().tts, first_audio_timeout_ms=1_500),
)


def played(caller: Caller, turn: int = 1) -> bytes:
    return b"".join(item.message.pcm for item in caller.transport.audio(turn) if isinstance(item.message, AudioOut))


def runs(pcm: bytes) -> list[bytes]:
    """Each stretch of equal samples once."""
    samples = [pcm[index : index + 2] for index in range(0, len(pcm), 2)]
    return [sample for index, sample in enumerate(samples) if index == 0 or samples[index - 1] != sample]


async def asked(world: World, caller: Caller) -> float:
    """Ask something, and hear the answer out; gives the ms from the end of speech to the first sound."""
    ended_ms = await caller.speak(800)
    await caller.listen_for(EventKind.END_OF_TURN)
    return caller.transport.audio()[0].at_ms - ended_ms


def world_with(llm: LlmScript | None = None, tts: TtsScript | None = None, config: CallConfig = FAST) -> World:
    world = World(llm=llm or LlmScript(), tts=tts or TtsScript())
    world.config.config = config
    return world


@pytest.mark.parametrize(
    ("llm", "within_ms"),
    [(LlmScript(fail_after_tokens=0), 460), (LlmScript(stall_after_tokens=0), 2_340)],
)
def test_a_model_that_gives_nothing_is_apologised_for_in_time(llm: LlmScript, within_ms: int) -> None:
    async def scenario() -> None:
        world = world_with(llm)
        async with world.call() as caller:
            first_ms = await asked(world, caller)
            # The end of speech is noticed after 300 ms; then the model's failure or its deadline, and a frame.
            assert first_ms <= within_ms
            assert runs(played(caller)) == [APOLOGY_SAMPLE]
            assert caller.transport.answer(1) == SORRY.llm
            events = ["listening", "processing", "error", "speaking", "end_of_turn", "listening"]
            assert caller.transport.events() == events
            assert caller.call.machine.state.history[-1].text == SORRY.llm
            assert world.telemetry.counts["apologised_llm_speech"] == 1
            assert world.log.of("tts_request") == []

    run_virtual(scenario())


def test_the_apology_needs_no_voice() -> None:
    async def scenario() -> None:
        world = world_with(LlmScript(["It is"], fail_after_tokens=1), TtsScript(fail_on_phrase=0))
        async with world.call() as caller:
            await asked(world, caller)
            assert runs(played(caller)) == [APOLOGY_SAMPLE]
            apologies = [count for name, count in world.telemetry.counts.items() if "apologised" in name]
            assert apologies == [1]

    run_virtual(scenario())


@pytest.mark.parametrize("stall", [False, True])
def test_an_answer_that_breaks_off_in_a_sentence_ends_with_an_apology(stall: bool) -> None:
    async def scenario() -> None:
        llm = LlmScript(["It is noon. And it is Monday."])
        if stall:
            llm.stall_after_tokens = 4
        else:
            llm.fail_after_tokens = 4
        world = world_with(llm)
        async with world.call() as caller:
            await asked(world, caller)
            assert runs(played(caller)) == [b"\1\0", b"\2\0", APOLOGY_SAMPLE]
            assert caller.transport.answer(1) == f"It is noon. And {SORRY.llm}"
            assert caller.call.machine.state.history[-1].text == f"It is noon. And {SORRY.llm}"

    run_virtual(scenario())


def test_an_answer_that_breaks_off_after_a_sentence_stands() -> None:
    async def scenario() -> None:
        world = world_with(LlmScript(["It is noon. And it is Monday."], fail_after_tokens=3))
        async with world.call() as caller:
            await asked(world, caller)
            assert runs(played(caller)) == [b"\1\0"]
            assert "error" in caller.transport.events()
            assert caller.transport.answer(1) == "It is noon."

    run_virtual(scenario())


@pytest.mark.parametrize("tts", [TtsScript(fail_on_phrase=0), TtsScript(stall_on_phrase=0), TtsScript(mute=True)])
def test_a_voice_that_gives_nothing_is_apologised_for_once_and_the_text_goes_on(tts: TtsScript) -> None:
    async def scenario() -> None:
        world = world_with(LlmScript(["First sentence here. Second sentence follows. Third."]), tts)
        async with world.call() as caller:
            first_ms = await asked(world, caller)
            assert first_ms <= 300 + 150 + FAST.tts.first_audio_timeout_ms + 200
            assert runs(played(caller)) == [APOLOGY_SAMPLE]
            assert caller.transport.answer(1) == "First sentence here. Second sentence follows. Third."
            assert world.telemetry.counts["apologised_tts_speech"] == 1

    run_virtual(scenario())


def test_a_voice_that_fails_after_something_was_heard_is_not_apologised_for() -> None:
    async def scenario() -> None:
        tts = TtsScript(fail_on_phrase=1)
        world = world_with(LlmScript(["First sentence here. Second sentence follows. Third."]), tts)
        async with world.call() as caller:
            await asked(world, caller)
            assert runs(played(caller)) == [b"\1\0"]
            assert world.telemetry.counts["apologised_tts_speech"] == 0

    run_virtual(scenario())


def test_before_any_voice_has_spoken_there_is_a_tone_at_the_caller_s_rate() -> None:
    async def scenario() -> None:
        world = world_with(LlmScript(fail_after_tokens=0))
        world.canned = CannedSpeech(world.config, FakeAudioTools())
        async with world.call(Hello(sample_rate_hz=8_000)) as caller:
            await asked(world, caller)
            assert played(caller) == earcon(8_000)
            assert caller.transport.answer(1) == ""
            assert [message.text for message in caller.call.machine.state.history] == ["what time is it"]
            assert world.telemetry.counts["apologised_llm_earcon"] == 1

    run_virtual(scenario())


def test_where_neither_words_nor_tone_are_wanted_the_event_says_it_alone() -> None:
    async def scenario() -> None:
        config = replace(FAST, apology=ApologyConfig(llm="off", earcon=False))
        world = world_with(LlmScript(fail_after_tokens=0), config=config)
        async with world.call() as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN)
            assert caller.transport.events() == ["listening", "processing", "error", "end_of_turn", "listening"]
            assert caller.transport.audio() == []

    run_virtual(scenario())


def test_a_caller_who_speaks_over_an_apology_stops_it_and_it_counts_as_far_as_heard() -> None:
    async def scenario() -> None:
        world = world_with(LlmScript(fail_after_tokens=0), TtsScript())
        world.asr.transcripts = ["what time is it", "never mind"]
        async with world.call() as caller:
            await caller.speak(800)
            await caller.listen_for(EventKind.SPEAKING)
            await caller.silence(1_000)
            world.llm.fail_after_tokens = None
            await caller.speak(800)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
            heard = caller.call.machine.state.history[1]
            assert heard.cut
            assert SORRY.llm.startswith(heard.text)
            assert 0 < len(heard.text) < len(SORRY.llm)

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("llm", "tts"),
    [
        (LlmScript(fail_after_tokens=0), TtsScript()),
        (LlmScript(stall_after_tokens=0), TtsScript()),
        (LlmScript(), TtsScript(mute=True)),
    ],
)
def test_a_guess_that_fails_is_not_apologised_for_but_the_answer_is_once(llm: LlmScript, tts: TtsScript) -> None:
    async def scenario() -> None:
        speculation = replace(FAST.turn.speculation, enabled=True)
        world = world_with(llm, tts, replace(FAST, turn=replace(FAST.turn, speculation=speculation)))
        async with world.call() as caller:
            await asked(world, caller)
            assert runs(played(caller)) == [APOLOGY_SAMPLE]
            apologies = [count for name, count in world.telemetry.counts.items() if "apologised" in name]
            assert apologies == [1]
            assert caller.transport.events().count("error") == 1

    run_virtual(scenario())


def test_a_voice_that_fails_only_for_a_guess_speaks_the_answer() -> None:
    async def scenario() -> None:
        speculation = replace(FAST.turn.speculation, enabled=True)
        config = replace(FAST, turn=replace(FAST.turn, speculation=speculation))
        world = world_with(LlmScript(first_token_ms=20), TtsScript(fail_on_phrase=0, first_chunk_ms=10), config)
        async with world.call() as caller:
            await asked(world, caller)
            assert len(world.log.of("llm_request")) == 2, "a guess, and the answer"
            assert runs(played(caller)) == [b"\2\0"]
            assert "apologised_tts_speech" not in world.telemetry.counts
            assert "error" not in caller.transport.events()

    run_virtual(scenario())


def test_a_recogniser_that_fails_before_a_word_is_apologised_for() -> None:
    async def scenario() -> None:
        world = world_with()
        world.asr.refuse = BackendUnavailable("asr", "Gone.")
        async with world.call() as caller:
            await asked(world, caller)
            assert runs(played(caller)) == [APOLOGY_SAMPLE]
            assert caller.transport.answer(1) == SORRY.asr
            assert world.telemetry.counts["apologised_asr_speech"] == 1
            assert world.log.of("llm_request") == []

    run_virtual(scenario())
