"""One answer: text from the language model, cut into phrases, spoken phrase by phrase into the downlink.

Two tasks with a short queue between them: reading text goes on while a phrase is synthesised, and the next phrase is
synthesised while the one before it plays. Nothing is heard before the machine releases the generation.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from voice_gateway.application.config import CallConfig
from voice_gateway.application.downlink import Downlink
from voice_gateway.application.messages import AnswerTextOut
from voice_gateway.application.ports import AudioTools, Backends, LlmRequest, SpeechChunk, Telemetry, TtsRequest
from voice_gateway.domain.actions import SpeakVerbatim, StartReply
from voice_gateway.domain.errors import BackendError
from voice_gateway.domain.events import (
    AudioReady,
    Event,
    PhraseAudio,
    PhraseCut,
    ReplyEnded,
    ReplyStarted,
    ReplyTextDone,
    ReplyTrouble,
)
from voice_gateway.domain.expectation import expectation_of
from voice_gateway.domain.languages import language_of
from voice_gateway.domain.phrases import PhraseCutter
from voice_gateway.domain.speech_text import SpeechCleaner
from voice_gateway.domain.text_features import Expectation

QUEUED_PHRASES = 8
"""Phrases that wait for synthesis; beyond it the language model's stream is not read."""

AHEAD_MS_PER_PHRASE = 2_500
"""Audio that stands for one phrase ahead: a phrase of 40 characters."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    index: int
    text: str
    expects: Expectation


class _Phrasing:
    """Makes an answer's text into numbered phrases fit to be spoken."""

    def __init__(self, config: CallConfig) -> None:
        self._cutter = PhraseCutter(config.phrases)
        self._cleaner = SpeechCleaner(config.tts.language_code)
        self._language = language_of(config.tts.language_code)
        self._count = 0

    def push(self, text: str) -> list[_Phrase]:
        return self._spoken(self._cutter.push(text))

    def flush(self) -> list[_Phrase]:
        return self._spoken(self._cutter.flush())

    def _spoken(self, cut: list[str]) -> list[_Phrase]:
        phrases = []
        for part in cut:
            if text := self._cleaner.clean(part):
                phrases.append(_Phrase(self._count, text, expectation_of(text, self._language)))
                self._count += 1
        return phrases


