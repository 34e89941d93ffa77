"""Where a gateway is and how to open a channel to it."""

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from voice_clients.credentials import CERTIFICATE, PRIVATE_KEY, credential, read_pem
from voice_clients.errors import BadInputError, GatewayUnreachableError

DEFAULT_TARGET = "localhost:50051"
DEFAULT_PORT = 50051
TARGET_VARIABLE = "VOICE_GATEWAY_TARGET"
API_KEY_VARIABLE = "VOICE_API_KEY"
TOKEN_VARIABLE = "VOICE_TOKEN"  # noqa: S105 - its name
API_KEY_FILE_VARIABLE = "VOICE_API_KEY_FILE"
TOKEN_FILE_VARIABLE = "VOICE_TOKEN_FILE"  # noqa: S105 - its name
API_KEY_METADATA = "x-api-key"
TOKEN_METADATA = "authorization"  # noqa: S105 - its name
RESOLVE_TIMEOUT_S = 2.0
DIAGNOSIS_TIMEOUT_S = 2.0

_LOOPBACK = re.compile(r"^(localhost|127\.[\d.]+|\[::1\]):")

# keepalive: a call is silent only while the network is gone, so 30 s + 10 s bound how long that goes unnoticed; the
# gateway accepts a ping every 10 s. max_pings_without_data 0 lifts gRPC's limit of two.
# enable_retries 0: a spoken call cannot be replayed by the transport, and gRPC would keep what was sent for that.
# local pool: each call has its own connection, as callers on different machines have.
_OPTIONS: tuple[tuple[str, int | str], ...] = (
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
    """TLS or none, and who the caller is. `ca` is a PEM bundle to trust in place of the system's.

    `cert` and `key` are this client's own, in PEM, for gateways that ask for one. `server_name` is the name in the
    gateway's certificate and in `:authority`, where it is not that of the address, such as through a tunnel. Files are
    read again for each connection: a call may outlive its certificate, as it may its token.
    """

    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""
    api_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    api_key_file: Path | None = None
    token_file: Path | None = None

    @property
    def identifies(self) -> bool:
        """Whether a key or token is sent."""
        return bool(self.api_key or self.token) or self.renewed

    @property
    def renewed(self) -> bool:
        """Whether a key or token that is refused now may be another one in a moment."""
        return self.api_key_file is not None or self.token_file is not None

    async def credentials(self) -> grpc.ChannelCredentials:
        """For a TLS connection that is opened now. Raises NoCredentialError."""
        ca, cert, key = await asyncio.to_thread(self._read)
        return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)

    def _read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        ca = None if self.ca is None else read_pem(self.ca, CERTIFICATE)
        cert = None if self.cert is None else read_pem(self.cert, CERTIFICATE)
        return ca, cert, None if self.key is None else read_pem(self.key, PRIVATE_KEY)

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with a request that is made now. Raises NoCredentialError."""
        pairs = []
        if api_key := await credential(self.api_key, self.api_key_file):
            pairs.append((API_KEY_METADATA, api_key))
        if token := await credential(self.token, self.token_file):
            pairs.append((TOKEN_METADATA, f"Bearer {token}"))
        return tuple(pairs)


PLAINTEXT = Security()


@dataclass(frozen=True, slots=True)
class Address:
    """One place to dial. `name` is the host that it was found under, where `target` is one of several addresses."""

    target: str
    name: str = ""


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


async def addresses_of(target: str) -> list[Address]:
    """All addresses of a target: a name may stand for several gateways."""
    match = re.fullmatch(r"(?:dns:///)?(\[[^\]]+\]|[^:/]+):(\d+)", target)
    if match is None or _LOOPBACK.match(target):
        return [Address(target)]
    host, port = match[1].strip("[]"), int(match[2])
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return [Address(target)]  # dialling it says what is wrong
    return choose_addresses(target, host, port, [(item[0], str(item[4][0])) for item in found])


def choose_addresses(target: str, host: str, port: int, found: Sequence[tuple[int, str]]) -> list[Address]:
    """Of what a name resolves to, by address family. One address is left to gRPC, as the target was given.

    A host with one IPv4 and one IPv6 address is one gateway; where there are several of a family, IPv4 is taken.
    """
    four = list(dict.fromkeys(ip for family, ip in found if family == socket.AF_INET))
    six = list(dict.fromkeys(ip for family, ip in found if family == socket.AF_INET6))
    if len(four) > 1:
        return [Address(f"{ip}:{port}", host) for ip in four]
    if len(six) > 1 and not four:
        return [Address(f"[{ip}]:{port}", host) for ip in six]
    return [Address(target)]


def is_local(target: str) -> bool:
    """Whether what is sent there stays on this machine, as far as this side can see: a tunnel begins here."""
    return target.startswith("unix:") or _LOOPBACK.match(target) is not None


async def open_channel(target: str, security: Security = PLAINTEXT) -> grpc.aio.Channel:
    """Open a channel; it connects when first used. On loopback no HTTP proxy is asked: it would miss a tunnel.

    Raises NoCredentialError.
    """
    options: list[tuple[str, int | str]] = list(_OPTIONS)
    if _LOOPBACK.match(target):
        options.append(("grpc.enable_http_proxy", 0))
    if security.server_name:
        options.append(("grpc.default_authority", security.server_name))
    if security.tls:
        if security.server_name:
            options.append(("grpc.ssl_target_name_override", security.server_name))
        return grpc.aio.secure_channel(target, await security.credentials(), options=options)
    return grpc.aio.insecure_channel(target, options=options)


async def until_connected(
    channel: grpc.aio.Channel, target: str, security: Security, timeout_s: float, *, diagnosing: bool = True
) -> None:
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
    sentence = await diagnose(target, security) if diagnosing else f"No gateway can be reached at {target}."
    raise GatewayUnreachableError(sentence, retryable=True)


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
            "that it carries, or give that with --server-name."
            + (" Or it asks for a certificate of yours: --cert, --key." if security.cert is None else "")
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
