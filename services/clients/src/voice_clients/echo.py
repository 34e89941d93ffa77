"""Keeping the loudspeaker out of the microphone: what was played and what was heard, frame by frame, to a canceller.

The loudspeaker's thread leaves each block in a `FarEnd` as it hands it to the device. The microphone's thread takes
what has gathered there with each block that it records: so the two stay paired as the devices ran, however late the
event loop is. `Cleaner` then feeds both to a canceller, off both threads of the sound devices.
"""

from collections import deque
from typing import Protocol

FRAME_MS = 10  # what WebRTC's audio processing takes
FAR_END_BLOCKS = 50  # 1 s at 20 ms; a microphone that records nothing for longer has nothing to be cleaned
SAMPLE_BYTES = 2
MAX_DELAY_MS = 500  # the longest that WebRTC's audio processing takes


class EchoCanceller(Protocol):
    """Takes s16le mono in frames of exactly 10 ms, each side at its own rate."""

    def played(self, frame: bytes) -> None:
        """The next frame of what the loudspeaker is given, silence included."""

    def clean(self, frame: bytes) -> bytes:
        """The next frame of what the microphone heard, without the echo; as long as it was."""

    def expect_delay(self, delay_ms: int) -> None:
        """How long after `played` its echo arrives in `clean`, as far as the devices know: 0 to 500 ms."""


class FarEnd:
    """What the loudspeaker was given since it was last asked. Safe between two threads; neither ever waits.

    Holds at most `FAR_END_BLOCKS`; then the oldest is forgotten.
    """

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque(maxlen=FAR_END_BLOCKS)

    def put(self, block: bytes) -> None:
        """The loudspeaker's thread: the device has this block now."""
        self._blocks.append(block)

    def take(self) -> bytes:
        """The microphone's thread: everything put since the last time, in order."""
        parts: list[bytes] = []
        try:
            while True:
                parts.append(self._blocks.popleft())
        except IndexError:  # asking first would race with the other thread
            return b"".join(parts)


class Cleaner:
    """Cuts blocks of any length into frames of 10 ms for a canceller. One thread at a time.

    Raises ValueError where 10 ms is no whole number of samples at a rate.
    """

    def __init__(self, canceller: EchoCanceller, *, microphone_hz: int, loudspeaker_hz: int) -> None:
        for rate_hz in (microphone_hz, loudspeaker_hz):
            if not takes_rate(rate_hz):
                raise ValueError(f"{rate_hz} Hz has no whole number of samples in {FRAME_MS} ms")
        self._canceller = canceller
        self._near_bytes = microphone_hz * FRAME_MS // 1000 * SAMPLE_BYTES
        self._far_bytes = loudspeaker_hz * FRAME_MS // 1000 * SAMPLE_BYTES
        self._near = b""
        self._far = b""

    def clean(self, block: bytes, played: bytes) -> bytes:
        """The whole frames of `block` so far, cleaned; `played` is what the loudspeaker was given meanwhile.

        The output is `block` long where that is a whole number of frames; else the rest comes with the next block.
        """
        near, self._near = _frames(self._near + block, self._near_bytes)
        far, self._far = _frames(self._far + played, self._far_bytes)
        cleaned: list[bytes] = []
        waiting = deque(far)
        for index, frame in enumerate(near):
            # One by one as long as there are enough; where the loudspeaker ran ahead, its surplus comes first.
            while len(waiting) >= len(near) - index:
                self._canceller.played(waiting.popleft())
            cleaned.append(self._canceller.clean(frame))
        for frame in waiting:
            self._canceller.played(frame)
        return b"".join(cleaned)


def _frames(data: bytes, size: int) -> tuple[list[bytes], bytes]:
    """Whole frames, and what is left over."""
    whole = len(data) // size * size
    return [data[at : at + size] for at in range(0, whole, size)], data[whole:]


def takes_rate(rate_hz: int) -> bool:
    """Whether audio of this rate can be cut into frames of 10 ms."""
    return rate_hz > 0 and rate_hz * FRAME_MS % 1000 == 0
