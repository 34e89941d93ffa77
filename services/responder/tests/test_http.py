"""The official OpenAI client against the running server, over real HTTP."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from offline_responder.server import Running, serving
from offline_responder.settings import ResponderSettings

pytestmark = pytest.mark.edge


def settings(**changes: Any) -> ResponderSettings:
    return ResponderSettings(
        **{"listen_address": "127.0.0.1:0", "first_token_ms": 0, "token_interval_ms": 0, **changes}
    )


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with serving(settings()) as running:
        yield running


@pytest.fixture
async def client(server: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0, timeout=10) as openai_client:
        yield openai_client


@pytest.fixture
async def http(server: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=f"http://{server.host}:{server.port}") as session:
        yield session


OK_BODY = b'{"model": "offline-rules", "messages": [{"role": "user", "content": "x"}], '


def user(text: str) -> Any:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


async def test_stream_gives_role_tokens_and_finish_reason(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="offline-rules", messages=user("what is seven times six"), stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Seven times six is forty two."
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_stream_with_usage_ends_in_a_chunk_without_choices(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="offline-rules", messages=user("hello"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == sum(bool(c.choices and c.choices[0].delta.content) for c in chunks)


async def test_stream_on_the_wire_ends_with_done(http: aiohttp.ClientSession) -> None:
    body = {"model": "offline-rules", "messages": user("hello"), "stream": True}
    async with http.post("/v1/chat/completions", json=body) as response:
        assert response.content_type == "text/event-stream"
        events = (await response.text()).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])
    assert json.loads(events[0][6:])["object"] == "chat.completion.chunk"


async def test_whole_answer_with_usage(client: AsyncOpenAI) -> None:
    done = await client.chat.completions.create(model="offline-rules", messages=user("half of nine"))
    assert done.choices[0].message.content == "Half of nine is four point five."
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens


async def test_max_tokens_and_stop_end_the_answer(client: AsyncOpenAI) -> None:
    cut = await client.chat.completions.create(
        model="offline-rules", messages=user("tell me a long story"), max_tokens=5
    )
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage is not None
    assert cut.usage.completion_tokens == 5
    stopped = await client.chat.completions.create(
        model="offline-rules", messages=user("count to nine"), stop=[" four", "nine"]
    )
    assert stopped.choices[0].message.content == "One, two, three,"
    assert stopped.choices[0].finish_reason == "stop"


async def test_content_in_parts(client: AsyncOpenAI) -> None:
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "two plus"}, {"type": "text", "text": "two"}]}
    ]
    done = await client.chat.completions.create(model="offline-rules", messages=messages)
    assert done.choices[0].message.content == "Two plus two is four."


async def test_an_alias_answers_under_the_honest_name(client: AsyncOpenAI) -> None:
    done = await client.chat.completions.create(
        model="meta/llama-3.1-8b-instruct", messages=user("are you a language model")
    )
    assert done.model == "offline-rules"
    assert "not a language model" in (done.choices[0].message.content or "")
    listed = {model.id: model for model in (await client.models.list()).data}
    assert list(listed) == ["offline-rules", "meta/llama-3.1-8b-instruct"]
    assert (await client.models.retrieve("meta/llama-3.1-8b-instruct")).model_extra == {
        "root": "offline-rules",
        "parent": None,
    }


async def test_unknown_model_is_not_found(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="gpt-nothing", messages=user("hello"))
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "gpt-nothing" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "param", "part"),
    [
        (b"{", None, "not valid JSON"),
        (b"[]", None, "JSON object"),
        (b"\xff\xfe", None, "not valid JSON"),
        (b"[" * 100_000, None, "not valid JSON"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model", "required"),
        (b'{"model": "offline-rules"}', "messages", "required"),
        (b'{"model": "offline-rules", "messages": []}', "messages", "at least 1"),
        (b'{"model": "offline-rules", "messages": "hello"}', "messages", "list"),
        (b'{"model": 7, "messages": [{"role": "user", "content": "x"}]}', "model", "string"),
        (
            b'{"model": "offline-rules", "messages": [{"role": "boss", "content": "x"}]}',
            "messages[0].role",
            "assistant",
        ),
        (b'{"model": "offline-rules", "messages": [{"role": "user", "content": 5}]}', "messages[0].content", "5"),
        (OK_BODY + b'"max_tokens": 0}', "max_tokens", "greater"),
        (OK_BODY + b'"max_tokens": "9"}', "max_tokens", "integer"),
        (OK_BODY + b'"n": 2}', "n", "2"),
        (OK_BODY + b'"stream_options": {}}', "stream_options", "stream"),
        (OK_BODY + b'"temperature": 9}', "temperature", "9"),
    ],
)
async def test_bad_requests_are_refused_in_openai_shape(
    http: aiohttp.ClientSession, body: bytes, param: str | None, part: str
) -> None:
    async with http.post("/v1/chat/completions", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400
        error = (await response.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert part in error["message"]


async def test_wrong_paths_methods_and_sizes(http: aiohttp.ClientSession) -> None:
    for method, path, status, body in (
        ("GET", "/v1/nothing", 404, b""),
        ("GET", "/v1/chat/completions", 405, b""),
        ("POST", "/v1/chat/completions", 413, b" " * (3 * 1024 * 1024)),
        ("GET", "/v1/models/gpt-nothing", 404, b""),
    ):
        async with http.request(method, path, data=io.BytesIO(body)) as response:
            assert response.status == status
            assert "message" in (await response.json())["error"]


async def test_health(http: aiohttp.ClientSession) -> None:
    for path in ("/v1/health/ready", "/v1/health/live"):
        async with http.get(path) as response:
            assert response.status == 200
            assert (await response.json())["object"] == "health.response"


async def test_a_caller_who_hangs_up_ends_the_answer() -> None:
    """With the whole story taking minutes, the server can only leave soon when the answer has ended."""
    async with asyncio.timeout(10):
        slow = settings(token_interval_ms=50_000, shutdown_grace_s=60)
        async with serving(slow) as running, AsyncOpenAI(base_url=running.base_url, api_key="none") as client:
            stream = await client.chat.completions.create(
                model="offline-rules", messages=user("long story"), stream=True
            )
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            await stream.close()


async def test_answers_in_parallel(client: AsyncOpenAI) -> None:
    async with asyncio.TaskGroup() as tasks:
        answers = [
            tasks.create_task(client.chat.completions.create(model="offline-rules", messages=user(f"{number} plus 1")))
            for number in range(20)
        ]
    texts = [answer.result().choices[0].message.content for answer in answers]
    assert texts[4] == "Four plus one is five."
    assert len(set(texts)) == 20
