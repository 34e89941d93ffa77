"""Connections to one Riva endpoint, shared by all calls of the process.

HTTP/2 servers commonly take about 100 streams on one connection and queue the rest without a word, so streams are
spread over several channels. A channel argument that differs keeps gRPC from sharing one connection among them
(grpc.io/docs/guides/performance).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import grpc
import grpc.aio

StubT = TypeVar("StubT")

MAX_RECEIVED_BYTES = 16 * 1024 * 1024
"""One phrase in one message: a minute of 48 kHz audio is 5.5 MiB, more than gRPC's default of 4 MiB."""

MAX_RECONNECT_BACKOFF_MS = 5_000
"""gRPC waits up to two minutes between attempts; a caller would not."""


@dataclass(frozen=True, slots=True)
class RivaEndpoint:
    """Where a speech server is and how it wants to be addressed."""

    target: str
    """"host:port"."""
    tls: bool = False
    ca_certificate_pem: bytes | None = field(default=None, repr=False)
    """Authorities to trust instead of the ones that gRPC ships."""
    function_id: str = ""
    """NVIDIA's hosted endpoints route by it."""
    api_key: str = field(default="", repr=False)
    streams_per_channel: int = 90
    max_channels: int = 32
    keepalive_ms: int = 330_000
    """Interval of HTTP/2 pings while streams are open; 0 for none. A gRPC server that is not told otherwise ends the
    connection of a client that pings more often than every 300 s (grpc/grpc doc/keepalive.md)."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries, once: the official client sends it twice over TLS."""
        pairs = []
        if self.function_id:
            pairs.append(("function-id", self.function_id))
        if self.api_key:
            pairs.append(("authorization", f"Bearer {self.api_key}"))
        return tuple(pairs)


@dataclass(slots=True)
class _Slot(Generic[StubT]):
    channel: grpc.aio.Channel
    stub: StubT
    streams: int = 0


class ChannelPool(Generic[StubT]):
    """Grows with the streams in progress. Belongs to the event loop that it is first used on."""

    def __init__(self, endpoint: RivaEndpoint, make_stub: Callable[[grpc.aio.Channel], StubT]) -> None:
        self.endpoint = endpoint
        self._make_stub = make_stub
        self._slots: list[_Slot[StubT]] = []

    @property
    def channels(self) -> int:
        """Channels made so far."""
        return len(self._slots)

    @property
    def streams(self) -> int:
        """Streams in progress."""
        return sum(slot.streams for slot in self._slots)

    def warm(self) -> None:
        """Start connecting, so that the first caller does not wait for it. Returns at once."""
        if not self._slots:
            self._grow()

    @contextmanager
    def lease(self) -> Iterator[StubT]:
        """A stub for one stream, on the channel with the fewest streams. When all channels are full and no more may be
        made, the stream shares one: the server then decides whether it waits.
        """
        slot = min(self._slots, key=_streams, default=None)
        if slot is None or (slot.streams >= self.endpoint.streams_per_channel and self._may_grow()):
            slot = self._grow()
        slot.streams += 1
        try:
            yield slot.stub
        finally:
            slot.streams -= 1

    async def close(self) -> None:
        """Cancel what is in progress and close the connections."""
        slots, self._slots = self._slots, []
        for slot in slots:
            await slot.channel.close()

    def _may_grow(self) -> bool:
        return len(self._slots) < self.endpoint.max_channels

    def _grow(self) -> _Slot[StubT]:
        options = channel_options(self.endpoint, number=len(self._slots))
        if self.endpoint.tls:
            credentials = grpc.ssl_channel_credentials(self.endpoint.ca_certificate_pem)
            channel = grpc.aio.secure_channel(self.endpoint.target, credentials, options=options)
        else:
            channel = grpc.aio.insecure_channel(self.endpoint.target, options=options)
        channel.get_state(try_to_connect=True)
        slot = _Slot(channel, self._make_stub(channel))
        self._slots.append(slot)
        return slot


def _streams(slot: _Slot[StubT]) -> int:
    return slot.streams


def channel_options(endpoint: RivaEndpoint, *, number: int) -> list[tuple[str, int | str]]:
    """gRPC options of the channel with that number in its pool."""
    options: list[tuple[str, int | str]] = [
        ("voice_gateway.pool_number", number),
        ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
        # A synthesiser may then be 64 KiB ahead of its reader in place of 4 MiB, and a message costs a sixth less.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.initial_reconnect_backoff_ms", 200),
        # The shortest time that one attempt gets: gRPC's 20 s would keep a caller waiting on a host that is gone.
        ("grpc.min_reconnect_backoff_ms", 3_000),
        ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_BACKOFF_MS),
        # Spreads channels over the pods behind a headless Service; with one address it changes nothing.
        ("grpc.lb_policy_name", "round_robin"),
    ]
    if endpoint.keepalive_ms:
        options += [("grpc.keepalive_time_ms", endpoint.keepalive_ms), ("grpc.keepalive_timeout_ms", 20_000)]
    return options
