"""What is known of a span, in the words of OpenTelemetry's semantic conventions.

RPC as of version 1.44: opentelemetry.io/docs/specs/semconv/rpc. Generative AI:
github.com/open-telemetry/semantic-conventions-genai; what was said goes into its content attributes, and only there.
What no convention names is called "voice.*".
"""

import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from voice_gateway.application.ports import Fact
from voice_gateway.application.tracing import Op, ToldSpan, Words

NAMES: dict[str, str] = {
    "model": "gen_ai.request.model",
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "response_id": "gen_ai.response.id",
    "response_model": "gen_ai.response.model",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "rpc_method": "rpc.method",
    "grpc_status": "rpc.response.status_code",
}
"""Facts that a convention names."""

REQUESTS = frozenset({Op.ASR, Op.LLM, Op.TTS})


def name_of(span: ToldSpan) -> str:
    """A name that few spans differ in."""
    match span.op:
        case Op.LLM:
            return f"chat {span.facts.get('model', '')}".rstrip()
        case Op.TTS:
            return "tts phrase"
        case Op.ASR:
            return "asr utterance"
        case _:
            return span.op.value


def kind_of(span: ToldSpan) -> str:
    """ "client" or "internal"."""
    return "client" if span.op in REQUESTS else "internal"


def attributes_of(span: ToldSpan, *, call_id: str) -> dict[str, str | int | float | bool | list[str]]:
    """All of the span's attributes."""
    found: dict[str, str | int | float | bool | list[str]] = {"voice.call.id": call_id}
    if span.op is Op.LLM:
        found |= {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.stream": True}
        found["gen_ai.conversation.id"] = call_id
    if "rpc_method" in span.facts:
        found["rpc.system.name"] = "grpc"
    for fact, value in span.facts.items():
        if fact == "address":
            found |= _server(str(value))
        elif fact == "finish_reason":
            found["gen_ai.response.finish_reasons"] = [str(value)]
        elif fact == "first_token_ms" and isinstance(value, int | float):
            found["gen_ai.response.time_to_first_chunk"] = value / 1000
        elif value != "":
            found[NAMES.get(fact, f"voice.{span.op.value}.{fact}")] = _plain(value)
    if span.error:
        found["error.type"] = span.error
    if heard := [words for words in span.words if words.heard]:
        found["gen_ai.input.messages"] = _messages(heard)
    if said := [words for words in span.words if not words.heard]:
        found["gen_ai.output.messages"] = _messages(said, finish_reason=_finish_reason(span))
    return found


def _finish_reason(span: ToldSpan) -> str:
    """Each message that comes out must have one."""
    if span.error:
        return "error"
    return str(span.facts.get("finish_reason") or ("cancelled" if span.facts.get("cancelled") else "stop"))


def _plain(value: Fact) -> str | int | float | bool | list[str]:
    return list(value) if isinstance(value, tuple) else value


def _server(address: str) -> dict[str, str | int]:
    """Of a URL, or of gRPC's "host:port"; without user names and paths."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    if parts.hostname is None or address.startswith("unix:"):
        return {"server.address": address}
    return {"server.address": parts.hostname, **({"server.port": port} if port else {})}


def _messages(said: Iterable[Words], **more: str) -> str:
    """The JSON that the convention asks for; pieces of one message are put together."""
    messages: list[tuple[str, list[str]]] = []
    for words in said:
        if words.heard or not messages or messages[-1][0] != words.role:
            messages.append((words.role, []))
        messages[-1][1].append(words.text)
    return json.dumps(
        [{"role": role, "parts": [{"type": "text", "content": "".join(pieces)}], **more} for role, pieces in messages],
        ensure_ascii=False,
    )
