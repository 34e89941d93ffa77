"""The last audio of a call, addressed by its place in audio time."""

BYTES_PER_SAMPLE = 2


class AudioLog:
    """Consecutive 16 bit samples. What lies before `forget`'s sample is dropped."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.start = 0
        """First sample that is kept."""

    @property
    def end(self) -> int:
        """One past the last sample."""
        return self.start + len(self._data) // BYTES_PER_SAMPLE

    def append(self, pcm: bytes) -> None:
        """Add whole samples."""
        self._data += pcm

    def read(self, from_sample: int, to_sample: int) -> bytes:
        """Samples [from_sample, to_sample), less what is dropped or not there yet."""
        first = max(from_sample, self.start) - self.start
        last = min(to_sample, self.end) - self.start
        return bytes(self._data[first * BYTES_PER_SAMPLE : max(first, last) * BYTES_PER_SAMPLE])

    def forget(self, before_sample: int) -> None:
        """Drop what lies before `before_sample`. Cheap to call often: memory moves only for half a second or more."""
        surplus = (before_sample - self.start) * BYTES_PER_SAMPLE
        if surplus >= 16_000:
            del self._data[:surplus]
            self.start = before_sample
