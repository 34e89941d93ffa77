"""RivaSpeechRecognition by script."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count, cycle
from math import inf
from typing import Any

import grpc
from riva.client.proto import riva_asr_pb2 as asr_pb2
from riva.client.proto import riva_asr_pb2_grpc, riva_audio_pb2

from voice_fakes.adapters.audio import LoudFrames
from voice_fakes.adapters.known_audio import Follower, KnownAudio
from voice_fakes.adapters.timing import Wake
from voice_fakes.domain.recognition import (
    Final,
    Heard,
    Interim,
    Recognition,
    RecognitionPlan,
    SpeechStarted,
    spread_words,
)
from voice_fakes.log import EventLog, now_ms
from voice_fakes.script import AsrFault, AsrGarbage, AsrIdleDeath, AsrRefuse, AsrReset, AsrScript, AsrStall, fault_for

SOURCE = "asr"
DEFAULT_RATE_HZ = 16000
GARBAGE = "\u2047 <unk>\x00\x07 \ufffd\ufffd <unk>"
# A cancelled stream first looks half-closed to a handler that reads; the cancel itself shows within about 5 ms.
CANCEL_SHOWS_MS = 5.0

Context = Any
Status = tuple[str, str]
"""Name of a gRPC status, and its message."""


def metadata_of(context: Context) -> dict[str, str]:
    """What the caller sent beside the request, without gRPC's own."""
    return {
        key: value for key, value in context.invocation_metadata() if isinstance(value, str) and key != "user-agent"
    }


class FakeAsr(riva_asr_pb2_grpc.RivaSpeechRecognitionServicer):  # type: ignore[misc] # generated without types
    def __init__(self, script: AsrScript, log: EventLog) -> None:
        self._log = log
        self._ids = count()
        self.use(script)

    def use(self, script: AsrScript) -> None:
        """Takes effect for streams opened from now on. Transcripts and the numbering of faults start again."""
        self._script = script
        self._known = KnownAudio(script.recordings) if script.recordings else None
        self._transcripts = cycle(script.transcripts)
        self._numbers = count()

    async def StreamingRecognize(self, requests: AsyncIterator[Any], context: Context) -> None:  # noqa: N802
        script = self._script
        number, request_id = next(self._numbers), next(self._ids)
        fault = fault_for(script.faults, number)
        transcripts = self._transcripts if script.cycle_per == "server" else cycle(script.transcripts)
        self._log.add(SOURCE, "stream_opened", request_id, metadata=metadata_of(context))
        if isinstance(fault, AsrRefuse):
            self._log.add(SOURCE, "stream_closed", request_id, how="refused")
            await context.abort(grpc.StatusCode[fault.status], fault.message)
        stream = _Stream(request_id, script, fault, _Words(transcripts, self._known), self._log)
        how = "cancelled"
        try:
            status = await stream.run(requests, context)
            how = stream.how
        finally:
            self._log.add(SOURCE, "stream_closed", request_id, how=how, **stream.totals())
        if status is not None:
            await context.abort(grpc.StatusCode[status[0]], status[1])

    async def Recognize(self, request: Any, context: Context) -> Any:  # noqa: N802
        request_id = next(self._ids)
        fault = fault_for(self._script.faults, next(self._numbers))
        if isinstance(fault, AsrRefuse):
            await context.abort(grpc.StatusCode[fault.status], fault.message)
        text = next(self._transcripts)
        self._log.add(SOURCE, "recognize", request_id, audio_bytes=len(request.audio), text=text)
        result = asr_pb2.SpeechRecognitionResult(
            alternatives=[asr_pb2.SpeechRecognitionAlternative(transcript=text, confidence=0.9)]
        )
        return asr_pb2.RecognizeResponse(results=[result], id=request.id)

    async def GetRivaSpeechRecognitionConfig(self, request: Any, _context: Context) -> Any:  # noqa: N802
        names = [name for name in self._script.models if request.model_name in {"", name}]
        parameters = {
            "type": "online", "streaming": "True", "sample_rate_hertz": str(DEFAULT_RATE_HZ),
            "language_code": ",".join(self._script.language_codes),
        }  # fmt: skip
        config = asr_pb2.RivaSpeechRecognitionConfigResponse.Config
        return asr_pb2.RivaSpeechRecognitionConfigResponse(
            model_config=[config(model_name=name, parameters=parameters) for name in names]
        )


@dataclass(frozen=True)
class _Words:
    """Where a stream's words come from: a running list, or recordings that are known."""

    transcripts: Any
    known: KnownAudio | None


@dataclass(frozen=True)
class _Ears:
    """What listens to a stream's audio."""

    loud: LoudFrames
    follower: Follower | None

    def push(self, audio: bytes) -> list[bool]:
        """Whether each further frame of 10 ms is loud."""
        if self.follower is not None:
            self.follower.push(audio)
        return self.loud.push(audio)


