"""Signals for detectors of speech: sentences of a synthetic voice, and what is not speech."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voice_gateway.adapters.resampler import PolyphaseResampler
from voice_gateway.application.ports import VoiceActivity

SENTENCES = sorted((Path(__file__).parents[3] / "speech-worker" / "tests" / "audio").glob("*.wav"))
"""Eight sentences of a synthetic voice, 16 kHz."""

RATES = [8_000, 16_000, 32_000, 48_000]
FULL_SCALE = 32_768.0
Signal = NDArray[np.float64]


async def judged(detector: VoiceActivity, signal: Signal) -> NDArray[np.bool_]:
    """The judgement on each 20 ms."""
    pcm = np.clip(np.round(signal), -32_768, 32_767).astype("<i2")
    size = detector.frame_samples
    frames = [pcm[at : at + size].tobytes() for at in range(0, pcm.size - size + 1, size)]
    return np.array([await detector.is_speech(frame) for frame in frames])


def white(seconds: float, rate: int, dbfs: float) -> Signal:
    noise: Signal = np.random.default_rng(7).standard_normal(int(seconds * rate))
    return noise * FULL_SCALE * 10 ** (dbfs / 20)


def pink(seconds: float, rate: int, dbfs: float) -> Signal:
    spectrum = np.fft.rfft(white(seconds, rate, 0))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1)), int(seconds * rate))
    return np.asarray(noise / noise.std() * FULL_SCALE * 10 ** (dbfs / 20))


def waves(seconds: float, rate: int, *parts: tuple[float, float]) -> Signal:
    """A sum of (frequency, dBFS)."""
    times = np.arange(int(seconds * rate)) / rate
    return np.asarray(sum(FULL_SCALE * 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * times) for hz, dbfs in parts))


def sentences(rate: int, peak_dbfs: float) -> tuple[Signal, NDArray[np.bool_], NDArray[np.bool_]]:
    """All sentences with pauses of 0.6 s between and 1.2 s before; which frames have speech in them; and which lie in
    pauses, at least 0.1 s after their beginning.
    """
    assert SENTENCES
    parts = [np.zeros(rate * 12 // 10)]
    for path in SENTENCES:
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            pcm = file.readframes(file.getnframes())
        if rate != 16_000:
            resampler = PolyphaseResampler(16_000, rate)
            pcm = resampler.process(pcm) + resampler.flush()
        parts += [np.frombuffer(pcm, dtype="<i2").astype(np.float64), np.zeros(rate * 6 // 10)]
    signal = np.concatenate(parts)
    size = rate // 50
    levels = signal[: signal.size // size * size].reshape(-1, size).std(axis=1)
    sound = np.convolve(levels > 0, np.ones(6), "full")[: levels.size]
    scaled = signal / np.abs(signal).max() * FULL_SCALE * 10 ** (peak_dbfs / 20)
    return scaled, levels > levels.max() * 10 ** (-35 / 20), sound == 0
