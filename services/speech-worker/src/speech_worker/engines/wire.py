"""Frames between the worker and its engine processes: kind (one byte), length (four, big-endian), payload."""

import json
import select
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final

HEADER: Final = struct.Struct(">cI")
MAX_PAYLOAD_BYTES: Final = 1 << 24  # a larger length means that the stream is out of step

# Both ways.
AUDIO: Final = b"a"  # s16le
# Worker to engine process.
OPEN: Final = b"O"  # a new caller: forget the last one
FINISH: Final = b"F"  # end of utterance
SPEAK: Final = b"S"  # JSON: text, voice
CANCEL: Final = b"C"  # stop speaking
# Engine process to worker.
HELLO: Final = b"H"  # JSON: pid
HYPOTHESIS: Final = b"h"  # JSON: text, confidence, words
WORDS: Final = b"w"  # JSON: list of [text, start_ms, end_ms]
END: Final = b"e"  # the answer is complete
FAILED: Final = b"x"  # a sentence


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return HEADER.pack(kind, len(payload)) + payload


class Connection:
    """The engine process's blocking end of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def receive(self) -> tuple[bytes, bytes]:
        """Raises EOFError when the worker is gone."""
        kind, length = HEADER.unpack(self._exactly(HEADER.size))
        return kind, self._exactly(length)

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        self._socket.sendall(frame(kind, payload))

    def send_json(self, kind: bytes, value: Mapping[str, Any] | list[Any]) -> None:
        self.send(kind, json.dumps(value).encode())

    def waiting(self) -> bool:
        """Whether something can be received without blocking; in the middle of speaking that is a CANCEL."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)
