"""One answer: text from the language model, cut into phrases, spoken phrase by phrase into the downlink.

Two tasks with a short queue between them: reading text goes on while a phrase is synthesised, and the next phrase is
synthesised while the one before it plays. Nothing is heard before the machine releases the generation.

A failure is told by ear as well, at most once in an answer. Where the model fails, what came of the answer is spoken,
and then the apology, unless that ended with a whole sentence: the answer then stands, and is not heard to break off.
Where the voice fails, the text goes on without it, and the apology is played if nothing of the answer was spoken.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from voice_gateway.application.canned import CannedClip, CannedSpeech
from voice_gateway.application.config import CallConfig
from voice_gateway.application.downlink import Downlink
from voice_gateway.application.messages import AnswerTextOut
from voice_gateway.application.ports import AudioTools, Backends, LlmRequest, Telemetry, TtsRequest
from voice_gateway.domain.actions import SpeakVerbatim, StartReply
from voice_gateway.domain.errors import BackendError, BackendKind
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
from voice_gateway.domain.phrases import CLOSERS, SENTENCE_END, PhraseCutter
from voice_gateway.domain.speech_text import SpeechCleaner

QUEUED_PHRASES = 8
"""Phrases that wait for synthesis; beyond it the language model's stream is not read."""

AHEAD_MS_PER_PHRASE = 2_500
"""Audio that stands for one phrase ahead: a phrase of 40 characters."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    index: int
    """NO_WORDS for a sound that has none: the record of what was said does not hold it."""
    text: str
    clip: CannedClip | None = None
    """Where there is one, it is played, and nothing is synthesised."""


NO_WORDS = -1


class _Record:
    """The phrases that the answer was cut into. Both tasks may add one; the machine wants them in order."""

    def __init__(self, turn: int, post: Callable[[Event], Awaitable[None]]) -> None:
        self.last = ""
        """The last phrase's text."""
        self._turn = turn
        self._post = post
        self._count = 0
        self._adding = asyncio.Lock()

    async def add(self, text: str, clip: CannedClip | None = None) -> _Phrase:
        """Tell the next phrase."""
        async with self._adding:
            phrase = _Phrase(self._count, text, clip)
            self._count += 1
            self.last = text
            await self._post(PhraseCut(self._turn, phrase.index, text, len(text)))
        return phrase


