"""A loudspeaker by arithmetic: what has been played is known from when audio arrived. Pure.

It keeps what `PlaybackBuffer` keeps for a listener in real time, without touching samples: 100 calls need no more
than a few additions for each message.
"""

from collections import deque
from dataclasses import dataclass

JITTER_GAIN = 1 / 16  # RFC 3550, 6.4.1
JITTER_AFTER_NS = 200_000_000
"""An answer begins with a burst, the lead that a gateway runs ahead of playback. It is no jitter."""


@dataclass(slots=True)
class _Part:
    """Audio without a break: it ends at `end_ns`, with sample `end_sample` of its generation."""

    generation: int
    start_ns: int
    end_ns: int
    end_sample: int


class Loudspeaker:
    """Plays s16le mono audio as it comes, without a jitter buffer. Times are of one monotonic clock, in ns."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.gaps_ms: list[float] = []
        """Silences inside answers, because audio came late."""
        self.jitter_ms = 0.0
        """Interarrival jitter of the present generation, as RFC 3550 estimates it."""
        self._parts: deque[_Part] = deque()
        self._floor = 0
        self._received = (0, 0)  # newest generation, and the position after its last sample
        self._played = (0, 0)
        self._told = (0, 0)
        self._paused_ns: int | None = None
        self._arrivals = (0, 0, 0)  # of the generation: first arrival, last arrival, position of the last

    def push(self, generation: int, first_sample: int, samples: int, now_ns: int) -> bool:
        """Audio has arrived. Returns whether it is played: audio of a flushed generation is not."""
        newest, end = self._received
        if generation < self._floor:
            return False
        if generation != newest:
            newest, end = generation, 0
        position = max(end, first_sample)
        self._estimate_jitter(generation, position, now_ns)
        self._received = (newest, position + samples)
        last = self._parts[-1] if self._parts else None
        duration_ns = samples * 1_000_000_000 // self.rate_hz
        joins = last is not None and last.generation == generation
        # While it is paused, its time stands still.
        at_ns = now_ns if self._paused_ns is None else self._paused_ns
        if last is not None and last.end_ns >= at_ns:
            if joins:
                last.end_ns += duration_ns
                last.end_sample = position + samples
                return True
            start_ns = last.end_ns
        else:
            start_ns = at_ns
            if joins and last is not None and self._paused_ns is None:
                self.gaps_ms.append((now_ns - last.end_ns) / 1e6)
        self._parts.append(_Part(generation, start_ns, start_ns + duration_ns, position + samples))
        return True

    def _estimate_jitter(self, generation: int, position: int, now_ns: int) -> None:
        first_ns, last_ns, last_position = self._arrivals
        if generation != self._received[0] or not first_ns:
            self.jitter_ms = 0.0
            self._arrivals = (now_ns, now_ns, position)
            return
        if now_ns - first_ns > JITTER_AFTER_NS:
            late_ms = (now_ns - last_ns) / 1e6 - (position - last_position) * 1000 / self.rate_hz
            self.jitter_ms += (abs(late_ms) - self.jitter_ms) * JITTER_GAIN
        self._arrivals = (first_ns, now_ns, position)

    def flush(self, generation: int, now_ns: int) -> None:
        """Forget what is buffered of generations older than `generation`."""
        self.played(now_ns)
        self._floor = max(self._floor, generation)
        self._parts = deque(part for part in self._parts if part.generation >= self._floor)
        self._paused_ns = None

    def stop(self, now_ns: int) -> tuple[int, int]:
        """The connection is lost: forget what is buffered, and say what was played. The answer may go on in the same
        generation or in a later one, counted from its first sample.
        """
        played = self.played(now_ns)
        self._parts.clear()
        self._received = (0, 0)
        self._paused_ns = None
        return played

    def pause(self, now_ns: int) -> None:
        """Stop, and keep what is buffered."""
        self.played(now_ns)
        if self._paused_ns is None:
            self._paused_ns = now_ns

    def resume(self, now_ns: int) -> None:
        """Go on."""
        if self._paused_ns is None:
            return
        for part in self._parts:
            part.start_ns += now_ns - self._paused_ns
            part.end_ns += now_ns - self._paused_ns
        self._paused_ns = None

    def played(self, now_ns: int) -> tuple[int, int]:
        """The generation played last, and how many of its samples."""
        if self._paused_ns is not None:
            now_ns = self._paused_ns
        while self._parts:
            part = self._parts[0]
            if part.start_ns >= now_ns:
                break
            left = max(0, (part.end_ns - now_ns) * self.rate_hz // 1_000_000_000)
            self._played = (part.generation, max(0, part.end_sample - left))
            if part.end_ns > now_ns or len(self._parts) == 1:
                break
            self._parts.popleft()
        return self._played

    def next_ack(self, now_ns: int) -> tuple[int, int] | None:
        """What to acknowledge, where that has changed since the last time."""
        played = self.played(now_ns)
        if played in {self._told, (0, 0)}:
            return None
        self._told = played
        return played

    def silent_at_ns(self) -> int:
        """When what is buffered has been played; 0 where nothing ever was."""
        return self._parts[-1].end_ns if self._parts else 0
