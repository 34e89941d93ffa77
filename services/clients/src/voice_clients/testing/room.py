"""A room with a loudspeaker and a microphone in it: what is played comes back, later, quieter and blurred.

The echo path is a synthetic impulse response: the direct sound after `delay_ms` (the devices' buffers and the air),
then noise that decays by 60 dB in `decay_ms`, the usual model of a room's late reverberation (J. D. Polack, 1988).
`gain_db` is its energy: the level of the echo of white noise against what was played.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class EchoPath:
    """How sound gets from the loudspeaker to the microphone. Lengths in ms, gain and noise in dB."""

    delay_ms: float = 60.0
    decay_ms: float = 150.0
    gain_db: float = -12.0
    noise_dbfs: float = -65.0
    seed: int = 1

    def impulse_response(self, rate_hz: int) -> NDArray[np.float64]:
        """Shape (samples,), energy 10^(gain_db / 10)."""
        rng = np.random.default_rng(self.seed)
        length = max(1, round(rate_hz * self.decay_ms / 1000))
        decay = 10.0 ** (-3.0 * np.arange(length) / length)
        tail = rng.normal(size=length) * decay
        tail[0] = 2.0 * np.abs(tail).max()  # the direct sound
        tail *= 10 ** (self.gain_db / 20) / np.sqrt(np.sum(tail**2))
        return np.concatenate([np.zeros(round(rate_hz * self.delay_ms / 1000)), tail])


class Room:
    """Gives the microphone's block for each block that is played. Without a path it hears only what is said to it."""

    def __init__(self, path: EchoPath | None, rate_hz: int) -> None:
        self._response = path.impulse_response(rate_hz) if path is not None else np.zeros(1)
        self._noise = 10 ** (path.noise_dbfs / 20) * FULL_SCALE if path is not None else 0.0
        self._rng = np.random.default_rng(path.seed + 1 if path is not None else 0)
        self._coming = np.zeros(0)  # echo of earlier blocks that is still on its way

    def hear(self, played: bytes, said: bytes = b"") -> bytes:
        """What the microphone records while `played` plays and the caller says `said` (padded with silence).

        All s16le mono at the room's rate; as long as `played`.
        """
        block = np.frombuffer(played, dtype="<i2").astype(np.float64)
        echo = np.convolve(block, self._response) if len(block) else np.zeros(0)
        echo[: len(self._coming)] += self._coming[: len(echo)]
        self._coming = np.concatenate([echo[len(block) :], self._coming[len(echo) :]])
        heard = echo[: len(block)] + self._rng.normal(size=len(block)) * self._noise
        voice = np.frombuffer(said, dtype="<i2")[: len(block)]
        heard[: len(voice)] += voice
        recorded: bytes = np.clip(np.rint(heard), -32768, 32767).astype("<i2").tobytes()
        return recorded


def power_db(pcm: bytes) -> float:
    """Mean power of s16le audio in dB below full scale; -100 for silence."""
    audio = np.frombuffer(pcm, dtype="<i2").astype(np.float64) / FULL_SCALE
    return max(-100.0, 10 * float(np.log10(np.mean(audio**2) + 1e-12))) if len(audio) else -100.0
