"""What traces cost: CPU of a turn's spans, off, not sampled and on; what loading the SDK takes.

Usage: python -m bench.tracing. A turn is a spoken question and an answer of three phrases: seven spans and its own.
Only making spans is timed, with a processor that drops them, and with the batching one, whose thread encodes and posts
them to a collector in this process that throws them away.
"""

import argparse
import asyncio
import http.server
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from voice_gateway.adapters.otel_traces import OtelTracer, TracingOptions
from voice_gateway.application.clock import MonotonicClock
from voice_gateway.application.tracing import CallSpans, NoTracer, Op, Tracer
from voice_gateway.domain.report import Stage, TurnReport

STAGES = (
    Stage("endpoint", 0, 300),
    Stage("llm_first_token", 0, 420),
    Stage("first_audio_sent", 440, 520),
    Stage("answer", 520, 2_140),
)

LOAD = """
import sys, time
def resident_mb():
    return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6
import servicekit.grpc_engine, voice_gateway.server
started, before = time.process_time(), resident_mb()
import voice_gateway.adapters.otel_traces
print(time.process_time() - started, resident_mb() - before)
"""


def turn(spans: CallSpans, number: int) -> None:
    """All that a call tells of one turn."""
    with spans.recognition(number, language="en-US", model="") as asr:
        asr.note(rpc_method="s/m", address="riva:50051")
        for _ in range(4):
            asr.mark("first_result_ms")
        asr.count(words=4)
        asr.note(grpc_status="OK")
    with spans.span(Op.LLM, number, model="m", temperature=0.5, max_tokens=64, speculative=False) as llm:
        llm.note(address="http://llm:8000/v1")
        llm.mark("first_token_ms")
        for _ in range(30):
            llm.count(pieces=1)
            llm.say("assistant", "word")
    for phrase in range(3):
        with spans.span(Op.TTS, number, voice="", phrase=phrase, characters=40) as tts:
            tts.note(rpc_method="s/m", address="riva:50051")
            for _ in range(10):
                tts.mark("first_audio_ms")
            tts.note(samples=40_000, grpc_status="OK")
    spans.turn_ended(TurnReport(number, "asr_final", "answered", STAGES))


def cpu_us(make: Callable[[], Tracer], *, turns: int) -> float:
    """CPU of the whole process for one turn."""
    tracer = make()
    started_s = time.process_time()
    for call in range(turns // 10):
        trace = tracer.call_started(f"call-{call}", [])
        trace.begun()
        spans = CallSpans(trace, MonotonicClock(), call_id=f"call-{call}")
        for number in range(1, 11):
            turn(spans, number)
        spans.close()
        trace.ended("ok")
    if isinstance(tracer, OtelTracer):
        asyncio.run(tracer.close())
    return (time.process_time() - started_s) / turns * 1e6


def options(port: int, sampler: str = "parentbased_always_on") -> TracingOptions:
    """Of a collector on this machine."""
    return TracingOptions(f"http://127.0.0.1:{port}/v1/traces", {}, sampler, 1.0, "bench", {})


class _Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Keep quiet."""


def main() -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2_000)
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    sink = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    port, clock = sink.server_port, MonotonicClock()
    endpoint = options(port).endpoint

    def batching() -> Tracer:
        return OtelTracer(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint), max_queue_size=20 * chosen.turns),
            clock,
            options(port),
        )

    makers: dict[str, Callable[[], Tracer]] = {
        "off": NoTracer,
        "on, not sampled": lambda: OtelTracer(SpanProcessor(), clock, options(port, "always_off")),
        "on, spans dropped": lambda: OtelTracer(SpanProcessor(), clock, options(port)),
        "on, exported (with the sink's own CPU)": batching,
    }
    for name, make in makers.items():
        found = [cpu_us(make, turns=chosen.turns) for _ in range(chosen.repeat)]
        print(f"{name:40} {statistics.median(found):8.1f} us of CPU a turn (least {min(found):.1f})")
    sink.shutdown()
    loads = []
    for _ in range(chosen.repeat):
        told = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True).stdout
        loads.append([float(figure) for figure in told.split()])
    seconds, megabytes = (statistics.median(column) for column in zip(*loads, strict=True))
    print(f"loading the SDK and the exporter: {seconds * 1000:.0f} ms of CPU, {megabytes:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
