"""Recordings that the fake recogniser knows: it finds them in what it hears, sample by sample, and so knows the words.

A stream may begin or end anywhere in a recording and hold silence between recordings. What was resampled or changed in
loudness is not found.
"""

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voice_fakes.domain.recognition import HeardWord
from voice_fakes.script import KnownRecording, ScriptError

WINDOW_BYTES = 64
"""32 samples tell recordings apart: two that agree in so many hold the same noise."""
LEAST_HEARD = 0.5
"""Share of a word that a stream must hold for it to be recognised."""


@dataclass(frozen=True, slots=True)
class _Known:
    pcm: bytes
    words: tuple[tuple[str, int, int], ...]
    """Each word with the bytes it begins and ends at."""


class KnownAudio:
    """All recordings of a script. Blocking: reads files. Raises ScriptError."""

    def __init__(self, recordings: Sequence[KnownRecording]) -> None:
        self._known = [_read(recording) for recording in recordings]
        self._all = b"".join(known.pcm for known in self._known)

    def find(self, window: bytes) -> tuple[_Known, int] | None:
        """The recording that holds these bytes and where in it, in whole samples."""
        at = self._all.find(window)
        while at >= 0:
            begin = 0
            for known in self._known:
                if begin <= at and at + len(window) <= begin + len(known.pcm) and (at - begin) % 2 == 0:
                    return known, at - begin
                begin += len(known.pcm)
            at = self._all.find(window, at + 1)
        return None


def _read(recording: KnownRecording) -> _Known:
    path = Path(recording.path)
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise ScriptError(f"{path} has {file.getnchannels()} channels; allowed is one, of 16 bit samples.")
            rate_hz, pcm = file.getframerate(), file.readframes(file.getnframes())
    except (OSError, wave.Error, EOFError) as error:
        raise ScriptError(f"The recording {path} cannot be read: {error}.") from error
    bytes_per_ms = 2 * rate_hz / 1000
    words = tuple(
        (word.text, round(word.begin_ms * bytes_per_ms), round(word.end_ms * bytes_per_ms)) for word in recording.words
    )
    return _Known(pcm, words)


class Follower:
    """One stream: follows recordings through its audio. `words` grows as their ends are heard."""

    def __init__(self, audio: KnownAudio) -> None:
        self.words: list[HeardWord] = []
        self._audio = audio
        self._known: _Known | None = None
        self._entered = 0
        """Byte of the recording at which this stream joined it."""
        self._offset = 0
        self._position = 0
        """Byte of the stream that `_unread` begins at."""
        self._unread = b""

    def push(self, pcm: bytes) -> None:
        """Take the next s16le audio of the stream."""
        self._unread += pcm
        while len(self._unread) >= 2:
            if self._known is not None:
                self._follow(self._known)
            elif len(self._unread) < WINDOW_BYTES:
                return
            else:
                self._search()

    def _search(self) -> None:
        window = self._unread[:WINDOW_BYTES]
        found = self._audio.find(window) if window.count(0) < WINDOW_BYTES else None
        if found is None:
            self._consume(WINDOW_BYTES)
        else:
            self._known, self._offset = found
            self._entered = self._offset

    def _follow(self, known: _Known) -> None:
        size = min(len(self._unread), len(known.pcm) - self._offset)
        if self._unread[:size] != known.pcm[self._offset : self._offset + size]:
            # The recording was left in here, at the end of the last whole window that still agrees.
            agreed = 0
            while agreed + WINDOW_BYTES <= size and (
                self._unread[agreed : agreed + WINDOW_BYTES]
                == known.pcm[self._offset + agreed : self._offset + agreed + WINDOW_BYTES]
            ):
                agreed += WINDOW_BYTES
            self._hear(known, agreed)
            self._known = None
            self._consume(min(WINDOW_BYTES, len(self._unread)))
            return
        self._hear(known, size)
        if self._offset >= len(known.pcm):
            self._known = None

    def _hear(self, known: _Known, size: int) -> None:
        until = self._offset + size
        for text, begin, end in known.words:
            if self._offset < end <= until and end - max(begin, self._entered) >= LEAST_HEARD * (end - begin):
                end_sample = (self._position + end - self._offset) // 2
                self.words.append(HeardWord(text, end_sample))
        self._offset = until
        self._consume(size)

    def _consume(self, size: int) -> None:
        self._unread = self._unread[size:]
        self._position += size
