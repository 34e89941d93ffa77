"""Finds out, while bytes arrive, whether a stream starts with a WAV header.

Riva's own clients send the header of a file as audio, with encoding and rate unset, so the header's word wins.
"""

import struct
from dataclasses import dataclass
from typing import Final

from speech_worker.domain.audio import AudioFormat, Encoding, checked_mono, checked_rate
from speech_worker.domain.errors import InvalidRequest

# Headers of real files are below 1 kB; lists and cue points may stand before the audio. More than this is not a header.
MAX_HEADER_BYTES: Final = 1 << 16
_EXTENSIBLE: Final = 0xFFFE
_PCM: Final = 1
_FORMATS: Final = {(_PCM, 16): Encoding.LINEAR_PCM, (6, 8): Encoding.ALAW, (7, 8): Encoding.MULAW}
_FORMAT_NAMES: Final = {1: "PCM", 3: "floating point", 6: "A-law", 7: "mu-law", 0x55: "MP3"}
# Writers that do not know the length yet put 0 or something close to the largest number.
_UNKNOWN_SIZE_FROM: Final = 0x7FFF_0000
_OTHER_CONTAINERS: Final = {b"fLaC": "FLAC", b"OggS": "OGGOPUS", b"\x1aE\xdf\xa3": "WebM"}


@dataclass(frozen=True)
class _Header:
    format: AudioFormat
    data_offset: int
    data_bytes: int | None


def _read_format(body: bytes) -> AudioFormat:
    if len(body) < 16:
        raise InvalidRequest("The WAV header is damaged: its format chunk is too short.")
    tag, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack_from("<H", body, 24)
    checked_mono(channels)
    encoding = _FORMATS.get((tag, bits))
    if encoding is None:
        name = _FORMAT_NAMES.get(tag, f"format {tag}")
        raise InvalidRequest(
            f"The WAV file holds {bits}-bit {name}: 16-bit PCM, 8-bit A-law and 8-bit mu-law are supported."
        )
    return AudioFormat(encoding, checked_rate(rate_hz, field="The WAV file's sample rate"))


def _read_header(data: bytes) -> _Header | None:
    """None while more bytes are needed. Raises InvalidRequest for what cannot become a usable header."""
    if len(data) >= 12 and data[8:12] != b"WAVE":
        raise InvalidRequest("The audio starts as a RIFF file but is not a WAV file.")
    found: AudioFormat | None = None
    position = 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        (size,) = struct.unpack_from("<I", data, position + 4)
        body = position + 8
        if name == b"data":
            if found is None:
                raise InvalidRequest("The WAV header is damaged: the audio comes before its format.")
            known = 0 < size < _UNKNOWN_SIZE_FROM
            return _Header(found, body, size if known else None)
        if name == b"fmt ":
            if body + size > len(data) and size <= MAX_HEADER_BYTES:
                return None
            found = _read_format(data[body : body + size])
        position = body + size + (size & 1)
    if len(data) > MAX_HEADER_BYTES or position > MAX_HEADER_BYTES:
        raise InvalidRequest(f"The WAV header is longer than {MAX_HEADER_BYTES} bytes.")
    return None


class AudioSniffer:
    """Takes the bytes of a stream in any cuts; gives back audio bytes once the format is known.

    `declared` is what the request's config says; it holds where no header is found.
    """

    def __init__(self, declared: AudioFormat) -> None:
        self.format = declared
        self.decided = False
        self._held = b""
        self._left: int | None = None  # audio bytes that the header still promises; None: until the end

    def feed(self, data: bytes) -> bytes:
        """Audio bytes in `self.format`. Raises InvalidRequest for a header that cannot be served."""
        if self.decided:
            return self._take(data)
        self._held += data
        if not self._may_be_riff():
            self._refuse_other_containers()
            if len(self._held) < 4 and self._may_be_other():
                return b""
            return self._decide(0, None)
        if len(self._held) < 12:
            return b""
        header = _read_header(self._held)
        if header is None:
            return b""
        self.format = header.format
        return self._decide(header.data_offset, header.data_bytes)

    def finish(self) -> bytes:
        """What was held back when the stream ends. An unfinished header is a mistake; a few raw bytes are audio."""
        if self.decided or not self._held:
            return b""
        if self._held.startswith(b"RIFF"):
            raise InvalidRequest("The WAV header is incomplete: the stream ended inside it.")
        return self._decide(0, None)

    def _may_be_riff(self) -> bool:
        return b"RIFF".startswith(self._held[:4])

    def _may_be_other(self) -> bool:
        return any(magic.startswith(self._held[:4]) for magic in _OTHER_CONTAINERS)

    def _refuse_other_containers(self) -> None:
        for magic, name in _OTHER_CONTAINERS.items():
            if self._held.startswith(magic):
                raise InvalidRequest(f"Unsupported audio encoding {name}: LINEAR_PCM, MULAW and ALAW are supported.")

    def _decide(self, offset: int, size: int | None) -> bytes:
        self.decided = True
        self._left = size
        audio, self._held = self._held[offset:], b""
        return self._take(audio)

    def _take(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        taken = data[: self._left]
        self._left -= len(taken)
        return taken
