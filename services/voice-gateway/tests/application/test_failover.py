"""Backends as lists: who does the work when one fails, how long that takes, and when the first is used again."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.audio_log import AudioLog
from voice_gateway.application.clock import LoopClock
from voice_gateway.application.config import AsrConfig
from voice_gateway.application.failover import FallbackAsr, FallbackLlm, FallbackTts, NamedModel
from voice_gateway.application.ladder import Ladder
from voice_gateway.application.ports import Asr, AsrRequest, LlmRequest, Tts, TtsRequest
from voice_gateway.application.recognition import UtteranceRecognition
from voice_gateway.domain.breaker import BreakerPolicy, BreakerState
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.errors import BackendError, BackendRejected, BackendTimeout, BackendUnavailable
from voice_gateway.domain.events import AsrEnded, AsrResult, Event
from voice_gateway.testing.backends import (
    AsrScript,
    FakeAsr,
    FakeLlm,
    FakeTts,
    LlmScript,
    Log,
    TtsScript,
)
from voice_gateway.testing.world import FakeTelemetry

POLICY = BreakerPolicy(failures=3, first_pause_ms=1_000, longest_pause_ms=8_000)
ASKED = LlmRequest("tiny", [Message(Role.USER, "what time is it")], 0.5, 100, 4_000, 2_000)
PHRASE = TtsRequest("It is noon.", "en-US", "Aria", 16_000, first_audio_timeout_ms=3_000)
REFUSED = BackendRejected("llm", "There is no such model.")


@dataclass
class Llms:
    """Language models as a list."""

    scripts: Sequence[LlmScript]
    failover_ms: int = 1_000
    models: Sequence[str] = ()
    telemetry: FakeTelemetry = field(default_factory=FakeTelemetry)

    def __post_init__(self) -> None:
        self.log = Log()
        self.fakes = [FakeLlm(script, self.log) for script in self.scripts]
        names = [*self.models, *[""] * len(self.scripts)]
        named = [NamedModel(fake, name) for fake, name in zip(self.fakes, names, strict=False)]
        self.ladder = Ladder[NamedModel]("llm", named, clock=LoopClock(), telemetry=self.telemetry, policy=POLICY)
        self.llm = FallbackLlm(self.ladder, failover_ms=self.failover_ms)

    @property
    def asked(self) -> list[int]:
        """Requests that each has had."""
        return [len(fake.requests) for fake in self.fakes]

    async def answer(self, request: LlmRequest = ASKED) -> str:
        async with self.llm.stream(request) as deltas:
            return "".join([delta.text async for delta in deltas])

    def state(self, position: int) -> BreakerState:
        return self.ladder.breakers[position].state(self.ladder.now_ms())


def now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000


def broken(**changes: object) -> LlmScript:
    return replace(LlmScript(fail_after_tokens=0, first_token_ms=0), **changes)  # type: ignore[arg-type]


def test_the_first_does_the_work_while_it_is_well() -> None:
    async def scenario() -> None:
        llms = Llms([LlmScript(["first"]), LlmScript(["second"])])
        assert [await llms.answer() for _ in range(3)] == ["first"] * 3
        assert llms.asked == [3, 0]

    run_virtual(scenario())


def test_a_refused_connection_costs_no_time_and_then_nobody_asks_there() -> None:
    async def scenario() -> None:
        llms = Llms([broken(), LlmScript(["second"], first_token_ms=120)])
        for _ in range(10):
            began_ms = now_ms()
            assert await llms.answer() == "second"
            assert now_ms() - began_ms <= 130
        assert llms.asked[1] == 10
        # Three open the breaker; at most one probe a second follows.
        assert 3 <= llms.asked[0] <= 5
        assert llms.telemetry.counts["failed_over_llm_0_BACKEND_UNAVAILABLE"] == llms.asked[0]
        assert llms.telemetry.counts["breaker_llm_0_open"] >= 1

    run_virtual(scenario())


def test_the_first_is_preferred_again_once_a_probe_finds_it_well() -> None:
    async def scenario() -> None:
        llms = Llms([broken(), LlmScript(["second"])])
        for _ in range(3):
            await llms.answer()
        assert llms.state(0) is BreakerState.OPEN
        llms.fakes[0].script = LlmScript(["first"])
        assert await llms.answer() == "second"
        await asyncio.sleep(1)
        assert llms.state(0) is BreakerState.HALF_OPEN
        assert await llms.answer() == "first"
        assert llms.state(0) is BreakerState.CLOSED
        assert llms.telemetry.counts["breaker_llm_0_closed"] == 2

    run_virtual(scenario())


def test_of_many_that_ask_at_once_one_probes_and_the_others_do_not_wait() -> None:
    async def scenario() -> None:
        llms = Llms([broken(), LlmScript(["second"], first_token_ms=100)])
        for _ in range(3):
            await llms.answer()
        before = llms.asked[0]
        await asyncio.sleep(1)
        llms.fakes[0].script = LlmScript(stall_after_tokens=0)
        began_ms = now_ms()
        taken = await asyncio.gather(*(timed(llms, began_ms) for _ in range(20)))
        assert llms.asked[0] == before + 1
        assert sorted(taken)[-2] <= 110
        assert sorted(taken)[-1] <= 1_000 + 110

    async def timed(llms: Llms, began_ms: float) -> float:
        assert await llms.answer() == "second"
        return now_ms() - began_ms

    run_virtual(scenario())


def test_a_stalling_first_leaves_time_for_the_second() -> None:
    async def scenario() -> None:
        llms = Llms([LlmScript(stall_after_tokens=0), LlmScript(["second"], first_token_ms=500)])
        assert await llms.answer() == "second"
        assert now_ms() <= 1_000 + 500 + 10
        assert [entry.detail for entry in llms.log.of("llm_closed")] == ["cancelled", "finished"]

    run_virtual(scenario())


def test_the_last_has_all_the_time_that_is_left_and_no_more() -> None:
    async def scenario() -> None:
        llms = Llms([LlmScript(stall_after_tokens=0), LlmScript(stall_after_tokens=0)])
        with pytest.raises(BackendTimeout):
            await llms.answer()
        assert now_ms() == pytest.approx(ASKED.first_token_timeout_ms, abs=2)

    run_virtual(scenario())


async def collect(llms: Llms, said: list[str]) -> None:
    async with llms.llm.stream(ASKED) as deltas:
        async for delta in deltas:
            said.append(delta.text)


def test_after_the_first_token_it_is_never_asked_elsewhere() -> None:
    async def scenario() -> None:
        llms = Llms([LlmScript(["one two three"], fail_after_tokens=2), LlmScript(["second"])])
        for _ in range(3):
            said = list[str]()
            with pytest.raises(BackendUnavailable):
                await collect(llms, said)
            assert said == ["one", " two"]
        assert llms.asked == [3, 0]
        # Answers that always break off are failures all the same.
        assert llms.state(0) is BreakerState.OPEN
        assert await llms.answer() == "second"

    run_virtual(scenario())


def test_a_bad_request_opens_nothing() -> None:
    async def scenario() -> None:
        llms = Llms([broken(error=REFUSED), broken(error=REFUSED)])
        for _ in range(10):
            with pytest.raises(BackendRejected):
                await llms.answer()
        assert [llms.state(0), llms.state(1)] == [BreakerState.CLOSED] * 2

    run_virtual(scenario())


def test_what_one_refuses_another_may_do() -> None:
    async def scenario() -> None:
        llms = Llms([broken(error=REFUSED), LlmScript(["second"])], models=["", "other-name"])
        assert await llms.answer() == "second"
        assert [fake.requests[0].model for fake in llms.fakes] == ["tiny", "other-name"]

    run_virtual(scenario())


def test_a_single_backend_fails_at_once_while_it_rests() -> None:
    async def scenario() -> None:
        llms = Llms([LlmScript(["only"], stall_after_tokens=0)])
        for _ in range(3):
            with pytest.raises(BackendTimeout):
                await llms.answer()
        assert now_ms() == pytest.approx(3 * ASKED.first_token_timeout_ms, abs=2)
        with pytest.raises(BackendUnavailable):
            await llms.answer()
        assert now_ms() == pytest.approx(3 * ASKED.first_token_timeout_ms, abs=2)
        await asyncio.sleep(1)
        llms.fakes[0].script = LlmScript(["only"])
        assert await llms.answer() == "only"

    run_virtual(scenario())


def test_a_caller_who_goes_during_a_probe_leaves_it_to_the_next() -> None:
    async def scenario() -> None:
        llms = Llms([broken(), LlmScript(["second"])])
        for _ in range(3):
            await llms.answer()
        await asyncio.sleep(1)
        llms.fakes[0].script = LlmScript(["first"], first_token_ms=500)
        going = asyncio.ensure_future(llms.answer())
        await asyncio.sleep(0.1)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        assert await llms.answer() == "first"

    run_virtual(scenario())


# ---- voices ---------------------------------------------------------------------------------------------------------


def voices(*scripts: TtsScript) -> tuple[FallbackTts, list[FakeTts], Ladder[Tts]]:
    log = Log()
    fakes = [FakeTts(script, log) for script in scripts]
    ladder = Ladder[Tts]("tts", fakes, clock=LoopClock(), telemetry=FakeTelemetry(), policy=POLICY)
    return FallbackTts(ladder, failover_ms=1_000), fakes, ladder


def test_a_phrase_without_a_sound_yet_is_spoken_elsewhere_in_the_same_voice() -> None:
    async def scenario() -> None:
        for script in (TtsScript(fail_on_phrase=0), TtsScript(stall_on_phrase=0)):
            tts, fakes, _ = voices(script, TtsScript())
            began_ms = now_ms()
            async with tts.synthesize(PHRASE) as chunks:
                pcm = b"".join([chunk.pcm async for chunk in chunks])
            assert len(pcm) == 2 * 16 * 60 * len(PHRASE.text)
            assert now_ms() - began_ms <= 1_000 + 80 + 200
            assert [(fake.requests[0].voice, fake.requests[0].text) for fake in fakes] == [("Aria", PHRASE.text)] * 2

    run_virtual(scenario())


def test_a_voice_without_sound_for_a_text_is_not_a_failure() -> None:
    async def scenario() -> None:
        tts, fakes, ladder = voices(TtsScript(mute=True), TtsScript())
        for _ in range(4):
            async with tts.synthesize(PHRASE) as chunks:
                assert [chunk async for chunk in chunks] == []
        assert len(fakes[1].requests) == 0
        assert ladder.breakers[0].state(now_ms()) is BreakerState.CLOSED

    run_virtual(scenario())


# ---- recognition ----------------------------------------------------------------------------------------------------

WORDS = {1: "my number", 2: "is four one", 3: "and seven"}
RATE_HZ = 16_000


@dataclass
class Utterance:
    """One utterance that is recognised by a list of recognisers."""

    scripts: Sequence[AsrScript]

    def __post_init__(self) -> None:
        self.telemetry, self.events, self.errors = FakeTelemetry(), list[Event](), list[BackendError]()
        self.fakes = [FakeAsr(replace(script, meanings=WORDS), Log()) for script in self.scripts]
        self.ladder = Ladder[Asr]("asr", self.fakes, clock=LoopClock(), telemetry=self.telemetry, policy=POLICY)

    async def heard(self) -> list[str]:
        """Speak each of WORDS for 400 ms, and give the final results."""
        log = AudioLog()
        recognition = UtteranceRecognition(
            1,
            0,
            log=log,
            asr=FallbackAsr(self.ladder, failover_ms=500),
            config=AsrConfig(),
            request=AsrRequest(RATE_HZ, "en-US"),
            post=self._post,
            on_error=self.errors.append,
        )
        running = asyncio.create_task(recognition.run())
        for value in WORDS:
            for _ in range(20):
                log.append(value.to_bytes(2, "little") * (RATE_HZ // 50))
                recognition.audio_arrived()
                await asyncio.sleep(0.02)
        recognition.finalize(half_close=True)
        await running
        return [event.text for event in self.events if isinstance(event, AsrResult) and event.final]

    async def _post(self, event: Event) -> None:
        self.events.append(event)


def test_a_stream_that_breaks_goes_on_elsewhere_and_no_word_is_lost() -> None:
    async def scenario() -> None:
        for after_ms in range(0, 1_220, 60):
            utterance = Utterance([AsrScript(break_after_ms=[after_ms]), AsrScript()])
            assert await utterance.heard() == ["my number is four one and seven"], after_ms
            assert [fake.opened for fake in utterance.fakes] == [1, 1]
            assert len(utterance.fakes[1].audio[0]) == 2 * RATE_HZ * 1_200 // 1_000
            assert isinstance(utterance.events[-1], AsrEnded)
            assert utterance.events[-1].reason == ""

    run_virtual(scenario())


def test_words_are_kept_when_each_recogniser_in_turn_breaks() -> None:
    async def scenario() -> None:
        breaks = [AsrScript(break_after_ms=[300]), AsrScript(break_after_ms=[700]), AsrScript()]
        utterance = Utterance(breaks)
        assert await utterance.heard() == ["my number is four one and seven"]
        assert [fake.opened for fake in utterance.fakes] == [1, 1, 1]
        assert [error.position for error in utterance.errors] == [0, 1]

    run_virtual(scenario())


@pytest.mark.parametrize("script", [AsrScript(refuse=BackendUnavailable("asr", "Gone.")), AsrScript(open_ms=None)])
def test_a_stream_that_does_not_open_is_opened_elsewhere(script: AsrScript) -> None:
    async def scenario() -> None:
        utterance = Utterance([script, AsrScript()])
        assert await utterance.heard() == ["my number is four one and seven"]
        assert utterance.errors == []
        assert sum(count for name, count in utterance.telemetry.counts.items() if "failed_over" in name) == 1

    run_virtual(scenario())


def test_an_utterance_without_a_word_leaves_the_probe_to_the_next_and_a_word_ends_it() -> None:
    async def scenario() -> None:
        fake = FakeAsr(AsrScript(refuse=BackendUnavailable("asr", "Gone.")), Log())
        ladder = Ladder[Asr]("asr", [fake], clock=LoopClock(), telemetry=FakeTelemetry(), policy=POLICY)
        asr, request = FallbackAsr(ladder, failover_ms=500), AsrRequest(RATE_HZ, "en-US")
        for _ in range(POLICY.failures):
            with pytest.raises(BackendUnavailable):
                async with asr.open(request):
                    pass
        fake.script = AsrScript()
        await asyncio.sleep(1)
        async with asr.open(request):
            assert not ladder.spare([0]), "one probe at a time"
        assert ladder.breakers[0].state(now_ms()) is BreakerState.HALF_OPEN
        async with asr.open(request) as stream:
            await stream.send(b"\1\0" * RATE_HZ)
            await stream.half_close()
            states = [ladder.breakers[0].state(now_ms()) async for _ in stream.results()]
        assert set(states) == {BreakerState.CLOSED}

    run_virtual(scenario())


def test_a_recogniser_that_never_says_anything_is_left_alone_in_the_end() -> None:
    async def scenario() -> None:
        log, telemetry = Log(), FakeTelemetry()
        fakes = [FakeAsr(AsrScript(deaf=True), log), FakeAsr(AsrScript(), log)]
        ladder = Ladder[Asr]("asr", fakes, clock=LoopClock(), telemetry=telemetry, policy=POLICY)
        asr = FallbackAsr(ladder, failover_ms=500)
        for _ in range(4):
            async with asr.open(AsrRequest(RATE_HZ, "en-US")) as stream:
                await stream.send(b"\x01\x00" * 1_600)
                await stream.half_close()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.9):
                        async for _ in stream.results():
                            pass
        assert [fake.opened for fake in fakes] == [3, 1]

    run_virtual(scenario())
