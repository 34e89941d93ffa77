"""Sample formats: s16le, G.711 and float."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from speech_worker.domain.audio import Encoding

FULL_SCALE = 32768.0


def to_float(pcm: bytes) -> NDArray[np.float32]:
    """s16le to -1..1."""
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / FULL_SCALE


def to_s16(samples: NDArray[np.float32]) -> bytes:
    """-1..1 to s16le; what is outside is clipped."""
    scaled = np.clip(np.rint(samples * FULL_SCALE), -32768, 32767)
    return bytes(scaled.astype("<i2").tobytes())


@cache
def _mulaw_table() -> NDArray[np.float32]:
    """ITU-T G.711, mu-law, as 14-bit values scaled to 16."""
    codes = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((codes & 0x0F) << 3) + 0x84 << ((codes & 0x70) >> 4)) - 0x84
    return (np.where(codes & 0x80, -magnitude, magnitude) / FULL_SCALE).astype(np.float32)


@cache
def _alaw_table() -> NDArray[np.float32]:
    """ITU-T G.711, A-law, as 13-bit values scaled to 16."""
    codes = np.arange(256, dtype=np.int32) ^ 0x55
    exponent = (codes & 0x70) >> 4
    mantissa = ((codes & 0x0F) << 4) + 8
    magnitude = np.where(exponent == 0, mantissa, (mantissa + 0x100) << np.maximum(exponent - 1, 0))
    return (np.where(codes & 0x80, magnitude, -magnitude) / FULL_SCALE).astype(np.float32)


def decode(data: bytes, encoding: Encoding) -> NDArray[np.float32]:
    """Whole samples only: LINEAR_PCM needs an even number of bytes."""
    match encoding:
        case Encoding.LINEAR_PCM:
            return to_float(data)
        case Encoding.MULAW:
            return _mulaw_table()[np.frombuffer(data, dtype=np.uint8)]
        case Encoding.ALAW:
            return _alaw_table()[np.frombuffer(data, dtype=np.uint8)]
