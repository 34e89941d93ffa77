"""Composition root: the only file that knows every part."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server
from riva.client.proto import riva_asr_pb2_grpc, riva_tts_pb2_grpc

from servicekit.health import SERVICE_NAME as HEALTH_SERVICE
from servicekit.health import Health
from servicekit.rpc_errors import ErrorInterceptor
from servicekit.settings import split_address
from speech_worker.adapters import riva_asr, riva_tts
from speech_worker.adapters.errors import DOMAIN, to_status
from speech_worker.adapters.prometheus import PrometheusMetrics
from speech_worker.application.ports import AsrEngine, TtsEngine
from speech_worker.application.synthesize import Synthesis
from speech_worker.domain.catalogue import choose_voice
from speech_worker.domain.errors import EngineUnusable, UnavailableModel
from speech_worker.engines.blocked_words import BlockedWords
from speech_worker.engines.catalog import EngineOptions, asr_engine, tts_engine
from speech_worker.engines.vad_webrtc import WebrtcVoiceActivity
from speech_worker.settings import SpeechSettings

# Offline requests carry whole files; Riva's clients raise their own limit to 64 MiB.
MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_OPTIONS: Final[list[tuple[str, Any]]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a second worker on the same port is a mistake that must show
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


@dataclass(frozen=True)
class Running:
    host: str
    port: int
    asr: AsrEngine | None
    tts: TtsEngine | None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def engines_of(settings: SpeechSettings) -> tuple[AsrEngine | None, TtsEngine | None]:
    """Made, not loaded. Raises EngineUnusable for a combination of settings that cannot work."""
    asr = tts = None
    if settings.asr_engine != "none":
        asr = asr_engine(
            settings.asr_engine,
            EngineOptions(
                max_streams=settings.max_asr_streams, model_dir=settings.asr_model_dir, model=settings.asr_model,
                language_code=settings.asr_language, threads=settings.engine_threads,
            ),
        )  # fmt: skip
    if settings.tts_engine != "none":
        tts = tts_engine(
            settings.tts_engine,
            EngineOptions(
                max_streams=settings.max_tts_streams, model_dir=settings.tts_model_dir, threads=settings.engine_threads
            ),
        )
    if asr is None and tts is None:
        raise EngineUnusable("SPEECH_ASR_ENGINE and SPEECH_TTS_ENGINE are both none: nothing would be served.")
    return asr, tts


@asynccontextmanager
async def serving(
    settings: SpeechSettings, *, asr: AsrEngine | None = None, tts: TtsEngine | None = None
) -> AsyncIterator[Running]:
    """Load, serve, and at the end let running calls finish within the grace. `asr` and `tts` replace the engines that
    the settings name.

    Raises EngineUnusable, alone or in an exception group; OSError when the address cannot be listened on.
    """
    if asr is None and tts is None:
        asr, tts = engines_of(settings)
    metrics = PrometheusMetrics()
    health = Health()
    async with AsyncExitStack() as stack:
        for engine in (asr, tts):
            if engine is not None:
                stack.push_async_callback(engine.unload)
        async with asyncio.TaskGroup() as group:
            for engine in (asr, tts):
                if engine is not None:
                    group.create_task(_load(engine), name=f"load {type(engine).__name__}")
        server = grpc.aio.server(interceptors=[ErrorInterceptor(to_status, domain=DOMAIN)], options=_OPTIONS)
        names = [reflection.SERVICE_NAME, HEALTH_SERVICE]
        if asr is not None:
            names.append(riva_asr.SERVICE)
            _add_recognition(server, asr, settings, metrics)
        if tts is not None:
            names.append(riva_tts.SERVICE)
            await _add_synthesis(server, tts, settings, metrics)
        health.add_to(server)
        reflection.enable_server_reflection(names, server)
        host, port = _listen(server, settings)
        if settings.metrics_port:
            metrics_server, _ = start_http_server(settings.metrics_port, addr=host, registry=metrics.registry)
            stack.callback(metrics_server.server_close)
            stack.callback(metrics_server.shutdown)
        await server.start()
        for name in ("", *names[2:]):
            health.set(name, True)
        try:
            yield Running(host, port, asr, tts)
        finally:
            await health.shutdown()
            await server.stop(settings.shutdown_grace_s)


async def _load(engine: AsrEngine | TtsEngine) -> None:
    await engine.load()
    await engine.warm()


def _listen(server: grpc.aio.Server, settings: SpeechSettings) -> tuple[str, int]:
    host, _ = split_address(settings.listen_address)
    try:
        return host, server.add_insecure_port(settings.listen_address)
    except RuntimeError as error:
        raise OSError(f"the address {settings.listen_address} is in use or not of this machine") from error


def _add_recognition(
    server: grpc.aio.Server, engine: AsrEngine, settings: SpeechSettings, metrics: PrometheusMetrics
) -> None:
    options = riva_asr.AsrServiceOptions(
        endpointing=settings.endpointing(),
        longest_utterance_ms=settings.longest_utterance_s * 1000,
        idle_s=settings.stream_idle_s,
        blocked_words=BlockedWords(),
    )
    service = riva_asr.RivaRecognition(engine, WebrtcVoiceActivity, options, metrics)
    riva_asr_pb2_grpc.add_RivaSpeechRecognitionServicer_to_server(service, server)


async def _add_synthesis(
    server: grpc.aio.Server, engine: TtsEngine, settings: SpeechSettings, metrics: PrometheusMetrics
) -> None:
    capabilities = engine.capabilities
    voice = capabilities.default_voice
    if settings.tts_voice:
        try:
            voice = choose_voice(
                capabilities.name, capabilities.voices, default=voice, name=settings.tts_voice, language_code="",
                sample_rate_hz=capabilities.sample_rate_hz,
            )  # fmt: skip
        except UnavailableModel:
            known = ", ".join(voice.id for voice in capabilities.voices[:8])
            raise EngineUnusable(
                f"SPEECH_TTS_VOICE is {settings.tts_voice!r}: {capabilities.name} has {known} and others."
            ) from None
    synthesis = Synthesis(engine, metrics)
    await synthesis.calibrate(voice)
    options = riva_tts.TtsServiceOptions(settings.tts_voice, settings.max_tts_streams, settings.tts_longest_text)
    service = riva_tts.RivaSynthesis(engine, synthesis, options, metrics)
    riva_tts_pb2_grpc.add_RivaSpeechSynthesisServicer_to_server(service, server)