class _Apologies:
    """What is said of failures, at most once in an answer."""

    def __init__(self, canned: CannedSpeech, config: CallConfig, rate_hz: int, telemetry: Telemetry) -> None:
        self._canned = canned
        self._tts = config.tts
        self._rate_hz = rate_hz
        self._telemetry = telemetry
        self._given = False
        canned.want(self._tts.language_code, self._tts.voice)

    def take(self, kind: BackendKind) -> CannedClip | None:
        """What is played now; None where that was done, or nothing is wanted."""
        if self._given:
            return None
        tts = self._tts
        clip = self._canned.get(kind, language_code=tts.language_code, voice=tts.voice, rate_hz=self._rate_hz)
        if not clip.pcm:
            return None
        self._given = True
        self._telemetry.apologised(kind, "speech" if clip.text else "earcon")
        return clip


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
        canned: CannedSpeech,
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
        self._cutter = PhraseCutter(config.phrases)
        self._cleaner = SpeechCleaner(config.tts.language_code)
        self._phrases: asyncio.Queue[_Phrase | None] = asyncio.Queue(QUEUED_PHRASES)
        self._record = _Record(order.turn, post)
        self._apologies = _Apologies(canned, config, output_rate_hz, telemetry)
        self._sound = False

    @property
    def _turn(self) -> int:
        return self._order.turn

    async def run(self) -> None:
        """Make the answer, and wait until the caller has heard it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write(), name=f"reply-text-{self._turn}")
            tasks.create_task(self._speak(), name=f"reply-speech-{self._turn}")
        if self._sound:
            await self._downlink.played_out(self._order.generation)
        await self._post(ReplyEnded(self._turn))

    # ---- text -------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            if isinstance(self._order, SpeakVerbatim):
                await self._post(ReplyStarted(self._turn))
                await self._add_text(self._order.text)
            else:
                await self._ask_model(self._order)
            await self._cut(self._cutter.flush())
        except BackendError as error:
            await self._report_trouble(error)
            await self._cut(self._cutter.flush())
            if not _whole_sentence(self._record.last) and (phrase := await self._apology("llm")) is not None:
                await self._phrases.put(phrase)
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
                    await self._post(ReplyStarted(self._turn))
                self._telemetry.llm_tokens(1)
                await self._add_text(delta.text)
        await self._post(ReplyTextDone(self._turn))

    async def _add_text(self, text: str) -> None:
        if not self._downlink.is_current(self._order.generation):
            return
        self._downlink.post(AnswerTextOut(self._turn, text))
        await self._cut(self._cutter.push(text))

    async def _cut(self, phrases: list[str]) -> None:
        for phrase in phrases:
            if spoken := self._cleaner.clean(phrase):
                await self._phrases.put(await self._record.add(spoken))

    async def _apology(self, kind: BackendKind) -> _Phrase | None:
        """An apology as a phrase of the answer, its text told; None where none is to be heard."""
        current = self._downlink.is_current(self._order.generation)
        if not current or (clip := self._apologies.take(kind)) is None:
            return None
        if not clip.text:
            return _Phrase(NO_WORDS, "", clip)
        if kind == "llm":
            # Where the voice fails, text goes on: a sentence would come in the middle of it, and the event says enough.
            separator = " " if self._record.last else ""
            self._downlink.post(AnswerTextOut(self._turn, separator + clip.text))
        return await self._record.add(clip.text, clip)

    # ---- speech -----------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        ahead_ms = self._config.tts.phrases_ahead * AHEAD_MS_PER_PHRASE
        silent = False
        while (phrase := await self._phrases.get()) is not None:
            if silent and phrase.clip is None:
                await self._post(PhraseAudio(self._turn, phrase.index, 0))
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
        try:
            async with self._backends.tts.synthesize(request) as chunks:
                async for chunk in chunks:
                    word_ends += [word.end_ms * self._output_rate_hz // 1000 for word in chunk.words]
                    received += len(chunk.pcm)
                    samples += await self._feed(chunk.pcm)
        except BackendError:
            if not samples:
                # Else how much of the phrase was heard is judged by the typical length of its text.
                await self._post(PhraseAudio(self._turn, phrase.index, 0))
            raise
        if not received:
            message = "The voice gave no sound for part of the answer; it may not speak this language."
            await self._post(ReplyTrouble(self._turn, "tts", "TTS_NO_AUDIO", message, retryable=False))
        await self._post(PhraseAudio(self._turn, phrase.index, samples, tuple(word_ends)))

    async def _play(self, index: int, clip: CannedClip) -> None:
        """A sound that is there already, at the caller's rate."""
        if self._resampler is not None and self._sound:
            await self._add_sound(self._resampler.flush())
        await self._add_sound(clip.pcm)
        if index != NO_WORDS:
            await self._post(PhraseAudio(self._turn, index, len(clip.pcm) // 2, clip.word_ends))

    async def _feed(self, pcm: bytes) -> int:
        return await self._add_sound(pcm if self._resampler is None else self._resampler.process(pcm))

    async def _add_sound(self, pcm: bytes) -> int:
        if pcm:
            await self._downlink.feed(self._order.generation, pcm)
            if not self._sound:
                self._sound = True
                await self._post(AudioReady(self._turn))
        return len(pcm) // 2

    async def _report_trouble(self, error: BackendError) -> None:
        self._telemetry.backend_error(error.kind, error.reason)
        await self._post(ReplyTrouble(self._turn, error.kind, error.reason, str(error), error.retryable))


def _whole_sentence(text: str) -> bool:
    """Whether what was said last can be taken for the end of an answer."""
    spoken = text.rstrip().rstrip("".join(CLOSERS))
    return bool(spoken) and (spoken[-1] in SENTENCE_END or spoken[-1] == ".")
