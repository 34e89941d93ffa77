"""Makes the per-call audio parts."""

from collections.abc import Callable

import numpy as np

from voice_gateway.adapters.echo_sound import likeness
from voice_gateway.adapters.resampler import PolyphaseResampler
from voice_gateway.adapters.webrtc_vad import WebRtcVad
from voice_gateway.application.ports import VoiceActivity


class LocalAudioTools:
    """Voice activity and resampling in this process."""

    def __init__(self, detector: Callable[[int], VoiceActivity] = WebRtcVad) -> None:
        """`detector` makes the detector of one call for a rate."""
        self._detector = detector

    def voice_activity(self, sample_rate_hz: int) -> VoiceActivity:
        """A detector for one call."""
        return self._detector(sample_rate_hz)

    def resampler(self, from_hz: int, to_hz: int) -> PolyphaseResampler | None:
        """None where both rates are equal."""
        return None if from_hz == to_hz else PolyphaseResampler(from_hz, to_hz)

    def scaled(self, pcm: bytes, gain_db: float) -> bytes:
        """The same audio, louder or quieter; what would overflow is clipped."""
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) * np.float32(10.0 ** (gain_db / 20.0))
        return bytes(np.clip(samples, -32_768, 32_767).astype("<i2").tobytes())

    def likeness(self, heard: bytes, heard_hz: int, played: bytes, played_hz: int) -> float:
        """How much of `heard` is in `played`, at whatever delay; 0 to 1."""
        return likeness(heard, heard_hz, played, played_hz)
