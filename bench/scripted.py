"""Utterances whose words and pauses are known to the millisecond, made of recorded speech.

A text such as "my number is <500> four one five" becomes speech of some length for each word, cut from the recordings
without their pauses, and 500 ms of a quiet room at the mark. What the sound really says does not matter to a gateway:
the fake recogniser finds the sound in what it gets and answers with the words of the text. Each utterance has a noise
of its own, of one step up and down, so that none can be taken for another.

An utterance begins as a recording begins, LEAD_MS before its onset. The onset is where anybody would begin to hear it:
the first 10 ms within ONSET_DB of the recording's loudest 20 ms, which no detector had a part in.
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
LEAD_MS = 60
"""Breath and the like, before the onset."""
ONSET_DB = 20.0
_PARTS = re.compile(r"<(\d+)>|([^<]+)")


@dataclass(frozen=True, slots=True)
class Utterance:
    """`pcm` is s16le at RATE_HZ, whole chunks of 20 ms: LEAD_MS, then speech to its last sample."""

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
        takes = [_voiced(read(path)) for path in sorted(SPEECH.glob("*.wav"))]
        self._voice: NDArray[np.int16] = np.concatenate(takes)
        self._begins = [0, *np.cumsum([len(take) for take in takes])[:-1].tolist()]
        """Where in it a recording begins."""
        self._at = 0

    def say(self, text: str, *, word_ms: int = WORD_MS) -> Utterance:
        """An utterance from its text; "<500>" is a pause of that many ms."""
        self._next_recording()
        parts = [self._cut(LEAD_MS)]
        words: list[TimedWord] = []
        at_ms = LEAD_MS
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
        self._next_recording()
        return self._made(name, [self._speech(LEAD_MS + length_ms)], ())

    def _next_recording(self) -> None:
        self._at = next((begin for begin in self._begins if begin >= self._at), 0)

    def _speech(self, length_ms: int) -> NDArray[np.int16]:
        samples = length_ms * RATE_HZ // 1000
        if not samples:
            return np.zeros(0, dtype=np.int16)
        piece = self._cut(length_ms).astype(np.float32)
        ramp = np.linspace(0.2, 1, FADE_MS * RATE_HZ // 1000, dtype=np.float32)
        piece[: len(ramp)] *= ramp
        piece[-len(ramp) :] *= ramp[::-1]
        quiet: NDArray[np.int16] = np.clip(piece, -32_000, 32_000).astype(np.int16)
        return quiet

    def _cut(self, length_ms: int) -> NDArray[np.int16]:
        """The next so many ms of the recordings."""
        samples = length_ms * RATE_HZ // 1000
        if self._at + samples > len(self._voice):
            self._at = 0
        self._at += samples
        return self._voice[self._at - samples : self._at]

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


def _voiced(pcm: bytes) -> NDArray[np.int16]:
    """A recording without its pauses: LEAD_MS before its onset, and from there on what is loud."""
    samples: NDArray[np.int16] = np.frombuffer(pcm, dtype="<i2")
    onset = _onset(samples)
    start = max(0, onset - LEAD_MS * RATE_HZ // 1000)
    loud = [grain for grain in cut(samples[onset:].tobytes(), GRAIN_MS) if rms(grain) >= LOUD]
    return np.concatenate([samples[start:onset], np.frombuffer(b"".join(loud), dtype="<i2")])


def _onset(samples: NDArray[np.int16]) -> int:
    """First sample of what anybody would hear; see above."""
    fine, coarse = RATE_HZ // 100, RATE_HZ // 50
    peak = max(rms(samples[at : at + coarse].tobytes()) for at in range(0, len(samples) - coarse, coarse))
    levels = (rms(samples[at : at + fine].tobytes()) for at in range(0, len(samples) - fine, fine))
    return next(at for at, level in enumerate(levels) if level >= peak * 10 ** (-ONSET_DB / 20)) * fine
