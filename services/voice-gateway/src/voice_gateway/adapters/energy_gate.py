"""An energy gate over an adaptive noise floor: the first, almost free look at each 20 ms of a caller's audio.

A frame is measured in the band where speech is strong and compared with the quietest of the last second, the simplest
form of minimum statistics (R. Martin, "Noise power spectral density estimation based on optimal smoothing and minimum
statistics", IEEE 2001). Stationary noise, hum and tones become the floor a second after they began. 2 us a frame:
nothing is allocated but the samples themselves.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

FRAME_MS = 20

RATES_HZ = (8_000, 16_000, 32_000, 48_000)

BAND_HZ = 4_000
"""Samples are summed to this rate, and the difference of each with the one before the last is taken: a band around
1 kHz, without hum (50 Hz is 22 dB down) and without what lies near 2 kHz and above, where noise outweighs vowels."""

JUDGED_HZ = 16_000
"""Higher rates are averaged down to this one: no detector hears more, and converting well costs more than judging."""

FLOOR_FRAMES = 50
"""One second: continuous speech nearly always has a dip in it, and noise that lasts longer is taken for the floor."""

FIRST_FLOOR = 10**-5.0
"""-50 dBFS is taken for the room until a second was heard, so that speech from the first frame on is accepted."""

LOUD_ENOUGH = 10**-2.8
"""-28 dBFS: below it detectors begin to miss speech, and frames are made louder."""

FIRST_LOUDNESS = 10**-4.5
LOUDNESS_DECAY = 10**-0.006
"""3 dB a second: the loudness of the speech so far outlasts pauses within a sentence."""

STEADY = 10**-1.0
"""-10 dB: two thirds of the frames of eight recorded questions are as loud; the last one of each lies at -16 to -31."""

MAX_GAIN = 32.0

S16 = np.dtype("<i2")

Samples = NDArray[np.number]


def power_ratio(db: float) -> float:
    """Decibels as a ratio of powers."""
    return float(10 ** (db / 10))


class EnergyGate:
    """Measures the frames of one call. All levels are mean squares in the band; 1 is full scale."""

    def __init__(self, sample_rate_hz: int, *, margin: float, quietest_floor: float) -> None:
        """`margin` is the ratio over the floor at which a frame stands out. Over digital silence any sound would, so
        the floor is never taken below `quietest_floor`. Raises `ValueError` for a rate not in `RATES_HZ`.
        """
        if sample_rate_hz not in RATES_HZ:
            raise ValueError(f"sample_rate_hz is {sample_rate_hz}, allowed are 8000, 16000, 32000 and 48000")
        self.frame_samples = sample_rate_hz * FRAME_MS // 1000
        self.judged_hz = min(sample_rate_hz, JUDGED_HZ)
        self.energy = 0.0
        """Of the last frame."""
        self.floor = max(FIRST_FLOOR, quietest_floor)
        """Of the last second."""
        self.loudness = FIRST_LOUDNESS
        """Of what stood out, decaying slowly."""
        self._margin = margin
        self._quietest_floor = quietest_floor
        self._averaged = sample_rate_hz // self.judged_hz
        self._summed = self.judged_hz // BAND_HZ
        self._full_scale = (32_768.0 * self._summed) ** 2 * (BAND_HZ * FRAME_MS // 1000 - 2)
        self._scratch = _Scratch(self.judged_hz, self._summed)
        self._frames = 0
        self._lows: deque[tuple[int, float]] = deque([(0, FIRST_FLOOR)])
        """Frames that are the quietest from then on, with their numbers, rising: the first is the last second's."""

    def samples(self, frame: bytes) -> Samples:
        """The frame at `judged_hz`, int16 or, where it was averaged, float32. Raises `ValueError` for another length
        than `frame_samples` of 16 bit.
        """
        if len(frame) != 2 * self.frame_samples:
            raise ValueError(f"a frame has {2 * self.frame_samples} bytes, this one {len(frame)}")
        samples: Samples = np.frombuffer(frame, S16)
        if self._averaged > 1:
            samples = samples.reshape(-1, self._averaged) @ np.full(self._averaged, 1 / self._averaged, np.float32)
        return samples

    def stands_out(self, samples: Samples) -> bool:
        """Take the next frame, as `samples` gave it; whether it is louder than the floor by the margin."""
        energy = self.energy = self._scratch.steps_power(samples) / self._full_scale
        lows = self._lows
        self._frames = number = self._frames + 1
        while lows and lows[-1][1] >= energy:
            lows.pop()
        lows.append((number, energy))
        if lows[0][0] <= number - FLOOR_FRAMES:
            lows.popleft()
        self.floor = max(lows[0][1], self._quietest_floor)
        if energy < self.floor * self._margin:
            return False
        self.loudness = max(self.loudness * LOUDNESS_DECAY, energy)
        return True

    @property
    def steady(self) -> bool:
        """Whether the last frame was as loud as the speech so far."""
        return self.energy >= self.loudness * STEADY

    @property
    def gain(self) -> float:
        """What makes the caller loud enough; 1 where no help is needed."""
        if self.loudness >= LOUD_ENOUGH:
            return 1.0
        return min(math.sqrt(LOUD_ENOUGH / self.loudness), MAX_GAIN)


class _Scratch:
    """Memory that is used again for each frame."""

    def __init__(self, judged_hz: int, summed: int) -> None:
        samples = judged_hz * FRAME_MS // 1000
        self._samples = np.empty(samples, np.float32)
        self._groups = self._samples.reshape(-1, summed)
        self._ones = np.ones(summed, np.float32)
        self._band = np.empty(samples // summed, np.float32)
        self._later, self._earlier = self._band[2:], self._band[:-2]
        self._steps = np.empty(samples // summed - 2, np.float32)

    def steps_power(self, samples: Samples) -> float:
        """Sum of the squares of what changes in the band."""
        self._samples[:] = samples
        np.dot(self._groups, self._ones, self._band)
        np.subtract(self._later, self._earlier, self._steps)
        return float(self._steps.dot(self._steps))
