"""Calls as traces: what the SDK's exporter is given."""

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes, rpc_attributes
from opentelemetry.trace import SpanKind, StatusCode

from servicekit.testing import run_virtual
from voice_gateway.adapters.otel_attributes import NAMES, attributes_of
from voice_gateway.adapters.otel_traces import OtelTracer, TracingOptions
from voice_gateway.application.clock import LoopClock, MonotonicClock
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import EventKind, Hello, TextIn
from voice_gateway.application.ports import Fact
from voice_gateway.application.tracing import Op, ToldSpan
from voice_gateway.domain.errors import BackendUnavailable
from voice_gateway.testing.backends import AsrScript, LlmScript, TtsScript
from voice_gateway.testing.world import ALL_CAPABILITIES, Caller, FixedConfig, World

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
HEADERS = [("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "vendor=1"), ("user-agent", "test")]
STORY = "Once upon a time there was a small harbour. " * 8


class Traced:
    """A world whose calls are traced, and what came of it."""

    def __init__(self, world: World, sampler: str = "parentbased_always_on", ratio: float = 1.0) -> None:
        self.exporter = InMemorySpanExporter()
        self.world = world
        options = TracingOptions(
            "http://127.0.0.1:9", {}, sampler, ratio, "gateway", {"deployment.environment.name": "t"}
        )
        world.tracer = OtelTracer(SimpleSpanProcessor(self.exporter), LoopClock(), options)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """In the order of their export."""
        return self.exporter.get_finished_spans()

    def of(self, prefix: str, call_id: str = "call-1") -> list[ReadableSpan]:
        """Spans of a call whose name begins so."""
        return [span for span in self.spans if span.name.startswith(prefix) and facts(span)["voice.call.id"] == call_id]

    def one(self, prefix: str, call_id: str = "call-1") -> ReadableSpan:
        """The only span of that name."""
        (span,) = self.of(prefix, call_id)
        return span


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def parent_id(span: ReadableSpan) -> str:
    return "" if span.parent is None else f"{span.parent.span_id:016x}"


def times_ms(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e6, span.end_time / 1e6


def near(milliseconds: float) -> Any:
    """Times since 1970 in a float are good to a quarter of a microsecond."""
    return pytest.approx(milliseconds, abs=0.01)


def own_ids(headers: tuple[tuple[str, str], ...]) -> tuple[str, str, str]:
    """Trace, span and flags of a traceparent."""
    _, trace, span, flags = dict(headers)["traceparent"].split("-")
    return trace, span, flags


def headers_sent(caller: Caller) -> list[tuple[tuple[str, str], ...]]:
    """Of every request that the call made."""
    spans = [*(request.span for request in caller.asr.requests), *(request.span for request in caller.llm.requests)]
    return [span.headers for span in [*spans, *(request.span for request in caller.tts.requests)]]


async def asked(caller: Caller) -> None:
    """One spoken question, answered."""
    await caller.speak(1000)
    await caller.listen_for(EventKind.END_OF_TURN)


@asynccontextmanager
async def traced(
    world: World | None = None, during: Callable[[Caller], Awaitable[None]] = asked, **options: Any
) -> AsyncIterator[Traced]:
    """A call with the caller's own trace; left while it goes on."""
    made = Traced(world or World(), **options)
    async with made.world.call(Hello(sample_rate_hz=16_000, capabilities=ALL_CAPABILITIES), headers=HEADERS) as caller:
        await during(caller)
        yield made


def test_both_parts_of_a_resumed_call_are_found_by_its_first_id() -> None:
    exporter = InMemorySpanExporter()
    options = TracingOptions("http://127.0.0.1:9", {}, "always_on", 1.0, "gateway", {})

    async def scenario() -> None:
        trace = OtelTracer(SimpleSpanProcessor(exporter), LoopClock(), options).call_started("stream-2", ())
        trace.resumes("call-1")
        trace.begun(resumed="reset")
        trace.tell(ToldSpan(Op.TURN, trace.ids().span_id, "", 0, 10))
        trace.ended("ok")

    run_virtual(scenario(), limit_s=5)
    opening, turn, ending = (facts(span) for span in exporter.get_finished_spans())
    assert {span["voice.call.id"] for span in (opening, turn, ending)} == {"call-1"}
    assert (opening["voice.call.connection"], opening["voice.call.resumed"]) == ("stream-2", "reset")


def test_a_turn_is_exported_as_it_ends_under_the_callers_own_span() -> None:
    async def scenario() -> None:
        async with traced() as made:
            opening, turn = made.one("voice_workflow.VoiceGateway/StreamAudio"), made.one("turn")
            assert made.of("call end") == []
            names = [span.name for span in made.spans]
            assert sorted(names[2:]) == [
                "asr utterance",
                "chat meta/llama-3.1-8b-instruct",
                "endpoint",
                "playback",
                "tts phrase",
            ]
            assert {parent_id(span) for span in made.spans[2:]} == {span_id(turn)}
            assert (parent_id(turn), parent_id(opening)) == (span_id(opening), PARENT)
            assert {trace_id(span) for span in made.spans} == {TRACE}
            assert made.world.telemetry.trace_ids == [TRACE]
            assert opening.kind is SpanKind.SERVER
            assert times_ms(opening)[1] <= times_ms(turn)[0]
        ending = made.one("call end")
        assert parent_id(ending) == span_id(opening)
        assert [link.context.span_id for link in ending.links] == [opening.context.span_id if opening.context else 0]
        ended = {("voice.call.status", "ok"), ("rpc.response.status_code", "OK"), ("voice.call.turns", 1)}
        assert facts(ending).items() >= ended
        assert opening.resource.attributes["service.name"] == "gateway"
        assert opening.resource.attributes["deployment.environment.name"] == "t"

    run_virtual(scenario())


def test_spans_lie_where_the_time_went() -> None:
    async def scenario() -> None:
        async with traced(World(tts=TtsScript(), llm=LlmScript(replies=["It is noon. The sun is high."]))) as made:
            turn_start, turn_end = times_ms(made.one("turn"))
            for span in made.spans[2:]:
                start, end = times_ms(span)
                assert turn_start <= start <= end <= turn_end, span.name
            (report,) = made.world.telemetry.reports
            endpoint, playback = (report.stage(name) for name in ("endpoint", "answer"))
            assert endpoint is not None
            assert playback is not None
            assert times_ms(made.one("endpoint"))[1] - times_ms(made.one("endpoint"))[0] == near(endpoint.end_ms)
            told = times_ms(made.one("playback"))
            assert told[1] - told[0] == near(playback.end_ms - playback.start_ms)
            assert told[0] - times_ms(made.one("endpoint"))[0] == near(playback.start_ms)
            # 120 ms to the first token, 80 ms to the first audio of a phrase.
            assert facts(made.one("chat"))["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.12, abs=0.015)
            assert facts(made.one("turn"))["voice.turn.response_ms"] == playback.start_ms
            phrases = made.of("tts")
            assert [facts(span)["voice.tts.phrase"] for span in phrases] == [0, 1]
            assert facts(phrases[0])["voice.tts.first_audio_ms"] == pytest.approx(80, abs=15)
            assert facts(made.one("asr"))["voice.asr.words"] == 4

    run_virtual(scenario())


def test_fifty_calls_at_once_keep_their_spans_apart() -> None:
    async def one(made: Traced, number: int) -> Caller:
        call_id, trace = f"call-{number}", f"{number + 1:032x}"
        headers = [("traceparent", f"00-{trace}-{number + 1:016x}-01")]
        await asyncio.sleep(number / 64)
        async with made.world.call(Hello(sample_rate_hz=16_000), call_id=call_id, headers=headers) as caller:
            await caller.speak(600 + 20 * (number % 7))
            await caller.listen_for(EventKind.END_OF_TURN)
            await caller.speak(400)
            await caller.listen_for(EventKind.END_OF_TURN, count=2)
            assert caller.call.spans.trace_id == trace
        return caller

    async def scenario() -> None:
        made = Traced(World(llm=LlmScript(replies=["It is noon. The sun is high."])))
        callers = await asyncio.gather(*(one(made, number) for number in range(50)))
        for number, caller in enumerate(callers):
            call_id = f"call-{number}"
            own = made.of("", call_id)
            assert {trace_id(span) for span in own} == {f"{number + 1:032x}"}
            opening = made.one("voice_workflow", call_id)
            assert parent_id(opening) == f"{number + 1:016x}"
            turns = {span_id(span): facts(span)["voice.turn.number"] for span in made.of("turn", call_id)}
            assert sorted(turns.values()) == [1, 2]
            for prefix, count in {"asr": 2, "endpoint": 2, "playback": 2, "tts": 4}.items():
                parents = [turns[parent_id(span)] for span in made.of(prefix, call_id)]
                assert sorted(parents) == sorted([1, 2] * (count // 2)), prefix
            sent = {own_ids(headers) for headers in headers_sent(caller)}
            told = {span_id(span) for prefix in ("asr", "chat", "tts") for span in made.of(prefix, call_id)}
            assert sent == {(f"{number + 1:032x}", span, "01") for span in told}
        assert len({span_id(span) for span in made.spans}) == len(made.spans)

    run_virtual(scenario())


def test_an_interruption_belongs_to_the_turn_that_it_begins() -> None:
    async def during(caller: Caller) -> None:
        await caller.speak(800)
        await caller.listen_for(EventKind.SPEAKING)
        await caller.silence(1500)
        await caller.speak(800)
        await caller.listen_for(EventKind.END_OF_TURN, count=2)

    async def scenario() -> None:
        world = World(
            asr=AsrScript(transcripts=["tell me a story", "stop please"]),
            llm=LlmScript(replies=[STORY, "All right."], token_interval_ms=60),
        )
        async with traced(world, during) as made:
            first, second = made.of("turn")
            assert [facts(turn)["voice.turn.outcome"] for turn in (first, second)] == ["interrupted", "answered"]
            assert [parent_id(span) for span in made.of("asr")] == [span_id(first), span_id(second)]
            assert facts(made.of("chat")[0])["voice.llm.cancelled"] is True
            assert first.status.status_code is StatusCode.UNSET
            assert facts(first)["voice.turn.interruption_ms"] > 0

    run_virtual(scenario())


def test_a_sound_without_words_belongs_to_no_turn() -> None:
    async def during(caller: Caller) -> None:
        await caller.speak(300, sample=b"\x00\x10")
        await caller.silence(3000)
        await caller.send(TextIn("What time is it?"))
        await caller.listen_for(EventKind.END_OF_TURN)

    async def scenario() -> None:
        async with traced(World(asr=AsrScript(meanings={4_096: ""})), during) as made:
            assert {parent_id(span) for span in made.of("asr")} == {span_id(made.one("voice_workflow"))}
            turn, chat = made.one("turn"), made.one("chat")
            assert parent_id(chat) == span_id(turn)
            assert times_ms(turn)[0] >= times_ms(made.of("asr")[0])[1]

    run_virtual(scenario())


def test_a_failure_is_a_status_with_its_reason_and_no_words() -> None:
    async def during(caller: Caller) -> None:
        await caller.send(TextIn("My name is Rumpelstiltskin."))
        await caller.listen_for(EventKind.END_OF_TURN)

    async def scenario() -> None:
        failure = BackendUnavailable("llm", "It cannot be reached, Rumpelstiltskin.", detail="Rumpelstiltskin")
        async with traced(World(llm=LlmScript(error=failure, fail_after_tokens=0)), during) as made:
            for span in (made.one("turn"), made.one("chat")):
                assert span.status.status_code is StatusCode.ERROR
                assert facts(span)["error.type"] == failure.reason
        assert "Rumpelstiltskin" not in "".join(span.to_json() for span in made.spans)

    run_virtual(scenario())


@pytest.mark.parametrize("switched_on", [False, True])
def test_words_are_attributes_only_when_switched_on(switched_on: bool) -> None:
    async def scenario() -> None:
        async with traced(World(config=FixedConfig(CallConfig(log_words=switched_on)))) as made:
            text = "".join(span.to_json() for span in made.spans)
            assert ("what time is it" in text, "noon" in text) == (switched_on, switched_on)
            if switched_on:
                said = facts(made.one("chat"))
                assert json.loads(said["gen_ai.input.messages"])[-1] == {
                    "role": "user",
                    "parts": [{"type": "text", "content": "what time is it"}],
                }
                assert json.loads(said["gen_ai.output.messages"]) == [
                    {
                        "role": "assistant",
                        "parts": [{"type": "text", "content": "It is noon."}],
                        "finish_reason": "stop",
                    }
                ]

    run_virtual(scenario())


def test_a_call_that_is_not_sampled_tells_backends_so_and_exports_nothing() -> None:
    async def scenario() -> None:
        made = Traced(World())
        headers = [("traceparent", f"00-{TRACE}-{PARENT}-00")]
        async with made.world.call(headers=headers) as caller:
            await asked(caller)
            assert caller.call.spans.trace_id == ""
            assert own_ids(caller.llm.requests[-1].span.headers)[::2] == (TRACE, "00")
            assert own_ids(caller.asr.requests[-1].span.headers)[::2] == (TRACE, "00")
        assert made.spans == ()

    run_virtual(scenario())


def test_without_tracing_requests_carry_nothing() -> None:
    async def scenario() -> None:
        async with World().call(headers=HEADERS) as caller:
            await asked(caller)
            assert set(headers_sent(caller)) == {()}

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("sampler", "ratio", "kept"),
    [("always_off", 1.0, 0), ("traceidratio", 0.0, 0), ("traceidratio", 1.0, 1), ("parentbased_traceidratio", 0.0, 1)],
)
def test_a_sampler_decides_for_the_whole_call(sampler: str, ratio: float, kept: int) -> None:
    async def scenario() -> None:
        async with traced(World(), sampler=sampler, ratio=ratio) as made:
            pass
        assert len(made.of("call end")) == len(made.of("turn")) == kept

    run_virtual(scenario())


@pytest.mark.parametrize("parent", ["", "00-zz-1-01", f"00-{'0' * 32}-{PARENT}-01", "x" * 5_000])
def test_a_broken_header_begins_a_trace_of_its_own(parent: str) -> None:
    async def scenario() -> None:
        made = Traced(World())
        async with made.world.call(headers=[("traceparent", parent)]):
            pass
        opening = made.one("voice_workflow")
        assert opening.parent is None
        assert trace_id(opening) != TRACE

    run_virtual(scenario())


def test_requests_are_described_by_the_conventions() -> None:
    rpc: dict[str, Fact] = {
        "rpc_method": "s.S/M",
        "grpc_status": "UNAVAILABLE",
        "address": "riva:50051",
        "attempts": 2,
    }
    asr = attributes_of(ToldSpan(Op.ASR, "1", "2", 0, 1, rpc, "BACKEND_UNAVAILABLE"), call_id="c")
    assert asr == {
        "voice.call.id": "c",
        "rpc.system.name": "grpc", "rpc.method": "s.S/M", "rpc.response.status_code": "UNAVAILABLE",
        "server.address": "riva", "server.port": 50051, "voice.asr.attempts": 2, "error.type": "BACKEND_UNAVAILABLE",
    }  # fmt: skip
    chat: dict[str, Fact] = {
        "model": "m", "temperature": 0.5, "max_tokens": 9, "response_id": "r", "response_model": "m2",
        "first_token_ms": 120.0, "finish_reason": "stop", "input_tokens": 3, "output_tokens": 4,
        "address": "https://user:key@host/v1?key=k",
    }  # fmt: skip
    llm = attributes_of(ToldSpan(Op.LLM, "1", "2", 0, 1, chat), call_id="c")
    assert llm == {
        "voice.call.id": "c", "gen_ai.conversation.id": "c", "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.12, "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 9, "gen_ai.response.id": "r",
        "gen_ai.response.model": "m2", "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4, "server.address": "host", "server.port": 443,
    }  # fmt: skip


def conventions() -> dict[str, str]:
    """Attributes of the installed package of semantic conventions, and what it says of each."""
    source = inspect.getsource(rpc_attributes) + inspect.getsource(gen_ai_attributes)
    return dict(re.findall(r': Final = "([\w.]+)"\n"""\n(.*?)"""', source, re.DOTALL))


def test_no_attribute_is_unknown_to_the_conventions_or_deprecated() -> None:
    """Those for generative AI have moved to a repository of their own, and the package says so of each."""
    known, rpc = conventions(), {"rpc_method": "s.S/M", "grpc_status": "OK"}
    assert known["rpc.system"].startswith("Deprecated: Replaced by"), "else this test finds nothing"
    used: set[str] = set(attributes_of(ToldSpan(Op.TTS, "1", "2", 0, 1, rpc), call_id="c"))

    async def scenario() -> None:
        async with traced(World(config=FixedConfig(CallConfig(log_words=True)))) as made:
            pass
        used.update(*(facts(span) for span in made.spans), NAMES.values())

    run_virtual(scenario())
    conventional = {name for name in used if name.startswith(("rpc.", "gen_ai."))}
    assert {"rpc.response.status_code", "gen_ai.output.messages"} <= conventional <= known.keys()
    deprecated = {name for name in conventional if known[name].startswith("Deprecated")}
    assert {name for name in deprecated if "Deprecated: Moved to the [OpenTelemetry GenAI" not in known[name]} == set()


@pytest.mark.parametrize(
    ("service_name", "resource", "called"),
    [
        ("", {}, "voice-gateway"),
        ("", {"service.name": "of-the-resource"}, "of-the-resource"),
        ("given", {"service.name": "of-the-resource"}, "given"),
    ],
)
def test_a_service_is_called_as_the_specification_says(
    service_name: str, resource: dict[str, str], called: str
) -> None:
    exporter = InMemorySpanExporter()
    options = TracingOptions("http://127.0.0.1:9", {}, "always_on", 1.0, service_name, resource)
    OtelTracer(SimpleSpanProcessor(exporter), MonotonicClock(), options).call_started("call-1", ()).begun()
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == called
