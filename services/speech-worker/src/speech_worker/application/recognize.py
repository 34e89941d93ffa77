"""One recognition stream: audio in, results out, utterances found by voice activity."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter
from typing import Final

from speech_worker.application.intake import AudioIntake
from speech_worker.application.ports import RECOGNITION_RATE_HZ, AsrStream, Metrics, VoiceActivity
from speech_worker.domain.endpointing import Edge, Endpointer
from speech_worker.domain.recognition import Result, ResultWriter
from speech_worker.domain.words import Hypothesis, estimate_words

FRAME_SAMPLES: Final = 320  # 20 ms: the frame of the voice activity detector
_FRAME_BYTES: Final = FRAME_SAMPLES * 2
# Audio before the detected start that still belongs to the utterance: the start window and a soft consonant.
PREROLL_FRAMES: Final = 25
# A whole file in one message is worked off in pieces, so that other streams get their turn on the loop.
_SLICE_BYTES: Final = 64 * 1024


class Recognition:
    """Use-case of one stream. The methods are called one after the other, by one task."""

    def __init__(
        self, *, stream: AsrStream, activity: VoiceActivity, endpointer: Endpointer, intake: AudioIntake,
        writer: ResultWriter, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._stream = stream
        self._activity = activity
        self._endpointer = endpointer
        self._intake = intake
        self._writer = writer
        self._metrics = metrics
        self._rest = b""  # less than a frame
        self._preroll: deque[bytes] = deque(maxlen=PREROLL_FRAMES)
        self._pending: list[bytes] = []  # frames of the utterance that the engine has not seen
        self._frames = 0  # since the start of the stream
        self._utterance_start = 0  # frame
        self._last_speech = 0  # frame

    async def audio(self, data: bytes) -> list[Result]:
        """Everything that one audio message changes; often nothing. Raises InvalidRequest, EngineFailed."""
        results: list[Result] = []
        for start in range(0, len(data), _SLICE_BYTES):
            await self._pcm(self._intake.feed(data[start : start + _SLICE_BYTES]), results)
            await asyncio.sleep(0)
        return await self._interim(results)

    async def end_utterance(self) -> list[Result]:
        """The caller knows that the speaker is done. Always one final, empty if nothing was said."""
        return [await self._final()]

    async def finish(self) -> list[Result]:
        """End of the stream: what is unfinished becomes final; one empty final if nothing ever was."""
        results: list[Result] = []
        await self._pcm(self._intake.finish(), results)
        if self._rest and self._endpointer.in_utterance:
            self._pending.append(self._rest)
        if self._endpointer.in_utterance or not (self._writer.anything_final or results):
            results.append(await self._final())
        return results

    async def _pcm(self, pcm: bytes, results: list[Result]) -> None:
        for frame in self._cut(pcm):
            self._frames += 1
            speech = self._activity.speech(frame)
            edge = self._endpointer.frame(speech=speech)
            if speech:
                self._last_speech = self._frames
            if edge is Edge.STARTED:
                self._pending = [*self._preroll, frame]
                self._utterance_start = self._frames - len(self._pending)
                self._preroll.clear()
            elif self._endpointer.in_utterance or edge is Edge.ENDED:
                self._pending.append(frame)
            else:
                self._preroll.append(frame)
            if edge is Edge.LIKELY_END:
                hypothesis = await self._decode()
                interim = self._writer.interim(hypothesis, audio_processed_s=self._seconds(), likely_end=True)
                results.extend([interim] if interim else [])
            elif edge is Edge.ENDED:
                results.append(await self._final())

    def _cut(self, pcm: bytes) -> Iterator[bytes]:
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % _FRAME_BYTES
        self._rest = pcm[whole:]
        for start in range(0, whole, _FRAME_BYTES):
            yield pcm[start : start + _FRAME_BYTES]

    async def _interim(self, results: list[Result]) -> list[Result]:
        if self._endpointer.in_utterance and self._pending:
            interim = self._writer.interim(await self._decode(), audio_processed_s=self._seconds())
            results.extend([interim] if interim else [])
        return results

    async def _decode(self) -> Hypothesis:
        pcm = b"".join(self._pending)
        self._pending = []
        began = perf_counter()
        hypothesis = await self._stream.accept(pcm)
        self._metrics.asr_decoded(audio_s=len(pcm) / (2 * RECOGNITION_RATE_HZ), took_s=perf_counter() - began)
        return hypothesis

    async def _final(self) -> Result:
        began = perf_counter()
        if self._pending:
            await self._decode()
        hypothesis = self._timed(await self._stream.finish())
        self._endpointer.reset()
        self._preroll.clear()
        self._metrics.asr_final(latency_s=perf_counter() - began)
        return self._writer.final(hypothesis, audio_processed_s=self._seconds())

    def _timed(self, hypothesis: Hypothesis) -> Hypothesis:
        """Word times counted from the start of the stream; estimated where the engine gives none."""
        start_ms = _ms(self._utterance_start)
        if hypothesis.words:
            return replace(hypothesis, words=tuple(word.shifted(start_ms) for word in hypothesis.words))
        end_ms = _ms(max(self._last_speech, self._utterance_start))
        words = estimate_words(hypothesis.text, start_ms=start_ms, end_ms=end_ms)
        return replace(hypothesis, words=tuple(replace(word, confidence=hypothesis.confidence) for word in words))

    def _seconds(self) -> float:
        return self._frames * FRAME_SAMPLES / RECOGNITION_RATE_HZ


def _ms(frames: int) -> int:
    return frames * FRAME_SAMPLES * 1000 // RECOGNITION_RATE_HZ
