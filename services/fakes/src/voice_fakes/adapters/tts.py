"""RivaSpeechSynthesis by script."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from math import inf
from typing import Any

import grpc
from riva.client.proto import riva_audio_pb2, riva_tts_pb2_grpc
from riva.client.proto import riva_tts_pb2 as tts_pb2

from voice_fakes.adapters.asr import metadata_of
from voice_fakes.adapters.audio import Tone
from voice_fakes.adapters.marks import marked
from voice_fakes.adapters.timing import sleep_until
from voice_fakes.domain.recognition import spread_words
from voice_fakes.log import EventLog, now_ms
from voice_fakes.script import TtsEmpty, TtsError, TtsFault, TtsScript, TtsSlow, TtsStall, fault_for

SOURCE = "tts"
Context = Any


class FakeTts(riva_tts_pb2_grpc.RivaSpeechSynthesisServicer):  # type: ignore[misc] # generated without types
    def __init__(self, script: TtsScript, log: EventLog) -> None:
        self._log = log
        self._ids = count()
        self.use(script)

    def use(self, script: TtsScript) -> None:
        """Takes effect for texts that arrive from now on. The numbering of faults starts again."""
        self._script = script
        self._numbers = count()

    async def SynthesizeOnline(self, requests: AsyncIterator[Any], context: Context) -> None:  # noqa: N802
        async for request in requests:
            await self._speak(request, context)

    async def Synthesize(self, request: Any, context: Context) -> Any:  # noqa: N802
        collected = _Collector()
        await self._speak(request, context, collected)
        return tts_pb2.SynthesizeSpeechResponse(audio=b"".join(collected.audio), meta=collected.meta, id=request.id)

    async def _speak(self, request: Any, context: Context, collected: "_Collector | None" = None) -> None:
        script, arrived_ms = self._script, now_ms()
        request_id, fault = next(self._ids), fault_for(script.faults, next(self._numbers))
        rate_hz = request.sample_rate_hz or script.native_rate_hz
        self._log.add(
            SOURCE, "request", request_id, t_ms=arrived_ms, text=request.text, sample_rate_hz=rate_hz,
            voice=request.voice_name, metadata=metadata_of(context), call_id=request.id.value,
        )  # fmt: skip
        problem = self._problem(request, script, rate_hz)
        if problem is not None:
            self._log.add(SOURCE, "failed", request_id, status="INVALID_ARGUMENT", chunks=0)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        speaking = _Speaking(request, request_id, script=script, fault=fault, rate_hz=rate_hz, log=self._log)
        try:
            await speaking.run(arrived_ms, context if collected is None else collected)
        except asyncio.CancelledError:
            self._log.add(SOURCE, "cancelled", request_id, chunks=speaking.sent)
            raise
        if isinstance(fault, TtsError):
            self._log.add(SOURCE, "failed", request_id, status=fault.status, chunks=speaking.sent)
            await context.abort(grpc.StatusCode[fault.status], fault.message)
        self._log.add(SOURCE, "finished", request_id, chunks=speaking.sent, audio_ms=round(speaking.audio_ms, 1))

    @staticmethod
    def _problem(request: Any, script: TtsScript, rate_hz: int) -> str | None:
        if request.encoding not in {riva_audio_pb2.ENCODING_UNSPECIFIED, riva_audio_pb2.LINEAR_PCM}:
            return "only LINEAR_PCM is spoken here"
        if not 8000 <= rate_hz <= 48000:
            return f"sample_rate_hz is {rate_hz}; allowed is 8000 to 48000"
        if request.voice_name and request.voice_name not in script.voices:
            return f"voice_name {request.voice_name!r} is unknown; allowed is one of {', '.join(script.voices)}"
        if len(request.text) > script.max_characters:
            return f"text has {len(request.text)} characters; allowed are at most {script.max_characters}"
        return None

    async def GetRivaSynthesisConfig(self, request: Any, context: Context) -> Any:  # noqa: N802
        script = self._script
        if request.model_name not in {"", script.model}:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"model {request.model_name!r} is unknown")
        base = script.voices[0].partition(".")[0]
        subvoices = ",".join(f"{voice.removeprefix(base + '.')}:{index}" for index, voice in enumerate(script.voices))
        parameters = {
            "language_code": ",".join(script.language_codes), "voice_name": base, "subvoices": subvoices,
            "sample_rate": str(script.native_rate_hz),
        }  # fmt: skip
        config = tts_pb2.RivaSynthesisConfigResponse.Config(model_name=script.model, parameters=parameters)
        return tts_pb2.RivaSynthesisConfigResponse(model_config=[config])


class _Collector:
    """Takes the chunks of a unary call."""

    def __init__(self) -> None:
        self.audio: list[bytes] = []
        self.meta: Any = None

    async def write(self, response: Any) -> None:
        self.audio.append(response.audio)
        if self.meta is None:
            self.meta = response.meta


class _Speaking:
    """One text: when each chunk goes out, counted from the arrival of the text."""

    def __init__(
        self, request: Any, request_id: int, *, script: TtsScript, fault: TtsFault | None, rate_hz: int, log: EventLog
    ) -> None:
        self._request = request
        self._id = request_id
        self._fault = fault
        self._log = log
        self._rate_hz = rate_hz
        self._silence_ms = script.leading_silence_ms
        self._slow = fault if isinstance(fault, TtsSlow) else script
        self._interval_ms = script.chunk_ms / self._slow.speed
        self._marks = script.marks
        self._chunk_samples = max(1, round(script.chunk_ms * rate_hz / 1000))
        duration_ms = len(request.text) * script.ms_per_character
        self._tone = Tone(
            request.text, sample_rate_hz=rate_hz, duration_ms=duration_ms, silence_ms=script.leading_silence_ms
        )
        self.sent = 0
        self.audio_ms = 0.0

    async def run(self, arrived_ms: float, out: Any) -> None:
        first_ms = arrived_ms + self._slow.first_chunk_ms
        if isinstance(self._fault, TtsEmpty) or not self._request.text.strip():
            await sleep_until(first_ms)
            return
        chunks = -(-self._tone.samples // self._chunk_samples)
        last = self._fault.after_chunks if isinstance(self._fault, TtsError | TtsStall) else inf
        for index in range(chunks):
            if index >= last:
                break
            await sleep_until(first_ms + index * self._interval_ms)
            audio = self._tone.cut(index * self._chunk_samples, (index + 1) * self._chunk_samples)
            if self._marks:
                audio = marked(audio, request=self._id, first_sample=index * self._chunk_samples)
            meta = self._meta() if index == 0 else None
            await out.write(tts_pb2.SynthesizeSpeechResponse(audio=audio, meta=meta, id=self._request.id))
            if index == 0:
                self._log.add(SOURCE, "first_chunk_sent", self._id)
                if self._marks:
                    self._log.add(SOURCE, "words", self._id, words=self._word_samples(), samples=self._tone.samples)
            self.sent += 1
            self.audio_ms += len(audio) / 2 / self._rate_hz * 1000
        if isinstance(self._fault, TtsStall):
            self._log.add(SOURCE, "fault", self._id, kind=self._fault.kind)
            await asyncio.Event().wait()  # until the caller cancels: that is the fault

    def _word_times(self) -> list[tuple[str, int, int]]:
        duration_ms = self._tone.samples / self._rate_hz * 1000
        return spread_words(self._request.text.split(), self._silence_ms, duration_ms)

    def _word_samples(self) -> tuple[tuple[str, int, int], ...]:
        """Each word with the samples it begins and ends at."""
        per_ms = self._rate_hz / 1000
        return tuple((word, round(start * per_ms), round(end * per_ms)) for word, start, end in self._word_times())

    def _meta(self) -> Any:
        text = self._request.text
        times = self._word_times() if self._request.enable_word_time_offsets else []
        words = [tts_pb2.WordTiming(word=word, start_time=start, end_time=end) for word, start, end in times]
        return tts_pb2.SynthesizeSpeechResponseMetadata(text=text, processed_text=text, words=words)
