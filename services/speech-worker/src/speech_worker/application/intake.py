"""Bytes of a request to 16 kHz samples."""

from speech_worker.application.pcm import decode, to_s16
from speech_worker.application.ports import RECOGNITION_RATE_HZ
from speech_worker.application.resampling import Resampler
from speech_worker.domain.audio import AudioFormat
from speech_worker.domain.wav import AudioSniffer


class AudioIntake:
    """WAV header found or not, any supported encoding and rate, odd bytes carried over. Gives s16le at 16 kHz."""

    def __init__(self, declared: AudioFormat) -> None:
        self._sniffer = AudioSniffer(declared)
        self._resampler: Resampler | None = None
        self._odd = b""

    @property
    def input_rate_hz(self) -> int:
        return self._sniffer.format.sample_rate_hz

    def feed(self, data: bytes) -> bytes:
        """Raises InvalidRequest for a header that cannot be served."""
        return self._convert(self._sniffer.feed(data))

    def finish(self) -> bytes:
        """The rest at the end of the stream. A last half sample is dropped. Raises InvalidRequest."""
        pcm = self._convert(self._sniffer.finish())
        if self._resampler is not None:
            pcm += to_s16(self._resampler.flush())
        return pcm

    def _convert(self, data: bytes) -> bytes:
        if not data:
            return b""
        audio = self._sniffer.format
        data = self._odd + data
        whole = len(data) - len(data) % audio.encoding.bytes_per_sample
        data, self._odd = data[:whole], data[whole:]
        if self._resampler is None:
            self._resampler = Resampler(audio.sample_rate_hz, RECOGNITION_RATE_HZ)
        return to_s16(self._resampler.process(decode(data, audio.encoding)))
