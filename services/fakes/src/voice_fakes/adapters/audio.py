"""Sound in and out: which frames are loud, and a tone to answer with."""

from functools import lru_cache
from math import pi
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from voice_fakes.domain.recognition import FRAME_MS

TONE_AMPLITUDE = 8000  # about -12 dBFS: clearly audible, far from clipping


class LoudFrames:
    """Cuts s16le mono bytes into frames of 10 ms. A RIFF header at the start is skipped; odd ends carry over."""

    def __init__(self, *, sample_rate_hz: int, threshold_rms: float) -> None:
        self._frame_samples = sample_rate_hz * FRAME_MS // 1000
        self._frame_bytes = 2 * self._frame_samples
        self._least_power = threshold_rms**2
        self._carry = b""
        self._begun = False

    def push(self, audio: bytes) -> list[bool]:
        """Whether each further whole frame is loud."""
        if not self._begun and audio:
            self._begun = True
            if audio.startswith(b"RIFF"):
                at = audio.find(b"data")
                audio = audio[at + 8 :] if at >= 0 else audio[44:]
        audio = self._carry + audio if self._carry else audio
        whole = len(audio) // self._frame_bytes
        end = whole * self._frame_bytes
        self._carry = audio[end:]
        if whole == 0:
            return []
        samples = np.frombuffer(audio, dtype="<i2", count=whole * self._frame_samples).astype(np.float32)
        frames: NDArray[np.float32] = samples.reshape(whole, self._frame_samples)
        loud: list[bool] = (np.einsum("ij,ij->i", frames, frames) > self._least_power * self._frame_samples).tolist()
        return loud


def tone_hz(text: str) -> int:
    """A pitch of 200 to 580 Hz in steps of 20 that depends on the text alone."""
    return 200 + 20 * (crc32(text.encode()) % 20)


@lru_cache(maxsize=64)
def _second_of_tone(frequency_hz: int, sample_rate_hz: int) -> bytes:
    """One second, s16le: whole periods, so that it repeats without a click, and audible from its first sample."""
    turn = 2 * pi * frequency_hz / sample_rate_hz
    tone: NDArray[np.int16] = (TONE_AMPLITUDE * np.cos(turn * np.arange(sample_rate_hz))).astype("<i2")
    return tone.tobytes()


class Tone:
    """The audio of one text: silence, then a steady tone, `samples` long in all."""

    def __init__(self, text: str, *, sample_rate_hz: int, duration_ms: float, silence_ms: float) -> None:
        self._second = _second_of_tone(tone_hz(text), sample_rate_hz)
        self._silence_bytes = 2 * round(silence_ms * sample_rate_hz / 1000)
        self.samples = self._silence_bytes // 2 + max(1, round(duration_ms * sample_rate_hz / 1000))

    def cut(self, begin: int, end: int) -> bytes:
        """s16le of the samples from `begin` to before `end`."""
        begin_byte, end_byte = 2 * begin, 2 * min(end, self.samples)
        silent = max(0, min(end_byte, self._silence_bytes) - begin_byte)
        at = max(0, begin_byte - self._silence_bytes) % len(self._second)
        wanted = end_byte - begin_byte - silent
        repeats = (at + wanted) // len(self._second) + 1
        sound = self._second[at : at + wanted] if repeats == 1 else (self._second * repeats)[at : at + wanted]
        return bytes(silent) + sound
