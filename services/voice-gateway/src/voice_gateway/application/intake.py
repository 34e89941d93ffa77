"""Bytes from a client's microphone, made into frames for the voice activity detector."""

from voice_gateway.application.ports import Resampler
from voice_gateway.application.positions import Positions
from voice_gateway.application.resumption import Resumption


class Intake:
    """One caller's audio on its way in. Pieces of any size go in, whole frames at the recogniser's rate come out."""

    def __init__(
        self,
        *,
        client_rate_hz: int,
        rate_hz: int,
        frame_samples: int,
        resampler: Resampler | None,
        run_ahead_ms: int = 2_000,
        resumption: Resumption | None = None,
    ) -> None:
        self.positions = Positions(client_rate_hz, rate_hz)
        self._zero_sample = 0
        """Position of the microphone when the call began here; audio from before it does not run ahead."""
        if resumption is not None:
            self.positions = Positions(client_rate_hz, rate_hz, resumption.start_sample, resumption.asked.first_sample)
            self._zero_sample = resumption.zero_sample
        self._made = 0
        """Samples at the recogniser's rate that came of it."""
        self.last_chunk_ms = 0.0
        """Length of the last piece."""
        self._client_rate_hz = client_rate_hz
        self._rate_hz = rate_hz
        self._run_ahead_ms = run_ahead_ms
        self._frame_bytes = 2 * frame_samples
        self._resampler = resampler
        self.jitter_ms = 0.0
        """How unevenly audio arrives: RFC 3550's estimate (A.8), of the wait for a piece less the piece's length."""
        self._arrived_ms: float | None = None
        self._odd_byte = b""
        self._partial = b""
        """Less than a frame, at the recogniser's rate."""

    def ahead_ms(self, now_ms: float) -> float:
        """How far the client is ahead of real time, in a call that began `now_ms` ago here."""
        return (self.positions.next - self._zero_sample) * 1000 / self._client_rate_hz - now_ms

    def runs_ahead(self, now_ms: float) -> bool:
        """Whether it is further ahead than a microphone can be."""
        return self.ahead_ms(now_ms) > self._run_ahead_ms

    def take(self, pcm: bytes, first_sample: int = 0) -> list[bytes]:
        """The frames that are complete with `pcm`. It may end within a sample; the next piece continues it. What of it
        the call accounts for already is left out, by the position that the client gives it.
        """
        if self._odd_byte:
            pcm, self._odd_byte = self._odd_byte + pcm, b""
        if len(pcm) & 1:
            pcm, self._odd_byte = pcm[:-1], pcm[-1:]
        if skipped := self.positions.take(first_sample, len(pcm) // 2, self._made):
            pcm = pcm[2 * skipped :]
        self.last_chunk_ms = len(pcm) / 2 * 1000 / self._client_rate_hz
        return self._frames(pcm if self._resampler is None else self._resampler.process(pcm))

    def note_arrival(self, now_ms: float) -> None:
        """The piece that was taken last arrived at `now_ms`. What is sent again comes as fast as it can."""
        if self._arrived_ms is not None and self.positions.next > self._zero_sample:
            uneven_ms = abs(now_ms - self._arrived_ms - self.last_chunk_ms)
            self.jitter_ms += (uneven_ms - self.jitter_ms) / 16
        self._arrived_ms = now_ms

    def silence(self, milliseconds: int) -> list[bytes]:
        """Frames of silence, after what is held."""
        samples = milliseconds * self._rate_hz // 1000
        self.positions.filled(samples, self._made)
        return self._frames(bytes(2 * samples))

    def finish(self) -> tuple[list[bytes], bytes]:
        """The audio ends: the last frames, and what is less than one."""
        frames = [] if self._resampler is None else self._frames(self._resampler.flush())
        rest, self._partial = self._partial, b""
        return frames, rest

    def _frames(self, pcm: bytes) -> list[bytes]:
        self._made += len(pcm) // 2
        if self._partial:
            pcm = self._partial + pcm
        elif len(pcm) == self._frame_bytes:
            return [pcm]  # as most clients send it
        whole = len(pcm) - len(pcm) % self._frame_bytes
        self._partial = pcm[whole:]
        return [pcm[at : at + self._frame_bytes] for at in range(0, whole, self._frame_bytes)]
