"""Text to audio in chunks: levelled, at the rate that was asked for, the first chunk early."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from speech_worker.application.loudness import CALIBRATION_TEXT, gain_for, limited, speech_level_dbfs
from speech_worker.application.pcm import to_float, to_s16
from speech_worker.application.ports import Metrics, TtsEngine
from speech_worker.application.resampling import Resampler
from speech_worker.domain.catalogue import Voice
from speech_worker.domain.words import Word, estimate_words

# The first chunk is short so that it leaves early; later ones are longer because each costs a message.
CHUNK_MS: Final = (60, 100, 200)


@dataclass(frozen=True)
class Spoken:
    """One response: s16le at the requested rate, and the words whose end is known with it."""

    pcm: bytes
    words: tuple[Word, ...] = ()


class Synthesis:
    """Use-case over one engine. Requests run side by side as far as the engine lets them."""

    def __init__(self, engine: TtsEngine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self._gains: dict[str, float] = {}
        self._measuring = asyncio.Lock()

    async def calibrate(self, voice: Voice) -> float:
        """Linear gain of a voice; measured at its first use and kept."""
        async with self._measuring:
            if voice.id not in self._gains:
                parts: list[bytes] = []
                async with aclosing(self._engine.synthesize(CALIBRATION_TEXT, voice)) as chunks:
                    async for chunk in chunks:
                        parts.append(chunk.pcm)
                rate_hz = self._engine.capabilities.sample_rate_hz
                self._gains[voice.id] = gain_for(speech_level_dbfs(to_float(b"".join(parts)), rate_hz))
        return self._gains[voice.id]

    async def speak(self, text: str, voice: Voice, *, sample_rate_hz: int) -> AsyncGenerator[Spoken]:
        """At least one chunk, also for a text that makes no sound. Closing the generator stops the engine."""
        began = perf_counter()
        gain = self._gains.get(voice.id)
        if gain is None:
            gain = await self.calibrate(voice)
        engine_rate_hz = self._engine.capabilities.sample_rate_hz
        resampler = Resampler(engine_rate_hz, sample_rate_hz)
        cutter = _Cutter(sample_rate_hz)
        words = _WordTrack(text)
        first = True
        async with aclosing(self._engine.synthesize(text, voice)) as chunks:
            async for chunk in chunks:
                words.add(chunk.words)
                for pcm in cutter.push(resampler.process(to_float(chunk.pcm) * np.float32(gain))):
                    if first:
                        first = False
                        self._metrics.tts_first_chunk(latency_s=perf_counter() - began)
                    yield Spoken(pcm, words.take())
        for pcm in cutter.push(resampler.flush()):
            yield Spoken(pcm, words.take())
        rest = cutter.rest()
        total_ms = cutter.samples * 1000 // sample_rate_hz
        yield Spoken(rest, words.take_all(total_ms))
        self._metrics.tts_done(
            audio_s=cutter.samples / sample_rate_hz, took_s=perf_counter() - began, characters=len(text)
        )


class _Cutter:
    """Cuts a stream into chunks of the lengths above. The last one is whatever is left, so it may be empty."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._lengths = [sample_rate_hz * ms // 1000 for ms in CHUNK_MS]
        self._held: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._given = 0
        self.samples = 0

    def push(self, samples: NDArray[np.float32]) -> list[bytes]:
        self._held = np.concatenate((self._held, samples))
        self.samples += len(samples)
        result: list[bytes] = []
        # One sample stays held so that a last chunk exists that can carry what is known only at the end.
        while len(self._held) > (length := self._lengths[min(self._given, len(self._lengths) - 1)]):
            result.append(to_s16(limited(self._held[:length])))
            self._held = self._held[length:]
            self._given += 1
        return result

    def rest(self) -> bytes:
        return to_s16(limited(self._held))


class _WordTrack:
    """Words from the engine as they come; where it gives none, an estimate when the length is known."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._waiting: tuple[Word, ...] = ()
        self._from_engine = False

    def add(self, words: tuple[Word, ...]) -> None:
        self._from_engine = self._from_engine or bool(words)
        self._waiting += words

    def take(self) -> tuple[Word, ...]:
        words, self._waiting = self._waiting, ()
        return words

    def take_all(self, total_ms: int) -> tuple[Word, ...]:
        if self._from_engine:
            return self.take()
        return estimate_words(self._text, start_ms=0, end_ms=total_ms)
