"""A language model behind the OpenAI-compatible API: NIM, vLLM, llama.cpp, Ollama, NVIDIA's hosted endpoint.

The SDK makes the request, the authentication and the errors. Two of its defaults are replaced, both measured at 20
streams with one token to a packet, on one core of a shared machine: its parsed stream over httpx costs 112 us of CPU a
token, reading the bytes of its streaming response over its aiohttp transport and parsing the lines here costs 25 us.
Retries are made here as well, because the SDK's stop at the response's headers and wait up to two minutes.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import openai

from voice_gateway.adapters.openai_errors import FAILURES, Failure, StreamedError, failure_of, garbled, unfinished
from voice_gateway.adapters.openai_events import EventReader
from voice_gateway.application.ports import LlmDelta, LlmRequest
from voice_gateway.domain.errors import BackendError, BackendTimeout

CLOSE_TIMEOUT_S = 1.0
"""Closing a connection waits for nothing outside; this only guards against a surprise."""

DRAIN_TIMEOUT_S = 0.05
"""After "[DONE]" the body ends within a packet. Waiting for it keeps the connection; a server that dawdles loses it."""


@dataclass(frozen=True, slots=True)
class LlmEndpoint:
    """Where the language model is."""

    base_url: str
    """Ends in "/v1" with most servers."""
    api_key: str = field(default="", repr=False)
    """Empty for local servers: no key is sent then."""
    connect_timeout_ms: int = 3_000
    max_connections: int = 512
    """Each answer in progress holds one. Above the calls of a process, so that none waits for another's."""
    idle_connection_ms: int = 60_000
    """Callers pause for longer than the HTTP client's default of 5 s between turns."""
    attempts: int = 3
    """Requests for one answer, the first included. All share the deadline of the first token."""
    backoff_ms: int = 150
    """Pause before the second attempt; doubles. Short, since the caller is waiting for the answer."""


class OpenAiLlm:
    """Streams answers of one endpoint. Belongs to the event loop that it is first used on."""

    def __init__(self, endpoint: LlmEndpoint) -> None:
        self.endpoint = endpoint
        self._client = _client(endpoint)
        # What the SDK would take from the environment is left out, and so is the key's place where there is no key.
        omitted = ["OpenAI-Organization", "OpenAI-Project", *([] if endpoint.api_key else ["Authorization"])]
        self._headers: dict[str, Any] = {name: openai.Omit() for name in omitted}

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def models(self) -> list[str]:
        """Names of the models that the server offers. Raises `BackendError`."""
        try:
            page = await self._client.models.list(extra_headers=self._headers)
            return [model.id for model in page.data]
        except FAILURES as error:
            raise failure_of(error, model="").error from error
        except (AttributeError, TypeError, ValueError) as error:
            raise garbled(repr(error)) from error

    @asynccontextmanager
    async def stream(self, request: LlmRequest) -> AsyncIterator[AsyncIterator[LlmDelta]]:
        """Start an answer and wait for its first piece. Raises `BackendError`, also from the iteration."""
        answer = await self._begin(request)
        try:
            yield answer
        finally:
            await answer.close()

    async def _begin(self, request: LlmRequest) -> "_Answer":
        """The answer, once its first piece is there; retried until then where that can help."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.first_token_timeout_ms / 1000
        attempt = 1
        while True:
            answer = _Answer(request)
            try:
                async with asyncio.timeout_at(deadline):
                    await answer.begin(self._send(request))
                return answer
            except TimeoutError:
                await answer.close()
                raise BackendTimeout("llm", "The language model did not start to answer in time.") from None
            except _Retryable as error:
                await answer.close()
                pause_s = self._pause_s(error.failure, attempt)
                if attempt >= self.endpoint.attempts or loop.time() + pause_s >= deadline:
                    raise error.failure.error from error.__cause__
                attempt += 1
            except BaseException:
                await answer.close()
                raise
            await asyncio.sleep(pause_s)

    def _pause_s(self, failure: Failure, attempt: int) -> float:
        if failure.retry_after_s is not None:
            return failure.retry_after_s
        # Spread, so that calls that failed together do not come back together.
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - nothing secret depends on it
        return self.endpoint.backoff_ms / 1000 * float(1 << (attempt - 1)) * spread

    async def _send(self, request: LlmRequest) -> httpx2.Response:
        """The response, its body still to be read.

        The SDK's general method instead of `chat.completions.create`, whose conversion of arguments changes nothing
        here and costs 1.1 ms of CPU, more than the rest of the request with 0.9 ms.
        """
        headers = dict(self._headers)
        if request.call_id:
            headers["X-Request-Id"] = request.call_id
        headers.update(request.span.headers)
        request.span.note(address=self.endpoint.base_url)
        request.span.count(attempts=1)
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": said.role.value, "content": said.sent_text} for said in request.messages],
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "stream": True,
        }
        if request.span.recorded:
            # Costs one more event, and is not asked for where nobody reads it.
            body["stream_options"] = {"include_usage": True}
        response: Any = await self._client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            body=body,
            options={"headers": headers},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast(httpx2.Response, response)


def _client(endpoint: LlmEndpoint) -> openai.AsyncOpenAI:
    transport = openai.DefaultAioHttpClient(
        limits=httpx2.Limits(
            max_connections=endpoint.max_connections,
            max_keepalive_connections=endpoint.max_connections,
            keepalive_expiry=endpoint.idle_connection_ms / 1000,
        ),
        # Waiting for tokens has deadlines of its own here; only connecting has the client's.
        timeout=httpx2.Timeout(None, connect=endpoint.connect_timeout_ms / 1000),
    )
    return openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        # Never empty: the SDK would look for a key in the environment.
        api_key=endpoint.api_key or "-",
        max_retries=0,
        timeout=httpx2.Timeout(None, connect=endpoint.connect_timeout_ms / 1000),
        http_client=transport,
        # A compressed stream comes in lumps.
        default_headers={"Accept-Encoding": "identity"},
    )


class _Retryable(Exception):
    """An attempt failed before the first piece in a way that another one may not."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.error))
        self.failure = failure


