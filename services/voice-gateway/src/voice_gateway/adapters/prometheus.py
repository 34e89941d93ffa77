"""Counts and durations as Prometheus metrics.

Names without a comment are on dashboards already and stay. No label holds anything a caller chooses.
"""

import math
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from voice_gateway.adapters.authentication import Cause
from voice_gateway.adapters.rpc_status import all_errors
from voice_gateway.application.ports import Load
from voice_gateway.domain.breaker import BreakerState
from voice_gateway.domain.errors import BackendError, BackendKind, GatewayError
from voice_gateway.domain.report import RULES, Stage, TurnReport

BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.6, 2.0, 3.0, 5.0, 7.5, 10.0)
"""For speech: 10 ms to 10 s, close together between 0.2 and 1 s, where a pause turns from quick to awkward."""

LAG_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

CALL_BUCKETS_S = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)

GAP_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0, 30.0)
"""For resumes: a client redials at once after a reset, and after 1.5 s of silence."""

TOKEN_BUCKETS_BYTES = (512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536)

CAUSES = ("reset", "silence", "go_away", "unspecified")
"""Why clients resume."""

JITTER_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5)

QUEUES = ("inbox", "downlink_messages", "playout_ms", "uplink_ahead_ms", "journal")

WATERFALL = (
    "endpoint",
    "asr_final",
    "llm_first_token",
    "first_phrase",
    "tts_first_audio",
    "first_audio_sent",
    "first_audio_played",
)
"""Stages of a turn on its way from the caller's mouth to the caller's ear."""

PREFIX = "voice_gateway_"

BREAKER_LEVELS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}

CALL_ENDS = ("ok", "cancelled", "internal", "refused", *(error.reason.lower() for error in all_errors()))

AUTH_REFUSALS: tuple[str, ...] = get_args(Cause)

BACKENDS: tuple[BackendKind, ...] = ("asr", "llm", "tts")


