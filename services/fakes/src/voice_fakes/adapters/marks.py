"""Marks inside the fake voice: the lowest bits of its samples say which text they belong to, and where in it.

So what a caller heard can be read from the sound alone, whatever a gateway made of it in between: cut, paused, played
again from some word. 64 samples carry one mark: 16 bits that never change, 12 of the request's number, 20 of the mark's
own number, and 16 of a checksum over both. Audio that was resampled or made quieter carries none any more.
"""

from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

MARK_SAMPLES = 64
_PREAMBLE = 0b1011_0010_1110_0101
_REQUEST_BITS, _NUMBER_BITS = 12, 20
REQUESTS = 1 << _REQUEST_BITS  # numbers are told modulo this


@dataclass(frozen=True, slots=True)
class Mark:
    """At sample `at` of some audio stands sample `first_sample` of the text of `request` (modulo REQUESTS)."""

    at: int
    request: int
    first_sample: int


def marked(pcm: bytes, *, request: int, first_sample: int) -> bytes:
    """The same s16le audio with marks; `first_sample` is its place within the text's audio."""
    samples = np.frombuffer(pcm, dtype="<i2").copy()
    if not len(samples):
        return pcm
    first, last = first_sample // MARK_SAMPLES, (first_sample + len(samples) - 1) // MARK_SAMPLES
    bits = np.concatenate([_bits(request % REQUESTS, number) for number in range(first, last + 1)])
    begin = first_sample - first * MARK_SAMPLES
    samples &= ~np.int16(1)
    samples |= bits[begin : begin + len(samples)]
    written: bytes = samples.tobytes()
    return written


@lru_cache(maxsize=65_536)
def _bits(request: int, number: int) -> NDArray[np.int16]:
    body = request << _NUMBER_BITS | number
    word = _PREAMBLE << 48 | body << 16 | _checksum(body)
    return np.array([word >> shift & 1 for shift in range(MARK_SAMPLES - 1, -1, -1)], dtype=np.int16)


def _checksum(body: int) -> int:
    return crc32(body.to_bytes(4, "big")) & 0xFFFF


def read_marks(pcm: bytes) -> list[Mark]:
    """All whole marks in s16le audio, at any alignment."""
    bits = (np.frombuffer(pcm, dtype="<i2") & 1).astype(np.uint64)
    if len(bits) < MARK_SAMPLES:
        return []
    starts = len(bits) - MARK_SAMPLES + 1
    heads = np.zeros(starts, dtype=np.uint64)
    for index in range(16):
        heads = heads << np.uint64(1) | bits[index : index + starts]
    found: list[Mark] = []
    for at in np.nonzero(heads == _PREAMBLE)[0].tolist():
        rest = 0
        for bit in bits[at + 16 : at + MARK_SAMPLES].tolist():
            rest = rest << 1 | bit
        body = rest >> 16
        if rest & 0xFFFF == _checksum(body):
            found.append(Mark(at, body >> _NUMBER_BITS, (body & (1 << _NUMBER_BITS) - 1) * MARK_SAMPLES))
    return found
