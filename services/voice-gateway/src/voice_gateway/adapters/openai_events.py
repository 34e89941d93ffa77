"""Server-sent events of a chat completion, as far as an answer's text needs them.

The format is that of the HTML standard, section "Server-sent events", with UTF-8 and "\\n" or "\\r\\n" as line ends;
the payload is the "chat.completion.chunk" of OpenAI's API.
"""

import json
from collections import deque
from typing import Any

from voice_gateway.adapters.openai_errors import Failure, StreamedError, garbled, status_failure
from voice_gateway.application.ports import LlmDelta
from voice_gateway.domain.errors import BackendError

MAX_EVENT_BYTES = 1_048_576
"""A token's event has some hundred bytes. Without a bound, a server that never ends a line would fill the memory."""

OTHER_FORMATS = ("application/json", "text/html", "text/plain")
"""Answers of servers that do not stream, and of proxies. Others are tried: some servers name no type."""


class EventReader:
    """Takes the bytes of a response, gives pieces of the answer."""

    def __init__(self, *, model: str) -> None:
        self._model = model
        self._rest = b""
        self._data: list[bytes] = []
        self._half = ""
        self.finished = False
        """The model has ended its answer."""
        self.done = False
        """The server has said that nothing follows."""
        self.facts: dict[str, int | str] = {}
        """What the server says of the answer: response_id, response_model, finish_reason, input_tokens, output_tokens;
        as far as it does."""

    def check(self, content_type: str) -> None:
        """Raises `BackendError` for a response that is no stream of events."""
        if content_type.partition(";")[0].strip().lower() in OTHER_FORMATS:
            raise garbled(f"content type {content_type!r} where an event stream was asked for")

    def feed(self, chunk: bytes, into: deque[LlmDelta]) -> None:
        """Take the next bytes, append what they complete. Raises `BackendError` for what makes no sense and
        `StreamedError` for the server's own errors.
        """
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_EVENT_BYTES:
            raise garbled("a line without end")
        for line in lines:
            self._line(line.removesuffix(b"\r"), into)

    def end(self, into: deque[LlmDelta]) -> None:
        """The response is over: the last event counts also without the empty line that should end it."""
        self.feed(b"\n\n", into)
        self.done = True

    def _line(self, line: bytes, into: deque[LlmDelta]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
        elif not line and self._data:
            payload, self._data = b"\n".join(self._data), []
            if not self.done:
                self._event(payload, into)

    def _event(self, payload: bytes, into: deque[LlmDelta]) -> None:
        if payload == b"[DONE]":
            self.finished = self.done = True
            return
        try:
            message = json.loads(payload.decode())
            if error := message.get("error"):
                raise self._streamed(error)
            choices = message.get("choices")
            self._note(message)
            if not choices:
                # The usage report, and the prompt's filter results of some servers.
                return
            delta = choices[0].get("delta") or {}
            text = delta.get("content") or ""
            reason = choices[0].get("finish_reason") or ""
            if not isinstance(text, str) or not isinstance(reason, str):
                raise garbled("text that is not text")
        except (ValueError, AttributeError, TypeError, KeyError, IndexError, RecursionError) as error:
            raise garbled(f"{type(error).__name__} in an event of {len(payload)} bytes") from error
        if reason:
            self.facts["finish_reason"] = reason
        if self._half or not text.isascii():
            text = self._whole(text, last=bool(reason))
        if text or reason:
            into.append(LlmDelta(text, reason))
        self.finished = self.finished or bool(reason)

    def _note(self, message: dict[str, Any]) -> None:
        if not self.facts:
            named = {"response_id": message.get("id"), "response_model": message.get("model")}
            self.facts |= {fact: str(value)[:200] for fact, value in named.items() if value}
        if isinstance(usage := message.get("usage"), dict):
            counts = {"input_tokens": usage.get("prompt_tokens"), "output_tokens": usage.get("completion_tokens")}
            self.facts |= {fact: count for fact, count in counts.items() if isinstance(count, int)}

    def _whole(self, text: str, *, last: bool) -> str:
        """Text that can be sent on. JSON can carry half of a character outside the basic plane, and servers that cut
        text by tokens do: the first half waits for the next event, and a half without the other becomes U+FFFD.
        """
        text, self._half = self._half + text, ""
        if not last and "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _streamed(self, error: Any) -> StreamedError:
        """An error that the server reports inside the stream, as vLLM and NIM do."""
        detail = str(error)[:500]
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, int) and code >= 400:
            return StreamedError(status_failure(code, detail, model=self._model))
        failed = BackendError("llm", "The language model failed.", detail=detail)
        return StreamedError(Failure(failed, may_retry=False))