@dataclass(frozen=True, slots=True)
class MetricDoc:
    """One metric as a reference page shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


# Else each counter and histogram has a second series with the time of its creation, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _Maker:
    """Makes metrics of one registry, and remembers what they are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.docs: list[MetricDoc] = []

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        self.docs.append(MetricDoc(f"{PREFIX}{name}_total", "counter", labels, text))
        return Counter(f"{PREFIX}{name}", text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.docs.append(MetricDoc(f"{PREFIX}{name}", "gauge", labels, text))
        return Gauge(f"{PREFIX}{name}", text, labels, registry=self._registry)

    def sizes(self, name: str, text: str, *, buckets: tuple[int, ...]) -> Histogram:
        self.docs.append(MetricDoc(f"{PREFIX}{name}", "histogram", (), text))
        return Histogram(f"{PREFIX}{name}", text, (), buckets=buckets, registry=self._registry)

    def seconds(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = BUCKETS_S) -> Histogram:
        self.docs.append(MetricDoc(f"{PREFIX}{name}_seconds", "histogram", labels, text))
        return Histogram(f"{PREFIX}{name}_seconds", text, labels, buckets=buckets, registry=self._registry)


class _Duplex:
    """What speech over answers, and answers begun early, come to."""

    def __init__(self, make: _Maker) -> None:
        self.speculations = make.counter(
            "speculation", "Answers begun before the turn was over, by outcome.", "outcome"
        )
        self.wasted_characters = make.counter(
            "speculation_wasted_characters", "Text of answers that were begun early and thrown away."
        )
        self.resumed = make.seconds("answer_pause", "How long answers stood still that then went on.")


class _Resumes:
    """Calls that come back, and what they come back with."""

    def __init__(self, make: _Maker) -> None:
        self.asked = make.counter(
            "resumes", "Clients that came to go on with a call, by why and by what came of it.", "cause", "result"
        )
        self.gap = make.seconds(
            "resume_gap",
            "How long nothing reached a resumed call's client: what it says itself, until it connected anew, and then "
            "until the first audio of the answer that went on was sent, or where there was none, until it was listened "
            "to.",
            "cause",
            buckets=GAP_BUCKETS_S,
        )
        self.checkpoints = make.counter("checkpoints", "States of calls that were sealed and sent.")
        self.bytes = make.sizes("checkpoint_bytes", "Sizes of sealed states.", buckets=TOKEN_BUCKETS_BYTES)
        self.uplink_gaps = make.counter("uplink_gaps", "Times that microphone audio of a call was missing.")
        for cause in CAUSES:
            self.gap.labels(cause)
            for result in ("ok", "expired", "unreadable", "foreign", "invalid"):
                self.asked.labels(cause, result)


class _Process:
    """What concerns no call in particular."""

    def __init__(self, make: _Maker) -> None:
        self.reloads = make.counter("config_reloads", "Edits of the configuration.", "result")
        self.config_ok = make.gauge("config_ok", "0 while the last edit of the configuration stands refused, else 1.")
        self.config_ok.set(1)
        self.journals = make.counter("journals", "Journals of calls, by what became of them.", "result")
        self.tasks = make.gauge("tasks", "asyncio tasks: some ten a call, and a few that live as long as the process.")
        self.lag = make.seconds("loop_lag", "How late the event loop runs a timer.", buckets=LAG_BUCKETS_S)


class _Calls:
    """Calls of this process."""

    def __init__(self, make: _Maker) -> None:
        self.requests = make.counter("requests", "Calls that have ended, by how.", "status")
        self.active = make.gauge("active_streams", "Calls in progress.")
        self.refused = make.counter("calls_refused", "Calls that were not admitted.", "reason")
        self.admitted = make.counter("calls_admitted", "Calls that were admitted.")
        self.capacity = make.gauge("call_capacity", "Calls that this process takes at a time.")
        self.duration = make.seconds("call_duration", "Length of calls.", buckets=CALL_BUCKETS_S)
        self.jitter = make.seconds(
            "uplink_jitter",
            "How unevenly a caller's audio arrives (RFC 3550, A.8), at the end of each turn.",
            buckets=JITTER_BUCKETS_S,
        )
        self.revision = make.gauge("config_info", "1 for the configuration in force.", "revision")
        self.by_revision = make.gauge("calls_by_revision", "Calls that go by a configuration.", "revision")
        self.depth = make.gauge(
            "queue_depth", "The most that waits in any call: entries, or ms where the name says so.", "queue"
        )


class PrometheusTelemetry:
    """The Telemetry port. What is observed at a turn's end carries the call's trace as exemplar, where there is one."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or _process_registry()
        make = _Maker(self.registry)
        self.docs = make.docs
        self._calls = _Calls(make)
        self._tokens = make.counter("llm_tokens", "Pieces of answer text received.")
        self._characters = make.counter("tts_characters", "Characters sent to synthesis.")
        self._stale = make.counter("stale_events_dropped", "What arrived for a turn that was over.", "what")
        self._turns = make.counter("turns", "Turns that have ended.", "endpoint_rule", "outcome")
        self._vad = _VoiceActivity(make)
        self._turn_times = _TurnTimes(make)
        self._duplex = _Duplex(make)
        self._ladder = _Ladder(make)
        self._resumes = _Resumes(make)
        self._process = _Process(make)
        self._edge = _Edge(make)
        self._revisions: set[str] = set()
        """Those that have a sample."""
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """A counter that appears with its first event has no increase: what alerts go by is there from the start."""
        for counter, values in (
            (self._calls.requests, CALL_ENDS),
            (self._calls.refused, ("at_capacity", "draining")),
            (self._process.reloads, ("applied", "unchanged", "refused")),
            (self._process.journals, ("kept", "cut_queue", "cut_size", "cut_total", "failed")),
            (self._duplex.speculations, ("started", "adopted", "wasted")),
            (self._edge.auth_refused, AUTH_REFUSALS),
            (self._vad.unscored, ("behind", "full", "failed")),
        ):
            for value in values:
                counter.labels(value)
        for rule in RULES:
            self._turns.labels(rule, "failed")
        failures: list[type[GatewayError]] = [BackendError, *all_errors(BackendError)]
        for kind in BACKENDS:
            for failure in failures:
                self._ladder.reasons.labels(kind, failure.reason.lower())

    def call_started(self) -> None:
        """Count a call in progress."""
        self._calls.active.inc()
        self._calls.admitted.inc()

    def call_ended(self, status: str, *, after_s: float) -> None:
        """Count a call that has ended."""
        self._calls.active.dec()
        self._calls.requests.labels(status).inc()
        self._calls.duration.observe(after_s)

    def call_refused(self, reason: str) -> None:
        """A refusal is a request as well, of status "refused"."""
        self._calls.refused.labels(reason).inc()
        self._calls.requests.labels("refused").inc()

    def turn_ended(self, report: TurnReport, *, trace_id: str = "") -> None:
        """Count a turn and observe its stages. `trace_id` is that of the turn's trace, empty where there is none."""
        self._turns.labels(report.endpoint_rule, report.outcome).inc()
        self._turn_times.observe(report, {"trace_id": trace_id} if trace_id else None)

    def uplink_jitter(self, milliseconds: float) -> None:
        """Observe how unevenly a caller's audio arrives."""
        self._calls.jitter.observe(milliseconds / 1000)

    def capacity(self, calls: int) -> None:
        """Show how many calls the process takes."""
        self._calls.capacity.set(calls)

    def load(self, load: Load, *, revision: str, journals: int, tasks: int) -> None:
        """Show what waits, and the configurations in use; revisions that no call goes by any more are forgotten."""
        self._process.tasks.set(tasks)
        depths = {**load.depths, "journal": float(journals)}
        for queue in QUEUES:
            self._calls.depth.labels(queue).set(depths.get(queue, 0.0))
        self._calls.revision.clear()
        self._calls.revision.labels(revision).set(1)
        for gone in self._revisions - load.revisions.keys():
            self._calls.by_revision.remove(gone)
        for used, calls in load.revisions.items():
            self._calls.by_revision.labels(used).set(calls)
        self._revisions = set(load.revisions)

    def llm_tokens(self, count: int) -> None:
        """Count pieces of answer text."""
        self._tokens.inc(count)

    def tts_characters(self, count: int) -> None:
        """Count characters."""
        self._characters.inc(count)

    def backend_error(self, kind: BackendKind, reason: str) -> None:
        """Count a failure."""
        self._ladder.failures[kind].inc()
        self._ladder.reasons.labels(kind, reason.lower()).inc()

    def speculation(self, outcome: str, wasted_characters: int) -> None:
        """Count an answer begun early, or what became of it."""
        self._duplex.speculations.labels(outcome).inc()
        self._duplex.wasted_characters.inc(wasted_characters)

    def answer_resumed(self, after_ms: float) -> None:
        """Observe how long an answer stood still."""
        self._duplex.resumed.observe(after_ms / 1000)

    def stale_dropped(self, what: str) -> None:
        """Count what came too late."""
        self._stale.labels(what).inc()

    def breaker_changed(self, kind: BackendKind, position: int, state: BreakerState) -> None:
        """Show the state of a breaker."""
        self._ladder.breakers.labels(kind, position).set(BREAKER_LEVELS[state])

    def failed_over(self, kind: BackendKind, position: int, reason: str) -> None:
        """Count a request that went on to another backend."""
        self._ladder.failovers.labels(kind, position, reason.lower()).inc()

    def apologised(self, kind: BackendKind, form: str) -> None:
        """Count an apology."""
        self._ladder.apologies.labels(kind, form).inc()

    def checkpoint_made(self, size_bytes: int) -> None:
        """Count a sealed state."""
        self._resumes.checkpoints.inc()
        self._resumes.bytes.observe(size_bytes)

    def resume_asked(self, cause: str, result: str) -> None:
        """Count a client that came to go on with a call."""
        self._resumes.asked.labels(cause, result).inc()

    def resume_gap(self, cause: str, seconds: float) -> None:
        """Observe how long a resumed call was silent."""
        self._resumes.gap.labels(cause).observe(seconds)

    def uplink_gaps(self, count: int) -> None:
        """Count microphone audio that is missing."""
        self._resumes.uplink_gaps.inc(count)

    def vad_batch(self, frames: int) -> None:
        """Count a batch of frames that the voice activity model scored."""
        self._vad.batches.inc()
        self._vad.scored.inc(frames)

    def vad_unscored(self, reason: str) -> None:
        """Count a frame that was left to the energy gate: "behind", "full" or "failed"."""
        self._vad.unscored.labels(reason).inc()

    def config_reloaded(self, result: str) -> None:
        """Count an edit: "applied", "unchanged" or "refused"."""
        self._process.reloads.labels(result).inc()
        self._process.config_ok.set(result != "refused")

    def auth_refused(self, reason: str) -> None:
        """Count a call that was not let in."""
        self._edge.auth_refused.labels(reason).inc()

    def credentials_changed(self, what: str, result: str) -> None:
        """Count a change of "tls", "api_keys", "jwt_keys" or "resume_keys": "applied" or "refused"."""
        self._edge.credentials.labels(what, result).inc()

    def certificate_expires(self, at_s: float) -> None:
        """Show until when the certificate of the listener is good."""
        self._edge.expiry.set(at_s)

    def kubernetes_request(self, what: str, result: str) -> None:
        """Count a request about this pod: "ok", "failed", "forbidden" or "dropped"."""
        self._edge.kubernetes.labels(what, result).inc()

    def journal_ended(self, result: str) -> None:
        """Count a journal: "kept", "cut_queue", "cut_size", "cut_total" or "failed"."""
        self._process.journals.labels(result).inc()

    def loop_lag(self, seconds: float) -> None:
        """Observe how late a timer ran."""
        self._process.lag.observe(seconds)


class _Ladder:
    """Failures and what is done about them. Positions are those of the configured lists, 0 first."""

    def __init__(self, make: _Maker) -> None:
        self.failures = {kind: make.counter(f"{kind}_errors", f"Failures of {kind.upper()}.") for kind in BACKENDS}
        # Added: the same by reason, for the person on call.
        self.reasons = make.counter("backend_errors", "Failures of backends by reason.", "backend", "reason")
        self.breakers = make.gauge(
            "backend_breaker_state", "0 closed, 1 half open, 2 open: nothing is sent there.", "backend", "position"
        )
        self.failovers = make.counter(
            "backend_failovers", "Requests that went on to the next backend.", "backend", "position", "reason"
        )
        self.apologies = make.counter("apologies", "Failures that callers were told of by ear.", "backend", "form")


class _Edge:
    """Who is let in, with what the gateway shows itself, and what the cluster is told."""

    def __init__(self, make: _Maker) -> None:
        self.auth_refused = make.counter("auth_refusals", "Calls whose key or token was not accepted.", "reason")
        self.credentials = make.counter(
            "credential_reloads", "Changes of the listener's certificate, and of keys.", "what", "result"
        )
        self.expiry = make.gauge(
            "tls_certificate_expiry_timestamp_seconds",
            "Unix time from which on callers refuse the listener's certificate; NaN without TLS.",
        )
        self.expiry.set(math.nan)
        self.kubernetes = make.counter(
            "kubernetes_requests", "Requests to the API server about this pod.", "what", "result"
        )


class _VoiceActivity:
    """What the voice activity model does for all calls."""

    def __init__(self, make: _Maker) -> None:
        self.scored = make.counter("vad_frames_scored", "Frames that the voice activity model scored.")
        self.batches = make.counter("vad_batches", "Runs of the voice activity model, over frames of several calls.")
        self.unscored = make.counter("vad_frames_unscored", "Frames left to the energy gate alone.", "reason")


Exemplar = dict[str, str]


class _TurnTimes:
    """Histograms of a turn's stages, which are in milliseconds from the end of the caller's speech."""

    def __init__(self, make: _Maker) -> None:
        self._asr = make.seconds("asr_latency", "End of speech to final transcript.")
        self._ttft = make.seconds("llm_ttft", "Request to first token.")
        self._llm = make.seconds("llm_total", "Request to last token.")
        self._tts = make.seconds("tts_latency", "First phrase to its first audio.")
        self._e2e = make.seconds("e2e_latency", "End of speech to first audio sent.")
        # Added.
        self._endpoint = make.seconds("endpoint_delay", "End of speech to the decision that the turn is over.")
        self._first_audio = make.seconds("first_audio", "End of speech to first audio ready, before it is sent.")
        self._played = make.seconds(
            "first_audio_played", "End of speech to first audio played, for clients that acknowledge."
        )
        self._interruption = make.seconds("barge_in_stop", "Speech over an answer to the decision to stop it.")
        stages = make.seconds(
            "turn_stage",
            "End of speech to the end of each stage: where the time to the answer goes. Of spoken turns alone.",
            "stage",
        )
        self._stages = {stage: stages.labels(stage) for stage in WATERFALL}

    def observe(self, report: TurnReport, exemplar: Exemplar | None) -> None:
        """Observe the stages that the turn came to. What was typed has no latency of recognition, and is no part of the
        way from mouth to ear; what nobody asked for has no response time.
        """
        if report.spoken:
            self._until(self._endpoint, report.stage("endpoint"), exemplar)
            self._until(self._asr, report.stage("asr_final") or report.stage("endpoint"), exemplar)
            for name, histogram in self._stages.items():
                self._until(histogram, report.stage(name), exemplar)
        if report.asked:
            self._until(self._first_audio, report.stage("tts_first_audio"), exemplar)
            self._until(self._e2e, report.stage("first_audio_sent"), exemplar)
            self._until(self._played, report.stage("first_audio_played"), exemplar)
        self._took(self._ttft, report.stage("llm_first_token"), exemplar)
        self._took(self._llm, report.stage("llm_total"), exemplar)
        self._took(self._tts, report.stage("tts_first_audio"), exemplar)
        if report.interruption_ms is not None:
            self._interruption.observe(report.interruption_ms / 1000, exemplar)

    @staticmethod
    def _until(histogram: Histogram, stage: Stage | None, exemplar: Exemplar | None) -> None:
        if stage is not None:
            histogram.observe(max(0.0, stage.end_ms) / 1000, exemplar)

    @staticmethod
    def _took(histogram: Histogram, stage: Stage | None, exemplar: Exemplar | None) -> None:
        if stage is not None:
            histogram.observe(max(0.0, stage.end_ms - stage.start_ms) / 1000, exemplar)


def _process_registry() -> CollectorRegistry:
    """A registry with the process's own figures: CPU, memory, files, garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
