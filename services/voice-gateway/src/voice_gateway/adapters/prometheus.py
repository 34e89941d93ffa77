"""Counts and durations as Prometheus metrics.

Names without a comment are on dashboards already and stay. No label holds anything a caller chooses.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from voice_gateway.domain.breaker import BreakerState
from voice_gateway.domain.errors import BackendKind
from voice_gateway.domain.report import Stage, TurnReport

BUCKETS_S = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3, 1.6, 2.0, 3.0, 5.0, 7.5, 10.0)
"""For speech: 10 ms to 10 s, close together between 0.2 and 1 s, where a pause turns from quick to awkward."""

LAG_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)

PREFIX = "voice_gateway_"

BREAKER_LEVELS = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}

BACKENDS: tuple[BackendKind, ...] = ("asr", "llm", "tts")


@dataclass(frozen=True, slots=True)
class MetricDoc:
    """One metric as a reference page shows it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


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

    def seconds(self, name: str, text: str, *, buckets: tuple[float, ...] = BUCKETS_S) -> Histogram:
        self.docs.append(MetricDoc(f"{PREFIX}{name}_seconds", "histogram", (), text))
        return Histogram(f"{PREFIX}{name}_seconds", text, buckets=buckets, registry=self._registry)


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


class _Process:
    """What concerns no call in particular."""

    def __init__(self, make: _Maker) -> None:
        self.reloads = make.counter("config_reloads", "Edits of the configuration.", "result")
        self.journals = make.counter("journals", "Journals of calls, by what became of them.", "result")
        self.lag = make.seconds("loop_lag", "How late the event loop runs a timer.", buckets=LAG_BUCKETS_S)


class PrometheusTelemetry:
    """The Telemetry port."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or _process_registry()
        make = _Maker(self.registry)
        self.docs = make.docs
        self._requests = make.counter("requests", "Calls that have ended, by how.", "status")
        self._active = make.gauge("active_streams", "Calls in progress.")
        self._refused = make.counter("calls_refused", "Calls that were not admitted.", "reason")
        self._tokens = make.counter("llm_tokens", "Pieces of answer text received.")
        self._characters = make.counter("tts_characters", "Characters sent to synthesis.")
        self._stale = make.counter("stale_events_dropped", "What arrived for a turn that was over.", "what")
        self._turns = make.counter("turns", "Turns that have ended.", "endpoint_rule", "outcome")
        self._vad = _VoiceActivity(make)
        self._turn_times = _TurnTimes(make)
        self._duplex = _Duplex(make)
        self._ladder = _Ladder(make)
        self._process = _Process(make)

    def call_started(self) -> None:
        """Count a call in progress."""
        self._active.inc()

    def call_ended(self, status: str) -> None:
        """Count a call that has ended."""
        self._active.dec()
        self._requests.labels(status).inc()

    def call_refused(self, reason: str) -> None:
        """A refusal is a request as well, of status "refused"."""
        self._refused.labels(reason).inc()
        self._requests.labels("refused").inc()

    def turn_ended(self, report: TurnReport) -> None:
        """Count a turn and observe its stages."""
        self._turns.labels(report.endpoint_rule, report.outcome).inc()
        self._turn_times.observe(report)

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


class _VoiceActivity:
    """What the voice activity model does for all calls."""

    def __init__(self, make: _Maker) -> None:
        self.scored = make.counter("vad_frames_scored", "Frames that the voice activity model scored.")
        self.batches = make.counter("vad_batches", "Runs of the voice activity model, over frames of several calls.")
        self.unscored = make.counter("vad_frames_unscored", "Frames left to the energy gate alone.", "reason")


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
        self._interruption = make.seconds("barge_in_stop", "Speech over an answer to the decision to stop it.")

    def observe(self, report: TurnReport) -> None:
        """Observe the stages that the turn came to. Typed turns have no speech, and so no latency of recognition."""
        spoken = report.endpoint_rule != "text"
        self._until(self._endpoint, report.stage("endpoint") if spoken else None)
        self._until(self._asr, (report.stage("asr_final") or report.stage("endpoint")) if spoken else None)
        self._took(self._ttft, report.stage("llm_first_token"))
        self._took(self._llm, report.stage("llm_total"))
        self._took(self._tts, report.stage("tts_first_audio"))
        self._until(self._first_audio, report.stage("tts_first_audio"))
        self._until(self._e2e, report.stage("first_audio_sent"))
        if report.interruption_ms is not None:
            self._interruption.observe(report.interruption_ms / 1000)

    @staticmethod
    def _until(histogram: Histogram, stage: Stage | None) -> None:
        if stage is not None:
            histogram.observe(max(0.0, stage.end_ms) / 1000)

    @staticmethod
    def _took(histogram: Histogram, stage: Stage | None) -> None:
        if stage is not None:
            histogram.observe(max(0.0, stage.end_ms - stage.start_ms) / 1000)


def _process_registry() -> CollectorRegistry:
    """A registry with the process's own figures: CPU, memory, files, garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
