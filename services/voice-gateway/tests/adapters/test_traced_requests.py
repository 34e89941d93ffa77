"""What requests of a traced call carry to real servers, and what is noted of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest
from gateway_scripted_llm import DONE, Exchange, ScriptedLlm, event
from gateway_scripted_llm import serving as serving_llm
from gateway_scripted_riva import ScriptedRiva, heard, spoken
from gateway_scripted_riva import serving as serving_riva

from voice_gateway.adapters.openai_llm import LlmEndpoint, OpenAiLlm
from voice_gateway.adapters.riva_asr import RivaAsr
from voice_gateway.adapters.riva_channels import RivaEndpoint
from voice_gateway.adapters.riva_tts import RivaTts
from voice_gateway.application.ports import AsrRequest, Fact, LlmRequest, Span, TtsRequest
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.errors import BackendError

pytestmark = pytest.mark.edge

HEADERS = (("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"), ("tracestate", "vendor=1"))


@dataclass
class NotedSpan(Span):
    """Keeps what is noted."""

    facts: dict[str, Fact] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = HEADERS
    recorded = True

    def note(self, **facts: Fact) -> None:
        """Keep."""
        self.facts |= facts

    def count(self, **numbers: int) -> None:
        """Keep."""
        self.facts |= numbers


@asynccontextmanager
async def asr_and_tts(riva: ScriptedRiva) -> AsyncIterator[tuple[RivaAsr, RivaTts]]:
    async with serving_riva(riva) as target:
        asr, tts = RivaAsr(RivaEndpoint(target)), RivaTts(RivaEndpoint(target))
        try:
            yield asr, tts
        finally:
            await asr.close()
            await tts.close()


async def recognised(asr: RivaAsr, span: Span) -> None:
    async with asr.open(AsrRequest(16_000, "en-US", span=span)) as stream:
        await stream.send(b"\x01\x00" * 1600)
        await stream.half_close()
        assert [result async for result in stream.results()] != []


async def synthesised(tts: RivaTts, span: Span) -> None:
    async with tts.synthesize(TtsRequest("Hello.", "en-US", "", 16_000, span=span)) as chunks:
        assert [chunk async for chunk in chunks] != []


async def test_riva_is_sent_the_trace_context_as_metadata() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read_all(context)
        audio = type(riva.requests[0]).__name__ == "SynthesizeSpeechRequest"
        await context.write(spoken(b"\x01\x02") if audio else heard(("hello", True, 0.0)))

    for ask, service, method in (
        (recognised, "nvidia.riva.asr.RivaSpeechRecognition", "StreamingRecognize"),
        (synthesised, "nvidia.riva.tts.RivaSpeechSynthesis", "SynthesizeOnline"),
    ):
        riva, span = ScriptedRiva(handle), NotedSpan()
        async with asr_and_tts(riva) as (asr, tts):
            await (recognised(asr, span) if ask is recognised else synthesised(tts, span))
            expected = {"rpc_method": f"{service}/{method}", "grpc_status": "OK", "attempts": 1}
            assert span.facts == {**expected, "address": asr.pool.endpoint.target}
        assert set(HEADERS) <= set(riva.metadata)


async def test_a_status_of_riva_is_noted() -> None:
    async def handle(riva: ScriptedRiva, context: Any) -> None:
        await riva.read(context)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async with asr_and_tts(ScriptedRiva(handle)) as (asr, tts):
        hearing, speaking = NotedSpan(), NotedSpan()
        with pytest.raises(BackendError):
            await recognised(asr, hearing)
        with pytest.raises(BackendError):
            await synthesised(tts, speaking)
    for span in (hearing, speaking):
        assert span.facts["grpc_status"] == "UNAVAILABLE"


REQUEST = LlmRequest("tiny", (Message(Role.USER, "Hi"),), 0.5, 64, 5_000, 5_000)

NAMED = b'data: {"id": "r1", "model": "tiny-2", "choices": [{"index": 0, "delta": {"content": "Hello."}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n\n'


async def answered(span: Span | None) -> tuple[str, ScriptedLlm]:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(NAMED, event(reason="stop"), USAGE, DONE)

    server = ScriptedLlm(handle)
    async with serving_llm(server) as url:
        llm = OpenAiLlm(LlmEndpoint(url))
        try:
            async with llm.stream(REQUEST if span is None else replace(REQUEST, span=span)) as deltas:
                return "".join([delta.text async for delta in deltas]), server
        finally:
            await llm.close()


async def test_the_language_model_is_sent_the_trace_context_and_asked_for_its_usage() -> None:
    span = NotedSpan()
    text, server = await answered(span)
    assert text == "Hello."
    assert server.headers[0].items() >= set(HEADERS)
    assert server.requests[0]["stream_options"] == {"include_usage": True}
    assert str(span.facts.pop("address")).startswith("http://127.0.0.1:")
    assert span.facts == {
        "attempts": 1, "response_id": "r1", "response_model": "tiny-2", "finish_reason": "stop", "input_tokens": 7,
        "output_tokens": 3,
    }  # fmt: skip


async def test_a_request_that_is_not_traced_is_what_it_was() -> None:
    _, server = await answered(None)
    assert "traceparent" not in server.headers[0]
    assert "stream_options" not in server.requests[0]
