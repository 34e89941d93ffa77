"""Brings every voice to one level, so that changing the engine does not change the volume.

Engines differ by 13 LU. The level is measured once per voice on a fixed sentence: root mean square of the frames
within 30 dB of the loudest one, close to an ungated K-weighted measure on speech and without its filters.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

CALIBRATION_TEXT: Final = "The north wind and the sun were disputing which was the stronger."
"""Opening of the fable that phonetics uses as a standard text; it holds most sounds of English."""

TARGET_DBFS: Final = -20.0  # usual for speech in calls; leaves 14 dB for peaks before the limiter works
LARGEST_GAIN_DB: Final = 24.0
_FRAME_MS: Final = 20
_ACTIVE_RANGE_DB: Final = 30.0
_KNEE: Final = 0.8  # of full scale: below it samples pass unchanged


def speech_level_dbfs(samples: NDArray[np.float32], sample_rate_hz: int) -> float | None:
    """None where there is nothing to measure."""
    length = sample_rate_hz * _FRAME_MS // 1000
    frames = len(samples) // length
    if frames == 0:
        return None
    powers = np.mean(np.square(samples[: frames * length].reshape(frames, length)), axis=1)
    loudest = float(powers.max())
    if loudest <= 0.0:
        return None
    active = powers[powers > loudest * 10 ** (-_ACTIVE_RANGE_DB / 10)]
    return 10 * float(np.log10(active.mean()))


def gain_for(level_dbfs: float | None) -> float:
    """Linear factor that brings a voice to the target."""
    if level_dbfs is None:
        return 1.0
    gain_db = float(np.clip(TARGET_DBFS - level_dbfs, -LARGEST_GAIN_DB, LARGEST_GAIN_DB))
    return float(10 ** (gain_db / 20))


def limited(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round off what would clip, sample by sample: no look-ahead, so no latency."""
    magnitude = np.abs(samples)
    if float(magnitude.max(initial=0.0)) <= _KNEE:
        return samples
    over = (magnitude - _KNEE) / (1 - _KNEE)
    rounded = _KNEE + (1 - _KNEE) * np.tanh(over)
    return np.where(magnitude > _KNEE, np.copysign(rounded, samples), samples).astype(np.float32)
