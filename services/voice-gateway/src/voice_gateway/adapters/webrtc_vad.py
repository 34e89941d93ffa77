"""Voice activity: an energy gate over an adaptive noise floor, then WebRTC's detector.

WebRTC's detector alone takes hum, tones and loud stationary noise for speech, all the time, and misses quiet speech. So
each frame must first stand out from the quietest of the last second in the band where speech is strong (the simplest
form of minimum statistics: R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum
statistics", IEEE 2001); and quiet speech is made louder before WebRTC judges it.

Measured on eight synthetic sentences at 16 kHz, share of the frames with speech (within 35 dB of the loudest) that is
accepted at mode 2: clean 100 %, 20 dB quieter 98 %, 40 dB quieter (-46 dBFS peak) 68 %, white noise at 20 and 10 dB SNR
82 and 70 %, pink noise 85 and 71 %, hum at -30 dBFS 83 %. Stationary noise, hum and tones are rejected a second after
they began; music and noise that swells are not. 7 us a frame, 11 us when it is made louder.
"""

from collections import deque

import numpy as np
import webrtcvad
from numpy.typing import NDArray

FRAME_MS = 20

BAND_HZ = 4_000
"""Samples are summed to this rate, and the difference of each with the one before the last is taken: a band around
1 kHz, without hum (50 Hz is 22 dB down) and without what lies near 2 kHz and above, where noise outweighs vowels."""

JUDGED_HZ = 16_000
"""Higher rates are averaged down to this one: WebRTC's own conversion from 48 kHz takes 12 us a frame."""

FLOOR_FRAMES = 50
"""One second: continuous speech nearly always has a dip in it, and noise that lasts longer is taken for the floor."""

MARGIN = 10**0.65
"""6.5 dB over the floor. Frames of stationary noise reach about 5 dB above the quietest of 50."""

QUIETEST_FLOOR = 10**-8.6
"""-86 dBFS, about the noise of 16 bit samples in the band: over digital silence, any sound would stand out."""

FIRST_FLOOR = 10**-5.0
"""-50 dBFS is taken for the room until a second was heard, so that speech from the first frame on is accepted."""

LOUD_ENOUGH = 10**-2.8
"""-28 dBFS: below it WebRTC's detector begins to miss speech, and frames are made louder."""

FIRST_LOUDNESS = 10**-4.5
LOUDNESS_DECAY = 10**-0.006
"""3 dB a second: the loudness of the speech so far outlasts pauses within a sentence."""

MAX_GAIN = 32.0


class WebRtcVad:
    """Judges the frames of one call."""

    def __init__(self, sample_rate_hz: int, mode: int = 2) -> None:
        """`mode` is WebRTC's, 0 accepts most and 3 least. Raises `ValueError` for other rates than 8, 16, 32 and 48 kHz
        and other modes.
        """
        if sample_rate_hz not in (8_000, 16_000, 32_000, 48_000):
            raise ValueError(f"sample_rate_hz is {sample_rate_hz}, allowed are 8000, 16000, 32000 and 48000")
        if mode not in (0, 1, 2, 3):
            raise ValueError(f"mode is {mode}, allowed are 0 to 3")
        self.frame_samples = sample_rate_hz * FRAME_MS // 1000
        self._judged_hz = min(sample_rate_hz, JUDGED_HZ)
        self._averaged = sample_rate_hz // self._judged_hz
        self._summed = self._judged_hz // BAND_HZ
        self._full_scale = (32_768.0 * self._summed) ** 2 * (BAND_HZ * FRAME_MS // 1000 - 2)
        self._detector = webrtcvad.Vad(mode)
        self._energies = deque([FIRST_FLOOR] * FLOOR_FRAMES, maxlen=FLOOR_FRAMES)
        self._loudness = FIRST_LOUDNESS

    def is_speech(self, frame: bytes) -> bool:
        """Judge one frame of `frame_samples` samples, 16 bit. Raises `ValueError` for another length."""
        if len(frame) != 2 * self.frame_samples:
            raise ValueError(f"a frame has {2 * self.frame_samples} bytes, this one {len(frame)}")
        samples: NDArray[np.number] = np.frombuffer(frame, dtype="<i2")
        if self._averaged > 1:
            samples = samples.reshape(-1, self._averaged) @ np.full(self._averaged, 1 / self._averaged, np.float32)
        energy = self._energy(samples)
        self._energies.append(energy)
        if energy < max(min(self._energies), QUIETEST_FLOOR) * MARGIN:
            return False
        self._loudness = max(self._loudness * LOUDNESS_DECAY, energy)
        if self._loudness < LOUD_ENOUGH:
            frame = _louder(samples, min((LOUD_ENOUGH / self._loudness) ** 0.5, MAX_GAIN))
        elif self._averaged > 1:
            frame = samples.astype("<i2").tobytes()
        return bool(self._detector.is_speech(frame, self._judged_hz))

    def _energy(self, samples: NDArray[np.number]) -> float:
        """Mean square in the band; 1 is full scale."""
        band = samples.reshape(-1, self._summed).sum(axis=1, dtype=np.float32)
        steps = band[2:] - band[:-2]
        return float(steps @ steps) / self._full_scale


def _louder(samples: NDArray[np.number], gain: float) -> bytes:
    scaled = samples * np.float32(gain)
    np.minimum(scaled, 32_767, out=scaled)
    np.maximum(scaled, -32_768, out=scaled)
    return scaled.astype("<i2").tobytes()
