"""Whether a backend knows what is configured, and how often it is asked."""

import asyncio
from dataclasses import replace

import pytest
from riva.client.proto import riva_asr_pb2, riva_tts_pb2

from servicekit.testing import run_virtual
from voice_gateway.adapters.backend_checks import KEPT_S, BackendChecks
from voice_gateway.adapters.probes import judge_models, judge_voices
from voice_gateway.application.config import AsrConfig, CallConfig, TtsConfig
from voice_gateway.application.ports import BackendCheck

MODELS = (("parakeet-streaming", "online", "en-US"), ("canary", "offline", "de-DE"), ("multi", "online", "es-US,fr-FR"))
VOICES = (("English-US", "Female-1:0,Male-1:1", "en-US"), ("Magpie-Multilingual", "EN-US.Aria:0", "en-US,es-US"))


def asr(model: str = "", language: str = "en-US") -> tuple[bool, str]:
    response = riva_asr_pb2.RivaSpeechRecognitionConfigResponse()
    for name, kind, languages in MODELS:
        response.model_config.add(model_name=name, parameters={"type": kind, "language_code": languages})
    verdict = judge_models(response, replace(CallConfig(), asr=AsrConfig(model=model, language_code=language)))
    assert verdict.available == ("parakeet-streaming", "multi")
    return verdict.ok, verdict.detail


def tts(voice: str = "", language: str = "en-US") -> tuple[bool, str]:
    response = riva_tts_pb2.RivaSynthesisConfigResponse()
    for name, subvoices, languages in VOICES:
        parameters = {"voice_name": name, "subvoices": subvoices, "language_code": languages}
        response.model_config.add(model_name=name, parameters=parameters)
    verdict = judge_voices(response, replace(CallConfig(), tts=TtsConfig(voice=voice, language_code=language)))
    assert verdict.available == ("English-US.Female-1", "English-US.Male-1", "Magpie-Multilingual.EN-US.Aria")
    return verdict.ok, verdict.detail


@pytest.mark.parametrize(
    ("model", "language", "ok", "detail"),
    [
        ("", "en-US", True, "There is a streaming model for en-US."),
        ("", "FR-fr", True, "There is a streaming model for FR-fr."),
        ("", "de-DE", False, "There is no streaming model for de-DE; ASR_LANGUAGE names a language that is offered."),
        ("parakeet-streaming", "en-US", True, 'There is the streaming model "parakeet-streaming" for en-US.'),
        (
            "parakeet-streaming",
            "de-DE",
            False,
            'The model "parakeet-streaming" is not for de-DE; ASR_LANGUAGE names a language that is offered.',
        ),
        ("canary", "en-US", False, 'There is no streaming model "canary"; ASR_MODEL names one that is offered.'),
    ],
)
def test_models_and_languages(model: str, language: str, ok: bool, detail: str) -> None:
    assert asr(model, language) == (ok, detail)


@pytest.mark.parametrize(
    ("voice", "language", "ok"),
    [
        ("", "en-US", True),
        ("", "es-US", True),
        ("", "hi-IN", False),
        ("English-US.Female-1", "en-US", True),
        ("Magpie-Multilingual.EN-US.Aria", "en-US", True),
        ("English-US", "en-US", True),
        ("Female-1", "en-US", False),
    ],
)
def test_voices(voice: str, language: str, ok: bool) -> None:
    found, detail = tts(voice, language)
    assert found is ok
    assert (voice or language) in detail


def test_a_server_that_says_nothing_of_languages_has_all() -> None:
    response = riva_asr_pb2.RivaSpeechRecognitionConfigResponse()
    response.model_config.add(model_name="m")
    assert judge_models(response, CallConfig()).ok


class SlowProbe:
    def __init__(self) -> None:
        self.asked = 0

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        self.asked += 1
        await asyncio.sleep(1)
        return BackendCheck("llm", "m", True, f"Check {self.asked}.", 1_000.0)


def test_backends_are_asked_once_in_a_while() -> None:
    async def scenario() -> None:
        probe = SlowProbe()
        checks = BackendChecks([probe], now_s=asyncio.get_running_loop().time)
        both = await asyncio.gather(checks.all(), checks.all())
        assert [check.detail for checks in both for check in checks] == ["Check 1.", "Check 1."]
        await asyncio.sleep(KEPT_S - 0.1)
        assert (await checks.all())[0].detail == "Check 1."
        await asyncio.sleep(0.2)
        assert (await checks.all())[0].detail == "Check 2."

    run_virtual(scenario())


def test_a_client_that_leaves_during_a_check_holds_nobody_up() -> None:
    async def scenario() -> None:
        checks = BackendChecks([SlowProbe()], now_s=asyncio.get_running_loop().time)
        leaving = asyncio.create_task(checks.all())
        staying = asyncio.create_task(checks.all())
        await asyncio.sleep(0.5)
        leaving.cancel()
        assert (await staying)[0].ok
        assert leaving.cancelled()

    run_virtual(scenario())
