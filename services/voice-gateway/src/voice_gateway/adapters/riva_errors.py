"""gRPC failures of the speech backends as errors of a call."""

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio

from voice_gateway.domain.errors import (
    BackendBusy,
    BackendError,
    BackendKind,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
)

NOUNS: dict[BackendKind, str] = {
    "asr": "speech recogniser",
    "tts": "speech synthesiser",
    "llm": "language model",
}
"""What strangers are told instead of a server's name."""

REJECTIONS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)

LOST_SEQUENCE = "START flag"
"""Triton's words when an ASR stream's state has expired in an audio gap, sent as INVALID_ARGUMENT: a new stream helps
(livekit/agents pull request 4540 quotes the message)."""

TOO_LARGE = "larger than max"
"""gRPC's own words, sent as RESOURCE_EXHAUSTED: the server is not busy, the message is too large."""


def backend_error(error: grpc.aio.AioRpcError, kind: BackendKind, *, asked: str) -> BackendError:
    """The error for a failed RPC.

    `asked` names what the request asked for, such as 'language "en-US", model "x"'. The server's own text goes into
    `detail` only.
    """
    noun, code, text = NOUNS[kind], error.code(), error.details() or ""
    detail = f"{code.name}: {text}"
    if code in REJECTIONS and LOST_SEQUENCE in text:
        return BackendUnavailable(kind, f"The {noun} lost the stream.", detail=detail)
    if code in REJECTIONS:
        return BackendRejected(kind, f"The {noun} does not accept {asked}.", detail=detail)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return BackendRejected(kind, f"The configured {noun} does not offer this service.", detail=detail)
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return BackendRejected(kind, f"The {noun} refuses the configured key.", detail=detail)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and TOO_LARGE not in text:
        return BackendBusy(kind, f"The {noun} has no room at the moment.", detail=detail)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return BackendTimeout(kind, f"The {noun} did not answer in time.", detail=detail)
    if code is grpc.StatusCode.UNAVAILABLE:
        return BackendUnavailable(kind, f"The {noun} cannot be reached.", detail=detail)
    if code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED):
        return BackendUnavailable(kind, f"The {noun} broke off.", detail=detail)
    return BackendError(kind, f"The {noun} failed.", detail=detail)


def timed_out(kind: BackendKind, what: str) -> BackendTimeout:
    """The error for a wait of ours that ran out; `what` ends the sentence "The speech recogniser did not ..."."""
    return BackendTimeout(kind, f"The {NOUNS[kind]} did not {what} in time.")


def broken_off(kind: BackendKind, detail: str) -> BackendUnavailable:
    """The error for a stream that ended while it was needed."""
    return BackendUnavailable(kind, f"The {NOUNS[kind]} ended the stream.", detail=detail)


def garbled(kind: BackendKind) -> BackendError:
    """The error for a message that cannot be parsed: grpc.aio logs it and hands over None."""
    return BackendError(kind, f"What the {NOUNS[kind]} sent makes no sense.")


def really_cancelled() -> bool:
    """Whether the running task is being cancelled. grpc.aio also raises `CancelledError` in a task that only reads a
    call which another task has cancelled; taken at its word, that would end the task without an error.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def finished_error(
    call: grpc.aio.StreamStreamCall[object, object], make: Callable[[grpc.aio.AioRpcError], BackendError]
) -> BackendError | None:
    """Why a finished call failed, None where it ended well. `call` must be done, or this waits for its end."""
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return None
    empty = grpc.aio.Metadata()
    return make(grpc.aio.AioRpcError(code, empty, empty, details=await call.details()))
