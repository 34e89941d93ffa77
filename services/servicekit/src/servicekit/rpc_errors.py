"""One interceptor that decides what a caller learns of a failure.

Without it grpc.aio sends `UNKNOWN: Unexpected <class 'ValueError'>: <text of the exception>`, which leaks internal
text, and never answers at all when a handler ends in a CancelledError of its own making (grpc/grpc#36193).
"""

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from servicekit.logs import get_logger

MAX_MESSAGE_CHARACTERS = 1_000

MESSAGE_BUDGET_BYTES = 5_000
"""What a message may take of the HTTP/2 headers that a status travels in. gRPC takes 8 KiB of them; beyond that it
refuses them at random, more often the larger they are, and the client sees RESOURCE_EXHAUSTED in place of the status.
The rest is for the reason, its details and what else is in the trailers."""

ABORT_TIMEOUT_S = 1.0
"""Longest that a handler stays for its status to be sent: behind a message that waits for flow control it is for ever
(measured, grpcio 1.85)."""

_log = get_logger("servicekit.rpc")


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """How one failure looks on the wire."""

    code: grpc.StatusCode
    message: str
    """One sentence that strangers may read."""
    reason: str
    """Stable name, in capitals, that programs may match."""
    retryable: bool = False
    retry_after_ms: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    log_detail: str = ""
    """For the log only."""


INTERNAL = RpcStatus(grpc.StatusCode.INTERNAL, "internal error", "INTERNAL")


class _Abortable(Protocol):
    """What both kinds of servicer context offer."""

    def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any) -> Any: ...


def leaf_errors(error: BaseException) -> Iterator[BaseException]:
    """The errors that an exception group holds, however deep; a plain error is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaf_errors(inner)
    else:
        yield error


def raised_at(error: BaseException) -> str:
    """Where the leaves of `error` and their causes were raised, and of what type they are; without their texts."""
    lines: list[str] = []
    for leaf in leaf_errors(error):
        chain: list[BaseException] = []
        each: BaseException | None = leaf
        while each is not None and each not in chain:
            chain.append(each)
            each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        for each in reversed(chain):
            lines += [*traceback.format_tb(each.__traceback__), f"{type(each).__qualname__}\n"]
    return "".join(lines)


def status_proto(status: RpcStatus, *, domain: str) -> Status:
    """google.rpc.Status with ErrorInfo, and with RetryInfo where `retry_after_ms` is set."""
    message = fitting(status.message)
    metadata = {"retryable": "true" if status.retryable else "false", **status.details}
    proto = Status(code=status.code.value[0], message=message)
    _attach(proto, ErrorInfo(reason=status.reason, domain=domain, metadata=metadata))
    if status.retry_after_ms is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(status.retry_after_ms)
        _attach(proto, retry)
    return proto


def fitting(message: str) -> str:
    """As much of `message` as a status can carry."""
    taken = 0
    for index, character in enumerate(message[:MAX_MESSAGE_CHARACTERS]):
        taken += _header_bytes(character)
        if taken > MESSAGE_BUDGET_BYTES:
            return message[:index]
    return message[:MAX_MESSAGE_CHARACTERS]


def _header_bytes(character: str) -> int:
    """What one character takes. It is there twice: percent-encoded in grpc-message, where each byte that is not
    printable ASCII becomes three, and in base64 in grpc-status-details-bin.
    """
    length = len(character.encode("utf-8", "replace"))
    plain = " " <= character <= "~" and character != "%"
    return (1 if plain else 3 * length) + -(-4 * length // 3)


def _attach(proto: Status, detail: Any) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    proto.details.append(packed)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Maps every exception of every shape of handler, coroutine or async generator.

    - An exception group counts as the first of its leaves that `to_status` knows.
    - What `to_status` does not know (None) is logged with its traceback and becomes INTERNAL "internal error". Its text
      is personal: it may quote what the request said.
    - A CancelledError that nobody asked for becomes INTERNAL; a real cancellation is raised again.
    - A handler's own `context.abort()` passes through.
    """

    def __init__(self, to_status: Callable[[BaseException], RpcStatus | None], *, domain: str) -> None:
        self._to_status = to_status
        self._domain = domain

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        for shape, rebuild in SHAPES.items():
            inner = getattr(handler, shape)
            if inner is not None:
                return rebuild(
                    self._wrapped(inner, method),
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )
        return handler

    def _wrapped(self, inner: Callable[..., Any], method: str) -> Callable[..., Any]:
        """`inner` in the same style: grpc.aio looks at the function to choose how to run it."""
        if inspect.isasyncgenfunction(inner):
            return self._wrapped_async_generator(inner, method)
        if inspect.iscoroutinefunction(inner):

            async def coroutine(request: Any, context: Any) -> Any:
                try:
                    return await inner(request, context)
                except BaseException as error:  # noqa: BLE001 - this is the place where every failure ends
                    await self._answer(error, context, method)

            return coroutine

        async def refuse(_request: Any, context: Any) -> None:
            # grpc.aio would run it in a thread, where ending a stream with a status races with its last message.
            await self._answer(TypeError(f"{method} is served by a function that is not async"), context, method)

        return refuse

    def _wrapped_async_generator(self, inner: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def async_generator(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async with aclosing(inner(request, context)) as responses:
                    async for response in responses:
                        yield response
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - see above
                await self._answer(error, context, method)

        return async_generator

    async def _answer(self, error: BaseException, context: _Abortable, method: str) -> None:
        """End the call with the status of `error`. Always raises."""
        task = asyncio.current_task()
        # Asked of cancellations only: up to Python 3.12 a TaskGroup that fails while it is left makes its task count
        # as being cancelled for ever after.
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error
        if aborted := _aborted(error):
            raise aborted
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        status = self._status_of(error, method)
        try:
            async with asyncio.timeout(ABORT_TIMEOUT_S):
                await context.abort(*self._wire(status))
        except grpc.aio.AbortError:
            raise
        except Exception as why:  # noqa: BLE001 - grpc.aio's own, in the cases below
            # The caller is gone; or the status stands behind messages that the caller does not read, and gRPC holds it
            # for as long as the connection lasts. A handler that ends cancelled adds nothing to it.
            _log.info("rpc_status_not_taken", method=method, why=type(why).__name__)
            raise asyncio.CancelledError from error

    def _status_of(self, error: BaseException, method: str) -> RpcStatus:
        for leaf in leaf_errors(error):
            status = self._to_status(leaf)
            if status is not None:
                _log.info(
                    "rpc_failed", method=method, code=status.code.name, reason=status.reason, detail=status.log_detail
                )
                return status
        texts = [str(leaf) for leaf in leaf_errors(error)]
        _log.error("rpc_internal_error", method=method, exception=raised_at(error), personal={"texts": texts})
        return INTERNAL

    def _wire(self, status: RpcStatus) -> tuple[grpc.StatusCode, str, Any]:
        packed = rpc_status.to_status(status_proto(status, domain=self._domain))
        return packed.code, packed.details, packed.trailing_metadata


def _aborted(error: BaseException) -> BaseException | None:
    """The leaf that says that a status was sent already."""
    for leaf in leaf_errors(error):
        if isinstance(leaf, grpc.aio.AbortError):
            return leaf
    return None


SHAPES: dict[str, Callable[..., Any]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}
"""How a handler of each shape is made."""
