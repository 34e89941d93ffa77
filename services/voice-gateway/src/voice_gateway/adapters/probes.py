"""Asks each backend whether it is there and knows what is configured.

What is configured is read at each check, since it may have been edited. Server text stays out of the answers; hosted
endpoints and old servers may not list what they have, and count as good when they answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from riva.client.proto import riva_asr_pb2, riva_tts_pb2

from voice_gateway.adapters.openai_llm import OpenAiLlm
from voice_gateway.adapters.riva_asr import RivaAsr
from voice_gateway.adapters.riva_errors import NOUNS, backend_error
from voice_gateway.adapters.riva_tts import RivaTts
from voice_gateway.application.config import CallConfig, ConfigSource
from voice_gateway.application.ports import BackendCheck
from voice_gateway.domain.errors import BackendError, BackendKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found."""

    ok: bool
    detail: str
    available: tuple[str, ...] = ()


async def _checked(
    kind: BackendKind, configured: str, timeout_ms: int, ask: Callable[[], Awaitable[Verdict]]
) -> BackendCheck:
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            verdict = await ask()
    except TimeoutError:
        verdict = Verdict(False, f"The {NOUNS[kind]} did not answer within {timeout_ms} ms.")
    except BackendError as error:
        verdict = Verdict(False, str(error))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            verdict = Verdict(True, f"The {NOUNS[kind]} answers; it does not list what it offers.")
        else:
            verdict = Verdict(False, str(backend_error(error, kind, asked=configured)))
    latency_ms = (time.monotonic() - started_s) * 1000
    return BackendCheck(kind, configured, verdict.ok, verdict.detail, latency_ms, verdict.available)


class AsrProbe:
    """Knows the recogniser's models."""

    def __init__(self, asr: RivaAsr, config: ConfigSource) -> None:
        self._asr = asr
        self._config = config

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        """Whether there is a streaming model of the configured name, or for the configured language."""
        config = self._config.current()
        return await _checked(
            "asr", config.asr.model or config.asr.language_code, timeout_ms, lambda: self._ask(config)
        )

    async def _ask(self, config: CallConfig) -> Verdict:
        with self._asr.pool.lease() as stub:
            response = await stub.GetRivaSpeechRecognitionConfig(
                riva_asr_pb2.RivaSpeechRecognitionConfigRequest(), metadata=self._asr.pool.endpoint.metadata
            )
        return judge_models(response, config)


class TtsProbe:
    """Knows the synthesiser's voices."""

    def __init__(self, tts: RivaTts, config: ConfigSource) -> None:
        self._tts = tts
        self._config = config

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        """Whether there is the configured voice, or any for the configured language."""
        config = self._config.current()
        return await _checked(
            "tts", config.tts.voice or config.tts.language_code, timeout_ms, lambda: self._ask(config)
        )

    async def _ask(self, config: CallConfig) -> Verdict:
        with self._tts.pool.lease() as stub:
            response = await stub.GetRivaSynthesisConfig(
                riva_tts_pb2.RivaSynthesisConfigRequest(), metadata=self._tts.pool.endpoint.metadata
            )
        return judge_voices(response, config)


class LlmProbe:
    """Knows the language model's names."""

    def __init__(self, llm: OpenAiLlm, config: ConfigSource) -> None:
        self._llm = llm
        self._config = config

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        """Whether there is the configured model."""
        config = self._config.current()
        return await _checked("llm", config.llm.model, timeout_ms, lambda: self._ask(config))

    async def _ask(self, config: CallConfig) -> Verdict:
        models = tuple(await self._llm.models())
        if config.llm.model in models:
            return Verdict(True, f"Model {config.llm.model} is served.", models)
        return Verdict(False, f"There is no model {config.llm.model}; LLM_MODEL names one that is offered.", models)


def judge_models(response: Any, config: CallConfig) -> Verdict:
    """`response` is a RivaSpeechRecognitionConfigResponse: models with "type" and a list of languages."""
    streaming = [entry for entry in response.model_config if entry.parameters.get("type", "online") == "online"]
    models = tuple(entry.model_name for entry in streaming)
    if config.asr.model:
        found = config.asr.model in models
        told = f"model {config.asr.model}"
        remedy = "ASR_MODEL names one that is offered"
    else:
        language = config.asr.language_code
        found = any(_speaks(entry.parameters.get("language_code", ""), language) for entry in streaming)
        told = f"streaming model for {language}"
        remedy = "ASR_LANGUAGE names a language that is offered"
    return Verdict(True, f"There is a {told}.", models) if found else Verdict(False, f"No {told}; {remedy}.", models)


def judge_voices(response: Any, config: CallConfig) -> Verdict:
    """`response` is a RivaSynthesisConfigResponse: a voice's full name is voice_name, a dot and a subvoice."""
    voices: list[str] = []
    ours = False
    for entry in response.model_config:
        name, parts = entry.parameters.get("voice_name", ""), entry.parameters.get("subvoices", "")
        # "Female-1:0,Male-1:1": what is before the colon counts.
        subvoices = [part.partition(":")[0].strip() for part in parts.split(",") if part.strip()]
        voices += [f"{name}.{subvoice}" for subvoice in subvoices] or ([name] if name else [])
        ours = ours or _speaks(entry.parameters.get("language_code", ""), config.tts.language_code)
    wanted = config.tts.voice
    if not wanted:
        language = config.tts.language_code
        if ours:
            return Verdict(True, f"There is a voice for {language}.", tuple(voices))
        return Verdict(False, f"No voice for {language}; TTS_LANGUAGE names a language that is offered.", tuple(voices))
    # A model may also be asked for by its name alone, and then chooses the subvoice.
    if wanted in voices or any(voice.startswith(f"{wanted}.") for voice in voices):
        return Verdict(True, f"There is the voice {wanted}.", tuple(voices))
    return Verdict(False, f"There is no voice {wanted}; TTS_VOICE names one that is offered.", tuple(voices))


def _speaks(languages: str, wanted: str) -> bool:
    """Whether a comma-separated list has a language; a list that is empty or says "multi" has all."""
    listed = {language.strip().lower() for language in languages.split(",") if language.strip()}
    return not listed or "multi" in listed or wanted.lower() in listed
