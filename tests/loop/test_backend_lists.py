"""The gateway's lists of backends against the fakes: real gRPC and HTTP, faults of all kinds, one backend at a time."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from voice_fakes import parse_script
from voice_fakes.llm import FakeLlm
from voice_fakes.riva import FakeRiva
from voice_gateway.adapters.config_file import StaticConfigSource
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.application.audio_log import AudioLog
from voice_gateway.application.clock import MonotonicClock
from voice_gateway.application.config import AsrConfig
from voice_gateway.application.ports import AsrRequest, BackendProbe, Backends, LlmRequest, TtsRequest
from voice_gateway.application.recognition import UtteranceRecognition
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.errors import BackendError, BackendUnavailable
from voice_gateway.domain.events import AsrEnded, AsrResult, Event
from voice_gateway.server import connected
from voice_gateway.settings import load, to_call_config

pytestmark = pytest.mark.edge

WAIT_S = 30.0
MODEL = "meta/llama-3.1-8b-instruct"
SECOND_MODEL = "tiny-llama"
PATIENT = {"LLM_FAILOVER_MS": "400", "TTS_FAILOVER_MS": "400", "ASR_FAILOVER_MS": "400"}
RATE_HZ = 16_000
SPEECH = struct.pack("<h", 8_000) * (RATE_HZ // 50)
"""20 ms that the fake takes for speech."""
QUIET = bytes(len(SPEECH))


@dataclass
class Pairs:
    """Two of each kind, and the gateway's lists of them."""

    rivas: list[FakeRiva]
    models: list[FakeLlm]
    backends: Backends
    probes: tuple[BackendProbe, ...]
    telemetry: PrometheusTelemetry

    async def answer(self) -> str:
        request = LlmRequest(MODEL, [Message(Role.USER, "Hello.")], 0.5, 100, 5_000, 1_000)
        async with asyncio.timeout(WAIT_S), self.backends.llm.stream(request) as deltas:
            return "".join([delta.text async for delta in deltas])

    async def spoken(self) -> int:
        """Bytes of a phrase."""
        request = TtsRequest("It is noon.", "en-US", "English-US.Male-1", RATE_HZ, first_audio_timeout_ms=5_000)
        async with asyncio.timeout(WAIT_S), self.backends.tts.synthesize(request) as chunks:
            return sum([len(chunk.pcm) async for chunk in chunks])

    async def heard(self) -> list[str]:
        """Final results of an utterance of two seconds."""
        events, errors, log = list[Event](), list[BackendError](), AudioLog()

        async def post(event: Event) -> None:
            events.append(event)

        recognition = UtteranceRecognition(
            1,
            0,
            log=log,
            asr=self.backends.asr,
            config=AsrConfig(),
            request=AsrRequest(RATE_HZ, "en-US"),
            post=post,
            on_error=errors.append,
        )
        running = asyncio.create_task(recognition.run())
        for _ in range(100):
            log.append(SPEECH)
            recognition.audio_arrived()
            await asyncio.sleep(0.005)
        log.append(QUIET)
        recognition.finalize(half_close=True)
        await asyncio.wait_for(running, WAIT_S)
        assert isinstance(events[-1], AsrEnded)
        assert events[-1].reason == "", [error.detail for error in errors]
        return [event.text for event in events if isinstance(event, AsrResult) and event.final]

    def value(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(f"voice_gateway_{name}", labels)


@asynccontextmanager
async def pairs(first: str = "", second: str = "", **environ: str) -> AsyncIterator[Pairs]:
    """`first` and `second` are scripts of the fakes."""
    scripts = [parse_script(first), parse_script(second)]
    async with (
        FakeRiva(scripts[0]) as riva_1,
        FakeRiva(scripts[1]) as riva_2,
        FakeLlm(scripts[0]) as llm_1,
        FakeLlm(scripts[1]) as llm_2,
    ):
        keys = {
            "RIVA_URI": riva_1.address,
            "ASR_FALLBACKS": riva_2.address,
            "TTS_FALLBACKS": riva_2.address,
            "LLM_BASE_URL": llm_1.base_url,
            "LLM_FALLBACKS": f"{llm_2.base_url}#{SECOND_MODEL}",
            "BREAKER_FIRST_PAUSE_MS": "100",
        }
        async with lists({**keys, **PATIENT, **environ}) as (backends, probes, telemetry):
            yield Pairs([riva_1, riva_2], [llm_1, llm_2], backends, probes, telemetry)


@asynccontextmanager
async def lists(keys: dict[str, str]) -> AsyncIterator[tuple[Backends, tuple[BackendProbe, ...], PrometheusTelemetry]]:
    settings, telemetry = load(environ=keys), PrometheusTelemetry()
    config = StaticConfigSource(to_call_config(settings))
    async with connected(settings, config, MonotonicClock(), telemetry) as made:
        yield made.backends, made.probes, telemetry


def nowhere() -> str:
    """An address that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


SECOND = "llm: {replies: [Second.]}"


@pytest.mark.parametrize(
    "fault",
    [
        "{kind: http_error, status: 500}",
        "{kind: http_error, status: 503}",
        "{kind: http_error, status: 404}",
        "{kind: stall}",
        "{kind: reset}",
        "{kind: garbage}",
        "{kind: slow_headers, headers_ms: 60000}",
    ],
)
async def test_a_model_that_does_not_begin_is_replaced(fault: str) -> None:
    async with pairs(f"llm: {{faults: [{fault}]}}", SECOND) as two:
        assert await two.answer() == "Second."
        reasons = ("backend_failed", "backend_busy", "backend_rejected", "backend_timeout", "backend_unavailable")
        counted = [two.value("backend_failovers_total", backend="llm", position="0", reason=name) for name in reasons]
        assert [count for count in counted if count] == [1.0]


async def test_a_model_that_broke_off_is_not_replaced_in_the_middle() -> None:
    async with pairs(
        "llm: {replies: [[It, ' is', ' noon.']], faults: [{kind: reset, after_tokens: 2}]}", SECOND
    ) as two:
        with pytest.raises(BackendUnavailable):
            await two.answer()
        assert two.models[1].log.events("llm", "request") == []


async def test_where_nobody_listens_the_next_one_is_asked_at_once_and_the_first_one_when_it_is_back() -> None:
    address = nowhere()
    async with pairs("", SECOND, LLM_BASE_URL=f"http://{address}/v1", BREAKER_LONGEST_PAUSE_MS="100") as two:
        assert [await two.answer() for _ in range(3)] == ["Second."] * 3
        assert two.value("backend_breaker_state", backend="llm", position="0") == 2.0
        assert two.value("backend_breaker_state", backend="llm", position="1") == 0.0
        async with FakeLlm(parse_script("llm: {replies: [First.]}"), listen_address=address):
            async with asyncio.timeout(WAIT_S):
                while await two.answer() != "First.":
                    pass
            assert two.value("backend_breaker_state", backend="llm", position="0") == 0.0
            assert await two.answer() == "First."


@pytest.mark.parametrize(
    "fault",
    ["{kind: error}", "{kind: error, status: UNAVAILABLE}", "{kind: error, status: NOT_FOUND}", "{kind: stall}"],
)
async def test_a_voice_that_does_not_begin_is_replaced_with_the_same_voice(fault: str) -> None:
    async with pairs(f"tts: {{faults: [{fault}]}}") as two:
        assert await two.spoken() == 2 * RATE_HZ * 60 * len("It is noon.") // 1_000
        (asked,) = two.rivas[1].log.events("tts", "request")
        assert (asked.fields["text"], asked.fields["voice"]) == ("It is noon.", "English-US.Male-1")


async def test_a_phrase_that_broke_off_is_not_spoken_twice() -> None:
    async with pairs("tts: {faults: [{kind: error, after_chunks: 2}]}") as two:
        with pytest.raises(BackendError):
            await two.spoken()
        assert two.rivas[1].log.events("tts", "request") == []


WORDS = "asr: {{transcripts: [one two three four five six], word_interval_ms: 100, final_after_speech_end_ms: 5000{}}}"


@pytest.mark.parametrize(
    "fault",
    [
        "",
        "{kind: refuse}",
        "{kind: refuse, status: UNAVAILABLE}",
        "{kind: reset, after_ms: 0}",
        "{kind: reset, after_ms: 150}",
        "{kind: reset, after_ms: 400}",
    ],
)
async def test_no_word_is_lost_when_a_recogniser_breaks(fault: str) -> None:
    faulty = WORDS.format(f", faults: [{fault}]" if fault else "")
    async with pairs(faulty, WORDS.format("")) as two:
        assert await two.heard() == ["one two three four five six"]
        assert len(two.rivas[1].log.events("asr", "stream_opened")) == (1 if fault else 0)


async def test_a_recogniser_that_is_not_there_is_passed_over() -> None:
    async with pairs("", WORDS.format(""), ASR_URI=nowhere()) as two:
        assert [await two.heard() for _ in range(2)] == [["one two three four five six"]] * 2


async def test_checks_show_the_whole_list() -> None:
    async with pairs("", f"llm: {{models: [{SECOND_MODEL}]}}", TTS_URI=nowhere()) as two:
        checks = [await probe.check(timeout_ms=5_000) for probe in two.probes]
        assert [(check.kind, check.configured, check.ok) for check in checks] == [
            ("asr", "en-US", True),
            ("asr", "en-US (fallback 1)", True),
            ("llm", MODEL, True),
            ("llm", f"{SECOND_MODEL} (fallback 1)", True),
            ("tts", "en-US", False),
            ("tts", "en-US (fallback 1)", True),
        ]


def test_keys_stay_with_the_hosts_that_they_are_for() -> None:
    keys: dict[str, Any] = {
        "LLM_BASE_URL": "https://one.example/v1",
        "LLM_API_KEY": "first",
        "NVIDIA_API_KEY": "nvidia",
        "LLM_FALLBACKS": "https://one.example/v2,https://integrate.api.nvidia.com/v1,https://two.example/v1",
    }
    settings = load(environ=keys)
    assert [settings.llm_fallback_key(entry) for entry in settings.llm.fallbacks] == ["first", "nvidia", ""]
    settings = load(environ={**keys, "LLM_FALLBACK_API_KEY": "second"})
    assert [settings.llm_fallback_key(entry) for entry in settings.llm.fallbacks] == ["first", "nvidia", "second"]
    assert settings.llm_fallback_key("http://one.example/v1") == "second"
