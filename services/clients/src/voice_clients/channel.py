"""Where a gateway is and how to open a channel to it."""

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from voice_clients.errors import BadInputError, GatewayUnreachableError

DEFAULT_TARGET = "localhost:50051"
DEFAULT_PORT = 50051
TARGET_VARIABLE = "VOICE_GATEWAY_TARGET"
API_KEY_METADATA = "authorization"  # reserved: no gateway asks for it yet
DIAGNOSIS_TIMEOUT_S = 2.0

_LOOPBACK = re.compile(r"^(localhost|127\.[\d.]+|\[::1\]):")

# keepalive: a call is silent only while the network is gone, so 30 s + 10 s bound how long that goes unnoticed; the
# gateway accepts a ping every 10 s. max_pings_without_data 0 lifts gRPC's limit of two.
# enable_retries 0: a spoken call cannot be replayed by the transport, and gRPC would keep what was sent for that.
# local pool: each call has its own connection, as callers on different machines have.
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A gateway may be 64 KiB ahead of us in place of 4 MiB: enough for audio, and less to throw away.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Security:
    """TLS or none; `ca` is a PEM bundle to trust in place of the system's."""

    tls: bool = False
    ca: bytes | None = None


PLAINTEXT = Security()


def read_ca(path: Path) -> bytes:
    """Read a PEM bundle. Raises BadInputError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"--ca {path}: {error.strerror or error}.") from error
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise BadInputError(f"--ca {path} holds no PEM certificate.")
    return data


def parse_target(text: str) -> str:
    """Check `host:port`; a missing port becomes 50051. `unix:` and `dns:` targets pass as they are.

    Raises BadInputError.
    """
    text = text.strip()
    if text.startswith(("unix:", "dns:", "ipv4:", "ipv6:")):
        return text
    if "://" in text:
        raise BadInputError(
            f"--target {text}: give host:port without a scheme, such as {DEFAULT_TARGET}; --tls switches TLS on."
        )
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\s/]+)(?::(\d+))?", text)
    if match is None:
        raise BadInputError(f"--target {text!r}: expected host:port, such as {DEFAULT_TARGET}.")
    port = int(match[2] or DEFAULT_PORT)
    if not 1 <= port <= 65535:
        raise BadInputError(f"--target {text}: the port must be from 1 to 65535.")
    return f"{match[1]}:{port}"


def default_target(environ: Mapping[str, str] | None = None) -> str:
    """Where the gateway is unless said otherwise: VOICE_GATEWAY_TARGET, or the near end of an SSH tunnel."""
    return (os.environ if environ is None else environ).get(TARGET_VARIABLE) or DEFAULT_TARGET


def open_channel(target: str, security: Security = PLAINTEXT) -> grpc.aio.Channel:
    """Open a channel; it connects when first used. On loopback no HTTP proxy is asked: it would miss a tunnel."""
    options: list[tuple[str, int]] = list(_OPTIONS)
    if _LOOPBACK.match(target):
        options.append(("grpc.enable_http_proxy", 0))
    if security.tls:
        credentials = grpc.ssl_channel_credentials(root_certificates=security.ca)
        return grpc.aio.secure_channel(target, credentials, options=options)
    return grpc.aio.insecure_channel(target, options=options)


async def until_connected(channel: grpc.aio.Channel, target: str, security: Security, timeout_s: float) -> None:
    """Wait for the first connection. Raises GatewayUnreachableError with a sentence that says what is wrong."""
    try:
        async with asyncio.timeout(timeout_s):
            state = channel.get_state(try_to_connect=True)
            while state is not grpc.ChannelConnectivity.READY:
                if state in {grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN}:
                    break
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        pass
    else:
        if state is grpc.ChannelConnectivity.READY:
            return
    raise GatewayUnreachableError(await diagnose(target, security), retryable=True)


async def diagnose(target: str, security: Security) -> str:
    """Say why no connection could be made, by looking at the address with plain sockets."""
    match = re.fullmatch(r"\[?([^\]]+?)\]?:(\d+)", target)
    if match is None or target.startswith(("unix:", "dns:", "ipv4:", "ipv6:")):
        return f"No gateway can be reached at {target}."
    host, port = match[1], int(match[2])
    try:
        async with asyncio.timeout(DIAGNOSIS_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"{target} does not answer: check the host name, the network and any firewall."
    except ConnectionRefusedError:
        tunnel = f"ssh -L {port}:localhost:{DEFAULT_PORT} user@headnode"
        return f"Nothing listens at {target}. Start the gateway, or open the tunnel: {tunnel}."
    except OSError as error:
        return f"{target} cannot be reached: {_reason(error)}."
    await _close(writer)
    speaks_tls = await _speaks_tls(host, port)
    if speaks_tls and not security.tls:
        return f"What listens at {target} speaks TLS: add --tls (and --ca FILE for a private certificate)."
    if speaks_tls:
        return (
            f"The certificate of {target} is not trusted: give its authority with --ca FILE, and use a host name "
            "that it carries."
        )
    if security.tls:
        return f"What listens at {target} does not speak TLS: leave out --tls, or check the port."
    return (
        f"Something listens at {target} and does not answer as a gateway: check the port; behind an SSH tunnel, "
        "check that the gateway runs at its far end."
    )


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).strip(".").lower()


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake completes. The certificate is not judged here: nothing is sent over the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(DIAGNOSIS_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):  # ssl.SSLError is an OSError
        return False
    await _close(writer)
    return True


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(DIAGNOSIS_TIMEOUT_S):
            await writer.wait_closed()
