"""What a caller keeps in case its connection is lost: microphone audio, and wishes that nobody has confirmed. Pure.

Positions are samples at the rate of the microphone since the start of the call. They go on over every resume.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from voice_clients.plain_text import plain

SAMPLE_BYTES = 2
KEEP_S = 30.0
"""Longer than anybody speaks without a pause; at 16 kHz it is 1 MB."""
TOKENS_THAT_CONFIRM = 2
"""A checkpoint that was on its way when a wish was sent does not hold it yet; the one after it does."""

Message = TypeVar("Message")


class KeptAudio:
    """Microphone audio that no checkpoint accounts for yet: s16le mono, at most `keep_s` of it."""

    def __init__(self, rate_hz: int, keep_s: float = KEEP_S) -> None:
        self.rate_hz = rate_hz
        self.first = 0
        """Position of the first sample that is kept."""
        self.end = 0
        """Position of the microphone: of the sample after the last that was added."""
        self.accounted_through = 0
        """The newest position that a checkpoint accounts for."""
        self._most = int(rate_hz * keep_s)
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._odd = b""

    @property
    def forgotten(self) -> int:
        """Samples that no checkpoint accounts for and that are not kept any more: more than `keep_s` has passed."""
        return max(0, self.first - self.accounted_through)

    def add(self, pcm: bytes) -> None:
        """What the microphone heard. Half a sample waits for its other half."""
        data = self._odd + pcm if self._odd else pcm
        whole = len(data) - len(data) % SAMPLE_BYTES
        data, self._odd = data[:whole], data[whole:]
        if not data:
            return
        self._chunks.append((self.end, data))
        self.end += len(data) // SAMPLE_BYTES
        self._drop_before(self.end - self._most)

    def accounted(self, through_sample: int) -> None:
        """A checkpoint accounts for everything before this position."""
        self.accounted_through = max(self.accounted_through, min(through_sample, self.end))
        self._drop_before(self.accounted_through)

    def _drop_before(self, position: int) -> None:
        if position <= self.first:
            return
        self.first = position
        while self._chunks and self._chunks[0][0] + len(self._chunks[0][1]) // SAMPLE_BYTES <= position:
            self._chunks.popleft()

    def after(self, position: int, most: int) -> tuple[int, bytes]:
        """What follows `position`, or the first that is kept after it: its position, and its samples; b"" at the end.

        Chunks are joined up to `most` samples; a single chunk comes whole.
        """
        position = max(position, self.first)
        if not self._chunks or position >= self.end:
            return self.end, b""
        last_first, last = self._chunks[-1]
        if position >= last_first:  # the usual case: everything before the newest chunk has been sent
            return position, last[(position - last_first) * SAMPLE_BYTES :]
        parts: list[bytes] = []
        samples = 0
        for first, data in self._chunks:
            count = len(data) // SAMPLE_BYTES
            if first + count <= position:
                continue
            part = data[(position - first) * SAMPLE_BYTES :] if first < position else data
            if parts and samples + len(part) // SAMPLE_BYTES > most:
                break
            parts.append(part)
            samples += len(part) // SAMPLE_BYTES
        return position, b"".join(parts)


class Repeat(Enum):
    """What becomes of a wish whose connection is lost before it is known to be obeyed."""

    TEXT = "text"
    """Sent again, unless a checkpoint holds the turn that it made."""
    STATE = "state"
    """Of a setting or of hold: sent again, since saying it twice changes nothing."""
    MOMENT = "moment"
    """Of this very moment, such as an interruption: sent again only where nothing at all was received after it."""
    ONCE = "once"
    """Twice would be wrong, and nothing tells whether it was obeyed: never sent again."""


@dataclass(slots=True)
class _Wish(Generic[Message]):
    repeat: Repeat
    message: Message
    handed: bool
    """Given to a connection. Whether it arrived is not known."""
    text: str = ""
    """Of a text: what was typed."""
    tokens: int = 0
    """Checkpoints received since."""
    turn: int | None = None
    """Of a text: the turn that it made, once the gateway has begun to answer it."""
    repeated: bool = False


class Unconfirmed(Generic[Message]):
    """Wishes in the order in which they were made, until they are confirmed.

    A typed turn is confirmed by a checkpoint that comes after the PROCESSING of a turn that was not spoken, or is of
    that turn or a later one: the gateway makes a turn's checkpoint when the turn is committed.
    """

    def __init__(self) -> None:
        self._wishes: list[_Wish[Message]] = []
        self._spoken_turn = 0

    def made(self, message: Message, repeat: Repeat, *, handed: bool, text: str = "") -> None:
        """A wish. `handed`: it goes to a connection now; else it waits for one, and is sent whatever it is. `text`:
        what was typed.
        """
        if not (handed and repeat is Repeat.ONCE):
            self._wishes.append(_Wish(repeat, message, handed, " ".join(plain(text).split())))

    def received(self) -> None:
        """Anything came from the gateway."""
        if self._wishes:
            self._wishes = [wish for wish in self._wishes if not (wish.handed and wish.repeat is Repeat.MOMENT)]

    def transcript(self, turn: int, text: str) -> None:
        """A turn's words. Those of a typed turn come back as they were typed; else it was spoken."""
        said = " ".join(text.split())
        waiting = (wish for wish in self._wishes if wish.handed and wish.repeat is Repeat.TEXT and wish.turn is None)
        if not any(wish.text == said for wish in waiting):
            self._spoken_turn = turn

    def processing(self, turn: int) -> None:
        """The gateway answers a turn."""
        if turn and turn == self._spoken_turn:
            return
        for wish in self._wishes:
            if wish.handed and wish.repeat is Repeat.TEXT and wish.turn is None:
                wish.turn = turn
                return

    def token(self, turn: int) -> None:
        """A checkpoint with a new token came; `turn` 0 where it tells none."""
        for wish in self._wishes:
            wish.tokens += wish.handed
        self._wishes = [wish for wish in self._wishes if not self._confirmed(wish, turn)]

    @staticmethod
    def _confirmed(wish: _Wish[Message], turn: int) -> bool:
        match wish.repeat:
            case Repeat.TEXT:
                return wish.turn is not None and (turn == 0 or turn >= wish.turn)
            case Repeat.STATE:
                return wish.tokens >= TOKENS_THAT_CONFIRM
            case _:
                return False

    def again(self) -> list[Message]:
        """What a new connection is to be told. What is told for the second time here is not told a third time."""
        again = [wish for wish in self._wishes if not wish.repeated]
        for wish in again:
            wish.repeated = wish.handed
            wish.handed, wish.tokens, wish.turn = True, 0, None
        self._wishes = [wish for wish in again if wish.repeat is not Repeat.ONCE]
        return [wish.message for wish in again]
