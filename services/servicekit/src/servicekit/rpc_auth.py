"""One interceptor that asks who calls, before anything of the call is read."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc

from servicekit.rpc_errors import SHAPES

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

PRINCIPAL: ContextVar[str] = ContextVar("principal", default="")
"""Who makes the call that the current task serves; empty where nobody is asked."""


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets only callers in that `authenticate` knows, and leaves their name in `PRINCIPAL`.

    What `authenticate` raises is raised by the handler in place of the call, so that the interceptor around this one
    (`ErrorInterceptor`) makes a status of it. `open_services` are served to strangers.
    """

    def __init__(self, authenticate: Callable[[Metadata], str], *, open_services: Collection[str]) -> None:
        self._authenticate = authenticate
        self._open_services = frozenset(open_services)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        service = str(handler_call_details.method).strip("/").partition("/")[0]
        if handler is None or service in self._open_services:
            return handler
        try:
            # grpc.aio runs interceptors and the handler in one task, which is the call's own.
            PRINCIPAL.set(self._authenticate(handler_call_details.invocation_metadata or ()))
        except Exception as refusal:  # noqa: BLE001 - nobody is let in by a fault either
            return _refusing(handler, refusal)
        return handler


def _refusing(handler: Any, refusal: Exception) -> Any:
    """A handler of the same shape that raises `refusal`."""

    async def refuse(_request: Any, _context: Any) -> None:
        raise refusal

    rebuild = next(make for shape, make in SHAPES.items() if getattr(handler, shape) is not None)
    return rebuild(
        refuse, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )
