"""What comes from the caller, turned into audio for the ears and events for the machine."""

from collections.abc import Awaitable, Callable
from typing import assert_never

from voice_gateway.application.config import Limits
from voice_gateway.application.downlink import Downlink
from voice_gateway.application.hearing import Hearing
from voice_gateway.application.inbox import Inbox
from voice_gateway.application.messages import (
    AudioIn,
    ControlIn,
    DtmfIn,
    EventKind,
    EventOut,
    Hello,
    Inbound,
    PlayedIn,
    PongOut,
    SpeakIn,
    TextIn,
    UpdateIn,
    Wish,
)
from voice_gateway.application.ports import CallTransport
from voice_gateway.application.understanding import Understanding
from voice_gateway.domain.errors import ChunkTooLarge, InvalidConfig, InvalidMessage, TextTooLong, UnexpectedMessage
from voice_gateway.domain.events import Ask, Asked, InputClosed, KeyPressed, Played, SpeakRequest, TextTurn

ASKS = {
    Wish.INTERRUPT: Ask.INTERRUPT,
    Wish.COMMIT_AUDIO: Ask.COMMIT_AUDIO,
    Wish.CANCEL: Ask.CANCEL,
    Wish.PAUSE: Ask.HOLD,
    Wish.RESUME: Ask.UNHOLD,
}

KEYS = frozenset("0123456789*#ABCD")
"""Of a telephone keypad (ITU-T Q.23)."""


class Uplink:
    """Reads one caller. A message that makes no sense is answered with an ERROR event and changes nothing; one that
    breaks the protocol (a second config, an outsized chunk) ends the call.
    """

    def __init__(
        self,
        transport: CallTransport,
        hearing: Hearing,
        downlink: Downlink,
        inbox: Inbox,
        limits: Limits,
        *,
        understanding: Understanding,
        update: Callable[[UpdateIn], Awaitable[None]],
    ) -> None:
        self._transport = transport
        self._hearing = hearing
        self._downlink = downlink
        self._inbox = inbox
        self._limits = limits
        self._understanding = understanding
        self._update = update
        self.last_message_ms = 0
        self.last_audio_ms = 0
        self.held_back = False
        """Reading waits because the caller is far ahead of real time."""
        self.closed = False
        """The caller has half-closed."""
        self.ignores = False
        """The call is over here: what is read means nothing."""

    async def run(self) -> None:
        """Read until the caller half-closes. Raises BadRequest."""
        while True:
            try:
                message = await self._transport.receive()
            except InvalidMessage as error:
                # Perhaps from a client that is newer than this gateway.
                self._refuse(error)
                continue
            if message is None:
                break
            self.last_message_ms = self._inbox.now()
            await self._take(message)
        if self.ignores:
            return
        await self._hearing.close()
        self.closed = True
        await self._inbox.put(InputClosed(self._heard()))

    async def _take(self, message: Inbound) -> None:
        match message:
            case _ if self.ignores:
                pass
            case AudioIn(pcm, first_sample):
                if len(pcm) > self._limits.max_chunk_bytes:
                    limit = self._limits.max_chunk_bytes
                    raise ChunkTooLarge(f"audio_chunk has {len(pcm)} bytes; at most {limit} are allowed.")
                self.last_audio_ms = self.last_message_ms
                await self._hearing.audio(pcm, first_sample)
                self.last_audio_ms = self._inbox.now()
            case TextIn(text):
                features = self._understanding.features(text[: self._limits.max_text_characters])
                await self._text("text_input", text, lambda words: TextTurn(text, words, self._heard(), features))
            case SpeakIn(text, firm):
                await self._text("speak.text", text, lambda words: SpeakRequest(text, words, firm, self._heard()))
            case ControlIn(Wish.PING, ping_id):
                self._downlink.post(PongOut(ping_id))
            case ControlIn(wish):
                await self._inbox.put(Asked(ASKS[wish], self._heard()))
            case PlayedIn(generation, samples):
                if not self._downlink.acknowledge(generation, samples):
                    await self._inbox.put(Played(generation, samples))
            case DtmfIn(digit):
                await self._key(digit)
            case UpdateIn():
                try:
                    await self._update(message)
                except InvalidConfig as error:
                    self._refuse(error)
            case Hello():
                raise UnexpectedMessage("config may only be sent once, as the first message.")
            case _:
                assert_never(message)

    async def _text(self, field: str, text: str, event: Callable[[int], TextTurn | SpeakRequest]) -> None:
        limit = self._limits.max_text_characters
        if len(text) > limit:
            self._refuse(TextTooLong(f"{field} has {len(text)} characters; at most {limit} are allowed."))
        elif words := len(text.split()):
            await self._inbox.put(event(words))
        else:
            self._refuse(InvalidMessage(f"{field} is empty; there is nothing to say."))

    async def _key(self, digit: str) -> None:
        if digit in KEYS:
            await self._inbox.put(KeyPressed(digit, self._heard()))
        else:
            self._refuse(InvalidMessage(f"dtmf.digit is {digit[:8]!r}; allowed is one of 0-9, *, #, A-D."))

    def _heard(self) -> int:
        return self._downlink.heard_samples()

    def _refuse(self, error: InvalidMessage | TextTooLong | InvalidConfig) -> None:
        self._downlink.post(EventOut(0, EventKind.ERROR, str(error), error.reason, error.retryable))
