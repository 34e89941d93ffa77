"""Metrics: names that dashboards know, and what goes into them."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from voice_gateway.adapters.metrics_http import serving_metrics
from voice_gateway.adapters.prometheus import BACKENDS, CAUSES, WATERFALL, PrometheusTelemetry
from voice_gateway.adapters.rpc_status import all_errors
from voice_gateway.application.ports import Load, Telemetry
from voice_gateway.domain.breaker import BreakerState
from voice_gateway.domain.report import RULES, Stage, TurnReport

KEPT = {
    "voice_gateway_asr_latency_seconds",
    "voice_gateway_llm_ttft_seconds",
    "voice_gateway_llm_total_seconds",
    "voice_gateway_llm_tokens",
    "voice_gateway_tts_latency_seconds",
    "voice_gateway_tts_characters",
    "voice_gateway_e2e_latency_seconds",
    "voice_gateway_requests",
    "voice_gateway_active_streams",
    "voice_gateway_asr_errors",
    "voice_gateway_llm_errors",
    "voice_gateway_tts_errors",
}
"""As families are named: the samples of counters end in _total."""

TURN = TurnReport(
    turn=2,
    endpoint_rule="silence",
    outcome="interrupted",
    stages=(
        Stage("endpoint", 0, 500),
        Stage("llm_first_token", 520, 640),
        Stage("first_phrase", 640, 700),
        Stage("tts_first_audio", 700, 780),
        Stage("first_audio_sent", 780, 785),
        Stage("first_audio_played", 785, 905),
    ),
    interruption_ms=230,
)


def value(telemetry: PrometheusTelemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(f"voice_gateway_{name}", labels)


def test_the_names_on_dashboards_are_there_from_the_start() -> None:
    families = {family.name for family in PrometheusTelemetry().registry.collect()}
    assert families >= KEPT


def test_no_label_holds_what_a_caller_chooses() -> None:
    telemetry: Telemetry = PrometheusTelemetry()
    telemetry.call_ended("ok", after_s=61.0)
    telemetry.turn_ended(TURN)
    telemetry.call_refused("draining")
    telemetry.backend_error("tts", "BACKEND_BUSY")
    telemetry.stale_dropped("final")
    telemetry.failed_over("llm", 0, "BACKEND_TIMEOUT")
    telemetry.breaker_changed("llm", 0, BreakerState.OPEN)
    telemetry.apologised("llm", "speech")
    assert isinstance(telemetry, PrometheusTelemetry)
    telemetry.load(Load({}, {"a1b2": 1}), revision="a1b2", journals=0, tasks=9)
    labels = {
        label
        for family in telemetry.registry.collect()
        if family.name.startswith("voice_gateway_")
        for sample in family.samples
        for label in sample.labels
    }
    of_calls = {"status", "reason", "endpoint_rule", "outcome", "stage", "what", "le"}
    assert labels == of_calls | {"backend", "position", "form", "queue", "revision", "result", "cause"}


def test_resumes_begin_at_zero_and_are_told_by_their_cause() -> None:
    telemetry = PrometheusTelemetry()
    sample = telemetry.registry.get_sample_value
    labels = {"cause": "silence", "result": "ok"}
    assert sample("voice_gateway_resumes_total", labels) == 0
    assert sample("voice_gateway_resume_gap_seconds_count", {"cause": "reset"}) == 0
    telemetry.resume_asked("silence", "ok")
    telemetry.resume_gap("silence", 1.8)
    telemetry.checkpoint_made(1_500)
    telemetry.uplink_gaps(2)
    assert sample("voice_gateway_resumes_total", labels) == 1
    assert sample("voice_gateway_resume_gap_seconds_sum", {"cause": "silence"}) == 1.8
    assert sample("voice_gateway_checkpoints_total") == 1
    assert sample("voice_gateway_checkpoint_bytes_sum") == 1_500
    assert sample("voice_gateway_uplink_gaps_total") == 2


def test_the_ladder_of_failures_can_be_seen() -> None:
    telemetry = PrometheusTelemetry()
    for state, level in ((BreakerState.CLOSED, 0), (BreakerState.HALF_OPEN, 1), (BreakerState.OPEN, 2)):
        telemetry.breaker_changed("asr", 1, state)
        assert value(telemetry, "backend_breaker_state", backend="asr", position="1") == level
    telemetry.failed_over("tts", 0, "BACKEND_TIMEOUT")
    labels = {"backend": "tts", "position": "0", "reason": "backend_timeout"}
    assert value(telemetry, "backend_failovers_total", **labels) == 1
    telemetry.apologised("llm", "earcon")
    assert value(telemetry, "apologies_total", backend="llm", form="earcon") == 1


def test_calls_are_counted() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.call_started()
    telemetry.call_started()
    telemetry.call_ended("cancelled", after_s=1.0)
    telemetry.call_refused("at_capacity")
    assert value(telemetry, "active_streams") == 1
    assert value(telemetry, "requests_total", status="cancelled") == 1
    assert value(telemetry, "requests_total", status="refused") == 1
    assert value(telemetry, "calls_refused_total", reason="at_capacity") == 1


def test_a_turn_is_observed_by_stage() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.turn_ended(TURN)
    assert value(telemetry, "turns_total", endpoint_rule="silence", outcome="interrupted") == 1
    seconds = {
        "endpoint_delay": 0.5,
        "asr_latency": 0.5,
        "llm_ttft": 0.12,
        "tts_latency": 0.08,
        "first_audio": 0.78,
        "e2e_latency": 0.785,
        "barge_in_stop": 0.23,
    }
    for name, expected in seconds.items():
        assert value(telemetry, f"{name}_seconds_count") == 1, name
        assert value(telemetry, f"{name}_seconds_sum") == pytest.approx(expected), name
    assert value(telemetry, "llm_total_seconds_count") == 0


@pytest.mark.parametrize(("rule", "responses"), [("text", 1), ("keys", 1), ("speak", 0)])
def test_turns_that_nobody_spoke_are_not_taken_for_fast_ones(rule: str, responses: int) -> None:
    """A greeting, or a typed question, has no end of speech: its zeros would make the recogniser look quick, and a
    greeting keeps nobody waiting.
    """
    telemetry = PrometheusTelemetry()
    stages = (Stage("endpoint", 0, 0), Stage("tts_first_audio", 0, 80), Stage("first_audio_sent", 80, 90))
    telemetry.turn_ended(TurnReport(1, rule, "answered", stages))
    for name in ("asr_latency", "endpoint_delay"):
        assert value(telemetry, f"{name}_seconds_count") == 0, name
    for stage in WATERFALL:
        assert value(telemetry, "turn_stage_seconds_count", stage=stage) == 0, stage
    for name in ("e2e_latency", "first_audio"):
        assert value(telemetry, f"{name}_seconds_count") == responses, name
    assert value(telemetry, "tts_latency_seconds_count") == 1
    assert value(telemetry, "turns_total", endpoint_rule=rule, outcome="answered") == 1


def test_failures_are_counted_by_backend() -> None:
    telemetry = PrometheusTelemetry()
    for backend in BACKENDS:
        telemetry.backend_error(backend, "BACKEND_TIMEOUT")
        assert value(telemetry, f"{backend}_errors_total") == 1
        assert value(telemetry, "backend_errors_total", backend=backend, reason="backend_timeout") == 1


def test_the_rest_is_counted() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.llm_tokens(3)
    telemetry.tts_characters(40)
    telemetry.stale_dropped("audio")
    telemetry.config_reloaded("refused")
    telemetry.loop_lag(0.003)
    assert value(telemetry, "llm_tokens_total") == 3
    assert value(telemetry, "tts_characters_total") == 40
    assert value(telemetry, "stale_events_dropped_total", what="audio") == 1
    assert value(telemetry, "config_reloads_total", result="refused") == 1
    assert value(telemetry, "loop_lag_seconds_bucket", le="0.005") == 1


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.edge
async def test_prometheus_can_read_it() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.llm_tokens(3)
    async with serving_metrics(telemetry.registry, "127.0.0.1", 0) as port:
        head, _, body = (await asked(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
        families = {family.name: family for family in text_string_to_metric_families(body.decode())}
        assert families["voice_gateway_llm_tokens"].samples[0].value == 3
        openmetrics = await asked(port, b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n")
        assert b"openmetrics-text" in openmetrics
        assert openmetrics.endswith(b"# EOF\n")
        assert b"_created" not in openmetrics, "a second series for each"


@pytest.mark.edge
@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /other HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"\xff\xfe", b"404"),
        (b"HEAD /metrics HTTP/1.1", b"200"),
    ],
)
async def test_anything_else_gets_a_status(request_line: bytes, status: bytes) -> None:
    async with serving_metrics(PrometheusTelemetry().registry, "127.0.0.1", 0) as port:
        answer = await asked(port, request_line + b"\r\n\r\n")
        assert answer.split(b" ")[1] == status
        assert answer.partition(b"\r\n\r\n")[2] in {
            b"", b"The metrics are at /metrics.\n", b"Only GET is answered.\n",
        }  # fmt: skip


@pytest.mark.edge
async def test_a_request_without_end_is_not_answered() -> None:
    async with serving_metrics(PrometheusTelemetry().registry, "127.0.0.1", 0) as port:
        assert await asked(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000) == b""


def test_a_turn_is_seen_as_a_waterfall_from_the_mouth_to_the_ear() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.turn_ended(TURN)
    sums = {
        stage: value(telemetry, "turn_stage_seconds_sum", stage=stage)
        for stage in ("endpoint", "llm_first_token", "first_phrase", "tts_first_audio", "first_audio_played")
    }
    assert sums == {
        "endpoint": 0.5,
        "llm_first_token": 0.64,
        "first_phrase": 0.7,
        "tts_first_audio": 0.78,
        "first_audio_played": 0.905,
    }
    assert value(telemetry, "turn_stage_seconds_count", stage="asr_final") == 0, "there from the start"
    assert value(telemetry, "first_audio_played_seconds_sum") == 0.905


async def test_what_a_turn_observes_carries_its_trace() -> None:
    """Exemplars are in the OpenMetrics form only, which Prometheus asks for."""
    telemetry = PrometheusTelemetry()
    telemetry.turn_ended(TURN, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    async with serving_metrics(telemetry.registry, "127.0.0.1", 0) as port:
        page = await fetched(port, accept="application/openmetrics-text; version=1.0.0")
        plain = await fetched(port, accept="text/plain")
    line = next(line for line in page.splitlines() if "trace_id" in line and "e2e_latency" in line)
    assert 'trace_id="4bf92f3577b34da6a3ce929d0e0e4736"' in line
    assert "trace_id" not in plain


async def fetched(port: int, *, accept: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n".encode())
    page = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return page.decode()


def test_what_waits_and_which_configurations_are_in_use_is_shown() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.capacity(100)
    telemetry.load(Load({"inbox": 3, "playout_ms": 250.0}, {"old": 2, "new": 1}), revision="new", journals=7, tasks=9)
    assert value(telemetry, "call_capacity") == 100
    assert value(telemetry, "tasks") == 9
    assert value(telemetry, "queue_depth", queue="inbox") == 3
    assert value(telemetry, "queue_depth", queue="journal") == 7
    assert value(telemetry, "calls_by_revision", revision="old") == 2
    telemetry.load(Load({}, {"new": 4}), revision="newest", journals=0, tasks=9)
    assert value(telemetry, "queue_depth", queue="inbox") == 0
    assert value(telemetry, "calls_by_revision", revision="old") is None, "revisions do not pile up"
    assert value(telemetry, "config_info", revision="new") is None
    assert value(telemetry, "config_info", revision="newest") == 1


def test_what_alerts_go_by_is_there_from_the_start() -> None:
    """A counter that appears with its first event has no increase."""
    telemetry = PrometheusTelemetry()
    assert value(telemetry, "config_reloads_total", result="refused") == 0
    assert value(telemetry, "calls_refused_total", reason="at_capacity") == 0
    assert value(telemetry, "journals_total", result="failed") == 0
    assert value(telemetry, "vad_frames_unscored_total", reason="failed") == 0
    for error in all_errors():
        assert value(telemetry, "requests_total", status=error.reason.lower()) == 0
    for rule in RULES:
        assert value(telemetry, "turns_total", endpoint_rule=rule, outcome="failed") == 0
    for backend in BACKENDS:
        assert value(telemetry, "backend_errors_total", backend=backend, reason="backend_rejected") == 0
    for cause in CAUSES:
        assert value(telemetry, "resumes_total", cause=cause, result="unreadable") == 0


def test_a_refused_configuration_is_seen_until_it_is_mended() -> None:
    telemetry = PrometheusTelemetry()
    assert value(telemetry, "config_ok") == 1
    telemetry.config_reloaded("refused")
    assert value(telemetry, "config_ok") == 0
    telemetry.config_reloaded("applied")
    assert value(telemetry, "config_ok") == 1