class Reply:
    """One answer. `run` is its task; cancelling it closes every request it made."""

    def __init__(
        self,
        order: StartReply | SpeakVerbatim,
        *,
        call_id: str,
        config: CallConfig,
        output_rate_hz: int,
        backends: Backends,
        tools: AudioTools,
        downlink: Downlink,
        telemetry: Telemetry,
        post: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._order = order
        self._call_id = call_id
        self._config = config
        self._output_rate_hz = output_rate_hz
        self._backends = backends
        self._downlink = downlink
        self._telemetry = telemetry
        self._post = post
        self._resampler = tools.resampler(config.tts.sample_rate_hz, output_rate_hz)
        self._phrasing = _Phrasing(config)
        self._phrases: asyncio.Queue[_Phrase | None] = asyncio.Queue(QUEUED_PHRASES)
        self._sound = False
        self._held_text: list[str] | None = [] if isinstance(order, StartReply) and order.speculative else None
        """Text of a speculative answer; None once it may be sent."""

    @property
    def _turn(self) -> int:
        return self._order.turn

    @property
    def _revision(self) -> int:
        return self._order.revision

    def adopt(self) -> None:
        """The turn is over, and as guessed: what was held back may be sent."""
        held, self._held_text = self._held_text, None
        if held:
            self._downlink.post(AnswerTextOut(self._turn, "".join(held)))

    async def run(self) -> None:
        """Make the answer, and wait until the caller has heard it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(), name=f"reply-text-{self._turn}")
            tasks.create_task(self._speak(), name=f"reply-speech-{self._turn}")
        if self._sound:
            await self._downlink.played_out(self._order.generation)
        await self._post(ReplyEnded(self._turn, self._revision))

    # ---- text -------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            if isinstance(self._order, SpeakVerbatim):
                await self._post(ReplyStarted(self._turn, self._revision))
                await self._add_text(self._order.text)
            else:
                await self._ask_model(self._order)
        except BackendError as error:
            await self._report_trouble(error)
        await self._cut(self._phrasing.flush())
        await self._phrases.put(None)

    async def _ask_model(self, order: StartReply) -> None:
        llm = self._config.llm
        request = LlmRequest(
            model=llm.model,
            messages=order.messages,
            temperature=llm.temperature,
            max_tokens=llm.max_tokens,
            first_token_timeout_ms=llm.first_token_timeout_ms,
            token_timeout_ms=llm.token_timeout_ms,
            call_id=self._call_id,
        )
        started = False
        async with self._backends.llm.stream(request) as deltas:
            async for delta in deltas:
                if not delta.text:
                    continue
                if not started:
                    started = True
                    await self._post(ReplyStarted(self._turn, self._revision))
                self._telemetry.llm_tokens(1)
                await self._add_text(delta.text)
        await self._post(ReplyTextDone(self._turn, self._revision))

    async def _add_text(self, text: str) -> None:
        if not self._downlink.is_current(self._order.generation):
            return
        if self._held_text is None:
            self._downlink.post(AnswerTextOut(self._turn, text))
        else:
            self._held_text.append(text)
        await self._cut(self._phrasing.push(text))

    async def _cut(self, phrases: list[_Phrase]) -> None:
        for phrase in phrases:
            text = phrase.text
            await self._post(PhraseCut(self._turn, phrase.index, text, len(text), phrase.expects, self._revision))
            await self._phrases.put(phrase)

    # ---- speech -----------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        ahead_ms = self._config.tts.phrases_ahead * AHEAD_MS_PER_PHRASE
        silent = False
        while (phrase := await self._phrases.get()) is not None:
            if silent:
                continue
            await self._downlink.room_for(self._order.generation, ahead_ms)
            if not self._downlink.is_current(self._order.generation):
                return
            try:
                await self._synthesize(phrase)
            except BackendError as error:
                # The text goes on without a voice.
                silent = True
                await self._report_trouble(error)
        if self._resampler is not None and self._sound:
            await self._downlink.feed(self._order.generation, self._resampler.flush())

    async def _synthesize(self, phrase: _Phrase) -> None:
        tts = self._config.tts
        request = TtsRequest(
            text=phrase.text,
            language_code=tts.language_code,
            voice=tts.voice,
            sample_rate_hz=tts.sample_rate_hz,
            model=tts.model,
            call_id=self._call_id,
            first_audio_timeout_ms=tts.first_audio_timeout_ms,
            chunk_timeout_ms=tts.chunk_timeout_ms,
        )
        self._telemetry.tts_characters(len(phrase.text))
        samples = received = 0
        word_ends: list[int] = []
        async with self._backends.tts.synthesize(request) as chunks:
            async for chunk in chunks:
                word_ends += [word.end_ms * self._output_rate_hz // 1000 for word in chunk.words]
                received += len(chunk.pcm)
                samples += await self._feed(chunk)
        if not received:
            message = "The voice gave no sound for part of the answer; it may not speak this language."
            trouble = ReplyTrouble(self._turn, "tts", "TTS_NO_AUDIO", message, retryable=False, revision=self._revision)
            await self._post(trouble)
        await self._post(PhraseAudio(self._turn, phrase.index, samples, tuple(word_ends), self._revision))

    async def _feed(self, chunk: SpeechChunk) -> int:
        pcm = chunk.pcm if self._resampler is None else self._resampler.process(chunk.pcm)
        if pcm:
            await self._downlink.feed(self._order.generation, pcm)
            if not self._sound:
                self._sound = True
                await self._post(AudioReady(self._turn, self._revision))
        return len(pcm) // 2

    async def _report_trouble(self, error: BackendError) -> None:
        self._telemetry.backend_error(error.kind, error.reason)
        await self._post(
            ReplyTrouble(self._turn, error.kind, error.reason, str(error), error.retryable, self._revision)
        )
