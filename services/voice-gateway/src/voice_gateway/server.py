"""Puts the gateway together: the only file that knows every part."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from servicekit.lifecycle import beside, catch_signals
from servicekit.logs import get_logger
from servicekit.memory import settle
from servicekit.settings import SettingsError, split_address
from voice_gateway.adapters.audio_tools import LocalAudioTools
from voice_gateway.adapters.backend_checks import BackendChecks
from voice_gateway.adapters.backend_selection import OneOfEach
from voice_gateway.adapters.checkpoint_seal import SealedTokens
from voice_gateway.adapters.clip_files import ClipFiles
from voice_gateway.adapters.grpc_server import RunningServer, serving_calls
from voice_gateway.adapters.grpc_service import VoiceGatewayService
from voice_gateway.adapters.journal_files import MB, JournalFiles, JournalOptions
from voice_gateway.adapters.metrics_http import serving_metrics
from voice_gateway.adapters.onnx_models import ModelUnusable
from voice_gateway.adapters.openai_llm import LlmEndpoint, OpenAiLlm
from voice_gateway.adapters.probes import AsrProbe, LlmProbe, TtsProbe
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.adapters.riva_asr import RivaAsr, RivaAsrOptions, RivaEndpointing
from voice_gateway.adapters.riva_channels import RivaEndpoint
from voice_gateway.adapters.riva_tts import RivaTts
from voice_gateway.adapters.silero_model import SileroModel, installed_model
from voice_gateway.adapters.silero_vad import SileroVad
from voice_gateway.adapters.turn_model import TurnJudge, judging_turns
from voice_gateway.adapters.vad_scorer import ScorerCounts, scoring
from voice_gateway.application.admission import Admission
from voice_gateway.application.canned import CannedSpeech
from voice_gateway.application.clock import MonotonicClock
from voice_gateway.application.config import ConfigSource
from voice_gateway.application.continuity import LEAVING_S
from voice_gateway.application.failover import FallbackAsr, FallbackLlm, FallbackTts, NamedModel
from voice_gateway.application.ladder import Ladder
from voice_gateway.application.messages import Hello
from voice_gateway.application.ports import (
    Asr,
    BackendProbe,
    Backends,
    CallTransport,
    Clock,
    EndOfTurnModel,
    JournalSink,
    Telemetry,
    Tts,
)
from voice_gateway.application.recording import NoJournals
from voice_gateway.application.runner import CallRunner
from voice_gateway.application.services import CallServices, SharedKnowledge
from voice_gateway.application.tracing import CallTrace, NoTracer, Tracer
from voice_gateway.domain.breaker import BreakerPolicy
from voice_gateway.domain.recording import Words
from voice_gateway.edge import Guard, LiveConfig, NoReports, Reports, StatusPages, guard, pod_reports
from voice_gateway.log_sections import pairs
from voice_gateway.settings import GatewaySettings

WATCH_PERIOD_S = 0.5
"""How often the loop's lag and the calls' queues are looked at: a stall of this length is never missed."""

FAREWELL_S = 1.0
"""Calls end themselves when draining is over; this is for their last words."""

log = get_logger(__name__)


class Runner(Protocol):
    """What holds the calls."""

    async def run(
        self, hello: Hello, transport: CallTransport, *, call_id: str, trace: CallTrace, principal: str
    ) -> None:
        """Hold one call."""
        ...

    async def supersede(self, hello: Hello, *, principal: str) -> bool:
        """End the call that comes back here; False where none does."""
        ...

    async def drain(self, *, deadline_ms: int, resumable_ms: int) -> None:
        """Tell every call that the process stops; calls that can go on elsewhere have until `resumable_ms`."""
        ...


@dataclass(frozen=True, slots=True)
class Connected:
    """The backends, connected."""

    backends: Backends
    probes: tuple[BackendProbe, ...]


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that takes calls."""

    calls: RunningServer
    metrics_port: int | None
    _service: VoiceGatewayService
    _admission: Admission
    _runner: Runner
    _guard: Guard

    @property
    def running(self) -> int:
        """Calls in progress."""
        return self._admission.running

    def look(self) -> None:
        """Take certificates and keys that were renewed."""
        self._guard.look()

    async def drain(self, *, seconds: float, resumable_seconds: float) -> bool:
        """Take no new calls and let the running ones finish their turn, or go on elsewhere; False where some were still
        running.
        """
        self._admission.drain()
        self.calls.ready(False)
        log.info("draining", calls=self._admission.running, seconds=seconds, resumable_seconds=resumable_seconds)
        try:
            async with asyncio.timeout(max(seconds, resumable_seconds + LEAVING_S) + FAREWELL_S):
                await self._runner.drain(
                    deadline_ms=round(seconds * 1000), resumable_ms=round(resumable_seconds * 1000)
                )
                await self._service.until_idle()
        except TimeoutError:
            log.warning("calls_cut", calls=self._admission.running)
            return False
        return True


