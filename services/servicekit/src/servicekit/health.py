"""Health service, grpc.health.v1, as Kubernetes probes and grpc_health_probe ask it.

The messages and stubs are those of grpcio-health-checking. Its own asyncio servicer is not used: when one of two
watchers of a service leaves, the other is never told of a change again, a watcher that does not read holds `set()` up,
and watchers stay after shutdown, so that the server waits its whole grace period for them (1.81).
"""

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE_NAME: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_Status = health_pb2.HealthCheckResponse


class Health:
    """State of each service by name; "" stands for the whole server. Nothing is known until `set`."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def set(self, service: str, serving: bool) -> None:
        """Change the state of one service. After `shutdown` nothing becomes serving again."""
        self._serving[service] = serving and not self._closed
        self._tell_watchers()

    def serving(self, service: str) -> bool | None:
        """None where the service is not known."""
        return self._serving.get(service)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve `Check` and `Watch` on `server`."""
        health_pb2_grpc.add_HealthServicer_to_server(_Servicer(self), server)

    async def shutdown(self) -> None:
        """Everything is NOT_SERVING from now on; watchers are told, and their streams end."""
        self._closed = True
        self._serving = dict.fromkeys(self._serving, False)
        self._tell_watchers()

    @property
    def closed(self) -> bool:
        """Whether `shutdown` was called."""
        return self._closed

    @property
    def change(self) -> asyncio.Event:
        """Set at the next change of any state. Take it before reading a state, or a change is missed."""
        return self._changed

    def _tell_watchers(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class _Servicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # generated without types
    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(self, request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:  # noqa: N802 - names of the contract
        serving = self._health.serving(request.service)
        if serving is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _Status(status=_Status.SERVING if serving else _Status.NOT_SERVING)

    async def Watch(self, request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> None:  # noqa: N802
        """Sends the state now and after each change; what changes while the client does not read is merged."""
        sent: int | None = None
        while True:
            change = self._health.change
            closed = self._health.closed
            serving = self._health.serving(request.service)
            status = _Status.SERVICE_UNKNOWN if serving is None else _Status.SERVING if serving else _Status.NOT_SERVING
            if status != sent:
                sent = status
                await context.write(_Status(status=status))
            if closed:
                return
            await change.wait()
