"""The routes: chat completions, models, health. Shapes follow OpenAI's API reference; health follows NIM's."""

import itertools
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from offline_responder.adapters.chat_request import ChatRequest, RequestError, parse_chat_request
from offline_responder.adapters.clock import SystemClock
from offline_responder.application.completion import Pace, paced
from offline_responder.domain.about import MODEL_ID
from offline_responder.domain.dialogue import reply
from offline_responder.domain.tokens import Answer, end_answer, split_tokens

MAX_BODY_BYTES = 2 * 1024 * 1024  # about 400,000 words of history, far above what a gateway sends
OWNER = "voice-workflow"
FINGERPRINT = "rules-not-a-language-model"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Json = dict[str, Any]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ChatOptions:
    aliases: tuple[str, ...]
    pace: Pace


class ChatApi:
    """`ready` False makes the readiness route answer 503, so that no new call is sent here while it shuts down."""

    def __init__(self, options: ChatOptions, clock: SystemClock) -> None:
        self._options = options
        self._clock = clock
        self._numbers = itertools.count(1)
        self._started_s = int(time.time())
        self.ready = True

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors_as_json])
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.get("/v1/models", self._models),
                web.get("/v1/models/{model:.+}", self._model),
                web.get("/v1/health/ready", self._health_ready),
                web.get("/v1/health/live", self._health_live),
            ]
        )
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        chat = parse_chat_request(await request.read())
        self._check_model(chat.model)
        text = reply(chat.messages, now=self._clock.local_time())
        answer = end_answer(text, stop=chat.stop, max_tokens=chat.max_tokens)
        head = {
            "id": f"chatcmpl-rules-{next(self._numbers)}",
            "created": int(time.time()),
            "model": MODEL_ID,
            "system_fingerprint": FINGERPRINT,
        }
        if chat.stream:
            return await self._stream(request, chat, answer, head)
        async for _ in paced(answer.tokens, self._options.pace, self._clock):
            pass  # a caller who does not stream waits as long as it takes to write the answer
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        return web.json_response(
            {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(chat, answer)}
        )

    async def _stream(self, request: web.Request, chat: ChatRequest, answer: Answer, head: Json) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        usage: Json = {"usage": None} if chat.include_usage else {}

        async def send(delta: Json, finish_reason: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            await response.write(_event({**head, "object": "chat.completion.chunk", "choices": [choice], **usage}))

        sent = 0
        try:
            await send({"role": "assistant", "content": "", "refusal": None})
            async for token in paced(answer.tokens, self._options.pace, self._clock):
                await send({"content": token})
                sent += 1
            await send({}, answer.finish_reason)
            if chat.include_usage:
                await response.write(
                    _event({**head, "object": "chat.completion.chunk", "choices": [], "usage": _usage(chat, answer)})
                )
            await response.write(b"data: [DONE]\n\n")
            await response.write_eof()
        finally:
            log.debug("answer", tokens=len(answer.tokens), sent=sent, finish_reason=answer.finish_reason)
        return response

    def _check_model(self, model: str) -> None:
        if model != MODEL_ID and model not in self._options.aliases:
            known = ", ".join((MODEL_ID, *self._options.aliases))
            raise RequestError(
                f"The model `{model}` does not exist. Known here: {known}.",
                status=404,
                param="model",
                code="model_not_found",
            )

    def _card(self, model: str) -> Json:
        """An alias names its `root`, so that nobody takes it for the model whose name it answers to."""
        return {
            "id": model,
            "object": "model",
            "created": self._started_s,
            "owned_by": OWNER,
            "root": MODEL_ID,
            "parent": None,
        }

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [self._card(model) for model in (MODEL_ID, *self._options.aliases)]}
        )

    async def _model(self, request: web.Request) -> web.Response:
        model = request.match_info["model"]
        self._check_model(model)
        return web.json_response(self._card(model))

    async def _health_ready(self, _request: web.Request) -> web.Response:
        if not self.ready:
            return web.json_response({"object": "health.response", "message": "Service is shutting down."}, status=503)
        return web.json_response({"object": "health.response", "message": "Service is ready."})

    async def _health_live(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "health.response", "message": "Service is live."})


def _event(payload: Json) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def _usage(chat: ChatRequest, answer: Answer) -> Json:
    prompt = sum(len(split_tokens(message.text)) for message in chat.messages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(answer.tokens),
        "total_tokens": prompt + len(answer.tokens),
    }


def _error(message: str, *, status: int, param: str | None = None, code: str | None = None) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return web.json_response({"error": {"message": message, "type": kind, "param": param, "code": code}}, status=status)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RequestError as error:
        return _error(str(error), status=error.status, param=error.param, code=error.code)
    except web.HTTPRequestEntityTooLarge:
        return _error(f"The body is larger than {MAX_BODY_BYTES} bytes.", status=413)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return _error(f"{request.method} is not allowed on {request.path}; allowed is: {allowed}.", status=405)
    except web.HTTPNotFound:
        return _error(f"There is nothing at {request.path}.", status=404)
    except ConnectionResetError:
        raise  # the caller went away; there is nobody to answer
    except web.HTTPException:
        raise
    except Exception:
        log.exception("request failed", path=request.path)
        return _error("The server failed on this request.", status=500)
