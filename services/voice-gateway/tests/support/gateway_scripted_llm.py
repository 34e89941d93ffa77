"""An OpenAI-compatible server whose behaviour each test writes itself, on a real port."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

DONE = b"data: [DONE]\n\n"


def event(text: str | None = None, reason: str | None = None, **delta: Any) -> bytes:
    """One streamed chunk as a server-sent event."""
    choice = {"index": 0, "delta": {**delta, **({} if text is None else {"content": text})}, "finish_reason": reason}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


@dataclass
class Exchange:
    """One request being answered."""

    request: web.Request
    body: dict[str, Any]
    number: int
    """1 for the first request of the test."""
    _stream: web.StreamResponse | None = None

    async def begin(self, content_type: str = "text/event-stream") -> None:
        """Send the headers of a stream."""
        self._stream = web.StreamResponse(headers={"Content-Type": content_type})
        await self._stream.prepare(self.request)

    async def send(self, *parts: bytes) -> None:
        """Send bytes, each part in a packet of its own."""
        if self._stream is None:
            await self.begin()
        assert self._stream is not None
        for part in parts:
            await self._stream.write(part)
            await asyncio.sleep(0)

    def reset(self) -> None:
        """Break the connection."""
        assert self.request.transport is not None
        self.request.transport.abort()

    @property
    def response(self) -> web.StreamResponse | None:
        """The stream, where there is one."""
        return self._stream


Handler = Callable[[Exchange], Awaitable[web.StreamResponse | None]]


@dataclass
class ScriptedLlm:
    """Runs `handle` for each chat request; what it returns, or its stream, is the response."""

    handle: Handler
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    models: Any = field(default_factory=lambda: {"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        body = await request.json()
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.connections.add(id(request.transport))
        self.arrived.set()
        exchange = Exchange(request, body, len(self.requests))
        try:
            response = await self.handle(exchange)
        except asyncio.CancelledError:
            self.disconnected.set()
            raise
        finished = response or exchange.response
        assert finished is not None
        return finished

    async def list_models(self, request: web.Request) -> web.Response:
        """GET /v1/models."""
        if isinstance(self.models, int):
            return web.json_response({"error": {"message": "secret"}}, status=self.models)
        return web.json_response(self.models)


@asynccontextmanager
async def serving(llm: ScriptedLlm) -> AsyncIterator[str]:
    """Serve on a free loopback port; yields the base URL."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", llm.chat)
    app.router.add_get("/v1/models", llm.list_models)
    # A handler whose client has gone is cancelled: that is how tests see a disconnect.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()
