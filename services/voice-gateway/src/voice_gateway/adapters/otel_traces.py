"""Traces by OpenTelemetry, exported by OTLP over HTTP.

Imported only where tracing is on. Spans are made after the fact, with the ids that were given out for them and their
own times, and handed to the SDK's batching processor, whose thread exports them; nothing here waits.

Attribute names are those of OpenTelemetry's semantic conventions for RPC and generative AI, else "voice.*".
"""

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from voice_gateway.adapters.otel_attributes import attributes_of, kind_of, name_of
from voice_gateway.adapters.rpc_status import all_errors, code_of
from voice_gateway.application.ports import Clock, Fact
from voice_gateway.application.tracing import CallTrace, SpanIds, ToldSpan

METHOD = "voice_workflow.VoiceGateway/StreamAudio"

SERVICE_NAME = "voice-gateway"
"""Where neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES says another one."""

FLUSH_S = 3.0
"""Longest that the last spans may take to leave when the process stops: a collector that is gone must not hold it."""

CLEAN_ENDS = {"ok": "OK", "cancelled": "CANCELLED"}
"""What a call may end with that is no error of ours: callers hang up. With their gRPC codes."""

CODES = CLEAN_ENDS | {"internal": "INTERNAL"} | {error.reason.lower(): code_of(error).name for error in all_errors()}
"""gRPC code by how a call ended."""

PROPAGATOR = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class TracingOptions:
    """What tracing is set up with. What is not here, the SDK takes from its own environment variables."""

    endpoint: str
    """URL that spans are posted to."""
    headers: Mapping[str, str]
    sampler: str
    sampler_arg: float
    """Share of calls that are kept, 0 to 1, for the samplers by ratio."""
    service_name: str
    """Empty: as the resource attributes say."""
    resource_attributes: Mapping[str, str]


class GivenIds(RandomIdGenerator):
    """Gives a span the id that was promised for it."""

    def __init__(self) -> None:
        self.promised = 0
        """For the next span; 0: any."""

    def generate_span_id(self) -> int:
        """The promised id, once, or a random one."""
        promised, self.promised = self.promised, 0
        return promised or super().generate_span_id()


def make_sampler(name: str, ratio: float) -> sampling.Sampler:
    """A sampler by its name in OTEL_TRACES_SAMPLER. Raises KeyError."""
    by_ratio = sampling.TraceIdRatioBased(ratio)
    return {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": by_ratio,
        "parentbased_always_on": sampling.ParentBased(sampling.ALWAYS_ON),
        "parentbased_always_off": sampling.ParentBased(sampling.ALWAYS_OFF),
        "parentbased_traceidratio": sampling.ParentBased(by_ratio),
    }[name]


