"""What being observed costs the gateway. Usage: python -m bench.telemetry

Each piece is run alone, many times, in this process: medians of five rounds. A call-minute is taken to have ten turns,
and 50 calls to share one scrape every 15 s; the sum is held against the CPU of a call-minute in `bench.gateway`.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

from prometheus_client.exposition import choose_encoder

from bench.table import percentile, show
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.application.intake import Intake
from voice_gateway.application.ports import Load
from voice_gateway.domain.report import Stage, TurnReport

TURNS_PER_MINUTE = 10
CALLS = 50
SCRAPES_PER_MINUTE = 4
SAMPLES_PER_MINUTE = 120
"""Looks at the calls' queues: two a second."""
FRAMES_PER_MINUTE = 3_000
CALL_MINUTE_CPU_S = 0.7
"""Of the gateway at 50 calls (`python -m bench.gateway`, CURRENT_STATUS.md)."""

STAGES = [
    "asr_final",
    "endpoint",
    "llm_first_token",
    "llm_total",
    "first_phrase",
    "tts_first_audio",
    "first_audio_sent",
    "answer",
    "first_audio_played",
]

REPORT = TurnReport(
    turn=1,
    endpoint_rule="complete",
    outcome="answered",
    stages=tuple(Stage(name, 0, 100.0 * number) for number, name in enumerate(STAGES, start=1)),
)


def microseconds(work: Callable[[], object], times: int) -> float:
    """Of one run of `work`."""
    rounds = []
    for _ in range(5):
        begun_s = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - begun_s) / times * 1e6)
    return percentile(rounds, 0.5)


def main() -> int:
    """Measure and print."""
    telemetry = PrometheusTelemetry()
    load = Load({"inbox": 2, "downlink_messages": 1, "playout_ms": 200.0, "uplink_ahead_ms": 0.0}, {"a1b2c3": CALLS})
    intake = Intake(client_rate_hz=16_000, rate_hz=16_000, frame_samples=320, resampler=None)
    interrupted = replace(REPORT, outcome="interrupted", interruption_ms=300)
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    pieces: list[tuple[str, Callable[[], object], int, float]] = [
        ("a turn's stages", lambda: telemetry.turn_ended(REPORT), 2_000, TURNS_PER_MINUTE),
        (
            "the same with its trace as exemplar",
            lambda: telemetry.turn_ended(interrupted, trace_id="4bf92f35" * 4),
            2_000,
            0,
        ),
        ("jitter of a piece of audio", lambda: intake.note_arrival(time.monotonic() * 1000), 20_000, FRAMES_PER_MINUTE),
        ("jitter of a turn", lambda: telemetry.uplink_jitter(3.0), 20_000, TURNS_PER_MINUTE),
        (
            "a look at queues and configurations",
            lambda: telemetry.load(load, revision="a1b2c3", journals=0, tasks=500),
            5_000,
            SAMPLES_PER_MINUTE / CALLS,
        ),
        ("a scrape", lambda: encode(telemetry.registry), 20, SCRAPES_PER_MINUTE / CALLS),
    ]
    rows, sum_us = [], 0.0
    for name, work, times, a_minute in pieces:
        each_us = microseconds(work, times)
        sum_us += each_us * a_minute
        rows.append([name, f"{each_us:.1f}", f"{a_minute:.2f}", f"{each_us * a_minute / 1000:.2f}"])
    show("Metrics", ["what", "us each", "times a call-minute", "ms CPU a call-minute"], rows)
    sum_ms, share = sum_us / 1000, sum_us / 1e6 / CALL_MINUTE_CPU_S
    print(f"\nin all {sum_ms:.2f} ms of CPU a call-minute, {100 * share:.2f} % of the gateway's {CALL_MINUTE_CPU_S} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