@asynccontextmanager
async def connected(
    settings: GatewaySettings, config: ConfigSource, clock: Clock, telemetry: Telemetry
) -> AsyncIterator[Connected]:
    """Clients of the backends, each kind a list in order of preference. They connect when first used, or a moment after
    start.
    """
    asr = [
        RivaAsr(_speech_endpoint(settings, uri, settings.asr.function_id), _asr_options(settings))
        for uri in (settings.asr.uri, *settings.asr.fallbacks)
    ]
    tts = [
        RivaTts(_speech_endpoint(settings, uri, settings.tts.function_id))
        for uri in (settings.tts.uri, *settings.tts.fallbacks)
    ]
    llm = _models(settings)
    for recogniser in asr:
        recogniser.warm()
    for voice in tts:
        voice.warm()
    policy = BreakerPolicy(**settings.failure.breaker.model_dump())
    asrs = Ladder[Asr]("asr", asr, clock=clock, telemetry=telemetry, policy=policy)
    models = [NamedModel(client, model) for client, model in llm]
    llms = Ladder[NamedModel]("llm", models, clock=clock, telemetry=telemetry, policy=policy)
    ttss = Ladder[Tts]("tts", tts, clock=clock, telemetry=telemetry, policy=policy)
    backends = Backends(
        FallbackAsr(asrs, failover_ms=settings.asr.failover_ms),
        FallbackLlm(llms, failover_ms=settings.llm.failover_ms),
        FallbackTts(ttss, failover_ms=settings.tts.failover_ms),
    )
    probes: tuple[BackendProbe, ...] = (
        *(AsrProbe(client, config, position=position) for position, client in enumerate(asr)),
        *(LlmProbe(client, config, position=position, model=model) for position, (client, model) in enumerate(llm)),
        *(TtsProbe(client, config, position=position) for position, client in enumerate(tts)),
    )
    try:
        yield Connected(backends, probes)
    finally:
        closing = [*(r.close() for r in asr), *(v.close() for v in tts), *(client.close() for client, _ in llm)]
        await asyncio.gather(*closing)


def _models(settings: GatewaySettings) -> list[tuple[OpenAiLlm, str]]:
    """Endpoints of the language model, with its name at each that has another one."""
    first = LlmEndpoint(settings.llm.base_url, settings.llm_key)
    entries = [(first, "")]
    for entry in settings.llm.fallbacks:
        base_url, _, model = entry.partition("#")
        entries.append((LlmEndpoint(base_url, settings.llm_fallback_key(base_url)), model))
    # While another endpoint can stand in, that is the second attempt.
    *earlier, (last, name) = entries
    return [(OpenAiLlm(replace(endpoint, attempts=1)), model) for endpoint, model in earlier] + [
        (OpenAiLlm(last), name)
    ]


def _speech_endpoint(settings: GatewaySettings, uri: str, function_id: str) -> RivaEndpoint:
    ca_file = settings.riva.tls_ca_file
    return RivaEndpoint(
        target=uri or settings.riva.uri,
        tls=settings.riva.tls,
        ca_certificate_pem=ca_file.read_bytes() if ca_file is not None else None,
        function_id=function_id,
        api_key=settings.speech_key(function_id),
    )


