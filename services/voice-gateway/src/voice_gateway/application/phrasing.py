"""An answer's text on its way to the voice: cut into phrases, cleaned, numbered, told to the machine; and apologies."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from voice_gateway.application.canned import CannedClip, CannedSpeech
from voice_gateway.application.config import CallConfig
from voice_gateway.application.ports import Telemetry
from voice_gateway.domain.actions import SpeakVerbatim, StartReply
from voice_gateway.domain.errors import BackendKind
from voice_gateway.domain.events import Event, PhraseCut
from voice_gateway.domain.expectation import expectation_of
from voice_gateway.domain.languages import language_of
from voice_gateway.domain.phrases import CLOSERS, SENTENCE_END, PhraseCutter
from voice_gateway.domain.speech_text import SpeechCleaner

NO_WORDS = -1
"""Index of a sound that has no words: the record of what was said does not hold it."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is spoken in one piece."""

    index: int
    text: str
    clip: CannedClip | None = None
    """Where there is one, it is played, and nothing is synthesised."""


class Phrasing:
    """Makes an answer's text into phrases fit to be spoken."""

    def __init__(self, config: CallConfig) -> None:
        self._cutter = PhraseCutter(config.phrases)
        self._cleaner = SpeechCleaner(config.tts.language_code)

    def push(self, text: str) -> list[str]:
        """The phrases that are complete with `text`."""
        return self._spoken(self._cutter.push(text))

    def flush(self) -> list[str]:
        """What is left."""
        return self._spoken(self._cutter.flush())

    def _spoken(self, phrases: list[str]) -> list[str]:
        return [spoken for phrase in phrases if (spoken := self._cleaner.clean(phrase))]


class PhraseRecord:
    """The phrases that an answer was cut into. Both of its tasks may add one; the machine wants them in order."""

    def __init__(
        self, order: StartReply | SpeakVerbatim, language_code: str, post: Callable[[Event], Awaitable[None]]
    ) -> None:
        goes_on = order.goes_on
        told = goes_on.phrases if goes_on is not None else ()
        self.last = told[-1] if told else ""
        """The last phrase's text."""
        self._order = order
        self._language = language_of(language_code)
        self._post = post
        self._count = goes_on.first_phrase + len(told) if goes_on is not None else 0
        self._adding = asyncio.Lock()

    @property
    def count(self) -> int:
        """Phrases so far, those of a process before included."""
        return self._count

    async def add(self, text: str, clip: CannedClip | None = None) -> Phrase:
        """Tell the next phrase."""
        async with self._adding:
            phrase = Phrase(self._count, text, clip)
            self._count += 1
            self.last = text
            expects = expectation_of(text, self._language)
            order = self._order
            await self._post(PhraseCut(order.turn, phrase.index, text, len(text), expects, order.revision))
        return phrase

    def ends_sentence(self) -> bool:
        """Whether what was said last can be taken for the end of an answer."""
        spoken = self.last.rstrip().rstrip("".join(CLOSERS))
        return bool(spoken) and (spoken[-1] in SENTENCE_END or spoken[-1] == ".")


class Apologies:
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
