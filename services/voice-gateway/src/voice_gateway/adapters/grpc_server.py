"""The gRPC server around the service: options, health, reflection, errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection

from servicekit import health as health_service
from servicekit.health import Health
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

    def ready(self, ready: bool) -> None:
        """Say whether new calls are taken."""
        for name in READY_SERVICES:
            self.health.set(name, ready)


@asynccontextmanager
async def serving_calls(
    service: VoiceGatewayService, *, listen_address: str, max_chunk_bytes: int
) -> AsyncIterator[RunningServer]:
    """Serve until the context is left; calls that still run are then cut. Raises OSError where the address can't be
    had.
    """
    host, _ = split_address(listen_address)
    server = grpc.aio.server(
        interceptors=[ErrorInterceptor(to_status, domain=DOMAIN)],
        options=server_options(max_chunk_bytes=max_chunk_bytes),
    )
    pb_grpc.add_VoiceGatewayServicer_to_server(service, server)
    health = Health()
    health.add_to(server)
    reflection.enable_server_reflection((SERVICE, health_service.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        port = server.add_insecure_port(listen_address)
    except RuntimeError as error:
        raise OSError(f"the address {listen_address} is in use or not of this machine") from error
    await server.start()
    running = RunningServer(host, port, health)
    health.set(LIVENESS, True)
    running.ready(True)
    try:
        yield running
    finally:
        await health.shutdown()
        await server.stop(STOP_GRACE_S)
