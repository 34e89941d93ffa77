"""The one place where failures become gRPC statuses."""

from typing import Final

import grpc

from servicekit.rpc_errors import RpcStatus
from speech_worker.domain.errors import (
    EngineFailed,
    InvalidRequest,
    SpeechError,
    StreamIdle,
    UnavailableModel,
    UnknownModel,
    WorkerFull,
)

DOMAIN: Final = "speech-worker"

_CODES: Final[dict[type[SpeechError], grpc.StatusCode]] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    UnavailableModel: grpc.StatusCode.INVALID_ARGUMENT,  # as Riva answers
    UnknownModel: grpc.StatusCode.NOT_FOUND,
    WorkerFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    StreamIdle: grpc.StatusCode.DEADLINE_EXCEEDED,
    EngineFailed: grpc.StatusCode.UNAVAILABLE,
}


def to_status(error: BaseException) -> RpcStatus | None:
    """None for what a caller must not see."""
    if not isinstance(error, SpeechError) or type(error) not in _CODES:
        return None
    retry_after_ms = error.retry_after_ms if isinstance(error, WorkerFull) else None
    return RpcStatus(_CODES[type(error)], str(error), error.reason, error.retryable, retry_after_ms)
