"""Answer audio between the network and the loudspeaker: a jitter buffer that knows generations.

Pure: no clock, no thread, no I/O. Time passes only by `take()`, in samples. The gateway numbers each answer with a
generation; a FLUSH carrying generation G forbids every sample older than G, also those still on the wire. What was
played is counted in samples of its generation, which is what the gateway's ledger of heard words is made from.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voice_clients.events import PlaybackAction

SAMPLE_BYTES = 2
# One network hiccup of a home connection; the gateway runs further ahead than this for clients that flush.
DEFAULT_PREBUFFER_MS = 40
RAMP_MS = 10  # a change of loudness within this time is not heard as a click


@dataclass(frozen=True, slots=True)
class PlayedSamples:
    """What to acknowledge: `samples` of `generation` have been played."""

    generation: int
    samples: int


@dataclass(slots=True)
class _Segment:
    generation: int
    position: int  # of its first remaining sample, in its generation
    pcm: memoryview


class PlaybackBuffer:
    """Holds s16le mono audio of one rate. `push` and `command` fill it, `take` empties it.

    Playing starts when `prebuffer_ms` of audio is there, or that much time has passed since the first of it came, or
    `end_of_answer` said that no more comes. It starts over so after each time the buffer ran dry.
    """

    def __init__(self, sample_rate_hz: int, *, prebuffer_ms: int = DEFAULT_PREBUFFER_MS) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.paused = False
        self.stale_samples = 0  # dropped because their generation was flushed
        self.underruns = 0
        self._prebuffer = sample_rate_hz * prebuffer_ms // 1000
        self._segments: deque[_Segment] = deque()
        self._floor = 0  # no generation below it may be played
        self._received: tuple[int, int] = (0, 0)  # newest generation, and the position after its last sample
        self._buffered_bytes = 0
        self._odd = b""
        self._played = PlayedSamples(0, 0)
        self._acks: list[PlayedSamples] = []
        self._last_ack = self._played
        self._gain = (1.0, 1.0)  # now, wanted
        self._waiting: int | None = self._prebuffer  # samples of time left to wait for; None while playing

    @property
    def played(self) -> PlayedSamples:
        """The generation played last, and how much of it."""
        return self._played

    @property
    def buffered_samples(self) -> int:
        """Samples that wait to be played."""
        return self._buffered_bytes // SAMPLE_BYTES

    def push(self, pcm: bytes, *, generation: int = 0, first_sample: int = 0) -> None:
        """Add received audio. Audio of a flushed generation is dropped and counted; half samples wait for the rest."""
        newest, end = self._received
        if generation < self._floor:
            self.stale_samples += len(pcm) // SAMPLE_BYTES
            return
        if generation != newest:
            newest, end, self._odd = generation, 0, b""
        data = self._odd + pcm
        whole = len(data) - len(data) % SAMPLE_BYTES
        self._odd = data[whole:]
        position = max(end, first_sample)  # gateways of the first contract send no positions: 0 on every chunk
        self._received = (newest, position + whole // SAMPLE_BYTES)
        if whole:
            self._segments.append(_Segment(generation, position, memoryview(data)[:whole]))
            self._buffered_bytes += whole

    def command(self, action: PlaybackAction, *, generation: int = 0, gain_db: float = 0.0) -> None:
        """Obey the gateway."""
        match action:
            case PlaybackAction.FLUSH:
                self._flush(generation)
            case PlaybackAction.PAUSE:
                self.paused = True
            case PlaybackAction.RESUME:
                self.paused = False
            case PlaybackAction.DUCK:
                self._gain = (self._gain[0], min(1.0, 10.0 ** (gain_db / 20.0)))
            case PlaybackAction.UNKNOWN:
                pass

    def stop(self) -> PlayedSamples:
        """The connection is lost: drop what is buffered, and say what was played. The answer may go on in the same
        generation or in a later one, counted from its first sample.
        """
        self._segments.clear()
        self._buffered_bytes = 0
        self._received = (self._received[0], 0)
        self._odd = b""
        self._quieten()
        return self._played

    def end_of_answer(self) -> None:
        """Nothing more of this answer comes: what is buffered plays without waiting to be joined by more."""
        if self._segments:
            self._waiting = None

    def _flush(self, generation: int) -> None:
        self._floor = max(self._floor, generation)
        kept = deque(segment for segment in self._segments if segment.generation >= self._floor)
        kept_bytes = sum(len(segment.pcm) for segment in kept)
        self.stale_samples += (self._buffered_bytes - kept_bytes) // SAMPLE_BYTES
        self._segments, self._buffered_bytes = kept, kept_bytes
        if self._received[0] < self._floor:
            self._odd = b""
        self._quieten()
        self._acks.append(self._played)  # the gateway waits for this count to know what was heard

    def _quieten(self) -> None:
        self.paused = False  # the pause and the ducking were of the answer that is gone
        self._gain = (1.0, 1.0)
        if not self._segments:
            self._waiting = self._prebuffer

    def take(self, samples: int) -> bytes:
        """The next `samples` to play, filled up with silence. Counts what is not silence as played."""
        if self.paused or not self._ready(samples):
            return bytes(samples * SAMPLE_BYTES)
        wanted = samples * SAMPLE_BYTES
        parts: list[bytes | memoryview] = []
        while wanted and self._segments:
            segment = self._segments[0]
            part = segment.pcm[:wanted]
            self._count(segment, len(part) // SAMPLE_BYTES)
            parts.append(part)
            wanted -= len(part)
            self._buffered_bytes -= len(part)
            if len(part) == len(segment.pcm):
                self._segments.popleft()
            else:
                segment.pcm = segment.pcm[len(part) :]
                segment.position += len(part) // SAMPLE_BYTES
        if wanted:
            self.underruns += 1
            self._waiting = self._prebuffer
            parts.append(bytes(wanted))
        block = b"".join(parts)
        return block if self._gain == (1.0, 1.0) else self._apply_gain(block)

    def _ready(self, samples: int) -> bool:
        if self._waiting is None:
            return True
        if not self._segments:
            return False
        if self.buffered_samples >= self._prebuffer or self._waiting <= 0:
            self._waiting = None
            return True
        self._waiting -= samples
        return False

    def _count(self, segment: _Segment, samples: int) -> None:
        if segment.generation != self._played.generation:
            self._acks.append(self._played)
        self._played = PlayedSamples(segment.generation, segment.position + samples)

    def _apply_gain(self, block: bytes) -> bytes:
        now, wanted = self._gain
        audio: NDArray[np.float32] = np.frombuffer(block, dtype="<i2").astype(np.float32)
        ramp = min(len(audio), self.sample_rate_hz * RAMP_MS // 1000)
        gains = np.full(len(audio), wanted, dtype=np.float32)
        gains[:ramp] = np.linspace(now, wanted, ramp, dtype=np.float32)
        self._gain = (wanted, wanted)
        return (audio * gains).astype("<i2").tobytes()

    def next_acks(self) -> list[PlayedSamples]:
        """What to acknowledge now: generations left and flushed since the last call, and the present count if it grew.

        Counts of one generation never fall. Generation 0 with nothing played is never acknowledged.
        """
        acks, self._acks = self._acks, []
        if self._played != self._last_ack:
            acks.append(self._played)
        self._last_ack = self._played
        return [ack for ack in dict.fromkeys(acks) if ack != PlayedSamples(0, 0)]
