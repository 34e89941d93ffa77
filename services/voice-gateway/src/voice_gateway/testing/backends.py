"""Scriptable backends on virtual time: Riva and NIM with delays, stalls, resets and garbage, without a network."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from struct import iter_unpack

from voice_gateway.application.ports import (
    AsrRequest,
    AsrStream,
    Backends,
    BackendWish,
    LlmDelta,
    LlmRequest,
    Recognition,
    SpeechChunk,
    SpokenWord,
    TtsRequest,
)
from voice_gateway.domain.conversation import Role
from voice_gateway.domain.errors import BackendError, BackendKind, BackendTimeout, BackendUnavailable
from voice_gateway.domain.resuming import GO_ON


async def answered_within(wait_ms: float | None, timeout_ms: float, kind: BackendKind) -> None:
    """What an adapter's deadline does: let the backend take `wait_ms`, for ever if None. Raises BackendTimeout."""
    await asyncio.sleep((timeout_ms if wait_ms is None else min(wait_ms, timeout_ms)) / 1000)
    if wait_ms is None or wait_ms > timeout_ms:
        raise BackendTimeout(kind, "The backend did not answer in time.")


@dataclass(slots=True)
class Logged:
    """Something that a fake saw, with the loop's time in ms."""

    at_ms: float
    what: str
    detail: str = ""


@dataclass(slots=True)
class Log:
    """What all fakes of a test saw, in order."""

    entries: list[Logged] = field(default_factory=list)

    def add(self, what: str, detail: str = "") -> None:
        """Note something now."""
        self.entries.append(Logged(asyncio.get_running_loop().time() * 1000, what, detail))

    def of(self, what: str) -> list[Logged]:
        """Entries of one kind."""
        return [entry for entry in self.entries if entry.what == what]


@dataclass(slots=True)
class AsrScript:
    """How the fake recogniser behaves. Speech is any sample that is not zero."""

    transcripts: Sequence[str] = ("what time is it",)
    """One for each utterance that has speech, in turn; the last one repeats."""
    meanings: Mapping[int, str] = field(default_factory=dict)
    """Words of speech by the value of its samples, for callers who give each thing they say a value of its own. Other
    speech has the words of `transcripts`.
    """
    final_after_speech_end_ms: float | None = 300
    """Its own endpointing; None: it waits to be asked."""
    first_pass_after_speech_end_ms: float | None = None
    """The first pass of a server that ends utterances in two; None: it has one pass."""
    honours_force_eou: bool = True
    answer_ms: float = 10
    """From being asked (`force_eou`, half-close) to the final result."""
    interim_every_ms: float = 200
    """Audio time between interim results; each reveals one more word."""
    break_after_ms: Sequence[float] = ()
    """Streams that break after so much audio: the first value for the first stream, and so on; later ones hold."""
    error: BackendError | None = None
    """What a broken stream raises; a retryable BackendUnavailable if None."""
    deaf: bool = False
    """Never answers anything."""
    refuse: BackendError | None = None
    """Raised when a stream is opened."""
    open_ms: float | None = 0
    """Until a stream is open; None: never."""
    take_ms: float = 0
    """Until a message of audio is taken."""


class FakeAsr:
    """A recogniser."""

    def __init__(self, script: AsrScript, log: Log) -> None:
        self.script = script
        self.log = log
        self.opened = 0
        self.audio: list[bytearray] = []
        """What each stream was sent, in order of their opening."""
        self.rates_hz: list[int] = []
        """The rate that each was said to have."""
        self.requests: list[AsrRequest] = []
        self._spoken = 0

    @asynccontextmanager
    async def open(self, request: AsrRequest) -> AsyncIterator[AsrStream]:
        """Open a stream."""
        if self.script.refuse is not None:
            raise self.script.refuse
        if self.script.open_ms != 0:
            await answered_within(self.script.open_ms, request.open_timeout_ms, "asr")
        stream = _FakeAsrStream(self, request, self.opened)
        self.opened += 1
        self.audio.append(stream.audio)
        self.rates_hz.append(request.sample_rate_hz)
        self.requests.append(request)
        self.log.add("asr_opened", request.language_code)
        try:
            yield stream
        finally:
            self.log.add("asr_closed", "half_close" if stream.half_closed else "cancelled")

    def next_transcript(self) -> str:
        """The words of the next utterance."""
        index = min(self._spoken, len(self.script.transcripts) - 1)
        self._spoken += 1
        return self.script.transcripts[index]

    def give_back(self) -> None:
        """A stream broke before its final result: its words are said again on the next."""
        self._spoken -= 1


