"""Asks each backend whether it is there and knows what is configured.

What is configured is read at each check, since it may have been edited. Server text and addresses stay out of the
answers. Hosted endpoints and old servers may not list what they have, and count as good when they answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from riva.client.proto import riva_asr_pb2, riva_tts_pb2

from voice_gateway.adapters.openai_llm import OpenAiLlm
from voice_gateway.adapters.riva_asr import RivaAsr
from voice_gateway.adapters.riva_errors import NOUNS, backend_error, broken_off, really_cancelled, timed_out
from voice_gateway.adapters.riva_tts import RivaTts
from voice_gateway.application.config import CallConfig, ConfigSource
from voice_gateway.application.ports import BackendCheck
from voice_gateway.domain.errors import BackendError, BackendKind

MAX_LISTED = 20
"""Names of models or voices in one answer (BackendStatus.available): enough to find a misspelt one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found."""

    ok: bool
    detail: str
    available: tuple[str, ...] = ()


class AsrProbe:
    """Knows the recogniser's models."""

    def __init__(self, asr: RivaAsr, config: ConfigSource, *, position: int = 0) -> None:
        """`position` is the backend's in the list of its kind, 0 first."""
        self._asr = asr
        self._config = config
        self._position = position

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        """Whether there is a streaming model of the configured name and language."""
        config = self._config.current()
        asked = config.asr.model or config.asr.language_code
        return await _checked("asr", _placed(asked, self._position), timeout_ms, lambda: self._ask(config))

    async def _ask(self, config: CallConfig) -> Verdict:
        with self._asr.pool.lease() as stub:
            response = await stub.GetRivaSpeechRecognitionConfig(
                riva_asr_pb2.RivaSpeechRecognitionConfigRequest(), metadata=self._asr.pool.endpoint.metadata
            )
        return judge_models(response, config)


class TtsProbe:
    """Knows the synthesiser's voices."""

    def __init__(self, tts: RivaTts, config: ConfigSource, *, position: int = 0) -> None:
        """`position` is the backend's in the list of its kind, 0 first."""
        self._tts = tts
        self._config = config
        self._position = position

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        """Whether there is the configured voice for the configured language."""
        config = self._config.current()
        asked = config.tts.voice or config.tts.language_code
        return await _checked("tts", _placed(asked, self._position), timeout_ms, lambda: self._ask(config))

    async def _ask(self, config: CallConfig) -> Verdict:
        with self._tts.pool.lease() as stub:
            response = await stub.GetRivaSynthesisConfig(
                riva_tts_pb2.RivaSynthesisConfigRequest(), metadata=self._tts.pool.endpoint.metadata
            )
        return judge_voices(response, config)


class LlmProbe:
    """Knows the language model's names."""

    def __init__(self, llm: OpenAiLlm, config: ConfigSource, *, position: int = 0, model: str = "") -> None:
        """`position` is the endpoint's in the list, 0 first; `model` what the model is called there, if otherwise."""
        self._llm = llm
        self._config = config
        self._position = position
        self._model = model

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        """Whether there is the configured model."""
        model = self._model or self._config.current().llm.model
        return await _checked("llm", _placed(model, self._position), timeout_ms, lambda: self._ask(model))

    async def _ask(self, model: str) -> Verdict:
        names = await self._llm.models()
        if not names:
            return Verdict(True, _UNLISTED.format(NOUNS["llm"]))
        # A hosted endpoint has hundreds: those that begin alike come first.
        alike = sorted(names, key=lambda name: (name != model, not name.startswith(model[:4]), name))
        if model in names:
            return Verdict(True, f'There is the model "{model}".', _listed(alike))
        key = "LLM_FALLBACKS" if self._model else "LLM_MODEL"
        return Verdict(False, f'There is no model "{model}"; {key} names one that is offered.', _listed(alike))


def _placed(asked: str, position: int) -> str:
    """What is configured, with the place of a fallback in its list."""
    return f"{asked} (fallback {position})" if position else asked


_UNLISTED = "The {} answers, and does not say what it offers."


