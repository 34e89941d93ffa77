"""The fake LLM with the official OpenAI client, and byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from voice_fakes import FakeLlm, Script
from voice_fakes.replies import DEFAULT_REPLIES, REPLY_NO_BREAK, reply_tokens
from voice_fakes.script import build_script

pytestmark = pytest.mark.edge

MESSAGES: Any = [{"role": "user", "content": "hello"}]


def script(**llm: Any) -> Script:
    return build_script(
        {
            "llm": {
                "first_token_ms": 20,
                "token_interval_ms": 2,
                "replies": ["One two. Three.", ["four", " five"]],
                **llm,
            }
        }
    )


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    async with FakeLlm(script()) as running:
        yield running


@pytest.fixture
async def client(llm: FakeLlm) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=llm.base_url, api_key="none", max_retries=0, timeout=5) as openai_client:
        yield openai_client


async def streamed(client: AsyncOpenAI, **more: Any) -> list[Any]:
    stream = await client.chat.completions.create(model="any", messages=MESSAGES, stream=True, **more)
    return [chunk async for chunk in stream]


def tokens(chunks: list[Any]) -> list[str]:
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]


async def test_tokens_come_one_to_a_chunk_in_time(llm: FakeLlm, client: AsyncOpenAI) -> None:
    chunks = await streamed(client, stream_options={"include_usage": True})
    assert tokens(chunks) == ["One", " two", ".", " Three", "."]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == 5
    assert tokens(await streamed(client)) == ["four", " five"]
    (request, *_), sent = llm.log.events("llm", "request"), llm.log.events("llm", "token", 0)
    assert [event.fields["index"] for event in sent] == [0, 1, 2, 3, 4]
    for index, event in enumerate(sent):
        assert event.t_ms - request.t_ms >= 20 + 2 * index  # never early; how late is for a benchmark to say
    assert request.fields["messages"] == 1
    assert request.fields["last_message"] == "hello"
    assert len(await llm.log.wait_for("llm", "finished", count=2)) == 2


async def test_one_connection_serves_many_requests(llm: FakeLlm) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        ports = set()
        for _ in range(3):
            async with session.post(
                f"{llm.base_url}/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": True}
            ) as response:
                assert response.connection is not None
                assert response.connection.transport is not None
                ports.add(response.connection.transport.get_extra_info("sockname"))
                assert (await response.text()).endswith("data: [DONE]\n\n")
        assert len(ports) == 1


async def test_an_old_client_gets_the_stream_without_chunks(llm: FakeLlm) -> None:
    async with (
        aiohttp.ClientSession(version=aiohttp.HttpVersion10) as session,
        session.post(
            f"{llm.base_url}/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": True}
        ) as response,
    ):
        assert (await response.text()).count("data: ") == 8


async def test_whole_answers_and_max_tokens(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="any", messages=MESSAGES)
    assert whole.choices[0].message.content == "One two. Three."
    cut = await streamed(client, max_tokens=1)
    assert tokens(cut) == ["four"]
    assert cut[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, openai.InternalServerError), (429, openai.RateLimitError), (401, openai.AuthenticationError)],
)
async def test_http_errors(llm: FakeLlm, client: AsyncOpenAI, status: int, error: type[openai.APIStatusError]) -> None:
    llm.use(script(faults=[{"kind": "http_error", "status": status, "retry_after_s": 1.5, "times": 1}]))
    with pytest.raises(error) as caught:
        await streamed(client)
    assert caught.value.response.headers["Retry-After"] == "1.5"
    assert tokens(await streamed(client))


@pytest.mark.parametrize("after_tokens", [0, 2])
async def test_a_stall_ends_when_the_caller_goes(llm: FakeLlm, client: AsyncOpenAI, after_tokens: int) -> None:
    llm.use(script(faults=[{"kind": "stall", "after_tokens": after_tokens}]))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(streamed(client), 0.15)
    (closed,) = await llm.log.wait_for("llm", "client_closed")
    assert closed.fields == {"tokens": after_tokens}


async def test_a_caller_who_hangs_up_is_seen_in_the_middle(llm: FakeLlm, client: AsyncOpenAI) -> None:
    llm.use(script(token_interval_ms=3_600_000))
    stream = await client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()
    (closed,) = await llm.log.wait_for("llm", "client_closed")
    assert closed.fields == {"tokens": 1}
    assert not llm.log.events("llm", "finished")


@pytest.mark.parametrize("after_tokens", [0, 2])
async def test_a_reset_breaks_the_stream(llm: FakeLlm, client: AsyncOpenAI, after_tokens: int) -> None:
    llm.use(script(faults=[{"kind": "reset", "after_tokens": after_tokens}]))
    async with aiohttp.ClientSession() as session:
        with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
            async with session.post(
                f"{llm.base_url}/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": True}
            ) as response:
                await response.read()
    with pytest.raises(Exception, match=r"."):  # which error the client makes of it is its own affair
        await streamed(client)
    assert [event.fields["tokens"] for event in llm.log.events("llm", "fault")] == [after_tokens] * 2


async def test_garbage_in_the_stream(llm: FakeLlm, client: AsyncOpenAI) -> None:
    llm.use(script(faults=[{"kind": "garbage", "after_tokens": 1}]))
    with pytest.raises(ValueError, match=r"."):
        await streamed(client)


async def test_slow_headers_delay_the_tokens(llm: FakeLlm, client: AsyncOpenAI) -> None:
    llm.use(script(faults=[{"kind": "slow_headers", "headers_ms": 60}]))
    assert tokens(await streamed(client))
    request, first = llm.log.events("llm", "request")[0], llm.log.events("llm", "token")[0]
    assert first.t_ms - request.t_ms >= 60


async def test_models_health_and_unknown_models(llm: FakeLlm, client: AsyncOpenAI) -> None:
    assert [model.id for model in (await client.models.list()).data] == ["meta/llama-3.1-8b-instruct"]
    async with aiohttp.ClientSession() as session, session.get(f"{llm.base_url}/health/ready") as response:
        assert response.status == 200
    llm.use(script(refuses_unknown_model=True))
    with pytest.raises(openai.NotFoundError):
        await streamed(client)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"model": "m"}', b'{"model": "m", "messages": []}', b'{"model": "m", "messages": [7]}']
)
async def test_bad_bodies(llm: FakeLlm, body: bytes) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{llm.base_url}/chat/completions", data=body) as response,
    ):
        assert response.status == 400


def test_default_replies_have_the_shape_that_benchmarks_count_on() -> None:
    for reply in DEFAULT_REPLIES:
        cut = reply_tokens(reply)
        assert "".join(cut) == reply
        assert cut.count(".") == 6
        breaks = [index for index, token in enumerate(cut, start=1) if token[-1] in ".,;:!?"]
        assert breaks[0] == (33 if reply == REPLY_NO_BREAK else 20)


async def test_many_streams_at_once_lose_no_token(llm: FakeLlm) -> None:
    llm.use(script(replies=[[f" {index}" for index in range(50)]], token_interval_ms=1))

    async def one(session: aiohttp.ClientSession) -> int:
        async with session.post(
            f"{llm.base_url}/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": True}
        ) as response:
            return (await response.text()).count('"content": " ')

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        counts = [group.create_task(one(session)) for _ in range(50)]
    assert [count.result() for count in counts] == [50] * 50
