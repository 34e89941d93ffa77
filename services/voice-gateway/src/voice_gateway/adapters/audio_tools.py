"""Makes the per-call audio parts."""

import numpy as np

from voice_gateway.adapters.resampler import PolyphaseResampler
from voice_gateway.adapters.webrtc_vad import WebRtcVad


class LocalAudioTools:
    """Voice activity and resampling in this process."""

    def __init__(self, *, vad_mode: int = 2) -> None:
        """`vad_mode` is WebRTC's, 0 accepts most and 3 least; 2 keeps quiet speech, 3 begins to lose it."""
        self._vad_mode = vad_mode

    def voice_activity(self, sample_rate_hz: int) -> WebRtcVad:
        """A detector for one call."""
        return WebRtcVad(sample_rate_hz, self._vad_mode)

    def resampler(self, from_hz: int, to_hz: int) -> PolyphaseResampler | None:
        """None where both rates are equal."""
        return None if from_hz == to_hz else PolyphaseResampler(from_hz, to_hz)

    def scaled(self, pcm: bytes, gain_db: float) -> bytes:
        """The same audio, louder or quieter; what would overflow is clipped."""
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) * np.float32(10.0 ** (gain_db / 20.0))
        return bytes(np.clip(samples, -32_768, 32_767).astype("<i2").tobytes())
