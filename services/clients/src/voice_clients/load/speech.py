"""What callers say: a pool of recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from voice_clients.audio_file import read_recording, speech_end_sample
from voice_clients.errors import BadInputError

SUFFIXES = frozenset({".wav", ".flac", ".ogg"})


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech without the silence around it, as the chunks that a microphone sends; the last is filled with silence."""

    name: str
    chunks: tuple[bytes, ...]
    seconds: float


def read_pool(paths: Sequence[Path], rate_hz: int, chunk_ms: int) -> list[Utterance]:
    """Every recording; a folder gives all sound files in it. Without paths, the questions of this package.

    Raises BadInputError.
    """
    if not paths:
        with resources.as_file(resources.files("voice_clients.load") / "questions") as folder:
            return _read(_found(folder), rate_hz, chunk_ms)
    return _read([file for path in paths for file in _found(path)], rate_hz, chunk_ms)


def _found(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise BadInputError(f"--wav {path} holds no WAV, FLAC or Ogg file.")
    return files


def _read(files: list[Path], rate_hz: int, chunk_ms: int) -> list[Utterance]:
    return [cut(file.stem, read_recording(file, sample_rate_hz=rate_hz).pcm, rate_hz, chunk_ms) for file in files]


def cut(name: str, pcm: bytes, rate_hz: int, chunk_ms: int) -> Utterance:
    """`pcm` is s16le mono."""
    end = speech_end_sample(pcm, rate_hz)
    backwards = np.frombuffer(pcm[: 2 * end], dtype="<i2")[::-1].tobytes()
    begin = max(0, end - speech_end_sample(backwards, rate_hz))
    speech = pcm[2 * begin : 2 * end]
    size = 2 * (rate_hz * chunk_ms // 1000)
    chunks = tuple(speech[at : at + size].ljust(size, b"\0") for at in range(0, len(speech), size))
    return Utterance(name, chunks, len(speech) / 2 / rate_hz)
