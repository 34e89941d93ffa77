"""Reads and checks the body of a chat request. Unknown fields are ignored, as NIM and vLLM do."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offline_responder.domain.conversation import Message

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class RequestError(Exception):
    """A request that cannot be answered. `str()` is one sentence for the caller."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _TextPart(_Wire):
    type: Literal["text"]
    text: str


class _Message(_Wire):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_TextPart] | None = None

    def to_domain(self) -> Message:
        if isinstance(self.content, list):
            return Message(self.role, " ".join(part.text for part in self.content))
        return Message(self.role, self.content or "")


class _StreamOptions(_Wire):
    include_usage: bool = False


_Stop = Annotated[list[str], Field(max_length=4)]


class _Body(_Wire):
    model: str
    messages: Annotated[list[_Message], Field(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: str | _Stop | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None


@dataclass(frozen=True)
class ChatRequest:
    model: str
    messages: tuple[Message, ...]
    stream: bool
    include_usage: bool
    max_tokens: int | None
    stop: tuple[str, ...]


def parse_chat_request(body: bytes) -> ChatRequest:
    """Raises RequestError with the name of the field that is wrong and what is allowed."""
    try:
        decoded: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError("The body is not valid JSON.") from error
    if not isinstance(decoded, dict):
        raise RequestError("The body must be a JSON object.")
    try:
        parsed = _Body.model_validate(decoded)
    except ValidationError as error:
        raise _explained(error) from error
    if parsed.stream_options is not None and not parsed.stream:
        raise RequestError("'stream_options' is only allowed when 'stream' is true.", param="stream_options")
    stops = [parsed.stop] if isinstance(parsed.stop, str) else parsed.stop or []
    return ChatRequest(
        model=parsed.model,
        messages=tuple(message.to_domain() for message in parsed.messages),
        stream=bool(parsed.stream),
        include_usage=parsed.stream_options is not None and parsed.stream_options.include_usage,
        max_tokens=parsed.max_completion_tokens or parsed.max_tokens,
        stop=tuple(stops),
    )


def _explained(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False)[0]
    path = ""
    for step in first["loc"]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step in _Body.model_fields or step in {"role", "content", "type", "text", "include_usage"}:
            path += f".{step}" if path else str(step)
    if first["type"] == "missing":
        return RequestError(f"'{path}' is required.", param=path)
    shown = json.dumps(first["input"], default=str)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    allowed = "one of " + ", ".join(_ROLES) if path.endswith("role") else first["msg"][0].lower() + first["msg"][1:]
    return RequestError(f"'{path}' is {shown}; allowed is: {allowed}.", param=path)
