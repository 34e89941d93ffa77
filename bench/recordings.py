"""Recorded speech for callers."""

from pathlib import Path

import numpy as np
import soundfile as sf

from voice_fakes.domain.recognition import spread_words
from voice_fakes.script import KnownRecording, TimedWord

RATE_HZ = 16_000
LOUD = 300.0
"""RMS above which a chunk counts as speech, as in the fake recogniser."""
GRAIN_MS = 20
SPEECH = Path(__file__).parents[1] / "services/speech-worker/tests/audio"


def utterances(folder: Path, chunk_ms: int) -> list[list[bytes]]:
    """Recorded questions as chunks of `chunk_ms` at 16 kHz, silence at both ends cut off."""
    found: list[list[bytes]] = []
    for path in sorted(folder.glob("*.wav")):
        chunks = cut(read(path), chunk_ms)
        loud = [index for index, chunk in enumerate(chunks) if rms(chunk) >= LOUD]
        found.append(chunks[loud[0] : loud[-1] + 1])
    if not found:
        raise FileNotFoundError(f"there are no recordings in {folder}")
    return found


def known(folder: Path) -> tuple[KnownRecording, ...]:
    """The same recordings for a fake recogniser. The words are the file's name, each as long as it has letters."""
    found: list[KnownRecording] = []
    for path in sorted(folder.glob("*.wav")):
        loud = [index for index, chunk in enumerate(cut(read(path), GRAIN_MS)) if rms(chunk) >= LOUD]
        spoken = spread_words(path.stem.split("-"), loud[0] * GRAIN_MS, (loud[-1] + 1) * GRAIN_MS)
        words = tuple(TimedWord(text=word, begin_ms=begin, end_ms=end) for word, begin, end in spoken)
        found.append(KnownRecording(path=str(path), words=words))
    return tuple(found)


def read(path: Path) -> bytes:
    """A recording as s16le. Raises ValueError for another rate than RATE_HZ."""
    samples, rate_hz = sf.read(path, dtype="int16")
    if rate_hz != RATE_HZ:
        raise ValueError(f"{path.name} has {rate_hz} Hz; {RATE_HZ} is needed")
    return bytes(samples.tobytes())


def cut(pcm: bytes, chunk_ms: int) -> list[bytes]:
    """Whole chunks; what is less than one is left out."""
    chunk_bytes = RATE_HZ * chunk_ms // 1000 * 2
    return [pcm[start : start + chunk_bytes] for start in range(0, len(pcm) - chunk_bytes + 1, chunk_bytes)]


def rms(chunk: bytes) -> float:
    """Root mean square of 16 bit samples."""
    samples = np.frombuffer(chunk, dtype="<i2").astype(np.float32)
    return float(np.sqrt(np.mean(samples * samples)))
