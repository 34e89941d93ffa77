"""Recogniser of one's own: a Whisper model through faster-whisper and CTranslate2, from a folder or by name.

Whisper does not stream. Interims are whole decodings of the utterance so far, once a second while the model is free;
finals are a decoding of the whole utterance. One model serves all streams, one decoding at a time.
"""

import asyncio
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from speech_worker.application.pcm import to_float
from speech_worker.application.ports import RECOGNITION_RATE_HZ, AsrCapabilities
from speech_worker.domain.errors import EngineFailed, EngineUnusable, WorkerFull
from speech_worker.domain.words import Hypothesis, Word
from speech_worker.engines.worker_thread import ModelThread

_INTERIM_EVERY_S: Final = 1.0
_DEADLINE_S: Final = 120.0  # the longest utterance with a large model on a slow core, behind other streams
_RETRY_AFTER_MS: Final = 1_000
_MODEL_FILES: Final = ("model.bin", "config.json")
_HOW: Final = (
    "Set SPEECH_ASR_MODEL_DIR to a folder with a Whisper model in CTranslate2 format (model.bin, config.json, "
    "tokenizer.json, vocabulary), or SPEECH_ASR_MODEL to a name like small.en where a model hub is reachable."
)


class WhisperEngine:
    def __init__(
        self, *, max_streams: int, model_dir: Path | None, model: str, language_code: str, threads: int
    ) -> None:
        self.capabilities = AsrCapabilities(
            name="faster-whisper",
            label="Whisper through faster-whisper: interims by decoding again, not streaming",
            languages=(language_code,),
            streaming=False,
            max_streams=max_streams,
        )
        self._model_dir = model_dir
        self._model_name = model
        self._threads = threads
        self._thread = ModelThread("whisper")
        self._model: Any = None
        self._open = 0

    async def load(self) -> None:
        self._model = await self._thread.run(self._load)

    async def warm(self) -> None:
        await self.decode(np.zeros(RECOGNITION_RATE_HZ, dtype=np.float32), words=False)

    async def unload(self) -> None:
        await self._thread.close()
        self._model = None

    async def open(self, *, language_code: str) -> "_Stream":  # noqa: ARG002 - the model's language is a setting
        if self._open >= self.capabilities.max_streams:
            raise WorkerFull(
                f"All {self.capabilities.max_streams} recognition streams of this worker are in use.",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._open += 1
        return _Stream(self, self._closed)

    @property
    def busy(self) -> bool:
        return self._thread.waiting > 0

    async def decode(self, samples: NDArray[np.float32], *, words: bool) -> Hypothesis:
        """Raises EngineFailed."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await self._thread.run(self._decode, samples, words)
        except (TimeoutError, RuntimeError, ValueError) as error:
            raise EngineFailed("The recogniser could not decode the audio.") from error

    def _closed(self) -> None:
        self._open -= 1

    def _load(self) -> Any:
        source = self._source()
        _stand_in_for_av()
        try:
            from faster_whisper import WhisperModel  # noqa: PLC0415 - heavy, and an optional extra
        except ImportError as error:
            raise EngineUnusable(
                "The recogniser faster-whisper is not installed: install speech-worker[whisper], or choose another "
                "SPEECH_ASR_ENGINE."
            ) from error
        try:
            return WhisperModel(source, device="cpu", compute_type="int8", cpu_threads=self._threads)
        except Exception as error:
            # A hub that is not reachable, a name that it does not have, a damaged file: each library has its own error.
            raise EngineUnusable(
                f"The Whisper model {source!r} cannot be loaded ({_first_line(error)}). {_HOW}"
            ) from error

    def _source(self) -> str:
        if self._model_dir is None:
            if not self._model_name:
                raise EngineUnusable(f"faster-whisper needs a model. {_HOW}")
            return self._model_name
        # A folder that does not exist would be taken for the name of a repository on the hub.
        missing = [name for name in _MODEL_FILES if not (self._model_dir / name).is_file()]
        if missing:
            raise EngineUnusable(
                f"SPEECH_ASR_MODEL_DIR is {self._model_dir}: {', '.join(missing)} is not there. {_HOW}"
            )
        return str(self._model_dir)

    def _decode(self, samples: NDArray[np.float32], words: bool) -> Hypothesis:
        segments, _ = self._model.transcribe(
            samples,
            language=self.capabilities.languages[0].split("-")[0],
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=not words,
            word_timestamps=False,
        )
        found = list(segments)
        confidence = float(np.mean([math.exp(min(0.0, s.avg_logprob)) for s in found])) if found else 0.0
        return Hypothesis(" ".join(s.text.strip() for s in found).strip(), round(confidence, 4), _no_words())


class _Stream:
    def __init__(self, engine: WhisperEngine, closed: Callable[[], None]) -> None:
        self._engine = engine
        self._closed: Callable[[], None] | None = closed
        self._parts: list[NDArray[np.float32]] = []
        self._samples = 0
        self._decoded_at = 0
        self._interim = Hypothesis()

    async def accept(self, pcm: bytes) -> Hypothesis:
        samples = to_float(pcm)
        self._parts.append(samples)
        self._samples += len(samples)
        fresh_s = (self._samples - self._decoded_at) / RECOGNITION_RATE_HZ
        if fresh_s >= _INTERIM_EVERY_S and not self._engine.busy:
            self._decoded_at = self._samples
            self._interim = await self._engine.decode(np.concatenate(self._parts), words=False)
        return self._interim

    async def finish(self) -> Hypothesis:
        parts, self._parts = self._parts, []
        self._samples = self._decoded_at = 0
        self._interim = Hypothesis()
        return await self._engine.decode(np.concatenate(parts), words=True) if parts else Hypothesis()

    async def close(self) -> None:
        if self._closed is not None:
            self._closed()
            self._closed = None


def _no_words() -> tuple[Word, ...]:
    """Whisper's own word times need a second pass as long as the first; the estimate by letters is used instead."""
    return ()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _stand_in_for_av() -> None:
    """faster-whisper imports PyAV to read files. It gets arrays here, and PyAV's wheel carries GPL codecs."""
    try:
        import av  # type: ignore[import-not-found, unused-ignore] # noqa: F401, PLC0415 - its presence is asked for
    except ImportError:
        sys.modules["av"] = types.ModuleType("av")