class _Answer:
    """One response as it streams in."""

    def __init__(self, request: LlmRequest) -> None:
        self._model = request.model
        self._span = request.span
        self._token_timeout_s = request.token_timeout_ms / 1000
        self._events = EventReader(model=request.model)
        self._ready: deque[LlmDelta] = deque()
        self._response: httpx2.Response | None = None
        self._body: AsyncIterator[bytes] | None = None
        self._failure: BackendError | StreamedError | None = None

    async def begin(self, sending: Awaitable[httpx2.Response]) -> None:
        """Send the request and wait for the first piece. Raises `_Retryable` or `BackendError`."""
        try:
            self._response = await sending
            self._events.check(self._response.headers.get("content-type", ""))
            self._body = self._response.aiter_bytes()
            await self._fill()
        except FAILURES as error:
            failure = failure_of(error, model=self._model)
            if failure.may_retry:
                raise _Retryable(failure) from error
            raise failure.error from error

    def __aiter__(self) -> AsyncIterator[LlmDelta]:
        return self

    async def __anext__(self) -> LlmDelta:
        if not self._ready:
            await self._next()
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def _next(self) -> None:
        try:
            async with asyncio.timeout(self._token_timeout_s):
                await self._fill()
        except TimeoutError:
            if not self._events.finished:
                raise BackendTimeout("llm", "The language model did not go on in time.") from None
        except FAILURES as error:
            raise failure_of(error, model=self._model).error from error

    async def _fill(self) -> None:
        """Read until there is a piece, or the answer has ended."""
        if self._failure is not None:
            raise self._failure
        while not self._ready and not self._events.done:
            chunk = await self._read()
            try:
                self._events.feed(chunk, self._ready) if chunk else self._events.end(self._ready)
            except (BackendError, StreamedError) as error:
                if not self._ready:
                    raise
                # What came before it in the same packet is still part of the answer.
                self._failure = error
            if not chunk and not self._events.finished and not self._ready:
                raise unfinished()

    async def _read(self) -> bytes:
        """The next bytes of the response, empty at its end."""
        assert self._body is not None
        return await anext(self._body, b"")

    async def close(self) -> None:
        """Close the request. A connection whose response was read to its end is kept for the next answer."""
        self._span.note(**self._events.facts)
        response, self._response = self._response, None
        if response is None:
            return
        try:
            if self._events.done:
                with suppress(TimeoutError, *FAILURES):
                    async with asyncio.timeout(DRAIN_TIMEOUT_S):
                        while await self._read():
                            pass
        finally:
            with suppress(TimeoutError, *FAILURES):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await response.aclose()
