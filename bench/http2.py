"""One gRPC call over a connection of its own, as HTTP/2 frames on a socket (RFC 9113, and grpc/grpc
doc/PROTOCOL-HTTP2.md).

A gRPC library spends some 60 us of this process on each message; 100 callers send 5,000 a second, and then the
benchmark measures itself. What goes over the wire is the same: preface, settings, a request, length-prefixed messages,
flow control of both sides, pings answered, trailers. Only what a caller of one call needs is here: one stream, no
padding, no priorities, no compression.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

from hpack import Decoder, Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM = 1
"""The number of the first stream that a client opens."""
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
SETTING_ENABLE_PUSH, SETTING_INITIAL_WINDOW_SIZE = 2, 4
CANCEL = 8
DEFAULT_WINDOW_BYTES = 65_535
MAX_FRAME_BYTES = 16_384
GRANT_BYTES = 32_768
"""Received bytes are granted anew in steps of this: half a window, as most implementations do."""
CONNECT_TIMEOUT_S = 10.0
STATUS_NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip

_HEAD = struct.Struct(">BHBBL")
"""Length (1 + 2 bytes), type, flags, stream."""
_HEAD_BYTES = _HEAD.size
_PREFIX = struct.Struct(">BL")
"""Of a gRPC message: compressed or not, length."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return _HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


class CallStream(asyncio.Protocol):
    """One call. `on_message` gets each message's bytes, `on_end` once the status' name and its text."""

    def __init__(self, on_message: Callable[[bytes], None], on_end: Callable[[str, str], None]) -> None:
        self._on_message = on_message
        self._on_end = on_end
        self._transport: asyncio.WriteTransport | None = None
        self._opening = b""
        self._unparsed = b""
        self._partial = b""
        """Of a message that continues in the next DATA frame."""
        self._ungranted = 0
        self._connection_window = DEFAULT_WINDOW_BYTES
        self._stream_window = DEFAULT_WINDOW_BYTES
        self._initial_window = DEFAULT_WINDOW_BYTES
        self._waiting: deque[bytes] = deque()
        """DATA frames that the server's windows do not allow yet. Bounded by the length of a run."""
        self._headers = b""
        self._decoder = Decoder()
        self._ended = False

    @staticmethod
    def framed(message: bytes) -> bytes:
        """A message as the DATA frame that carries it, the same for every call."""
        payload = _PREFIX.pack(0, len(message)) + message
        if len(payload) > MAX_FRAME_BYTES:
            raise ValueError(f"a message of {len(message)} bytes does not fit one frame of {MAX_FRAME_BYTES}")
        return frame(DATA, 0, STREAM, payload)

    async def connect(self, target: str, method: str) -> None:
        """Connect to host:port and send the request's headers. Raises OSError or TimeoutError."""
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", target),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "voice-bench"),
        ]
        # Written as soon as there is a connection: the server's settings may come first, and our answer to them must
        # not come before the preface.
        settings = frame(SETTINGS, 0, 0, struct.pack(">HL", SETTING_ENABLE_PUSH, 0))
        self._opening = PREFACE + settings + frame(HEADERS, END_HEADERS, STREAM, Encoder().encode(headers))
        host, _, port = target.rpartition(":")
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.get_running_loop().create_connection(lambda: self, host, int(port), family=socket.AF_INET)

    def send(self, framed: bytes) -> None:
        """Send a framed message, at once where the windows allow it."""
        if self._ended:
            return
        if self._waiting or not self._fits(framed):
            self._waiting.append(framed)
            return
        self._spend(framed)

    def half_close(self) -> None:
        """No more messages."""
        self._waiting.append(frame(DATA, END_STREAM, STREAM))
        self._send_waiting()

    def hang_up(self) -> None:
        """Cancel what still runs, and disconnect."""
        if not self._ended:
            self._ended = True
            self._write(frame(RST_STREAM, 0, STREAM, struct.pack(">L", CANCEL)))
        if self._transport is not None:
            self._transport.close()

    # ---- asyncio.Protocol -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._write(self._opening)

    def connection_lost(self, exc: Exception | None) -> None:
        """Disconnected; a call that had not ended has failed."""
        self._end("UNAVAILABLE", f"the connection was lost: {exc}")

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of what has come."""
        unparsed = self._unparsed + data if self._unparsed else data
        at, size = 0, len(unparsed)
        while size - at >= _HEAD_BYTES:
            high, low, kind, flags, stream = _HEAD.unpack_from(unparsed, at)
            until = at + _HEAD_BYTES + (high << 16 | low)
            if until > size:
                break
            self._take(kind, flags, stream, unparsed[at + _HEAD_BYTES : until])
            at = until
        self._unparsed = unparsed[at:]

    # ---- frames -----------------------------------------------------------------------------------------------------

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._take_data(payload)
        elif kind == WINDOW_UPDATE:
            grant = int.from_bytes(payload) & 0x7FFF_FFFF
            if stream:
                self._stream_window += grant
            else:
                self._connection_window += grant
            self._send_waiting()
        elif kind in (HEADERS, CONTINUATION):
            self._take_headers(payload, last=bool(flags & END_HEADERS))
        elif kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
        elif kind == PING and not flags & ACK:
            self._write(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._end("UNAVAILABLE", f"the stream was reset with code {int.from_bytes(payload)}")

    def _take_data(self, payload: bytes) -> None:
        self._ungranted += len(payload)
        if self._ungranted >= GRANT_BYTES:
            grant = struct.pack(">L", self._ungranted)
            self._write(frame(WINDOW_UPDATE, 0, 0, grant) + frame(WINDOW_UPDATE, 0, STREAM, grant))
            self._ungranted = 0
        messages = self._partial + payload if self._partial else payload
        at, size = 0, len(messages)
        while size - at >= _PREFIX.size:
            begin = at + _PREFIX.size
            until = begin + _PREFIX.unpack_from(messages, at)[1]
            if until > size:
                break
            self._on_message(messages[begin:until])
            at = until
        self._partial = messages[at:]

    def _take_headers(self, payload: bytes, *, last: bool) -> None:
        self._headers += payload
        if not last:
            return
        fields = {str(name): str(value) for name, value in self._decoder.decode(self._headers)}
        self._headers = b""
        if "grpc-status" in fields:
            self._end(STATUS_NAMES[int(fields["grpc-status"])], fields.get("grpc-message", ""))

    def _take_settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HL", payload):
            if name == SETTING_INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._initial_window
                self._initial_window = value
        self._write(frame(SETTINGS, ACK, 0))
        self._send_waiting()

    # ---- sending ----------------------------------------------------------------------------------------------------

    def _fits(self, framed: bytes) -> bool:
        size = len(framed) - _HEAD_BYTES
        return size <= self._stream_window and size <= self._connection_window

    def _spend(self, framed: bytes) -> None:
        size = len(framed) - _HEAD_BYTES
        self._stream_window -= size
        self._connection_window -= size
        self._write(framed)

    def _send_waiting(self) -> None:
        while self._waiting and not self._ended and self._fits(self._waiting[0]):
            self._spend(self._waiting.popleft())

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self, status: str, detail: str) -> None:
        if not self._ended:
            self._ended = True
            self._on_end(status, detail)