class _FakeAsrStream:
    def __init__(self, owner: FakeAsr, request: AsrRequest, number: int) -> None:
        self.half_closed = False
        self.audio = bytearray()
        self._owner = owner
        self._rate_hz = request.sample_rate_hz
        limits = owner.script.break_after_ms
        self._break_after_ms = limits[number] if number < len(limits) else None
        self._results: asyncio.Queue[Recognition | BackendError | None] = asyncio.Queue()
        self._words: list[str] = []
        self._value = 0
        """Of the meaning heard last."""
        self._told = 0
        self._received_ms = 0.0
        self._voiced_ms = 0.0
        self._endpoints: list[asyncio.TimerHandle] = []

    async def send(self, pcm: bytes) -> None:
        """Take audio."""
        script = self._owner.script
        if script.take_ms:
            await asyncio.sleep(script.take_ms / 1000)
        length_ms = len(pcm) / 2 * 1000 / self._rate_hz
        self.audio += pcm
        self._received_ms += length_ms
        self._owner.log.add("asr_audio", f"{length_ms:g}")
        if self._break_after_ms is not None and self._received_ms >= self._break_after_ms:
            if self._words and not self._value:
                self._owner.give_back()
            self._cancel_endpoint()
            error = script.error or BackendUnavailable("asr", "The recogniser broke off.")
            self._results.put_nowait(error)
            raise error
        if any(pcm):
            self._voiced_ms += length_ms
            self._hear(pcm)
        elif self._words and not self._endpoints:
            # The silence in this message has already lasted for its length.
            self._end_after(script.first_pass_after_speech_end_ms, length_ms, self._end_first_pass)
            self._end_after(script.final_after_speech_end_ms, length_ms, self._finalize)

    def _end_after(self, silence_ms: float | None, lasted_ms: float, end: Callable[[], None]) -> None:
        if silence_ms is not None:
            wait_s = max(0.0, silence_ms - lasted_ms) / 1000
            self._endpoints.append(asyncio.get_running_loop().call_later(wait_s, end))

    def _end_first_pass(self) -> None:
        self._tell(Recognition(" ".join(self._words), is_final=False, stability=1.0))

    def _hear(self, pcm: bytes) -> None:
        self._cancel_endpoint()
        value = next(sample for (sample,) in iter_unpack("<h", pcm) if sample)
        if value in self._owner.script.meanings:
            if value != self._value:
                self._value = value
                self._words += self._owner.script.meanings[value].split()
        elif not self._words:
            self._words = self._owner.next_transcript().split()
        due = min(len(self._words), int(self._voiced_ms / self._owner.script.interim_every_ms))
        if due > self._told:
            self._told = due
            self._tell(Recognition(" ".join(self._words[:due]), is_final=False))

    async def force_end_of_utterance(self) -> None:
        """Be asked for the final result."""
        self._owner.log.add("asr_force_eou")
        if self._owner.script.honours_force_eou:
            asyncio.get_running_loop().call_later(self._owner.script.answer_ms / 1000, self._finalize)

    async def half_close(self) -> None:
        """Be told that no more audio comes."""
        self.half_closed = True
        self._cancel_endpoint()

        def finish() -> None:
            self._finalize()
            if not self._owner.script.deaf:
                self._results.put_nowait(None)

        asyncio.get_running_loop().call_later(self._owner.script.answer_ms / 1000, finish)

    async def results(self) -> AsyncIterator[Recognition]:
        """Results in order."""
        while (result := await self._results.get()) is not None:
            if isinstance(result, BackendError):
                raise result
            yield result

    def _finalize(self) -> None:
        self._cancel_endpoint()
        words, self._words, self._told, self._voiced_ms = self._words, [], 0, 0.0
        self._tell(Recognition(" ".join(words), is_final=True, audio_processed_ms=self._received_ms))

    def _tell(self, result: Recognition) -> None:
        if not self._owner.script.deaf:
            self._owner.log.add("asr_final" if result.is_final else "asr_interim", result.text)
            self._results.put_nowait(result)

    def _cancel_endpoint(self) -> None:
        for endpoint in self._endpoints:
            endpoint.cancel()
        self._endpoints.clear()


