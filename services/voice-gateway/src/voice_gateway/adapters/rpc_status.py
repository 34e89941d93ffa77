"""Every error of the tree as the gRPC status that a caller sees. The only place that knows both."""

from collections.abc import Iterator

import grpc

from servicekit.rpc_errors import INTERNAL, RpcStatus
from voice_gateway.domain import errors

DOMAIN = "voice-gateway"
"""Domain of the ErrorInfo that each status carries."""

CODES: dict[type[errors.GatewayError], grpc.StatusCode] = {
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.AtCapacity: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Draining: grpc.StatusCode.UNAVAILABLE,
    errors.ResumeRefused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.BadRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.CallEnded: grpc.StatusCode.ABORTED,
    errors.CallTooLong: grpc.StatusCode.OUT_OF_RANGE,
    errors.CallIdle: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.SlowConsumer: grpc.StatusCode.ABORTED,
    errors.BackendError: grpc.StatusCode.UNAVAILABLE,
    errors.BackendTimeout: grpc.StatusCode.UNAVAILABLE,
    errors.BackendBusy: grpc.StatusCode.UNAVAILABLE,
    errors.BackendRejected: grpc.StatusCode.FAILED_PRECONDITION,
}
"""By class; a class that is not listed has the code of its nearest listed parent.

A busy backend is UNAVAILABLE, not RESOURCE_EXHAUSTED: that says that this gateway has no room, and another one may. A
time-out of a backend is not the caller's deadline either.
"""


def to_status(error: BaseException) -> RpcStatus | None:
    """None for what is not part of the tree."""
    if not isinstance(error, errors.GatewayError):
        return None
    return RpcStatus(
        code=code_of(type(error)),
        message=str(error),
        reason=error.reason,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms if isinstance(error, errors.CallRefused) else None,
        details=_details(error),
        log_detail=error.detail,
    )


def _details(error: errors.GatewayError) -> dict[str, str]:
    if isinstance(error, errors.BackendError):
        return {"backend": error.kind}
    return {"why": error.why} if isinstance(error, errors.ResumeRefused) else {}


def code_of(kind: type[errors.GatewayError]) -> grpc.StatusCode:
    """The status code of one class of the tree."""
    return next((CODES[parent] for parent in kind.__mro__ if parent in CODES), INTERNAL.code)


def all_errors(root: type[errors.GatewayError] = errors.GatewayError) -> Iterator[type[errors.GatewayError]]:
    """The tree, parents before children."""
    for kind in root.__subclasses__():
        yield kind
        yield from all_errors(kind)
