"""Deterministic engines for tests: a recogniser that reads a script, a voice that is a tone. Never for people."""

import asyncio
import math
from array import array
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from speech_worker.application.ports import RECOGNITION_RATE_HZ, AsrCapabilities, SpeechChunk, TtsCapabilities
from speech_worker.domain.catalogue import Voice
from speech_worker.domain.errors import WorkerFull
from speech_worker.domain.words import Hypothesis, Word, spoken_words

WORD_MS: Final = 250
_TONE_RATE_HZ: Final = 24_000
_TONE_HZ: Final = 440
_TONE_CHUNK_MS: Final = 50
_DEFAULT_SCRIPT: Final = ("one two three four five six seven eight",)


class ScriptedAsrEngine:
    """Each utterance is the next line of the script; one more word is heard for every 250 ms of it."""

    def __init__(self, *, max_streams: int = 4, script: Sequence[str] = _DEFAULT_SCRIPT) -> None:
        self.capabilities = AsrCapabilities(
            "script", "test engine: reads a script, hears nothing", ("en-US",), True, max_streams
        )
        self._script = tuple(script)
        self.open_streams = 0

    async def load(self) -> None: ...

    async def warm(self) -> None: ...

    async def unload(self) -> None: ...

    async def open(self, *, language_code: str) -> "_ScriptedStream":  # noqa: ARG002 - a script has no language
        if self.open_streams >= self.capabilities.max_streams:
            raise WorkerFull(
                f"All {self.capabilities.max_streams} recognition streams of this worker are in use.",
                retry_after_ms=1_000,
            )
        self.open_streams += 1
        return _ScriptedStream(self, self._script)


class _ScriptedStream:
    def __init__(self, engine: ScriptedAsrEngine, script: tuple[str, ...]) -> None:
        self._engine = engine
        self._script = script
        self._line = 0
        self._heard_ms = 0
        self._closed = False

    async def accept(self, pcm: bytes) -> Hypothesis:
        self._heard_ms += len(pcm) * 1000 // (2 * RECOGNITION_RATE_HZ)
        return self._hypothesis()

    async def finish(self) -> Hypothesis:
        result = self._hypothesis() if self._heard_ms else Hypothesis()
        if self._heard_ms:
            self._line += 1
        self._heard_ms = 0
        return result

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._engine.open_streams -= 1

    def _hypothesis(self) -> Hypothesis:
        line = self._script[self._line % len(self._script)].split()
        count = min(len(line), self._heard_ms // WORD_MS)
        words = tuple(Word(word, n * WORD_MS, (n + 1) * WORD_MS, 0.9) for n, word in enumerate(line[:count]))
        return Hypothesis(" ".join(line[:count]), 0.9 if words else 0.0, words)


class ToneTtsEngine:
    """Every word is 250 ms of a 440 Hz tone at a fifth of full scale."""

    def __init__(self) -> None:
        voices = (Voice("en-high", "en-US", "high"), Voice("en-low", "en-US", "low"), Voice("de-high", "de-DE", "high"))
        self.capabilities = TtsCapabilities("tone", "test engine: a tone per word", voices, voices[0], _TONE_RATE_HZ)
        self.active = 0
        self.stopped_early = 0

    async def load(self) -> None: ...

    async def warm(self) -> None: ...

    async def unload(self) -> None: ...

    async def synthesize(self, text: str, voice: Voice) -> AsyncGenerator[SpeechChunk]:
        self.active += 1
        complete = False
        try:
            for number, word in enumerate(spoken_words(text)):
                start_ms = number * WORD_MS
                for offset_ms in range(0, WORD_MS, _TONE_CHUNK_MS):
                    await asyncio.sleep(0)
                    yield SpeechChunk(_tone(voice, start_ms + offset_ms))
                yield SpeechChunk(b"", (Word(word, start_ms, start_ms + WORD_MS),))
            complete = True
        finally:
            self.active -= 1
            self.stopped_early += not complete


def _tone(voice: Voice, start_ms: int) -> bytes:
    pitch_hz = _TONE_HZ if voice.subvoice == "high" else _TONE_HZ // 2
    first = start_ms * _TONE_RATE_HZ // 1000
    count = _TONE_CHUNK_MS * _TONE_RATE_HZ // 1000
    step = 2 * math.pi * pitch_hz / _TONE_RATE_HZ
    return array("h", (round(6553 * math.sin(step * (first + n))) for n in range(count))).tobytes()