class _Stream:
    """One StreamingRecognize: a reader that listens, and a writer that sends answers and keeps the deadlines."""

    def __init__(
        self, request_id: int, script: AsrScript, fault: AsrFault | None, words: "_Words", log: EventLog
    ) -> None:
        self._id = request_id
        self._script = script
        self._fault = fault
        self._log = log
        self._words = words
        self._recognition: Recognition | None = None
        self._wanted: Any = None  # the StreamingRecognitionConfig of the caller
        self._outbox: deque[tuple[Any, list[Heard]]] = deque()
        self._wake = Wake()
        self._sizes: Counter[int] = Counter()
        self._opened_ms = self._last_message_ms = now_ms()
        self._half_closed_ms: float | None = None
        self._status: Status | None = None
        self.how = "half_close"

    def totals(self) -> dict[str, Any]:
        return {
            "messages": self._sizes.total(),
            "audio_bytes": sum(size * times for size, times in self._sizes.items()),
            "message_sizes": dict(self._sizes),
            "audio_ms": round(self._recognition.audio_ms, 1) if self._recognition else 0.0,
            "finals": self._recognition.finals if self._recognition else 0,
        }

    async def run(self, requests: AsyncIterator[Any], context: Context) -> Status | None:
        """Serves the stream. Returns the status it has to end with, or None for OK."""
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(self._read(requests), name=f"fake-asr-{self._id}-read")
            try:
                await self._answer(context)
            finally:
                reader.cancel()
        return self._status

    async def _answer(self, context: Context) -> None:
        while True:
            if self._recognition is not None and now_ms() >= self._recognition.deadline():
                self._tick(self._recognition)
            await self._send(context)
            if self._status is not None or self._broken():
                return
            if self._recognition is not None and self._recognition.finished and not self._stalled():
                self._log.add(SOURCE, "half_close", self._id, t_ms=self._half_closed_ms)
                return
            await self._wake.wait(self._due_ms())

    def _due_ms(self) -> float:
        due_ms = self._recognition.deadline() if self._recognition else inf
        match self._fault:
            case AsrReset(after_ms=float(after_ms)):
                return min(due_ms, self._opened_ms + after_ms)
            case AsrIdleDeath(gap_ms=gap_ms):
                return min(due_ms, self._last_message_ms + gap_ms)
            case _:
                return due_ms

    def _broken(self) -> bool:
        """Whether the script ends the stream now."""
        match self._fault:
            case AsrReset(after_ms=after_ms, after_utterances=after_utterances) as fault:
                finals = self._recognition.finals if self._recognition else 0
                due = after_ms is not None and now_ms() >= self._opened_ms + after_ms
                due = due or (after_utterances is not None and finals >= after_utterances)
                due = due or (after_ms is None and after_utterances is None)
            case AsrIdleDeath(gap_ms=gap_ms) as fault:
                due = now_ms() >= self._last_message_ms + gap_ms
            case _:
                return False
        if due:
            self._log.add(SOURCE, "fault", self._id, kind=fault.kind)
            self._status, self.how = (fault.status, fault.message), "fault"
        return due

    def _stalled(self) -> bool:
        return isinstance(self._fault, AsrStall) and now_ms() >= self._opened_ms + self._fault.after_ms

    def _tick(self, recognition: Recognition) -> None:
        for heard in recognition.tick(now_ms=now_ms()):
            self._outbox.append((self._response([heard]), [heard]))

    async def _send(self, context: Context) -> None:
        while self._outbox:
            response, heard = self._outbox.popleft()
            if self._stalled():
                continue
            await context.write(response)
            for item in heard:
                self._log_sent(item)

    def _log_sent(self, item: Heard) -> None:
        match item:
            case Interim(text=text, words=words, settled=settled, utterance=utterance):
                if self._wanted.interim_results or settled:
                    self._log.add(
                        SOURCE, "interim", self._id, utterance=utterance, words=words, text=text, settled=settled
                    )
            case Final(text=text, why=why, utterance=utterance, last_speech_at_ms=last_ms, end_ms=end_ms):
                if last_ms is not None:
                    self._log.add(SOURCE, "speech_end", self._id, t_ms=last_ms, utterance=utterance, audio_ms=end_ms)
                sent_ms = now_ms()
                wait_ms = None if last_ms is None else round(sent_ms - last_ms, 3)
                final = {"utterance": utterance, "why": why, "text": text, "wait_ms": wait_ms}
                self._log.add(SOURCE, "final_sent", self._id, t_ms=sent_ms, **final)
            case SpeechStarted():
                pass  # logged when heard

    async def _read(self, requests: AsyncIterator[Any]) -> None:
        ears: _Ears | None = None
        async for request in requests:
            at_ms = self._last_message_ms = now_ms()
            if ears is None:
                ears = self._begin(request)
                if ears is None:
                    break
                continue
            if self._recognition is not None:
                self._listen(request, self._recognition, ears, at_ms)
        else:
            self._half_closed_ms = now_ms()
            if self._recognition is None:
                self._refuse("no messages were sent")
            else:
                self._recognition.half_close(now_ms=self._half_closed_ms)
        self._wake.poke()

    def _begin(self, request: Any) -> "_Ears | None":
        config = request.streaming_config.config
        rate_hz = config.sample_rate_hertz or DEFAULT_RATE_HZ
        problem = _problem(request, rate_hz)
        if problem is not None:
            self._refuse(problem)
            return None
        script = self._script
        plan = RecognitionPlan(
            first_interim_ms=script.first_interim_ms, word_interval_ms=script.word_interval_ms,
            final_after_speech_end_ms=script.final_after_speech_end_ms, two_pass_eou_ms=script.two_pass_eou_ms,
            eou_ms=script.eou_ms if script.honours_force_eou else None,
            half_close_final_ms=max(script.half_close_final_ms, CANCEL_SHOWS_MS), empty_final=script.empty_final,
            word_delay_ms=script.word_delay_ms,
        )  # fmt: skip
        follower = None if self._words.known is None else Follower(self._words.known)
        heard = None if follower is None else follower.words
        self._recognition = Recognition(
            plan, sample_rate_hz=rate_hz, next_transcript=self._next_transcript, heard=heard
        )
        self._wanted = request.streaming_config
        self._log.add(
            SOURCE, "config", self._id, sample_rate_hz=rate_hz, language_code=config.language_code, model=config.model,
            interim_results=self._wanted.interim_results, stop_history_ms=config.endpointing_config.stop_history,
            call_id=request.id.value,
        )  # fmt: skip
        return _Ears(LoudFrames(sample_rate_hz=rate_hz, threshold_rms=script.threshold_rms), follower)

    def _next_transcript(self) -> str:
        text = next(self._words.transcripts)
        return GARBAGE if isinstance(self._fault, AsrGarbage) else str(text)

    def _refuse(self, message: str) -> None:
        self._status, self.how = ("INVALID_ARGUMENT", message), "bad_request"

    def _listen(self, request: Any, recognition: Recognition, ears: "_Ears", at_ms: float) -> None:
        if at_ms >= recognition.deadline():
            self._tick(recognition)
        if request.WhichOneof("streaming_request") == "audio_content":
            self._sizes[len(request.audio_content)] += 1
            heard = recognition.hear(ears.push(request.audio_content), now_ms=at_ms)
            for item in heard:
                if isinstance(item, SpeechStarted):
                    self._log.add(
                        SOURCE, "speech_start", self._id, t_ms=at_ms, utterance=item.utterance, audio_ms=item.audio_ms
                    )
            response = self._response(heard) if heard else _EMPTY
            if self._script.answers_each_message or response.results:
                self._outbox.append((response, heard))
        if request.runtime_config.get("force_eou", "").lower() == "true":
            honoured = recognition.force_eou(now_ms=at_ms)
            self._log.add(SOURCE, "force_eou", self._id, t_ms=at_ms, honoured=honoured)
        self._wake.poke()

    def _response(self, heard: list[Heard]) -> Any:
        """One response with a result per interim or final; results after the first final start with a space."""
        results = []
        for item in heard:
            match item:
                case Interim(text=text, settled=settled, utterance=utterance, audio_ms=audio_ms):
                    if self._wanted.interim_results or settled:
                        results.append(_result(text, utterance, audio_ms, stability=1.0 if settled else 0.0))
                case Final(text=text, utterance=utterance, end_ms=end_ms):
                    if isinstance(self._fault, AsrGarbage):
                        results.append(asr_pb2.StreamingRecognitionResult(is_final=False))
                    result = _result(text, utterance, end_ms, final=True)
                    if self._wanted.config.enable_word_time_offsets:
                        times = spread_words(item.text.split(), item.begin_ms, item.end_ms)
                        result.alternatives[0].words.extend(
                            asr_pb2.WordInfo(word=word, start_time=start, end_time=end, confidence=0.9)
                            for word, start, end in times
                        )
                    results.append(result)
                case SpeechStarted():
                    pass
        return asr_pb2.StreamingRecognizeResponse(results=results)


def _problem(first: Any, rate_hz: int) -> str | None:
    """What a Riva server would not take in the first message."""
    if first.WhichOneof("streaming_request") != "streaming_config":
        return "first message must contain streaming_config"
    config = first.streaming_config.config
    if config.encoding not in {riva_audio_pb2.ENCODING_UNSPECIFIED, riva_audio_pb2.LINEAR_PCM}:
        return "only LINEAR_PCM is spoken here"
    if not 8000 <= rate_hz <= 96000:
        return f"sample_rate_hertz is {rate_hz}; allowed is 8000 to 96000"
    return "Only mono audio supported." if config.audio_channel_count > 1 else None


_EMPTY = asr_pb2.StreamingRecognizeResponse()


def _result(text: str, utterance: int, audio_ms: float, *, final: bool = False, stability: float = 0.0) -> Any:
    transcript = f" {text}" if utterance > 0 and text else text
    alternative = asr_pb2.SpeechRecognitionAlternative(transcript=transcript, confidence=0.9 if final else 0.0)
    return asr_pb2.StreamingRecognitionResult(
        alternatives=[alternative], is_final=final, stability=stability, channel_tag=1, audio_processed=audio_ms / 1000
    )
