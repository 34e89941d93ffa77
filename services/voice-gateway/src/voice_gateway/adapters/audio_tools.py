"""Makes the per-call audio parts."""

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
