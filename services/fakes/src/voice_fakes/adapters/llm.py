"""An OpenAI-compatible chat server by script: tokens at exact times, and everything that can go wrong on the way."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Sequence
from itertools import count, cycle
from typing import Any

from aiohttp import web

from voice_fakes.adapters.timing import delay_s, sleep_until
from voice_fakes.log import EventLog, now_ms
from voice_fakes.replies import reply_tokens
from voice_fakes.script import (
    LlmFault,
    LlmGarbage,
    LlmHttpError,
    LlmReset,
    LlmScript,
    LlmSlowHeaders,
    LlmStall,
    fault_for,
)

SOURCE = "llm"
MAX_BODY_BYTES = 8 * 1024 * 1024
GARBAGE_EVENT = b'data: {"id": "chatcmpl-\xff\xfe", "choices": [{"delta": {"content": \n\n'
_NAMES = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}


class FakeChat:
    def __init__(self, script: LlmScript, log: EventLog) -> None:
        self._log = log
        self._ids = count()
        self.use(script)

    def use(self, script: LlmScript) -> None:
        """Takes effect for requests that arrive from now on. Replies and the numbering of faults start again."""
        self._script = script
        self._replies = cycle([(index, reply_tokens(reply)) for index, reply in enumerate(script.replies)])
        self._numbers = count()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.get("/v1/models", self._models),
                web.get("/v1/health/{probe:ready|live}", self._health),
            ]
        )
        return app

    async def _models(self, _request: web.Request) -> web.Response:
        cards = [
            {"id": model, "object": "model", "created": 0, "owned_by": "voice-fakes"} for model in self._script.models
        ]
        return web.json_response({"object": "list", "data": cards})

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "health.response", "message": f"Service is {request.match_info['probe']}."})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        arrived_ms, script = now_ms(), self._script
        request_id, fault = next(self._ids), fault_for(script.faults, next(self._numbers))
        try:
            body = json.loads(await request.read())
            messages, model, streamed = body["messages"], str(body["model"]), body.get("stream") is True
            include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
            max_tokens = body.get("max_completion_tokens") or body.get("max_tokens")
            last = messages[-1]["content"]
            said = tuple((str(item["role"]), str(item["content"])) for item in messages) if script.log_messages else ()
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            self._log.add(SOURCE, "failed", request_id, status=400)
            return _error(400, "The body is no chat request.")
        reply, tokens = next(self._replies)
        self._log.add(
            SOURCE, "request", request_id, t_ms=arrived_ms, messages=len(messages), last_message=last, model=model,
            stream=streamed, reply=reply, max_tokens=max_tokens, authorized="Authorization" in request.headers,
            call_id=request.headers.get("X-Request-Id", ""), conversation=said,
        )  # fmt: skip
        if isinstance(fault, LlmHttpError):
            self._log.add(SOURCE, "failed", request_id, status=fault.status)
            return _error(fault.status, fault.message, retry_after_s=fault.retry_after_s)
        if script.refuses_unknown_model and model not in script.models:
            self._log.add(SOURCE, "failed", request_id, status=404)
            return _error(404, f"The model `{model}` does not exist.")
        cut = max_tokens is not None and max_tokens < len(tokens)
        answer = _Answer(request_id, script, fault, tokens[:max_tokens], arrived_ms, cut=cut, model=model)
        stream = _Stream(answer, self._log)
        try:
            if streamed:
                return await stream.run(request, include_usage=include_usage, prompt=len(messages))
            return await self._whole(answer, prompt=len(messages))
        except asyncio.CancelledError:
            self._log.add(SOURCE, "client_closed", request_id, tokens=stream.sent)
            raise
        except ConnectionResetError:
            # The caller hung up a moment before the handler would have been cancelled for it. Nobody reads this answer.
            self._log.add(SOURCE, "client_closed", request_id, tokens=stream.sent)
            return web.Response(status=499)

    async def _whole(self, answer: "_Answer", *, prompt: int) -> web.Response:
        if isinstance(answer.fault, LlmStall):
            await asyncio.Event().wait()  # until the caller goes away: that is the fault
        await sleep_until(answer.due_ms(max(0, len(answer.tokens) - 1)))
        message = {"role": "assistant", "content": "".join(answer.tokens)}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}
        self._log.add(SOURCE, "finished", answer.request_id, tokens=len(answer.tokens))
        return web.json_response({**answer.head("chat.completion"), "choices": [choice], "usage": answer.usage(prompt)})


class _Answer:
    """The tokens of one request and their moments."""

    def __init__(
        self,
        request_id: int,
        script: LlmScript,
        fault: LlmFault | None,
        tokens: Sequence[str],
        arrived_ms: float,
        *,
        cut: bool,
        model: str,
    ) -> None:
        self.request_id = request_id
        self.script = script
        self.fault = fault
        self.tokens = tokens
        self.model = model
        self.finish_reason = "length" if cut else "stop"
        self.headers_ms = arrived_ms + (fault.headers_ms if isinstance(fault, LlmSlowHeaders) else 0.0)
        self._first_ms = max(arrived_ms + script.first_token_ms, self.headers_ms)

    def due_ms(self, index: int) -> float:
        return self._first_ms + index * self.script.token_interval_ms

    def head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-fake-{self.request_id}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model,
        }

    def usage(self, prompt: int) -> dict[str, int]:
        return {
            "prompt_tokens": prompt,
            "completion_tokens": len(self.tokens),
            "total_tokens": prompt + len(self.tokens),
        }

    def frames(self) -> list[bytes]:
        """The server-sent event of each token, made before the first is due; the role comes with the first."""
        mark = "\x00content\x00"
        choice = {"index": 0, "delta": {"content": mark}, "finish_reason": None, "logprobs": None}
        before, after = json.dumps({**self.head("chat.completion.chunk"), "choices": [choice]}).split(json.dumps(mark))
        frames = [f"data: {before}{json.dumps(token)}{after}\n\n".encode() for token in self.tokens]
        if frames:
            frames[0] = self.event({"role": "assistant", "content": ""}, None) + frames[0]
        return frames

    def event(self, delta: dict[str, str], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return b"data: " + json.dumps({**self.head("chat.completion.chunk"), "choices": [choice]}).encode() + b"\n\n"


class _Stream:
    """Writes the events of one answer from timer callbacks straight to the transport: no task wakes for a token."""

    def __init__(self, answer: _Answer, log: EventLog) -> None:
        self._answer = answer
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._chunked = True
        self._frames: list[bytes] = []
        self._end = 0
        self.sent = 0

    async def run(self, request: web.Request, *, include_usage: bool, prompt: int) -> web.StreamResponse:
        answer, fault = self._answer, self._answer.fault
        self._frames = answer.frames()
        await sleep_until(answer.headers_ms)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        )
        self._chunked = request.version >= (1, 1)
        if not self._chunked:
            response.force_close()  # the end of the connection is the end of the answer
        await response.prepare(request)
        self._transport = request.transport
        if self._transport is None:
            raise ConnectionResetError
        self._end = len(self._frames)
        if isinstance(fault, LlmStall | LlmReset | LlmGarbage):
            self._end = min(self._end, fault.after_tokens)
        try:
            self._next()
            await self._done
        finally:
            if self._timer is not None:
                self._timer.cancel()
        if isinstance(fault, LlmStall | LlmReset | LlmGarbage):
            self._log.add(SOURCE, "fault", answer.request_id, kind=fault.kind, tokens=self.sent)
            return await self._break(response, fault)
        last = answer.event({}, answer.finish_reason)
        if include_usage:
            chunk = {**answer.head("chat.completion.chunk"), "choices": [], "usage": answer.usage(prompt)}
            last += b"data: " + json.dumps(chunk).encode() + b"\n\n"
        await response.write(last + b"data: [DONE]\n\n")
        await response.write_eof()
        self._log.add(SOURCE, "finished", answer.request_id, tokens=self.sent)
        return response

    async def _break(self, response: web.StreamResponse, fault: LlmStall | LlmReset | LlmGarbage) -> web.StreamResponse:
        match fault:
            case LlmStall():
                await asyncio.Event().wait()  # until the caller goes away: that is the fault
            case LlmReset():
                self._reset()
            case LlmGarbage():
                await response.write(GARBAGE_EVENT)
                await response.write_eof()
        return response

    def _reset(self) -> None:
        assert self._transport is not None
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            # Lingering for zero seconds makes the kernel send a reset in place of an orderly end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _next(self) -> None:
        """Writes every token that is due, and comes back for the next one."""
        while self.sent < self._end and now_ms() >= self._answer.due_ms(self.sent):
            assert self._transport is not None
            if self._transport.is_closing():
                return  # the handler is being cancelled
            frame = self._frames[self.sent]
            self._transport.write(b"%x\r\n%b\r\n" % (len(frame), frame) if self._chunked else frame)
            if self._answer.script.log_tokens or self.sent in {0, self._end - 1}:
                self._log.add(SOURCE, "token", self._answer.request_id, index=self.sent)
            self.sent += 1
        if self.sent < self._end:
            self._timer = self._loop.call_later(delay_s(self._answer.due_ms(self.sent)), self._next)
        elif not self._done.done():
            self._done.set_result(None)


def _error(status: int, message: str, *, retry_after_s: float | None = None) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    error = {"message": message, "type": _NAMES.get(status, "InternalServerError"), "param": None, "code": status}
    return web.json_response({"error": error}, status=status, headers=headers)
