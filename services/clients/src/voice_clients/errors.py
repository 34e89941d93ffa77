"""Why a call failed, as a small tree of exceptions. The text of each is one plain sentence for the person who calls.

VoiceError
  BadInputError             a file, argument or device of the caller's own (exit status 2)
  CallError                 the call itself (exit status 1)
    GatewayUnreachableError nothing there, a closed tunnel, TLS on one side only (exit status 3)
    NotAGatewayError        something answers there, and it is not a voice gateway (exit status 3)
    NoCredentialError       the file of a key, token or certificate cannot be used (exit status 2)
    GatewayFullError        refused for lack of room; `retry_after_ms` says when to try again
    BadRequestError         the configuration or a message was refused
    NotAllowedError         who the caller is was refused
    ConnectionLostError     it broke off during the call
    GatewayFailedError      everything else
"""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2

from voice_clients.plain_text import plain

_STATUS_DETAILS_KEY = "grpc-status-details-bin"  # where gRPC carries google.rpc.Status


class VoiceError(Exception):
    """Anything that a person is told in one sentence."""

    exit_code = 1


class BadInputError(VoiceError):
    """A file, argument or device of the caller's own cannot be used."""

    exit_code = 2


class CallError(VoiceError):
    """The call failed. `reason` is stable, where the gateway gave one."""

    def __init__(self, sentence: str, *, reason: str = "", retryable: bool = False) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.retryable = retryable


class GatewayUnreachableError(CallError):
    """No connection could be made."""

    exit_code = 3


class NotAGatewayError(CallError):
    """Something answers at the address, and it is not a voice gateway."""

    exit_code = 3


class NoCredentialError(CallError):
    """The file of a key, token or certificate cannot be used now. It may be in a moment: whatever renews it may be at
    work.
    """

    exit_code = 2

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, retryable=True)


class GatewayFullError(CallError):
    """Refused for lack of room."""

    def __init__(self, sentence: str, *, reason: str = "", retry_after_ms: int | None = None) -> None:
        super().__init__(sentence, reason=reason, retryable=True)
        self.retry_after_ms = retry_after_ms


class BadRequestError(CallError):
    """The gateway refused the configuration or a message."""


class NotAllowedError(CallError):
    """The gateway refused the caller."""


class ConnectionLostError(CallError):
    """The connection broke off during the call."""


class GatewayFailedError(CallError):
    """The gateway ended the call with an error."""


def first_error(group: BaseExceptionGroup[CallError]) -> CallError:
    """Of the tasks of a call: what one of them ended with, however deep it lies."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, CallError)
    return error


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the status details of a failed call say: a stable reason, and when to try again."""

    reason: str = ""
    retry_after_ms: int | None = None


def read_refusal(trailing: Sequence[tuple[str, str | bytes]] | None) -> Refusal:
    """Read google.rpc.ErrorInfo and RetryInfo from trailing metadata; empty where there are none or it is garbage."""
    reason, retry_after_ms = "", None
    for key, value in trailing or ():
        if key != _STATUS_DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except ValueError:  # protobuf's DecodeError is one
            continue
        for detail in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason = plain(info.reason)
            elif detail.Unpack(retry):
                retry_after_ms = retry.retry_delay.ToMilliseconds()
    return Refusal(reason, retry_after_ms)


def _sentence(text: str) -> str:
    text = " ".join(plain(text).split())
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def from_rpc_error(error: grpc.aio.AioRpcError, *, target: str, started: bool) -> CallError:
    """Say in one sentence why a call failed. `started` tells whether the gateway had sent anything before."""
    code, said = error.code(), _sentence(error.details() or "")
    refusal = read_refusal(tuple(error.trailing_metadata() or ()))
    reason = refusal.reason
    match code:
        case grpc.StatusCode.UNAVAILABLE if reason:  # the gateway itself said so
            return GatewayFailedError(
                f"The gateway at {target} cannot take the call: {said}", reason=reason, retryable=True
            )
        case grpc.StatusCode.UNAVAILABLE if started:
            return ConnectionLostError(
                f"The connection to the gateway at {target} broke off. Is the gateway (or the SSH tunnel) still up?",
                retryable=True,
            )
        case grpc.StatusCode.UNAVAILABLE:
            return GatewayUnreachableError(f"No gateway can be reached at {target}.", retryable=True)
        case grpc.StatusCode.UNIMPLEMENTED:
            return NotAGatewayError(
                f"What answers at {target} is not a voice gateway (or an older one). Check the port."
            )
        case grpc.StatusCode.RESOURCE_EXHAUSTED if not started or refusal.retry_after_ms is not None:
            after = refusal.retry_after_ms
            when = f" Try again in {after / 1000:g} s." if after is not None else " Try again later."
            return GatewayFullError(f"The gateway is full: {said}{when}", reason=reason, retry_after_ms=after)
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE | grpc.StatusCode.FAILED_PRECONDITION:
            return BadRequestError(f"The gateway refused the request: {said}", reason=reason)
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return NotAllowedError(f"The gateway does not admit this client: {said}", reason=reason)
        case grpc.StatusCode.CANCELLED:
            return ConnectionLostError("The call was cancelled.", reason=reason)
        case _:
            return GatewayFailedError(
                f"The gateway ended the call ({code.name}): {said or 'it gave no reason.'}",
                reason=reason,
                retryable=code in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED},
            )
