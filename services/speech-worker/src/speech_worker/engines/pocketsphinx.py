"""Default recogniser: CMU PocketSphinx 5 with its general US English model. A demo recogniser, openly.

It streams on one core and comes as one wheel, but expect 25-50 % word errors on human speech. The decoder holds the
GIL and 91 MB, so each stream's decoder lives in a process of its own, forked from one that loaded the model.
"""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from speech_worker.application.ports import RECOGNITION_RATE_HZ, AsrCapabilities
from speech_worker.domain.errors import EngineFailed, EngineUnusable, WorkerFull
from speech_worker.domain.words import Hypothesis, Word
from speech_worker.engines import wire
from speech_worker.engines.blocked_words import blocked
from speech_worker.engines.child import Child, ChildPool, ChildSpec

# ---------------------------------------------------------------- in the worker

# Decoding runs at about 6 times real time on a slow core; ten times slower than real time means that it hangs.
_DEADLINE_BASE_S: Final = 10.0
_DEADLINE_PER_AUDIO_S: Final = 10.0
_RETRY_AFTER_MS: Final = 1_000


class PocketsphinxEngine:
    def __init__(self, *, max_streams: int, model_dir: Path | None) -> None:
        self.capabilities = AsrCapabilities(
            name="pocketsphinx",
            label="demo ASR: CMU PocketSphinx 5, general US English; 25-50 % word errors on human speech",
            languages=("en-US",),
            streaming=True,
            max_streams=max_streams,
        )
        config = {"model_dir": str(model_dir) if model_dir else ""}
        self._pool = ChildPool(ChildSpec(__name__, config, max_streams))

    async def load(self) -> None:
        await self._pool.start()

    async def warm(self) -> None:
        """One second of silence through each free decoder: the first real frame then finds its memory mapped."""
        child = self._pool.take()
        if child is None:
            return
        stream = _Stream(self._pool, child)
        try:
            await child.send(wire.OPEN)
            await stream.accept(bytes(2 * RECOGNITION_RATE_HZ))
            await stream.finish()
        finally:
            await stream.close()

    async def unload(self) -> None:
        await self._pool.stop()

    async def open(self, *, language_code: str) -> "_Stream":  # noqa: ARG002 - there is one language
        child = self._pool.take()
        if child is None:
            raise WorkerFull(
                f"All {self.capabilities.max_streams} recognition streams of this worker are in use.",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        stream = _Stream(self._pool, child)
        try:
            await child.send(wire.OPEN)
        except BaseException:
            await stream.close()
            raise
        return stream


class _Stream:
    def __init__(self, pool: ChildPool, child: Child) -> None:
        self._pool = pool
        self._child = child
        self._answers_due = 0

    async def accept(self, pcm: bytes) -> Hypothesis:
        return await self._ask(wire.AUDIO, pcm)

    async def finish(self) -> Hypothesis:
        return await self._ask(wire.FINISH, b"")

    async def close(self) -> None:
        if self._answers_due:  # abandoned in the middle: what it says next belongs to nobody
            self._child.failed = True
        self._pool.give_back(self._child)

    async def _ask(self, kind: bytes, payload: bytes) -> Hypothesis:
        self._answers_due += 1
        await self._child.send(kind, payload)
        audio_s = len(payload) / (2 * RECOGNITION_RATE_HZ)
        answer, body = await self._child.receive(deadline_s=_DEADLINE_BASE_S + audio_s * _DEADLINE_PER_AUDIO_S)
        self._answers_due -= 1
        if answer != wire.HYPOTHESIS:
            self._child.failed = True
            raise EngineFailed("The speech engine gave an answer that nobody understands.")
        value = json.loads(body)
        words = tuple(Word(*word) for word in value["words"])
        return Hypothesis(value["text"], value["confidence"], words)


# ------------------------------------------------------- in the engine process

# Cepstral mean that a new stream starts from: the average that the decoder itself reached on four synthetic voices
# and ten human clips at the level below. From the model's own start value, error rates of short utterances double.
_CEPSTRAL_MEAN: Final = "51.0,4.3,6.0,17.5,-1.9,0.85,3.5,-6.0,-3.4,-4.0,5.0,1.8,1.7"
_TARGET_PEAK: Final = 0.5 * 32767  # -6 dBFS: where the decoder hears best
_LARGEST_GAIN: Final = 200.0  # 46 dB
_LOUD_ENOUGH: Final = 0.1 * 32767  # a first peak above this is already speech: no need to wait for more
_HOLD_SAMPLES: Final = RECOGNITION_RATE_HZ * 8 // 10  # includes the utterance's preroll of 0.5 s
_FRAME_MS: Final = 10


def prepare(config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load the decoder; called once in the process that the copies are made from."""
    try:
        import pocketsphinx  # noqa: PLC0415 - only this process loads it
    except ImportError as error:
        raise EngineUnusable(
            "The recogniser pocketsphinx is not installed: install speech-worker[pocketsphinx], or choose another "
            "SPEECH_ASR_ENGINE."
        ) from error
    hmm, lm, dictionary = _model_files(Path(config["model_dir"] or pocketsphinx.get_model_path("en-us")))
    with tempfile.TemporaryDirectory(prefix="speech-worker-") as folder:
        clean = Path(folder) / "words.dict"
        lines = dictionary.read_text(encoding="utf-8").splitlines(keepends=True)
        clean.write_text("".join(line for line in lines if not blocked(line.split(" ", 1)[0])), encoding="utf-8")
        # fwdflat=False: same error rate, a third of the time to the final result.
        decoder = pocketsphinx.Decoder(hmm=str(hmm), lm=str(lm), dict=str(clean), loglevel="FATAL", fwdflat=False)
    return decoder, {}


def _model_files(folder: Path) -> tuple[Path, Path, Path]:
    """Acoustic model folder, language model and dictionary; the wheel keeps the model one folder deeper."""
    models = [path.parent for path in sorted(folder.glob("**/mdef"))]
    lms = sorted(folder.glob("*.lm.bin")) + sorted(folder.glob("*.lm"))
    dictionaries = sorted(folder.glob("*.dict"))
    if not (models and lms and dictionaries):
        raise EngineUnusable(
            f"SPEECH_ASR_MODEL_DIR is {folder}: a PocketSphinx model folder holds an acoustic model (a folder with "
            "mdef), a *.lm.bin or *.lm, and a *.dict."
        )
    general = [path for path in lms if "phone" not in path.name] or lms
    return models[0], general[0], dictionaries[0]


class _Level:
    """Brings speech to the peak that the decoder knows; the decoder misses 8 of 10 words at -46 dBFS otherwise.

    At the start of an utterance it holds quiet audio back until it has heard some speech; later it only turns down.
    """

    def __init__(self) -> None:
        self._peak = 0.0
        self._held: list[np.ndarray[Any, np.dtype[np.int16]]] = []
        self._holding = True

    def begin_utterance(self) -> None:
        self._held = []
        self._holding = True
        self._peak *= 0.5  # the speaker may have moved away; the next peak corrects it

    def process(self, pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, dtype="<i2")
        if len(samples):
            self._peak = max(self._peak, float(np.abs(samples.astype(np.int32)).max()))
        if self._holding:
            self._held.append(samples)
            if self._peak < _LOUD_ENOUGH and sum(map(len, self._held)) < _HOLD_SAMPLES:
                return b""
            return self.release()
        return self._scaled(samples)

    def release(self) -> bytes:
        samples = np.concatenate(self._held) if self._held else np.zeros(0, dtype=np.int16)
        self._held = []
        self._holding = False
        return self._scaled(samples)

    def _scaled(self, samples: "np.ndarray[Any, np.dtype[np.int16]]") -> bytes:
        gain = min(_LARGEST_GAIN, _TARGET_PEAK / max(self._peak, 1.0))
        return bytes(np.clip(samples * gain, -32768, 32767).astype("<i2").tobytes())


def serve(decoder: Any, connection: wire.Connection) -> None:
    """Answer frames until the worker leaves."""
    level = _Level()
    started = False
    while True:
        kind, payload = connection.receive()
        if kind == wire.OPEN:
            if started:
                decoder.end_utt()
                started = False
            decoder.set_cmn(_CEPSTRAL_MEAN)
            level = _Level()
            continue
        if kind == wire.AUDIO:
            if not started:
                decoder.start_utt()
                level.begin_utterance()
                started = True
            pcm = level.process(payload)
            if pcm:
                decoder.process_raw(pcm, False, False)
        elif started:
            rest = level.release()
            if rest:
                decoder.process_raw(rest, False, False)
            decoder.end_utt()
        connection.send_json(wire.HYPOTHESIS, _hypothesis(decoder, final=kind == wire.FINISH, started=started))
        if kind == wire.FINISH:
            started = False


def _hypothesis(decoder: Any, *, final: bool, started: bool) -> dict[str, Any]:
    found = decoder.hyp() if started else None
    if found is None:
        return {"text": "", "confidence": 0.0, "words": []}
    if not final:
        return {"text": found.hypstr, "confidence": 0.0, "words": []}
    words = []
    for segment in decoder.seg():
        text = segment.word.split("(")[0]
        if text[:1] in "<[":  # silence, noise
            continue
        confidence = min(1.0, segment.prob)
        start_ms, end_ms = segment.start_frame * _FRAME_MS, (segment.end_frame + 1) * _FRAME_MS
        words.append([text, start_ms, end_ms, round(confidence, 4)])
    confidence = sum(word[3] for word in words) / len(words) if words else 0.0
    return {"text": found.hypstr, "confidence": round(confidence, 4), "words": words}
