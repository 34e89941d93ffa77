"""An answer's audio: what waits to be sent, and what was sent last, in case it must be sent again."""

from collections import deque
from dataclasses import dataclass, field

from voice_gateway.domain.pacing import PlayoutClock

KEPT_MS = 8_000
"""Audio kept behind what was sent, to go on from the word at which the caller made the answer pause: at most the lead,
what a client's loudspeaker is behind, and a word."""


@dataclass(slots=True)
class PlayoutBuffer:
    """16 bit samples, in the pieces in which they came."""

    clock: PlayoutClock
    """Of the audio sent since the last rewind."""
    base: int = 0
    """Sample of the answer that the clock began with."""
    waiting: int = 0
    """Bytes that wait."""
    _chunks: deque[bytes] = field(default_factory=deque)
    _offset: int = 0
    """Bytes of the first chunk that are already sent."""
    _kept: deque[bytes] = field(default_factory=deque)
    _kept_bytes: int = 0

    def add(self, pcm: bytes) -> None:
        """Audio that is to be sent."""
        self._chunks.append(pcm)
        self.waiting += len(pcm)

    def take(self, size: int, now_ms: float) -> bytes:
        """Up to `size` bytes in one piece, which are sent at `now_ms`."""
        pieces: list[bytes] = []
        while size and self._chunks:
            chunk = self._chunks[0]
            piece = chunk[self._offset : self._offset + size]
            pieces.append(piece)
            size -= len(piece)
            self._offset += len(piece)
            if self._offset == len(chunk):
                self._chunks.popleft()
                self._offset = 0
        taken = b"".join(pieces)
        self.waiting -= len(taken)
        self.clock.on_sent(len(taken) // 2, now_ms)
        self._keep(taken)
        return taken

    def sent_last(self, size: int) -> bytes:
        """The last `size` bytes that were sent, or what is kept of them."""
        return b"".join(self._kept)[-size:] if size else b""

    def rewind(self, sample: int) -> None:
        """Go back to `sample` of the answer, or as far as audio was kept: what was sent from there on waits again."""
        sent = self.base + self.clock.sent
        sample = min(sent, max(sample, sent - self._kept_bytes // 2))
        if self._offset:
            self._chunks[0] = self._chunks[0][self._offset :]
            self._offset = 0
        if sample < sent:
            again = b"".join(self._kept)[self._kept_bytes - 2 * (sent - sample) :]
            self._chunks.appendleft(again)
            self.waiting += len(again)
        self._kept.clear()
        self._kept_bytes = 0
        self.base = sample
        self.clock = PlayoutClock(self.clock.sample_rate_hz, self.clock.lead_ms)

    def _keep(self, pcm: bytes) -> None:
        limit = 2 * (self.clock.sample_rate_hz * KEPT_MS // 1000)
        self._kept.append(pcm)
        self._kept_bytes += len(pcm)
        while self._kept_bytes - len(self._kept[0]) >= limit:
            self._kept_bytes -= len(self._kept.popleft())
