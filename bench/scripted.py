"""Utterances whose words and pauses are known to the millisecond, made of recorded speech.

A text such as "my number is <500> four one five" becomes speech of some length for each word, cut from the recordings
without their pauses, and 500 ms of a quiet room at the mark. What the sound really says does not matter to a gateway:
the fake recogniser finds the sound in what it gets and answers with the words of the text. Each utterance has a noise
of its own, of one step up and down, so that none can be taken for another.
"""

import re
import wave
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from bench.recordings import GRAIN_MS, LOUD, RATE_HZ, SPEECH, cut, read, rms
from voice_fakes.script import KnownRecording, TimedWord

FOLDER = Path("out/bench-speech")
WORD_MS = 300
"""Of speech for each word: 200 a minute, a brisk talker."""
FADE_MS = 5
_PARTS = re.compile(r"<(\d+)>|([^<]+)")


@dataclass(frozen=True, slots=True)
class Utterance:
    """`pcm` is s16le at RATE_HZ, whole chunks of 20 ms, speech from its first to its last sample."""

    text: str
    pcm: bytes
    recording: KnownRecording

    @property
    def words(self) -> tuple[str, ...]:
        """What is said."""
        return tuple(word.text for word in self.recording.words)

    def chunks(self, chunk_ms: int) -> list[bytes]:
        """As a microphone sends it."""
        return cut(self.pcm, chunk_ms)


class Studio:
    """Makes utterances from the recordings. Blocking: reads and writes files."""

    def __init__(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        spoken = [grain for path in sorted(SPEECH.glob("*.wav")) for grain in cut(read(path), GRAIN_MS)]
        voiced = b"".join(grain for grain in spoken if rms(grain) >= LOUD)
        self._voice: NDArray[np.int16] = np.frombuffer(voiced, dtype="<i2")
        self._at = 0

    def say(self, text: str, *, word_ms: int = WORD_MS) -> Utterance:
        """An utterance from its text; "<500>" is a pause of that many ms."""
        parts: list[NDArray[np.int16]] = []
        words: list[TimedWord] = []
        at_ms = 0
        for pause, run in _PARTS.findall(text):
            if pause:
                parts.append(np.zeros(int(pause) * RATE_HZ // 1000, dtype=np.int16))
                at_ms += int(pause)
                continue
            spoken = run.split()
            for word in spoken:
                words.append(TimedWord(text=word, begin_ms=at_ms, end_ms=at_ms + word_ms))
                at_ms += word_ms
            parts.append(self._speech(len(spoken) * word_ms))
        return self._made(text, parts, tuple(words))

    def sound(self, name: str, length_ms: int) -> Utterance:
        """A sound of voice without words."""
        return self._made(name, [self._speech(length_ms)], ())

    def _speech(self, length_ms: int) -> NDArray[np.int16]:
        samples = length_ms * RATE_HZ // 1000
        if not samples:
            return np.zeros(0, dtype=np.int16)
        if self._at + samples > len(self._voice):
            self._at = 0
        piece = self._voice[self._at : self._at + samples].astype(np.float32)
        self._at += samples
        ramp = np.linspace(0.2, 1, FADE_MS * RATE_HZ // 1000, dtype=np.float32)
        piece[: len(ramp)] *= ramp
        piece[-len(ramp) :] *= ramp[::-1]
        quiet: NDArray[np.int16] = np.clip(piece, -32_000, 32_000).astype(np.int16)
        return quiet

    def _made(self, text: str, parts: list[NDArray[np.int16]], words: tuple[TimedWord, ...]) -> Utterance:
        sound = np.concatenate(parts)
        grain = GRAIN_MS * RATE_HZ // 1000
        sound = np.pad(sound, (0, -len(sound) % grain))
        number = crc32(text.encode())
        noise = np.random.default_rng(number).integers(-1, 2, len(sound)).astype(np.int16)
        pcm = (sound + noise).astype("<i2").tobytes()
        path = FOLDER / f"{number:08x}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(pcm)
        return Utterance(text, pcm, KnownRecording(path=str(path), words=words))
