"""Whether a sound from the microphone is what the loudspeaker plays, by the shape of its spectrum over time.

Both are cut into frames of 20 ms, 10 ms apart, and those into bands; each frame's mean level is taken out, so that what
is compared is which bands are strong when, and neither loudness nor the fact that somebody begins to speak. The played
audio is tried at every delay. A room, a loudspeaker or a codec colour a sound evenly, which each band's mean takes out.

Plain cross-correlation of the waveforms, also whitened, was tried and lost: a room's echo is longer than the 600 ms
that there are to decide in. Figures: `python -m bench.echo`.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float32]

HOP_MS = 10
FRAME_MS = 20
BANDS = 16
LOWEST_HZ, HIGHEST_HZ = 200.0, 3_800.0
"""What telephones carry."""
RANGE_DB = 40.0
"""What is this far below the loudest is silence."""
HUM_DB = 30.0
"""Level of a band, in dB over one squared step of 16 bit samples, below which there is only noise."""


def likeness(heard: bytes, heard_hz: int, played: bytes, played_hz: int) -> float:
    """How much of `heard` is in `played`, at whatever delay: a correlation from 0 to 1.

    Both are s16le mono; `played` is the longer one. 0 where either is too short, silent or without any change.
    """
    ear, mouth = _shape(_levels(heard, heard_hz)), _shape(_levels(played, played_hz))
    if len(ear) < 2 or len(mouth) < len(ear):
        return 0.0
    ear = ear - ear.mean(axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(mouth, len(ear), axis=0)  # (delays, bands, frames)
    centred = windows - windows.mean(axis=2, keepdims=True)
    products = np.einsum("dbf,fb->d", centred, ear)
    energies = np.einsum("dbf,dbf->d", centred, centred) * np.sum(ear * ear)
    found = np.divide(products, np.sqrt(energies), out=np.zeros_like(products), where=energies > 0)
    return float(np.clip(found.max(), 0.0, 1.0))


def _shape(levels: Levels) -> Levels:
    if not levels.size:
        return levels
    floor = np.maximum(levels.max() - RANGE_DB, HUM_DB)
    audible = np.maximum(levels, floor)
    shape: Levels = audible - audible.mean(axis=1, keepdims=True)
    return shape


def _levels(pcm: bytes, rate_hz: int) -> Levels:
    """Of each frame and band, in dB; shape (frames, bands)."""
    hop, length = rate_hz * HOP_MS // 1000, rate_hz * FRAME_MS // 1000
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    if len(samples) < length:
        return np.zeros((0, BANDS), dtype=np.float32)
    window, edges = _window(rate_hz, length)
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop] * window
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    levels: Levels = (10.0 * np.log10(np.add.reduceat(power, edges, axis=1)[:, :BANDS] + 1.0)).astype(np.float32)
    return levels


@lru_cache(maxsize=8)
def _window(rate_hz: int, length: int) -> tuple[Levels, NDArray[np.intp]]:
    """The window of a frame, and the first bin of each band, with one past the last."""
    hertz = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, 0.47 * rate_hz), BANDS + 1)
    edges = np.maximum.accumulate(np.round(hertz * length / rate_hz).astype(np.intp))
    for band in range(1, BANDS + 1):
        edges[band] = max(edges[band], edges[band - 1] + 1)
    return np.hanning(length).astype(np.float32), edges
