"""Probes against real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
from gateway_scripted_llm import Exchange, ScriptedLlm
from gateway_scripted_llm import serving as serving_llm
from gateway_scripted_riva import ScriptedRiva, serving
from riva.client.proto import riva_asr_pb2, riva_tts_pb2

from voice_gateway.adapters.openai_llm import LlmEndpoint, OpenAiLlm
from voice_gateway.adapters.probes import AsrProbe, LlmProbe, TtsProbe
from voice_gateway.adapters.riva_asr import RivaAsr
from voice_gateway.adapters.riva_channels import RivaEndpoint
from voice_gateway.adapters.riva_tts import RivaTts
from voice_gateway.application.config import AsrConfig, CallConfig, LlmConfig, TtsConfig
from voice_gateway.application.ports import BackendCheck

pytestmark = pytest.mark.edge


@dataclass(frozen=True)
class Fixed:
    """A configuration that stays."""

    config: CallConfig

    def current(self) -> CallConfig:
        return self.config


def asr_models(*models: tuple[str, str, str]) -> Any:
    """(name, type, languages) of each."""
    response = riva_asr_pb2.RivaSpeechRecognitionConfigResponse()
    for name, kind, languages in models:
        response.model_config.add(model_name=name, parameters={"type": kind, "language_code": languages})
    return response


def tts_models(*models: tuple[str, str, str]) -> Any:
    """(voice_name, subvoices, languages) of each."""
    response = riva_tts_pb2.RivaSynthesisConfigResponse()
    for voice, subvoices, languages in models:
        parameters = {"voice_name": voice, "subvoices": subvoices, "language_code": languages}
        response.model_config.add(model_name=f"model-{voice}", parameters=parameters)
    return response


@asynccontextmanager
async def asr_probe(riva: ScriptedRiva, config: AsrConfig) -> AsyncIterator[AsrProbe]:
    async with serving(riva) as target:
        asr = RivaAsr(RivaEndpoint(target))
        try:
            yield AsrProbe(asr, Fixed(CallConfig(asr=config)))
        finally:
            await asr.close()


async def checked_asr(models: Any, config: AsrConfig) -> BackendCheck:
    async with asr_probe(ScriptedRiva(asr_config=models), config) as probe:
        return await probe.check(timeout_ms=5_000)


async def checked_tts(models: Any, config: TtsConfig) -> BackendCheck:
    async with serving(ScriptedRiva(tts_config=models)) as target:
        tts = RivaTts(RivaEndpoint(target))
        try:
            return await TtsProbe(tts, Fixed(CallConfig(tts=config))).check(timeout_ms=5_000)
        finally:
            await tts.close()


async def checked_llm(models: Any, model: str = "tiny") -> BackendCheck:
    async def unused(exchange: Exchange) -> None:
        raise AssertionError

    async with serving_llm(ScriptedLlm(unused, models=models)) as url:
        llm = OpenAiLlm(LlmEndpoint(url))
        try:
            return await LlmProbe(llm, Fixed(CallConfig(llm=LlmConfig(model=model)))).check(timeout_ms=5_000)
        finally:
            await llm.close()


MODEL = "ASR_MODEL names one that is offered."
LANGUAGE = "ASR_LANGUAGE names a language that is offered."
TTS_LANGUAGE = "TTS_LANGUAGE names a language that is offered."
MODELS = asr_models(("parakeet", "online", "en-US,de-DE"), ("whisper", "offline", "hi-IN"))


@pytest.mark.parametrize(
    ("config", "ok", "detail", "available"),
    [
        (AsrConfig(), True, "There is a streaming model for en-US.", ("parakeet",)),
        (
            AsrConfig(model="parakeet", language_code="de-de"),
            True,
            'There is the streaming model "parakeet" for de-de.',
            ("parakeet",),
        ),
        (AsrConfig(model="x"), False, f'There is no streaming model "x"; {MODEL}', ("parakeet",)),
        (AsrConfig(model="whisper"), False, f'There is no streaming model "whisper"; {MODEL}', ("parakeet",)),
        (
            AsrConfig(language_code="hi-IN"),
            False,
            f"There is no streaming model for hi-IN; {LANGUAGE}",
            ("parakeet",),
        ),
        (
            AsrConfig(model="parakeet", language_code="hi-IN"),
            False,
            f'The model "parakeet" is not for hi-IN; {LANGUAGE}',
            ("parakeet",),
        ),
    ],
)
async def test_asr(config: AsrConfig, ok: bool, detail: str, available: tuple[str, ...]) -> None:
    check = await checked_asr(MODELS, config)
    assert (check.kind, check.ok, check.detail, check.available) == ("asr", ok, detail, available)
    assert check.configured == (config.model or config.language_code)
    assert check.latency_ms > 0


async def test_asr_without_a_streaming_model() -> None:
    check = await checked_asr(asr_models(("whisper", "offline", "en-US")), AsrConfig())
    assert (check.ok, check.detail) == (False, f"There is no streaming model for en-US; {LANGUAGE}")


VOICES = tts_models(("English-US", "Female-1:0,Male-1:1", "en-US"), ("Magpie.EN", "", "en-US"))


@pytest.mark.parametrize(
    ("config", "ok", "detail"),
    [
        (TtsConfig(), True, "There is a voice for en-US."),
        (TtsConfig(voice="English-US.Male-1"), True, 'There is the voice "English-US.Male-1" for en-US.'),
        (TtsConfig(voice="Magpie.EN"), True, 'There is the voice "Magpie.EN" for en-US.'),
        (TtsConfig(voice="Nobody"), False, 'There is no voice "Nobody"; TTS_VOICE names one that is offered.'),
        (TtsConfig(language_code="hi-IN"), False, f"There is no voice for hi-IN; {TTS_LANGUAGE}"),
        (
            TtsConfig(voice="Magpie.EN", language_code="hi-IN"),
            False,
            f'The voice "Magpie.EN" is not for hi-IN; {TTS_LANGUAGE}',
        ),
    ],
)
async def test_tts(config: TtsConfig, ok: bool, detail: str) -> None:
    check = await checked_tts(VOICES, config)
    assert (check.kind, check.ok, check.detail) == ("tts", ok, detail)
    assert check.available == ("English-US.Female-1", "English-US.Male-1", "Magpie.EN")


async def test_no_more_than_twenty_are_listed() -> None:
    subvoices = ",".join(f"V{number}:{number}" for number in range(50))
    check = await checked_tts(tts_models(("Many", subvoices, "en-US")), TtsConfig(voice="Many.V49"))
    assert check.ok
    assert len(check.available) == 20


async def test_llm() -> None:
    listed = {"object": "list", "data": [{"id": name} for name in ("other", "meta/llama-3.1-8b-instruct")]}
    check = await checked_llm(listed, "meta/llama-3.1-8b-instruct")
    assert (check.ok, check.detail) == (True, 'There is the model "meta/llama-3.1-8b-instruct".')
    check = await checked_llm(listed, "meta/llama-9")
    assert not check.ok
    assert check.detail == 'There is no model "meta/llama-9"; LLM_MODEL names one that is offered.'
    assert check.available == ("meta/llama-3.1-8b-instruct", "other")


@pytest.mark.parametrize(
    ("models", "detail"),
    [
        (401, "The language model refuses the configured key."),
        (503, "The language model has no room at the moment."),
        ("nonsense", "What the language model sent makes no sense."),
    ],
)
async def test_llm_in_trouble(models: Any, detail: str) -> None:
    check = await checked_llm(models)
    assert (check.ok, check.detail, check.available) == (False, detail, ())


async def test_nobody_there() -> None:
    config = Fixed(CallConfig())
    asr, tts = RivaAsr(RivaEndpoint("127.0.0.1:1")), RivaTts(RivaEndpoint("127.0.0.1:1"))
    llm = OpenAiLlm(LlmEndpoint("http://127.0.0.1:1/v1"))
    probes = (AsrProbe(asr, config), TtsProbe(tts, config), LlmProbe(llm, config))
    checks = [await probe.check(timeout_ms=5_000) for probe in probes]
    assert [(check.ok, check.detail) for check in checks] == [
        (False, "The speech recogniser cannot be reached."),
        (False, "The speech synthesiser cannot be reached."),
        (False, "The language model cannot be reached."),
    ]
    await asyncio.gather(asr.close(), tts.close(), llm.close())


async def test_a_server_that_does_not_answer_in_time() -> None:
    async with asr_probe(ScriptedRiva(config_gate=asyncio.Event()), AsrConfig()) as probe:
        check = await probe.check(timeout_ms=50)
    assert (check.ok, check.detail) == (False, "The speech recogniser did not answer in time.")


async def test_a_server_that_does_not_list() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    asr = RivaAsr(RivaEndpoint(f"127.0.0.1:{port}"))
    check = await AsrProbe(asr, Fixed(CallConfig())).check(timeout_ms=5_000)
    assert (check.ok, check.detail) == (True, "The speech recogniser answers, and does not say what it offers.")
    await asr.close()
    await server.stop(None)
