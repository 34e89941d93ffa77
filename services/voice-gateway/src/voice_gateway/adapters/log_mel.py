"""Log-mel features as Whisper's encoders are fed.

Definition: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022), section 2.1 and the
published constants: 25 ms windows (Hann, 400 samples) every 10 ms (160 samples) of 16 kHz audio, 80 mel bands, log10
floored at 8 below the maximum, scaled by (x + 4) / 4. Mel scale and area-normalised triangles: M. Slaney, "Auditory
Toolbox" (1998): linear to 1 kHz, 15 mel; then logarithmic, 27 steps to a factor of 6.4.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000
WINDOW = 400
STEP = 160
BANDS = 80

LINEAR_HZ_PER_MEL = 200 / 3
KNEE_HZ = 1_000.0
KNEE_MEL = KNEE_HZ / LINEAR_HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27

SMALLEST_POWER = 1e-10
DYNAMIC_RANGE = 8.0
"""In powers of ten: 80 dB."""


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (80, samples // 160) of float samples at 16 kHz; the edges are mirrored by half a window."""
    mirrored = np.pad(samples, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, WINDOW)[::STEP][:-1]
    spectrum = np.fft.rfft(windows * _hann())
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    levels = np.log10(np.maximum(_bands() @ power.T, SMALLEST_POWER))
    np.maximum(levels, levels.max() - DYNAMIC_RANGE, out=levels)
    scaled: NDArray[np.float32] = ((levels + 4) / 4).astype(np.float32)
    return scaled


@lru_cache(maxsize=1)
def _hann() -> NDArray[np.float32]:
    """Periodic: its first sample is zero and its last is not."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@lru_cache(maxsize=1)
def _bands() -> NDArray[np.float32]:
    """Triangles (80, 201) over the bins of a window's spectrum, each of area 1 in Hz."""
    top_mel = KNEE_MEL + np.log(RATE_HZ / 2 / KNEE_HZ) / LOG_STEP
    mel = np.linspace(0, top_mel, BANDS + 2)
    corners = np.where(mel < KNEE_MEL, mel * LINEAR_HZ_PER_MEL, KNEE_HZ * np.exp(LOG_STEP * (mel - KNEE_MEL)))
    bins = np.arange(WINDOW // 2 + 1) * RATE_HZ / WINDOW
    low, centre, high = corners[:-2, np.newaxis], corners[1:-1, np.newaxis], corners[2:, np.newaxis]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    bands: NDArray[np.float32] = (np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)).astype(np.float32)
    return bands
