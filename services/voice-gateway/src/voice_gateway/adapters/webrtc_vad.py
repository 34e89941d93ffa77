"""Voice activity by WebRTC's detector behind an energy gate: no model, and the cheapest there is.

WebRTC's detector alone takes hum, tones and loud stationary noise for speech, all the time, and misses quiet speech. So
each frame must first stand out from the noise floor (adapters/energy_gate.py); and quiet speech is made louder before
WebRTC judges it.

Measured on eight synthetic sentences at 16 kHz, share of the frames with speech (within 35 dB of the loudest) that is
accepted at mode 2: clean 100 %, 20 dB quieter 98 %, 40 dB quieter (-46 dBFS peak) 68 %, white noise at 20 and 10 dB SNR
82 and 70 %, pink noise 85 and 71 %, hum at -30 dBFS 83 %. Stationary noise, hum and tones are rejected a second after
they began; music and noise that swells are not. 7 us a frame, 11 us when it is made louder.
"""

import numpy as np
import webrtcvad

from voice_gateway.adapters.energy_gate import EnergyGate, Samples, power_ratio

MARGIN = power_ratio(6.5)
"""Frames of stationary noise reach about 5 dB above the quietest of 50."""

QUIETEST_FLOOR = power_ratio(-86)
"""About the noise of 16 bit samples in the band."""


class WebRtcVad:
    """Judges the frames of one call. Never suspends."""

    def __init__(self, sample_rate_hz: int, mode: int = 2) -> None:
        """`mode` is WebRTC's, 0 accepts most and 3 least. Raises `ValueError` for other rates than 8, 16, 32 and 48 kHz
        and other modes.
        """
        if mode not in (0, 1, 2, 3):
            raise ValueError(f"mode is {mode}, allowed are 0 to 3")
        self._gate = EnergyGate(sample_rate_hz, margin=MARGIN, quietest_floor=QUIETEST_FLOOR)
        self.frame_samples = self._gate.frame_samples
        self._resampled = sample_rate_hz != self._gate.judged_hz
        self._detector = webrtcvad.Vad(mode)

    late_samples = 0

    @property
    def steady(self) -> bool:
        """See `VoiceActivity`."""
        return self._gate.steady

    async def is_speech(self, frame: bytes) -> bool:
        """Judge one frame of `frame_samples` samples, 16 bit. Raises `ValueError` for another length."""
        samples = self._gate.samples(frame)
        if not self._gate.stands_out(samples):
            return False
        gain = self._gate.gain
        if gain > 1:
            frame = _louder(samples, gain)
        elif self._resampled:
            frame = samples.astype("<i2").tobytes()
        return bool(self._detector.is_speech(frame, self._gate.judged_hz))


def _louder(samples: Samples, gain: float) -> bytes:
    scaled = samples * np.float32(gain)
    np.minimum(scaled, 32_767, out=scaled)
    np.maximum(scaled, -32_768, out=scaled)
    return scaled.astype("<i2").tobytes()
