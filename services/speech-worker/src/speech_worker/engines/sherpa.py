"""A modern voice of one's own: VITS, Matcha or Kokoro in ONNX through sherpa-onnx, from a folder.

The folder is what the models are published as: an archive unpacked. One model, one synthesis at a time; audio comes
sentence by sentence.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import numpy as np

from speech_worker.application.pcm import to_s16
from speech_worker.application.ports import SpeechChunk, TtsCapabilities
from speech_worker.domain.catalogue import Voice
from speech_worker.domain.errors import EngineFailed, EngineUnusable, WorkerFull
from speech_worker.engines.worker_thread import ModelThread

_CHUNK_DEADLINE_S: Final = 60.0  # a long sentence on a slow core
_RETRY_AFTER_MS: Final = 1_000
_HOW: Final = (
    "Set SPEECH_TTS_MODEL_DIR to a folder with a sherpa-onnx voice: tokens.txt and model.onnx (VITS), with voices.bin "
    "(Kokoro), or an acoustic model-steps-*.onnx and a vocoder (Matcha); espeak-ng-data or lexicon.txt where the voice "
    "needs one."
)


class SherpaEngine:
    def __init__(self, *, max_streams: int, model_dir: Path | None, threads: int) -> None:
        self._folder = model_dir
        self._threads = threads
        self._max_streams = max_streams
        self._thread = ModelThread("sherpa")
        self._tts: Any = None
        self._capabilities: TtsCapabilities | None = None

    @property
    def capabilities(self) -> TtsCapabilities:
        assert self._capabilities is not None, "load() comes first"
        return self._capabilities

    async def load(self) -> None:
        self._tts = await self._thread.run(self._load)
        voices = tuple(Voice(str(number), "en-US", str(number)) for number in range(max(1, self._tts.num_speakers)))
        self._capabilities = TtsCapabilities(
            "sherpa", "neural voice through sherpa-onnx", voices, voices[0], self._tts.sample_rate
        )

    async def warm(self) -> None:
        async for _ in self.synthesize("ready", self.capabilities.default_voice):
            pass

    async def unload(self) -> None:
        await self._thread.close()
        self._tts = None

    async def synthesize(self, text: str, voice: Voice) -> AsyncGenerator[SpeechChunk]:
        if self._thread.waiting >= self._max_streams:
            raise WorkerFull(
                f"All {self._max_streams} synthesis slots of this worker are in use.", retry_after_ms=_RETRY_AFTER_MS
            )
        loop = asyncio.get_running_loop()
        # Bound by the text: a request of the longest text is a few MB of audio.
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        stop = threading.Event()

        def made(samples: Any, _progress: float) -> int:
            if stop.is_set():
                return 0
            pcm = to_s16(np.asarray(samples, dtype=np.float32))
            loop.call_soon_threadsafe(chunks.put_nowait, pcm)
            return 1

        job = asyncio.create_task(
            self._thread.run(self._generate, text, int(voice.id), made, stop), name="sherpa synthesis"
        )
        job.add_done_callback(lambda _: chunks.put_nowait(None))
        try:
            while (pcm := await _next(chunks)) is not None:
                yield SpeechChunk(pcm)
            await job
        except RuntimeError as error:
            raise EngineFailed("The voice engine could not speak the text.") from error
        finally:
            stop.set()
            job.cancel()

    def _generate(self, text: str, speaker: int, made: Any, stop: threading.Event) -> None:
        if not stop.is_set():
            self._tts.generate(text, sid=speaker, speed=1.0, callback=made)

    def _load(self) -> Any:
        if self._folder is None:
            raise EngineUnusable(f"sherpa needs a voice. {_HOW}")
        if not (self._folder / "tokens.txt").is_file():
            raise EngineUnusable(f"SPEECH_TTS_MODEL_DIR is {self._folder}: tokens.txt is not there. {_HOW}")
        try:
            import sherpa_onnx  # noqa: PLC0415 - heavy, and an optional extra
        except ImportError as error:
            raise EngineUnusable(
                "The voice engine sherpa is not installed: install speech-worker[sherpa], or choose another "
                "SPEECH_TTS_ENGINE."
            ) from error
        config = sherpa_onnx.OfflineTtsConfig(model=self._model_config(sherpa_onnx), max_num_sentences=1)
        if not config.validate():
            raise EngineUnusable(f"SPEECH_TTS_MODEL_DIR is {self._folder}: files of the voice are missing. {_HOW}")
        try:
            return sherpa_onnx.OfflineTts(config)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise EngineUnusable(f"The voice in {self._folder} cannot be loaded ({reason}). {_HOW}") from error

    def _model_config(self, sherpa_onnx: Any) -> Any:
        """The kind of voice shows in its files."""
        folder = self._folder
        assert folder is not None
        models = sorted(folder.glob("*.onnx"))
        vocoders = [path for path in models if "voco" in path.name or "hifigan" in path.name]
        acoustic = [path for path in models if path not in vocoders]
        if not acoustic:
            raise EngineUnusable(f"SPEECH_TTS_MODEL_DIR is {folder}: no *.onnx model is there. {_HOW}")
        common = {
            "tokens": str(folder / "tokens.txt"),
            "lexicon": _optional(folder / "lexicon.txt"),
            "data_dir": _optional(folder / "espeak-ng-data"),
        }
        config = sherpa_onnx.OfflineTtsModelConfig(num_threads=self._threads)
        if (folder / "voices.bin").is_file():
            config.kokoro = sherpa_onnx.OfflineTtsKokoroModelConfig(
                model=str(acoustic[0]), voices=str(folder / "voices.bin"), **common
            )
        elif vocoders:
            config.matcha = sherpa_onnx.OfflineTtsMatchaModelConfig(
                acoustic_model=str(acoustic[0]), vocoder=str(vocoders[0]), **common
            )
        else:
            config.vits = sherpa_onnx.OfflineTtsVitsModelConfig(model=str(acoustic[0]), **common)
        return config


async def _next(chunks: "asyncio.Queue[bytes | None]") -> bytes | None:
    try:
        async with asyncio.timeout(_CHUNK_DEADLINE_S):
            return await chunks.get()
    except TimeoutError as error:
        raise EngineFailed("The voice engine did not answer in time.") from error


def _optional(path: Path) -> str:
    return str(path) if path.exists() else ""