def _asr_options(settings: GatewaySettings) -> RivaAsrOptions:
    stop_history_ms = settings.asr.stop_history_ms
    return RivaAsrOptions(
        automatic_punctuation=settings.asr.automatic_punctuation,
        endpointing=None if stop_history_ms is None else RivaEndpointing(stop_history_ms=stop_history_ms),
    )


@asynccontextmanager
async def audio_tools(settings: GatewaySettings, counts: ScorerCounts) -> AsyncIterator[LocalAudioTools]:
    """What calls hear with; its thread lives as long as the context. Raises SettingsError where the model can't be
    loaded: a detector that is silently another one is found out by callers.
    """
    vad = settings.vad
    if vad.engine == "webrtc":
        yield LocalAudioTools()
        return
    try:
        model = await asyncio.to_thread(lambda: SileroModel(vad.model_path or installed_model()))
    except ModelUnusable as error:
        raise SettingsError([str(error)]) from error
    async with scoring(model, counts) as scorer:
        yield LocalAudioTools(
            lambda rate_hz: SileroVad(rate_hz, scorer, enter_score=vad.enter_score, leave_score=vad.leave_score)
        )


@asynccontextmanager
async def end_of_turn_model(settings: GatewaySettings) -> AsyncIterator[EndOfTurnModel | None]:
    """The model that TURN_MODEL_PATH names, None where it names none; its thread lives as long as the context. Raises
    SettingsError.
    """
    chosen = settings.vad
    if chosen.turn_model_path is None:
        yield None
        return
    try:
        judge = await asyncio.to_thread(TurnJudge, chosen.turn_model_path, chosen.turn_model_output)
    except ModelUnusable as error:
        raise SettingsError([str(error)]) from error
    async with judging_turns(judge, timeout_ms=chosen.turn_model_timeout_ms) as model:
        yield model


def tracing(settings: GatewaySettings, clock: Clock) -> AbstractAsyncContextManager[Tracer]:
    """Exports traces until the context is left; where none are wanted, nothing of OpenTelemetry is imported."""
    chosen = settings.log.tracing
    if not chosen.url:
        return nullcontext(NoTracer())
    # 0.1 s and 7 MB that a gateway without traces need not spend.
    from voice_gateway.adapters.otel_traces import TracingOptions, tracing  # noqa: PLC0415

    options = TracingOptions(
        endpoint=chosen.url,
        headers=chosen.sent_headers,
        sampler=chosen.sampler,
        sampler_arg=chosen.sampler_arg,
        service_name=chosen.service_name,
        resource_attributes=pairs(chosen.resource_attributes),
    )
    log.info("tracing", to=urlsplit(chosen.url).hostname, sampler=chosen.sampler, words=settings.log.words)
    return tracing(options, clock)


@asynccontextmanager
async def recording(settings: GatewaySettings, telemetry: PrometheusTelemetry) -> AsyncIterator[JournalSink]:
    """Where journals of calls go. Raises OSError where the folder cannot be used."""
    journal = settings.journal
    if journal.mode == "off" or journal.dir is None:
        yield NoJournals()
        return
    options = JournalOptions(
        journal.dir,
        Words(journal.mode),
        version("voice-gateway"),
        max_total_bytes=journal.max_mb * MB,
        max_call_bytes=journal.max_call_mb * MB,
    )
    async with JournalFiles(options, telemetry.journal_ended).running() as files:
        log.info("recording_calls", words=journal.mode, personal_files=journal.mode == "full")
        yield files


