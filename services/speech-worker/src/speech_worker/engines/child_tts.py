"""Synthesis in engine processes: what espeak-ng and flite share."""

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from speech_worker.application.ports import SpeechChunk, TtsCapabilities
from speech_worker.domain.catalogue import Voice
from speech_worker.domain.errors import EngineFailed, WorkerFull
from speech_worker.domain.words import Word
from speech_worker.engines import wire
from speech_worker.engines.child import Child, ChildPool, ChildSpec

# These engines make a sentence in milliseconds, so that a slot is free soon: a short wait beats a refusal.
_SLOT_DEADLINE_S: Final = 2.0
_CHUNK_DEADLINE_S: Final = 10.0
_CANCEL_DEADLINE_S: Final = 1.0
_RETRY_AFTER_MS: Final = 500


class ChildTtsEngine:
    """`read_info` turns what the engine process says of itself into capabilities."""

    def __init__(self, spec: ChildSpec, read_info: Callable[[dict[str, Any]], TtsCapabilities]) -> None:
        self._pool = ChildPool(spec)
        self._size = spec.size
        self._read_info = read_info
        self._capabilities: TtsCapabilities | None = None

    @property
    def capabilities(self) -> TtsCapabilities:
        assert self._capabilities is not None, "load() comes first"
        return self._capabilities

    async def load(self) -> None:
        await self._pool.start()
        self._capabilities = self._read_info(self._pool.info)

    async def warm(self) -> None:
        async for _ in self.synthesize("ready", self.capabilities.default_voice):
            pass

    async def unload(self) -> None:
        await self._pool.stop()

    async def synthesize(self, text: str, voice: Voice) -> AsyncGenerator[SpeechChunk]:
        child = await self._pool.take_within(_SLOT_DEADLINE_S)
        if child is None:
            raise WorkerFull(
                f"All {self._size} synthesis slots of this worker are in use.", retry_after_ms=_RETRY_AFTER_MS
            )
        complete = False
        try:
            await child.send(wire.SPEAK, json.dumps({"text": text, "voice": voice.id}).encode())
            words: tuple[Word, ...] = ()
            while not complete:
                kind, payload = await child.receive(deadline_s=_CHUNK_DEADLINE_S)
                if kind == wire.AUDIO:
                    yield SpeechChunk(payload, words)
                    words = ()
                elif kind == wire.WORDS:
                    words += tuple(Word(*word) for word in json.loads(payload))
                elif kind == wire.END:
                    complete = True
                else:
                    complete = kind == wire.FAILED
                    raise EngineFailed(payload.decode() if complete else "The speech engine sent something unknown.")
            if words:
                yield SpeechChunk(b"", words)
        finally:
            if not complete:
                await _stop(child)
            self._pool.give_back(child)


async def _stop(child: Child) -> None:
    """The listener is gone: make the process stop, or stop the process."""
    try:
        await child.send(wire.CANCEL)
        while (await child.receive(deadline_s=_CANCEL_DEADLINE_S))[0] not in (wire.END, wire.FAILED):
            pass
    except BaseException:
        child.failed = True
        raise
