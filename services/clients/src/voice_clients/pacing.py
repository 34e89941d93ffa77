"""Sending recorded audio at the pace of a microphone."""

import asyncio
from collections.abc import AsyncIterator

CHUNK_MS = 20
FAST_CHUNK_FRAMES = 2048  # within the 4096 frames that clients of the first contract send
SAMPLE_BYTES = 2


class Pacer:
    """A microphone's clock: a sample exists once it has been recorded, `samples / rate` after the start.

    Deadlines are absolute, so lateness does not add up. `late_ms` keeps how late each wait ended; a benchmark judges
    its own load by it.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._start_s = asyncio.get_running_loop().time()
        self._samples = 0
        self.late_ms: list[float] = []

    async def recorded(self, samples: int) -> None:
        """Wait until `samples` more have been recorded."""
        loop = asyncio.get_running_loop()
        self._samples += samples
        due_s = self._start_s + self._samples / self._rate
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        self.late_ms.append(max(0.0, (loop.time() - due_s) * 1000))


async def paced(pcm: bytes, pacer: Pacer, *, sample_rate_hz: int, chunk_ms: int = CHUNK_MS) -> AsyncIterator[bytes]:
    """Chunks of s16le mono audio, each as soon as a microphone would have it; the last may be shorter."""
    size = max(1, sample_rate_hz * chunk_ms // 1000) * SAMPLE_BYTES
    for at in range(0, len(pcm), size):
        chunk = pcm[at : at + size]
        await pacer.recorded(len(chunk) // SAMPLE_BYTES)
        yield chunk


def fast_chunks(pcm: bytes) -> list[bytes]:
    """The same audio in larger chunks, for sending as fast as the gateway reads."""
    size = FAST_CHUNK_FRAMES * SAMPLE_BYTES
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]
