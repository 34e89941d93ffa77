"""What the use-cases need from the world: engines, voice activity and a place to count."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from speech_worker.domain.catalogue import Voice
from speech_worker.domain.words import Hypothesis, Word

RECOGNITION_RATE_HZ = 16_000
"""Every recogniser here takes 16 kHz, as Riva's models do; intake resamples to it."""


@dataclass(frozen=True)
class AsrCapabilities:
    """`languages` like en-US. `streaming` says whether interims come from true streaming decoding.

    `label` says openly what the engine is, for logs and listings.
    """

    name: str
    label: str
    languages: tuple[str, ...]
    streaming: bool
    max_streams: int


class AsrStream(Protocol):
    """One caller's stream; utterances follow one another in it. Never used by two tasks at once."""

    async def accept(self, pcm: bytes) -> Hypothesis:
        """Take mono s16le at 16 kHz; the first call after open or `finish` begins an utterance.

        Returns the current hypothesis of the utterance, times counted in ms from its first sample.
        Raises EngineFailed.
        """
        ...

    async def finish(self) -> Hypothesis:
        """End the utterance and return its last hypothesis. Without audio before, it is empty. Raises EngineFailed."""
        ...

    async def close(self) -> None:
        """Give the slot back. Safe after a failure, and twice."""
        ...


class AsrEngine(Protocol):
    @property
    def capabilities(self) -> AsrCapabilities: ...

    async def load(self) -> None:
        """Get ready. Raises EngineUnusable with what to do about it."""
        ...

    async def warm(self) -> None:
        """Make the first request as fast as the next ones."""
        ...

    async def unload(self) -> None: ...

    async def open(self, *, language_code: str) -> AsrStream:
        """Raises WorkerFull at once when every slot is taken; never queues."""
        ...


@dataclass(frozen=True)
class TtsCapabilities:
    """`voices` is never empty and holds `default_voice`."""

    name: str
    label: str
    voices: tuple[Voice, ...]
    default_voice: Voice
    sample_rate_hz: int


@dataclass(frozen=True)
class SpeechChunk:
    """Mono s16le at the engine's rate. `words` are those whose end is known by now, in ms from the request's start."""

    pcm: bytes
    words: tuple[Word, ...] = field(default=())


class TtsEngine(Protocol):
    @property
    def capabilities(self) -> TtsCapabilities: ...

    async def load(self) -> None:
        """Get ready. Raises EngineUnusable with what to do about it."""
        ...

    async def warm(self) -> None: ...

    async def unload(self) -> None: ...

    def synthesize(self, text: str, voice: Voice) -> AsyncGenerator[SpeechChunk]:
        """Audio as it is made. Closing the generator stops the engine's work. Raises WorkerFull, EngineFailed."""
        ...


class VoiceActivity(Protocol):
    """Keeps state of one stream. Cheap enough for the event loop (microseconds)."""

    def speech(self, frame: bytes) -> bool:
        """Whether `frame`, 20 ms of s16le at 16 kHz, holds speech."""
        ...


class Metrics(Protocol):
    def asr_stream(self, *, opened: bool) -> None: ...

    def asr_final(self, *, latency_s: float) -> None:
        """From the moment an utterance was known to be over to its final result."""
        ...

    def asr_decoded(self, *, audio_s: float, took_s: float) -> None: ...

    def tts_stream(self, *, opened: bool) -> None: ...

    def tts_first_chunk(self, *, latency_s: float) -> None: ...

    def tts_done(self, *, audio_s: float, took_s: float, characters: int) -> None: ...

    def refused(self, *, service: str, reason: str) -> None: ...
