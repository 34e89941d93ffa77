"""Bytes from a client's microphone, made into frames for the voice activity detector."""

from voice_gateway.application.ports import Resampler


class Intake:
    """One caller's audio on its way in. Pieces of any size go in, whole frames at the recogniser's rate come out."""

    def __init__(self, *, client_rate_hz: int, rate_hz: int, frame_samples: int, resampler: Resampler | None) -> None:
        self.received_samples = 0
        """Samples received, at the client's rate."""
        self.last_chunk_ms = 0.0
        """Length of the last piece."""
        self._client_rate_hz = client_rate_hz
        self._rate_hz = rate_hz
        self._frame_bytes = 2 * frame_samples
        self._resampler = resampler
        self.jitter_ms = 0.0
        """How unevenly audio arrives: RFC 3550's estimate (A.8), of the wait for a piece less the piece's length."""
        self._arrived_ms: float | None = None
        self._odd_byte = b""
        self._partial = b""
        """Less than a frame, at the recogniser's rate."""

    @property
    def received_ms(self) -> float:
        """Length of the audio received."""
        return self.received_samples * 1000 / self._client_rate_hz

    def take(self, pcm: bytes) -> list[bytes]:
        """The frames that are complete with `pcm`. It may end within a sample; the next piece continues it."""
        if self._odd_byte:
            pcm = self._odd_byte + pcm
        self._odd_byte = pcm[len(pcm) & ~1 :]
        if self._odd_byte:
            pcm = pcm[:-1]
        self.received_samples += len(pcm) // 2
        self.last_chunk_ms = len(pcm) / 2 * 1000 / self._client_rate_hz
        return self._frames(pcm if self._resampler is None else self._resampler.process(pcm))

    def note_arrival(self, now_ms: float) -> None:
        """The piece that was taken last arrived at `now_ms`."""
        if self._arrived_ms is not None:
            uneven_ms = abs(now_ms - self._arrived_ms - self.last_chunk_ms)
            self.jitter_ms += (uneven_ms - self.jitter_ms) / 16
        self._arrived_ms = now_ms

    def silence(self, milliseconds: int) -> list[bytes]:
        """Frames of silence, after what is held."""
        return self._frames(bytes(2 * (milliseconds * self._rate_hz // 1000)))

    def finish(self) -> tuple[list[bytes], bytes]:
        """The audio ends: the last frames, and what is less than one."""
        frames = [] if self._resampler is None else self._frames(self._resampler.flush())
        rest, self._partial = self._partial, b""
        return frames, rest

    def _frames(self, pcm: bytes) -> list[bytes]:
        if self._partial:
            pcm = self._partial + pcm
        whole = len(pcm) - len(pcm) % self._frame_bytes
        self._partial = pcm[whole:]
        return [pcm[at : at + self._frame_bytes] for at in range(0, whole, self._frame_bytes)]