async def _checked(
    kind: BackendKind, configured: str, timeout_ms: int, ask: Callable[[], Awaitable[Verdict]]
) -> BackendCheck:
    """Ask within the time, and turn whatever goes wrong into its sentence."""
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            verdict = await ask()
    except TimeoutError:
        verdict = Verdict(False, str(timed_out(kind, "answer")))
    except BackendError as error:
        verdict = Verdict(False, str(error))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            verdict = Verdict(True, _UNLISTED.format(NOUNS[kind]))
        else:
            verdict = Verdict(False, str(backend_error(error, kind, asked="the question what it offers")))
    except asyncio.CancelledError:
        if really_cancelled():
            raise
        verdict = Verdict(False, str(broken_off(kind, "")))
    except Exception:  # noqa: BLE001 - whatever a server answers, a check never raises
        verdict = Verdict(False, f"What the {NOUNS[kind]} answered makes no sense.")
    latency_ms = (time.monotonic() - began_s) * 1000
    return BackendCheck(kind, configured, verdict.ok, verdict.detail, latency_ms, verdict.available)


def judge_models(response: Any, config: CallConfig) -> Verdict:
    """`response` is a RivaSpeechRecognitionConfigResponse: models with "type" and a list of languages. Models of type
    "offline" cannot stream; those that name no type are taken to.
    """
    asr = config.asr
    streaming = [entry for entry in response.model_config if entry.parameters.get("type", "online") == "online"]
    models = _listed(entry.model_name for entry in streaming)
    if asr.model:
        streaming = [entry for entry in streaming if entry.model_name == asr.model]
        if not streaming:
            detail = f'There is no streaming model "{asr.model}"; ASR_MODEL names one that is offered.'
            return Verdict(False, detail, models)
    named = f'the streaming model "{asr.model}"' if asr.model else "a streaming model"
    if any(_speaks(entry.parameters, asr.language_code) for entry in streaming):
        return Verdict(True, f"There is {named} for {asr.language_code}.", models)
    none = f'The model "{asr.model}" is not' if asr.model else "There is no streaming model"
    detail = f"{none} for {asr.language_code}; ASR_LANGUAGE names a language that is offered."
    return Verdict(False, detail, models)


def judge_voices(response: Any, config: CallConfig) -> Verdict:
    """`response` is a RivaSynthesisConfigResponse, its models with voice_name, subvoices and a list of languages."""
    tts = config.tts
    entries = list(response.model_config)
    voices = _listed(name for entry in entries for name in _voices(entry.parameters))
    if tts.voice:
        # A model may also be asked for by its name alone, and then chooses the subvoice.
        entries = [
            entry for entry in entries if tts.voice in (*_voices(entry.parameters), entry.parameters.get("voice_name"))
        ]
        if not entries:
            detail = f'There is no voice "{tts.voice}"; TTS_VOICE names one that is offered.'
            return Verdict(False, detail, voices)
    if any(_speaks(entry.parameters, tts.language_code) for entry in entries):
        named = f'the voice "{tts.voice}"' if tts.voice else "a voice"
        return Verdict(True, f"There is {named} for {tts.language_code}.", voices)
    none = f'The voice "{tts.voice}" is not' if tts.voice else "There is no voice"
    return Verdict(False, f"{none} for {tts.language_code}; TTS_LANGUAGE names a language that is offered.", voices)


def _speaks(parameters: Any, wanted: str) -> bool:
    """Whether a model has a language: its codes are a list with commas. One that names none, or "multi", has all."""
    listed = {code.strip().lower() for code in parameters.get("language_code", "").split(",") if code.strip()}
    return not listed or "multi" in listed or wanted.lower() in listed


def _voices(parameters: Any) -> list[str]:
    """Full names of one model's voices: voice_name, a dot, and the part of each subvoice before its colon, as in
    "Female-1:0,Male-1:1".
    """
    name = parameters.get("voice_name", "")
    parts = [part.partition(":")[0].strip() for part in parameters.get("subvoices", "").split(",")]
    return [f"{name}.{part}" for part in parts if part] or [name]


def _listed(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in order, no more than may be listed."""
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_LISTED]
