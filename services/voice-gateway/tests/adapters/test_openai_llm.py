"""OpenAiLlm against a real HTTP server."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from gateway_scripted_llm import DONE, Exchange, Handler, ScriptedLlm, event, serving

from voice_gateway.adapters.openai_llm import LlmEndpoint, OpenAiLlm
from voice_gateway.application.ports import LlmDelta, LlmRequest
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.errors import BackendBusy, BackendError, BackendRejected, BackendTimeout, BackendUnavailable

pytestmark = pytest.mark.edge

REQUEST = LlmRequest(
    model="tiny",
    messages=(
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Hi"),
        Message(Role.ASSISTANT, "Hello, I", cut=True),
        Message(Role.USER, "नमस्ते"),
    ),
    temperature=0.5,
    max_tokens=64,
    first_token_timeout_ms=5_000,
    token_timeout_ms=5_000,
    call_id="call-7",
)


@asynccontextmanager
async def connected(handle: Handler, **endpoint: Any) -> AsyncIterator[tuple[OpenAiLlm, ScriptedLlm]]:
    server = ScriptedLlm(handle)
    async with serving(server) as url:
        llm = OpenAiLlm(LlmEndpoint(url, **{"backoff_ms": 1, **endpoint}))
        try:
            yield llm, server
        finally:
            await llm.close()


async def answer(llm: OpenAiLlm, request: LlmRequest = REQUEST) -> list[LlmDelta]:
    async with llm.stream(request) as deltas:
        return [delta async for delta in deltas]


USAGE = b'data: {"usage": {}}\n\n'


async def hello(exchange: Exchange) -> None:
    await exchange.send(event(role="assistant"), event("Hel"), event("lo."), event(reason="stop"), DONE)


async def test_request_and_answer() -> None:
    async with connected(hello, api_key="secret") as (llm, server):
        assert await answer(llm) == [LlmDelta("Hel"), LlmDelta("lo."), LlmDelta("", "stop")]
    (body,) = server.requests
    assert body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello, I —"},
            {"role": "user", "content": "नमस्ते"},
        ],
        "temperature": 0.5,
        "max_tokens": 64,
        "stream": True,
    }
    (headers,) = server.headers
    assert headers["authorization"] == "Bearer secret"
    assert headers["accept-encoding"] == "identity"
    assert headers["x-request-id"] == "call-7"


async def test_no_key_and_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of another program")
    monkeypatch.setenv("OPENAI_ORG_ID", "of another program")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "of another program")
    async with connected(hello) as (llm, server):
        await answer(llm)
    assert not [value for value in server.headers[0].values() if "of another program" in value]
    assert "authorization" not in server.headers[0]


async def test_one_connection_serves_answer_after_answer() -> None:
    async with connected(hello) as (llm, server):
        for _ in range(5):
            await answer(llm)
    assert len(server.requests) == 5
    assert len(server.connections) == 1


async def test_a_hundred_answers_at_once() -> None:
    everybody = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("a"))
        if exchange.number == 100:
            everybody.set()
        await everybody.wait()
        await exchange.send(event("b", "stop"), DONE)

    async with connected(handle) as (llm, _):
        answers = await asyncio.gather(*(answer(llm) for _ in range(100)))
    assert all(len(deltas) == 2 for deltas in answers)


@pytest.mark.parametrize(
    "parts",
    [
        [event("a") + event("b") + event("c", "stop") + DONE],
        [bytes([byte]) for byte in event("a") + event("b") + event("c", "stop") + DONE],
        [part.replace(b"\n", b"\r\n") for part in (event("a"), event("b"), event("c", "stop"), DONE)],
        [b": ping\n\nevent: message\nid: 1\n", event("a"), b"retry: 5\n\n", event("b"), event("c", "stop"), DONE],
        [event("a"), event("b"), event("c", "stop")],
        [event("a"), event("b"), event("c", "stop").rstrip(b"\n")],
        [event("a").replace(b"data: ", b"data:"), event("b"), event("c", "stop"), DONE, b"data: left over\n\n"],
        [b'data: {"choices":\ndata: [{"delta": {"content": "a"}}]}\n\n', event("b"), event("c", "stop"), DONE],
        [
            b'data: {"choices": []}\n\n',
            event("a"),
            event(""),
            event("b"),
            event("c", "stop"),
            b'data: {"usage": {}}\n\n',
            DONE,
        ],
        [event(role="assistant", content=None), event("a"), event("b"), event("c", "stop"), DONE],
    ],
    ids=[
        "one packet",
        "bytes",
        "CRLF",
        "comments",
        "no DONE",
        "no last line end",
        "after DONE",
        "two lines",
        "usage",
        "null",
    ],
)
async def test_ways_to_write_the_same_stream(parts: list[bytes]) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(*parts)

    async with connected(handle) as (llm, _):
        assert await answer(llm) == [LlmDelta("a"), LlmDelta("b"), LlmDelta("c", "stop")]


async def test_halves_of_a_character_are_put_together() -> None:
    async def handle(exchange: Exchange) -> None:
        halves = (
            event("Hi \ud83d"),
            event("\ude00!"),
            event("\ude00"),
            event("é\ud83d"),
            event("x"),
            event("\ud83d", "stop"),
        )
        await exchange.send(*halves, DONE)

    async with connected(handle) as (llm, _):
        assert [delta.text for delta in await answer(llm)] == ["Hi ", "😀!", "\ufffd", "é", "\ufffdx", "\ufffd"]


async def test_an_answer_without_words_ends() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event(role="assistant"), event(reason="stop"), DONE)

    async with connected(handle) as (llm, _):
        assert await answer(llm) == [LlmDelta("", "stop")]


async def test_a_server_that_is_silent_after_the_end_does_not_fail_the_answer() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("all", "stop"))
        await asyncio.Event().wait()

    async with connected(handle) as (llm, server):
        assert await answer(llm, replace(REQUEST, token_timeout_ms=30)) == [LlmDelta("all", "stop")]
        await asyncio.wait_for(server.disconnected.wait(), 5)


async def test_leaving_closes_the_request() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("a"))
        await asyncio.Event().wait()

    async with connected(handle) as (llm, server):
        async with llm.stream(REQUEST) as deltas:
            assert await anext(deltas) == LlmDelta("a")
        await asyncio.wait_for(server.disconnected.wait(), 5)
        assert not await asyncio.wait_for(answer_is_refused(llm), 5)


async def answer_is_refused(llm: OpenAiLlm) -> bool:
    """Whether the client can no longer be used."""
    try:
        async with llm.stream(REQUEST) as deltas:
            return await anext(deltas) != LlmDelta("a")
    except BackendError:
        return True


@pytest.mark.parametrize("begun", [False, True], ids=["before the headers", "in the stream"])
async def test_cancelling_closes_the_request(begun: bool) -> None:
    async def handle(exchange: Exchange) -> None:
        if begun:
            await exchange.send(event("a"))
        await asyncio.Event().wait()

    async with connected(handle) as (llm, server):
        task = asyncio.create_task(answer(llm))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.disconnected.wait(), 5)
    assert len(server.requests) == 1


async def test_deadline_of_the_first_token_covers_headers_and_pings() -> None:
    async def handle(exchange: Exchange) -> None:
        while True:
            await exchange.send(b": still working\n\n", event(role="assistant"))
            await asyncio.sleep(0.01)

    async with connected(handle) as (llm, server):
        with pytest.raises(BackendTimeout, match="did not start to answer in time"):
            await answer(llm, replace(REQUEST, first_token_timeout_ms=100))
        await asyncio.wait_for(server.disconnected.wait(), 5)
    assert len(server.requests) == 1


async def test_deadline_between_tokens() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("a"))
        await asyncio.Event().wait()

    async with connected(handle) as (llm, server):
        with pytest.raises(BackendTimeout, match="did not go on in time"):
            await answer(llm, replace(REQUEST, token_timeout_ms=50))
        await asyncio.wait_for(server.disconnected.wait(), 5)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_passing_failures_are_retried(status: int) -> None:
    async def handle(exchange: Exchange) -> web.Response | None:
        if exchange.number < 3:
            return web.json_response({"error": {"message": "later"}}, status=status, headers={"Retry-After": "0.001"})
        await hello(exchange)
        return None

    async with connected(handle) as (llm, server):
        assert len(await answer(llm)) == 3
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "body", "expected", "sentence", "requests"),
    [
        (401, {}, BackendRejected, "The language model refuses the configured key.", 1),
        (403, {}, BackendRejected, "The language model refuses the configured key.", 1),
        (404, {}, BackendRejected, 'The language model\'s server does not offer the model "tiny".', 1),
        (400, {}, BackendRejected, 'The language model\'s server does not accept the request for the model "tiny".', 1),
        (
            400,
            {"error": {"message": "This model's maximum context length is 8 tokens"}},
            BackendRejected,
            'The conversation is too long for the model "tiny".',
            1,
        ),
        (429, {}, BackendBusy, "The language model has no room at the moment.", 3),
        (503, {}, BackendBusy, "The language model has no room at the moment.", 3),
        (504, {}, BackendTimeout, "The language model did not answer in time.", 3),
        (502, {}, BackendUnavailable, "The language model cannot be reached.", 3),
        (500, {"error": {"message": "secret"}}, BackendError, "The language model failed.", 3),
        (500, None, BackendError, "The language model failed.", 3),
    ],
)
async def test_lasting_failures(
    status: int, body: Any, expected: type[BackendError], sentence: str, requests: int
) -> None:
    async def handle(exchange: Exchange) -> web.Response:
        if body is None:
            return web.Response(status=status, text="<html>\xff not JSON")
        return web.json_response(body, status=status)

    async with connected(handle) as (llm, server):
        with pytest.raises(BackendError) as raised:
            await answer(llm)
    assert type(raised.value) is expected
    assert str(raised.value) == sentence
    assert raised.value.kind == "llm"
    assert str(status) in raised.value.detail
    assert len(server.requests) == requests


async def test_a_wait_longer_than_the_deadline_is_not_begun() -> None:
    async def handle(exchange: Exchange) -> web.Response:
        return web.json_response({}, status=429, headers={"Retry-After": "60"})

    async with connected(handle) as (llm, server):
        with pytest.raises(BackendBusy):
            await answer(llm)
    assert len(server.requests) == 1


async def test_a_connection_that_breaks_before_the_first_token_is_retried() -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.number == 1:
            exchange.reset()
        elif exchange.number == 2:
            await exchange.send(event(role="assistant"))
            exchange.reset()
        await hello(exchange)

    async with connected(handle) as (llm, server):
        assert len(await answer(llm)) == 3
    assert len(server.requests) == 3


@pytest.mark.parametrize("polite", [False, True], ids=["reset", "closed in good order"])
async def test_a_connection_that_breaks_after_the_first_token_is_not_retried(polite: bool) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("a"))
        if not polite:
            exchange.reset()

    async with connected(handle) as (llm, server), llm.stream(REQUEST) as deltas:
        assert await anext(deltas) == LlmDelta("a")
        with pytest.raises(BackendUnavailable):
            await anext(deltas)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "boom", "code": 503}, BackendBusy),
        ({"message": "boom", "type": "server_error", "code": "oops"}, BackendError),
        ("boom", BackendError),
    ],
)
async def test_an_error_inside_the_stream(error: Any, expected: type[BackendError]) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("a"), b"data: " + json.dumps({"error": error}).encode() + b"\n\n")

    async with connected(handle) as (llm, _):
        with pytest.raises(BackendError) as raised:
            await answer(llm)
    assert type(raised.value) is expected
    assert "boom" in raised.value.detail
    assert "boom" not in str(raised.value)


async def test_what_came_before_an_error_in_the_same_packet_is_not_lost() -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("a") + event("b") + b"data: {not json}\n\n")

    async with connected(handle) as (llm, _), llm.stream(REQUEST) as deltas:
        assert [await anext(deltas), await anext(deltas)] == [LlmDelta("a"), LlmDelta("b")]
        with pytest.raises(BackendError, match="makes no sense"):
            await anext(deltas)


@pytest.mark.parametrize(
    "part",
    [
        b"data: {not json}\n\n",
        b"data: \xff\xfe\n\n",
        b"data: []\n\n",
        b"data: 7\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [7]}\n\n',
        b'data: {"choices": [{"delta": "x"}]}\n\n',
        b'data: {"choices": [{"delta": {"content": {"a": 1}}}]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"x" * 2_000_000,
    ],
)
async def test_garbage_is_one_kind_of_error(part: bytes) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.send(event("a"), part)

    async with connected(handle) as (llm, _):
        with pytest.raises(BackendError, match="What the language model sent makes no sense"):
            await answer(llm)


@pytest.mark.parametrize("content_type", ["application/json", "text/html; charset=utf-8"])
async def test_a_server_that_does_not_stream(content_type: str) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.begin(content_type)

    async with connected(handle) as (llm, server):
        with pytest.raises(BackendError, match="makes no sense"):
            await answer(llm)
    assert len(server.requests) == 1


async def test_no_server() -> None:
    llm = OpenAiLlm(LlmEndpoint("http://127.0.0.1:1/v1", backoff_ms=1))
    with pytest.raises(BackendUnavailable) as raised:
        await answer(llm)
    await llm.close()
    assert "127.0.0.1" not in str(raised.value)


async def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        llm = OpenAiLlm(LlmEndpoint(f"http://127.0.0.1:{server.getsockname()[1]}/v1"))
        with pytest.raises(BackendTimeout):
            await answer(llm, replace(REQUEST, first_token_timeout_ms=50))
        await llm.close()


async def test_models() -> None:
    async with connected(hello) as (llm, server):
        assert await llm.models() == ["tiny"]
        server.models = 401
        with pytest.raises(BackendRejected, match="refuses the configured key"):
            await llm.models()
        server.models = "nonsense"
        with pytest.raises(BackendError):
            await llm.models()
