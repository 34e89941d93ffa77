"""One answer: text from the language model, cut into phrases, spoken phrase by phrase into the downlink.

Two tasks with a short queue between them: reading text goes on while a phrase is synthesised, and the next phrase is
synthesised while the one before it plays. Nothing is heard before the machine releases the generation.

A failure is told by ear as well, at most once in an answer. Where the model fails, what came of the answer is spoken,
and then the apology, unless that ended with a whole sentence: the answer then stands, and is not heard to break off.
Where the voice fails, the text goes on without it, and the apology is played if nothing of the answer was spoken.
"""

import asyncio
from collections.abc import Awaitable, Callable

from servicekit.logs import bound, get_logger
from voice_gateway.application.canned import CannedClip, CannedSpeech
from voice_gateway.application.config import CallConfig
from voice_gateway.application.downlink import Downlink
from voice_gateway.application.messages import AnswerTextOut
from voice_gateway.application.phrasing import NO_WORDS, Apologies, Phrase, PhraseRecord, Phrasing
from voice_gateway.application.ports import AudioTools, Backends, LlmRequest, Span, Telemetry, TtsRequest
from voice_gateway.application.tracing import CallSpans, Op
from voice_gateway.domain.actions import Continuation, SpeakVerbatim, StartReply
from voice_gateway.domain.errors import BackendError, BackendKind
from voice_gateway.domain.events import (
    AudioReady,
    Event,
    PhraseAudio,
    ReplyEnded,
    ReplyStarted,
    ReplyTextDone,
    ReplyTrouble,
)

log = get_logger(__name__)

QUEUED_PHRASES = 8
"""Phrases that wait for synthesis; beyond it the language model's stream is not read."""

AHEAD_MS_PER_PHRASE = 2_500
"""Audio that stands for one phrase ahead: a phrase of 40 characters."""