class OtelTracer:
    """Makes the traces of calls. `processor` is given each span as it is told."""

    def __init__(self, processor: SpanProcessor, clock: Clock, options: TracingOptions) -> None:
        self._clock = clock
        self._ids = GivenIds()
        attributes = {
            "service.name": SERVICE_NAME,
            "service.version": version("voice-gateway"),
            "service.instance.id": str(uuid.uuid4()),
            **options.resource_attributes,
            **({"service.name": options.service_name} if options.service_name else {}),
        }
        self._provider = TracerProvider(
            sampler=make_sampler(options.sampler, options.sampler_arg),
            resource=Resource.create(attributes),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("voice_gateway", version("voice-gateway"))

    def call_started(self, call_id: str, headers: Iterable[tuple[str, str]]) -> CallTrace:
        """Start the span of a call's start, under the caller's own span where `headers` name one."""
        carrier = {key: value for key, value in headers if key in ("traceparent", "tracestate")}
        opening = self._tracer.start_span(
            METHOD,
            context=PROPAGATOR.extract(carrier, context=Context()),
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": METHOD, "voice.call.id": call_id},
        )
        if not opening.is_recording():
            return _Unrecorded(opening.get_span_context())
        return _Recorded(self._tracer, self._ids, opening, call_id, self._clock)

    async def close(self) -> None:
        """Send what waits, for as long as `FLUSH_S`."""
        # The SDK waits half a minute for a collector that is gone; its thread is left behind then.
        closing = threading.Thread(target=self._provider.shutdown, name="traces-flush", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_S)


class _Unrecorded:
    """A call that the sampler left out: backends are told so."""

    trace_id = ""
    span_id = ""

    def __init__(self, context: SpanContext) -> None:
        self._ids = SpanIds("", _headers(context, context.span_id))

    def ids(self) -> SpanIds:
        """Headers alone."""
        return self._ids

    def resumes(self, call_id: str) -> None:
        """Nothing."""

    def begun(self, **facts: Fact) -> None:
        """Nothing."""

    def tell(self, span: ToldSpan) -> None:
        """Nothing."""

    def ended(self, status: str) -> None:
        """Nothing."""


class _Recorded:
    """A call that is recorded."""

    def __init__(self, tracer: trace.Tracer, ids: GivenIds, opening: Span, call_id: str, clock: Clock) -> None:
        self._tracer = tracer
        self._given = ids
        self._opening = opening
        self._context = opening.get_span_context()
        self._call_id = call_id
        self._started_ms = clock.ms()
        self._now_ms = clock.ms
        self._epoch_ns = time.time_ns() - round(self._started_ms * 1e6)
        """Of the clock's zero."""
        self.trace_id = f"{self._context.trace_id:032x}"
        self.span_id = f"{self._context.span_id:016x}"
        self._turns = 0

    def ids(self) -> SpanIds:
        """A span's id, for `tell`."""
        number = self._given.generate_span_id()
        return SpanIds(f"{number:016x}", _headers(self._context, number))

    def resumes(self, call_id: str) -> None:
        """Both parts of the call are found by its first id."""
        self._opening.set_attribute("voice.call.id", call_id)
        self._opening.set_attribute("voice.call.connection", self._call_id)
        self._call_id = call_id

    def begun(self, **facts: Fact) -> None:
        """End the span of the call's start."""
        for name, value in facts.items():
            self._opening.set_attribute(f"voice.call.{name}", value)
        self._opening.end()

    def tell(self, span: ToldSpan) -> None:
        """Export a span."""
        self._turns += span.op == "turn"
        parent = int(span.parent_id, 16) if span.parent_id else self._context.span_id
        self._given.promised = int(span.span_id, 16)
        told = self._tracer.start_span(
            name_of(span),
            context=self._under(parent),
            kind=SpanKind.CLIENT if kind_of(span) == "client" else SpanKind.INTERNAL,
            attributes=attributes_of(span, call_id=self._call_id),
            start_time=self._ns(span.start_ms),
        )
        self._given.promised = 0
        if span.error:
            told.set_status(Status(StatusCode.ERROR))
        told.end(self._ns(span.end_ms))

    def ended(self, status: str) -> None:
        """Export the end of the call."""
        if self._opening.is_recording():
            self._opening.end()
        now_ms = self._now_ms()
        error = "" if status in CLEAN_ENDS else status
        ending = self._tracer.start_span(
            "call end",
            context=self._under(self._context.span_id),
            links=[Link(self._context)],
            attributes={
                "voice.call.id": self._call_id,
                "voice.call.status": status,
                "rpc.response.status_code": CODES.get(status, "UNKNOWN"),
                "voice.call.turns": self._turns,
                "voice.call.seconds": round((now_ms - self._started_ms) / 1000, 3),
                **({"error.type": error} if error else {}),
            },
            start_time=self._ns(now_ms),
        )
        if error:
            ending.set_status(Status(StatusCode.ERROR))
        ending.end()

    def _under(self, span_id: int) -> Context:
        context = self._context
        parent = SpanContext(context.trace_id, span_id, False, context.trace_flags, context.trace_state)
        return trace.set_span_in_context(NonRecordingSpan(parent), Context())

    def _ns(self, clock_ms: float) -> int:
        return self._epoch_ns + round(clock_ms * 1e6)


def _headers(context: SpanContext, span_id: int) -> tuple[tuple[str, str], ...]:
    """W3C Trace Context (w3.org/TR/trace-context) of a span in the trace of `context`."""
    parent = f"00-{context.trace_id:032x}-{span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header() if context.trace_state else ""
    return (("traceparent", parent), ("tracestate", state)) if state else (("traceparent", parent),)


@asynccontextmanager
async def tracing(options: TracingOptions, clock: Clock) -> AsyncIterator[OtelTracer]:
    """Export traces until the context is left."""
    exporter = OTLPSpanExporter(endpoint=options.endpoint, headers=dict(options.headers) or None)
    tracer = OtelTracer(BatchSpanProcessor(exporter), clock, options)
    try:
        yield tracer
    finally:
        await tracer.close()