@asynccontextmanager
async def serving(
    settings: GatewaySettings,
    runner: Runner,
    telemetry: PrometheusTelemetry,
    probes: Sequence[BackendProbe] = (),
    tracer: Tracer | None = None,
    *,
    config: LiveConfig | None = None,
    guarded: Guard | None = None,
    reports: Reports | None = None,
) -> AsyncIterator[RunningGateway]:
    """Take calls and answer Prometheus until the context is left. Raises OSError where an address can't be had, and
    SettingsError where a certificate or key can't be used.
    """
    reports = reports or NoReports()
    config = config or LiveConfig(settings, file=None, environ={}, telemetry=telemetry, reports=reports)
    guarded = guarded or guard(settings, telemetry, reports)
    admission = Admission(settings.server.max_calls)
    telemetry.capacity(settings.server.max_calls)
    service = VoiceGatewayService(runner, admission, BackendChecks(probes), telemetry, tracer)
    status = StatusPages(admission, guarded, reports, config)
    async with (
        _metrics(settings.server.metrics_listen_address, telemetry, status) as metrics_port,
        serving_calls(service, guarded.listener(settings)) as calls,
    ):
        status.listening = True
        yield RunningGateway(calls, metrics_port, service, admission, runner, guarded)


@asynccontextmanager
async def _metrics(
    listen_address: str, telemetry: PrometheusTelemetry, status: StatusPages
) -> AsyncIterator[int | None]:
    if not listen_address:
        yield None
        return
    host, port = split_address(listen_address)
    async with serving_metrics(telemetry.registry, host, port, status.pages) as bound_port:
        yield bound_port


async def _watch(
    telemetry: PrometheusTelemetry,
    runner: CallRunner,
    config: ConfigSource,
    journals: JournalSink,
    gateway: RunningGateway,
) -> None:
    """Show what no event tells: how late the loop is, what waits in the calls, which configurations are in use. An idle
    gateway notices edits, certificates and keys here.
    """
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + WATCH_PERIOD_S
        await asyncio.sleep(WATCH_PERIOD_S)
        telemetry.loop_lag(max(0.0, loop.time() - due_s))
        gateway.look()
        telemetry.load(
            runner.load(),
            revision=config.current().revision,
            journals=journals.waiting,
            tasks=len(asyncio.all_tasks()),
        )


async def serve(settings: GatewaySettings, *, file: Path | None, environ: Mapping[str, str]) -> int:
    """Run the gateway until SIGTERM or SIGINT. Raises OSError where an address can't be had."""
    signalled = catch_signals()
    telemetry = PrometheusTelemetry()
    reports = pod_reports(settings, telemetry)
    live = LiveConfig(settings, file=file, environ=environ, telemetry=telemetry, reports=reports)
    config = live.source
    guarded = guard(settings, telemetry, reports)
    seal = SealedTokens(guarded.resume_keys, valid_s=settings.server.resume.valid_seconds)
    clock = MonotonicClock()
    folder = settings.failure.apology.directory
    async with (
        audio_tools(settings, telemetry) as tools,
        end_of_turn_model(settings) as turn_model,
        connected(settings, config, clock, telemetry) as backends,
        recording(settings, telemetry) as journals,
        tracing(settings, clock) as tracer,
    ):
        canned = CannedSpeech(config, tools, store=None if folder is None else ClipFiles(folder))
        services = CallServices(
            config,
            tools,
            clock,
            telemetry,
            SharedKnowledge(),
            canned,
            turn_model=turn_model,
            journals=journals,
            seal=seal,
        )
        runner = CallRunner(services, OneOfEach(backends.backends))
        async with serving(
            settings, runner, telemetry, backends.probes, tracer, config=live, guarded=guarded, reports=reports
        ) as gateway:
            settle()
            log.info(
                "ready",
                host=gateway.calls.host,
                port=gateway.calls.port,
                metrics_port=gateway.metrics_port,
                health_port=gateway.calls.health_port,
                config_revision=config.current().revision,
                pid=os.getpid(),
            )
            async with beside(
                watch_process=_watch(telemetry, runner, config, journals, gateway),
                apologies=canned.keep(backends.backends.tts),
                pod_reports=reports.run(lambda: gateway.running),
            ):
                log.info("stopping", signal=await signalled)
                left = settings.server.drain
                await gateway.drain(seconds=left.legacy_seconds, resumable_seconds=left.resumable_seconds)
    log.info("stopped")
    return 0