@dataclass(slots=True)
class LlmScript:
    """How the fake language model behaves."""

    replies: Sequence[str] = ("It is noon.",)
    """One for each request, in turn; the last one repeats. A token is a word with the space before it."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """By what the caller said last; other requests have those of `replies`. Told to go on with one that was cut off, it
    says the rest.
    """
    first_token_ms: float = 120
    token_interval_ms: float = 10
    fail_after_tokens: int | None = None
    stall_after_tokens: int | None = None
    faulty_requests: int | None = None
    """Only so many requests, the first ones, fail or stall; None: all."""
    error: BackendError | None = None


class FakeLlm:
    """A language model."""

    def __init__(self, script: LlmScript, log: Log) -> None:
        self.script = script
        self.log = log
        self.requests: list[LlmRequest] = []

    @asynccontextmanager
    async def stream(self, request: LlmRequest) -> AsyncIterator[AsyncIterator[LlmDelta]]:
        """Start an answer."""
        reply = self._reply(request)
        self.requests.append(request)
        self.log.add("llm_request", request.messages[-1].text)
        faulty = self.script.faulty_requests is None or len(self.requests) <= self.script.faulty_requests
        stall_at = self.script.stall_after_tokens if faulty else None
        fail_at = self.script.fail_after_tokens if faulty else None
        finished = False

        async def deltas() -> AsyncIterator[LlmDelta]:
            nonlocal finished
            first_ms = None if stall_at == 0 else self.script.first_token_ms
            await answered_within(first_ms, request.first_token_timeout_ms, "llm")
            for index, word in enumerate(reply.split(" ")):
                if index:
                    wait_ms = None if index == stall_at else self.script.token_interval_ms
                    await answered_within(wait_ms, request.token_timeout_ms, "llm")
                if index == fail_at:
                    raise self.script.error or BackendUnavailable("llm", "The language model broke off.")
                yield LlmDelta(f" {word}" if index else word)
            finished = True

        try:
            yield deltas()
        finally:
            self.log.add("llm_closed", "finished" if finished else "cancelled")

    def _reply(self, request: LlmRequest) -> str:
        *before, last = request.messages
        goes_on = last.text == GO_ON
        asked = next((m.text for m in reversed(before if goes_on else request.messages) if m.role is Role.USER), "")
        answer = self.script.answers.get(asked)
        if answer is None:
            return self.script.replies[min(len(self.requests), len(self.script.replies) - 1)]
        return answer.removeprefix(before[-1].text).strip() if goes_on else answer


@dataclass(slots=True)
class TtsScript:
    """How the fake synthesiser behaves."""

    first_chunk_ms: float = 80
    chunk_ms: float = 100
    speed: float = 5.0
    """Times real time."""
    ms_per_character: float = 60
    word_timings: bool = True
    fail_on_phrase: int | None = None
    stall_on_phrase: int | None = None
    mute: bool = False
    numbered_words: bool = False
    """Samples are numbers of words, from `FIRST_WORD` on, in place of the phrase's number."""
    error: BackendError | None = None


FIRST_WORD = 1_000
"""Sample value of the first word; what is ducked lies below."""


class FakeTts:
    """A synthesiser. Its audio is the phrase's number, repeated, so that listeners can tell what they heard."""

    def __init__(self, script: TtsScript, log: Log) -> None:
        self.script = script
        self.log = log
        self.requests: list[TtsRequest] = []
        self.words: list[SpokenWord] = []
        """Those of all phrases; the place in the list and `FIRST_WORD` make the sample value of a numbered word."""

    @asynccontextmanager
    async def synthesize(self, request: TtsRequest) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Start a phrase."""
        number = len(self.requests)
        self.requests.append(request)
        self.log.add("tts_request", request.text)
        finished = False

        async def chunks() -> AsyncIterator[SpeechChunk]:
            nonlocal finished
            first_ms = None if number == self.script.stall_on_phrase else self.script.first_chunk_ms
            await answered_within(first_ms, request.first_audio_timeout_ms, "tts")
            if number == self.script.fail_on_phrase:
                raise self.script.error or BackendUnavailable("tts", "The voice broke off.")
            length_ms = 0.0 if self.script.mute else len(request.text) * self.script.ms_per_character
            timings = _word_timings(request.text, length_ms)
            words = timings if self.script.word_timings else ()
            pcm = self._sound(number, timings, length_ms, request.sample_rate_hz)
            sent_ms, sent = 0.0, 0
            while sent_ms < length_ms:
                part_ms = min(self.script.chunk_ms, length_ms - sent_ms)
                part = 2 * int(part_ms * request.sample_rate_hz / 1000)
                yield SpeechChunk(pcm[sent : sent + part], () if sent else words)
                sent, sent_ms = sent + part, sent_ms + part_ms
                await asyncio.sleep(part_ms / self.script.speed / 1000)
            finished = True

        try:
            yield chunks()
        finally:
            self.log.add("tts_closed", "finished" if finished else "cancelled")

    def _sound(self, number: int, words: Sequence[SpokenWord], length_ms: float, rate_hz: int) -> bytes:
        samples = int(length_ms * rate_hz / 1000)
        if not self.script.numbered_words:
            return (number + 1).to_bytes(2, "little") * samples
        pcm = bytearray()
        for word in words:
            value = FIRST_WORD + len(self.words)
            self.words.append(word)
            pcm += value.to_bytes(2, "little") * (word.end_ms * rate_hz // 1000 - len(pcm) // 2)
        return bytes(pcm) + pcm[-2:] * (samples - len(pcm) // 2)


def _word_timings(text: str, length_ms: float) -> tuple[SpokenWord, ...]:
    position = 0
    timings: list[SpokenWord] = []
    for word in text.split():
        start_ms = position * length_ms / len(text)
        position += len(word) + 1
        timings.append(SpokenWord(word, int(start_ms), int(min(position, len(text)) * length_ms / len(text))))
    return tuple(timings)


class FixedBackends:
    """A selection that always chooses the same."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def select(self, wish: BackendWish) -> Backends:  # noqa: ARG002 - the port's signature
        """The backends, whatever is wished."""
        return self._backends