class Reply:
    """One answer. `run` is its task; cancelling it closes every request it made."""

    def __init__(
        self,
        order: StartReply | SpeakVerbatim,
        *,
        spans: CallSpans,
        config: CallConfig,
        output_rate_hz: int,
        backends: Backends,
        tools: AudioTools,
        canned: CannedSpeech,
        downlink: Downlink,
        telemetry: Telemetry,
        post: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._order = order
        self._spans = spans
        self._config = config
        self._backends = backends
        self._downlink = downlink
        self._telemetry = telemetry
        self._post = post
        self._resampler = tools.resampler(config.tts.sample_rate_hz, output_rate_hz)
        self._phrasing = Phrasing(config)
        self._phrases: asyncio.Queue[Phrase | None] = asyncio.Queue(QUEUED_PHRASES)
        self._record = PhraseRecord(order, config.tts.language_code, post)
        self._apologies = Apologies(canned, config, output_rate_hz, telemetry)
        self._sound = False
        self._held_text: list[str] | None = [] if isinstance(order, StartReply) and order.speculative else None
        """Text of a speculative answer; None once it may be sent."""
        self._to_skip = self._record.count if isinstance(order, SpeakVerbatim) else 0
        """Phrases of a text spoken as it is that were made of it before the call was resumed."""

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
        with bound(**self._spans.fields(self._turn)):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write(), name=f"reply-text-{self._turn}")
                tasks.create_task(self._speak(), name=f"reply-speech-{self._turn}")
            if self._sound:
                await self._downlink.played_out(self._order.generation)
            await self._post(ReplyEnded(self._turn, self._revision))

    # ---- text -------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            await self._speak_again(self._order.goes_on)
            if isinstance(self._order, SpeakVerbatim) and self._order.canned is not None:
                await self._post(ReplyStarted(self._turn, self._revision))
                if (phrase := await self._apology(self._order.canned.value)) is not None:
                    await self._phrases.put(phrase)
            elif isinstance(self._order, SpeakVerbatim):
                await self._post(ReplyStarted(self._turn, self._revision))
                await self._add_text(self._order.text, told=self._order.goes_on is not None)
            else:
                await self._ask_model(self._order)
            await self._cut(self._phrasing.flush())
        except BackendError as error:
            await self._report_trouble(error)
            await self._cut(self._phrasing.flush())
            if not self._record.ends_sentence() and (phrase := await self._apology("llm")):
                await self._phrases.put(phrase)
        await self._phrases.put(None)

    async def _speak_again(self, goes_on: Continuation | None) -> None:
        """Phrases that were made before the call was resumed, and not heard. Their text was sent then."""
        if goes_on is not None:
            for index, text in enumerate(goes_on.phrases, start=goes_on.first_phrase):
                await self._phrases.put(Phrase(index, text))

    async def _ask_model(self, order: StartReply) -> None:
        llm = self._config.llm
        with self._spans.span(
            Op.LLM,
            self._turn,
            model=llm.model,
            temperature=llm.temperature,
            max_tokens=llm.max_tokens,
            speculative=order.speculative,
        ) as span:
            await self._answer(order, span)
        # The last phrase comes first: where the text is complete, so are the phrases that a checkpoint holds.
        rest = [await self._record.add(phrase) for phrase in self._phrasing.flush()]
        await self._post(ReplyTextDone(self._turn, self._revision))
        for phrase in rest:
            await self._phrases.put(phrase)

    async def _answer(self, order: StartReply, span: Span) -> None:
        llm = self._config.llm
        for message in order.messages:
            span.say(message.role.value, message.sent_text, heard=True)
        request = LlmRequest(
            model=llm.model,
            messages=order.messages,
            temperature=llm.temperature,
            max_tokens=llm.max_tokens,
            first_token_timeout_ms=llm.first_token_timeout_ms,
            token_timeout_ms=llm.token_timeout_ms,
            call_id=self._spans.call_id,
            span=span,
        )
        started = False
        async with self._backends.llm.stream(request) as deltas:
            async for delta in deltas:
                if not delta.text:
                    continue
                text = delta.text
                if not started:
                    started = True
                    span.mark("first_token_ms")
                    await self._post(ReplyStarted(self._turn, self._revision))
                    if order.goes_on is not None:
                        text = f" {text.lstrip()}"
                self._telemetry.llm_tokens(1)
                span.count(pieces=1)
                span.say("assistant", text)
                await self._add_text(text)

    async def _add_text(self, text: str, *, told: bool = False) -> None:
        if not self._downlink.is_current(self._order.generation):
            return
        if not told:
            self._tell_text(text)
        await self._cut(self._phrasing.push(text))

    def _tell_text(self, text: str) -> None:
        if self._held_text is None:
            self._downlink.post(AnswerTextOut(self._turn, text))
        else:
            self._held_text.append(text)

    async def _cut(self, phrases: list[str]) -> None:
        for phrase in phrases:
            if self._to_skip:
                self._to_skip -= 1
                continue
            await self._phrases.put(await self._record.add(phrase))

    async def _apology(self, kind: BackendKind) -> Phrase | None:
        """An apology as a phrase of the answer, its text told; None where none is to be heard. A guess that fails is
        not apologised for: it is given up, and the answer made anew when the turn is over.
        """
        heard = self._held_text is None and self._downlink.is_current(self._order.generation)
        if not heard or (clip := self._apologies.take(kind)) is None:
            return None
        if not clip.text:
            return Phrase(NO_WORDS, "", clip)
        if kind != "tts":
            # Where the voice fails, text goes on: a sentence would come in the middle of it, and the event says enough.
            separator = " " if self._record.last else ""
            self._tell_text(separator + clip.text)
        return await self._record.add(clip.text, clip)

    # ---- speech -----------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        ahead_ms = self._config.tts.phrases_ahead * AHEAD_MS_PER_PHRASE
        silent = False
        while (phrase := await self._phrases.get()) is not None:
            if silent and phrase.clip is None:
                await self._post(PhraseAudio(self._turn, phrase.index, 0, revision=self._revision))
                continue
            await self._downlink.room_for(self._order.generation, ahead_ms)
            if not self._downlink.is_current(self._order.generation):
                return
            if phrase.clip is not None:
                await self._play(phrase.index, phrase.clip)
                continue
            try:
                await self._synthesize(phrase)
            except BackendError as error:
                # The text goes on without a voice.
                silent = True
                await self._report_trouble(error)
                await self._apologise_for_voice()
        if self._record.last:
            # A voice that is there and gives no sound.
            await self._apologise_for_voice()
        if self._resampler is not None and self._sound:
            await self._downlink.feed(self._order.generation, self._resampler.flush())

    async def _apologise_for_voice(self) -> None:
        if not self._sound and (apology := await self._apology("tts")) is not None and apology.clip is not None:
            await self._play(apology.index, apology.clip)

    async def _synthesize(self, phrase: Phrase) -> None:
        facts = {"phrase": phrase.index, "characters": len(phrase.text)}
        with self._spans.span(Op.TTS, self._turn, voice=self._config.tts.voice, **facts) as span:
            await self._synthesize_within(span, phrase)

    async def _synthesize_within(self, span: Span, phrase: Phrase) -> None:
        tts = self._config.tts
        span.say("assistant", phrase.text, heard=True)
        request = TtsRequest(
            text=phrase.text,
            language_code=tts.language_code,
            voice=tts.voice,
            sample_rate_hz=tts.sample_rate_hz,
            model=tts.model,
            call_id=self._spans.call_id,
            span=span,
            first_audio_timeout_ms=tts.first_audio_timeout_ms,
            chunk_timeout_ms=tts.chunk_timeout_ms,
        )
        self._telemetry.tts_characters(len(phrase.text))
        samples = received = 0
        word_ends: list[int] = []
        try:
            async with self._backends.tts.synthesize(request) as chunks:
                async for chunk in chunks:
                    span.mark("first_audio_ms")
                    word_ends += [word.end_ms * self._downlink.sample_rate_hz // 1000 for word in chunk.words]
                    received += len(chunk.pcm)
                    samples += await self._feed(chunk.pcm)
        except BackendError:
            if not samples:
                # Else how much of the phrase was heard is judged by the typical length of its text.
                await self._post(PhraseAudio(self._turn, phrase.index, 0, revision=self._revision))
            raise
        span.note(samples=samples)
        if not received:
            span.fail("TTS_NO_AUDIO")
            message = "The voice gave no sound for part of the answer; it may not speak this language."
            trouble = ReplyTrouble(self._turn, "tts", "TTS_NO_AUDIO", message, retryable=False, revision=self._revision)
            await self._post(trouble)
        await self._post(PhraseAudio(self._turn, phrase.index, samples, tuple(word_ends), self._revision))

    async def _play(self, index: int, clip: CannedClip) -> None:
        """A sound that is there already, at the caller's rate."""
        if self._resampler is not None and self._sound:
            await self._add_sound(self._resampler.flush())
        await self._add_sound(clip.pcm)
        if index != NO_WORDS:
            await self._post(PhraseAudio(self._turn, index, len(clip.pcm) // 2, clip.word_ends, self._revision))

    async def _feed(self, pcm: bytes) -> int:
        return await self._add_sound(pcm if self._resampler is None else self._resampler.process(pcm))

    async def _add_sound(self, pcm: bytes) -> int:
        if pcm:
            await self._downlink.feed(self._order.generation, pcm)
            if not self._sound:
                self._sound = True
                await self._post(AudioReady(self._turn, self._revision))
        return len(pcm) // 2

    async def _report_trouble(self, error: BackendError) -> None:
        self._telemetry.backend_error(error.kind, error.reason)
        # A model's or a voice's own words about a failure may hold what it was asked.
        log.warning("backend_failed", kind=error.kind, reason=error.reason, personal={"detail": error.detail})
        await self._post(
            ReplyTrouble(self._turn, error.kind, error.reason, str(error), error.retryable, self._revision)
        )
