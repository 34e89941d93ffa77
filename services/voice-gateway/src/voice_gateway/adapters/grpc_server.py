"""The gRPC server around the service: options, health, reflection, errors."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection

from servicekit import health as health_service
from servicekit.health import Health
from servicekit.rpc_auth import AuthInterceptor, Metadata
from servicekit.rpc_errors import ErrorInterceptor
from servicekit.settings import split_address
from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc
from voice_gateway.adapters.grpc_service import VoiceGatewayService
from voice_gateway.adapters.rpc_status import DOMAIN, to_status

SERVICE: str = pb.DESCRIPTOR.services_by_name["VoiceGateway"].full_name

LIVENESS = "liveness"
READY_SERVICES = ("", "readiness", SERVICE)
"""Health names that say whether new calls are taken. `liveness` says only that the process runs: a draining gateway
must not be restarted."""

STOP_GRACE_S = 1.0
"""For the last status of a call to leave."""

CHUNK_HEADROOM_BYTES = 1_048_576
"""Above the largest chunk, so that one that is somewhat too large is refused by us, with a sentence."""


def server_options(*, max_chunk_bytes: int) -> list[tuple[str, int]]:
    """Keepalive as grpc/grpc doc/keepalive.md has it: pings every 30 s find a client that vanished within 40 s, and
    clients may ping every 10 s, also without a call, as those behind tunnels and NATs must.
    """
    return [
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.max_receive_message_length", max_chunk_bytes + CHUNK_HEADROOM_BYTES),
        # Without bandwidth probing a client may be 64 KiB ahead of its reader, 2 s of audio at 16 kHz, in place of
        # 4 MiB; and each message costs a sixth less, since no pings go with them.
        ("grpc.http2.bdp_probe", 0),
        # Two processes on one port would share its calls without a word.
        ("grpc.so_reuseport", 0),
    ]


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens."""

    host: str
    port: int
    health: Health
    health_port: int | None = None
    """Where health is answered without TLS as well; None: nowhere else."""

    def ready(self, ready: bool) -> None:
        """Say whether new calls are taken."""
        for name in READY_SERVICES:
            self.health.set(name, ready)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where and how callers come in."""

    address: str
    max_chunk_bytes: int
    tls: grpc.ServerCredentials | None = None
    """None: without TLS."""
    authenticate: Callable[[Metadata], str] | None = None
    """Names the caller, or raises Unauthenticated. None: everybody may call. Health is answered to strangers."""
    health_address: str = ""
    """Where health is answered without TLS, beside `address`. Empty: nowhere else."""


@asynccontextmanager
async def serving_calls(service: VoiceGatewayService, listener: Listener) -> AsyncIterator[RunningServer]:
    """Serve until the context is left; calls that still run are then cut. Raises OSError where an address can't be
    had.
    """
    interceptors: list[grpc.aio.ServerInterceptor] = [ErrorInterceptor(to_status, domain=DOMAIN)]
    if listener.authenticate is not None:
        interceptors.append(AuthInterceptor(listener.authenticate, open_services=(health_service.SERVICE_NAME,)))
    server = grpc.aio.server(
        interceptors=interceptors, options=server_options(max_chunk_bytes=listener.max_chunk_bytes)
    )
    pb_grpc.add_VoiceGatewayServicer_to_server(service, server)
    health = Health()
    health.add_to(server)
    reflection.enable_server_reflection((SERVICE, health_service.SERVICE_NAME, reflection.SERVICE_NAME), server)
    async with AsyncExitStack() as stack:
        health_port = None
        if listener.health_address:
            health_port = await stack.enter_async_context(_serving_health(health, listener.health_address))
        host, _ = split_address(listener.address)
        running = RunningServer(host, _bound(server, listener.address, listener.tls), health, health_port)
        await server.start()
        health.set(LIVENESS, True)
        running.ready(True)
        try:
            yield running
        finally:
            await health.shutdown()
            await server.stop(STOP_GRACE_S)


@asynccontextmanager
async def _serving_health(health: Health, address: str) -> AsyncIterator[int]:
    """Answer what probes ask, and nothing else. Gives the bound port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    health.add_to(server)
    port = _bound(server, address, None)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(STOP_GRACE_S)


def _bound(server: grpc.aio.Server, address: str, tls: grpc.ServerCredentials | None) -> int:
    try:
        return server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls)
    except RuntimeError as error:
        raise OSError(f"the address {address} is in use or not of this machine") from error
