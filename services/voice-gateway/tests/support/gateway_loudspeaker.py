"""A client's loudspeaker on virtual time: it plays what comes, throws away what it is told to, and says what it played.

With a voice of numbered words (`TtsScript.numbered_words`) it can tell which words were heard, and which were cut.
"""

import asyncio
import random
from array import array
from dataclasses import dataclass
from itertools import groupby

from voice_gateway.application.messages import AudioOut, Capability, Outbound, PlaybackOut, PlaybackVerb, PlayedIn
from voice_gateway.testing.backends import FIRST_WORD, FakeTts
from voice_gateway.testing.world import APOLOGY_SAMPLE, Caller

STEP_MS = 20
ACK_EVERY_STEPS = 5
APOLOGY = int.from_bytes(APOLOGY_SAMPLE, "little")
WHOLE = 0.99
"""Share of a word's samples that is the whole word: the rest is rounding."""


@dataclass(slots=True)
class Stretch:
    """Audio of one generation, played without a stop."""

    turn: int
    generation: int
    samples: "array[int]"


class Loudspeaker:
    """One client's. `run` is its task."""

    def __init__(self, caller: Caller, *, jitter_ms: int = 0, dice: random.Random | None = None) -> None:
        self.played: list[Stretch] = []
        self._caller = caller
        self._rate_hz = caller.call.admitted.output_rate_hz
        self._flushes = Capability.PLAYBACK_FLUSHES in caller.call.admitted.capabilities
        self._acks = Capability.PLAYBACK_ACKS in caller.call.admitted.capabilities
        self._jitter_ms = jitter_ms
        self._dice = dice or random.Random(0)
        self._taken = 0
        self._due_ms = 0.0
        """When the next message arrives, over a line that keeps the order."""
        self._buffer: list[AudioOut] = []
        self._offset = 0
        self._generation = self._count = 0

    async def run(self) -> None:
        """Play until cancelled."""
        steps = 0
        while not self._caller.running.done():
            await asyncio.sleep(STEP_MS / 1000)
            steps += 1
            for message in self._arrived():
                await self._take(message)
            if self._play(STEP_MS * self._rate_hz // 1000) and steps % ACK_EVERY_STEPS == 0:
                await self._acknowledge()

    def finish(self) -> None:
        """The call is over: what is left is played."""
        while self._taken < len(self._caller.transport.received):
            message = self._caller.transport.received[self._taken].message
            self._taken += 1
            if isinstance(message, AudioOut):
                self._buffer.append(message)
            elif isinstance(message, PlaybackOut) and message.verb is PlaybackVerb.FLUSH and self._flushes:
                self._buffer.clear()
                self._offset = 0
        while self._play(self._rate_hz):
            pass

    def _arrived(self) -> list[Outbound]:
        now_ms = asyncio.get_running_loop().time() * 1000
        received, arrived = self._caller.transport.received, []
        while self._taken < len(received):
            item = received[self._taken]
            self._due_ms = max(self._due_ms, item.at_ms + self._dice.uniform(0, self._jitter_ms))
            if self._due_ms > now_ms:
                break
            arrived.append(item.message)
            self._taken += 1
        return arrived

    async def _take(self, message: Outbound) -> None:
        match message:
            case AudioOut():
                self._buffer.append(message)
            case PlaybackOut(verb=PlaybackVerb.FLUSH) if self._flushes:
                self._buffer.clear()
                self._offset = 0
                await self._acknowledge()
                if self._jitter_ms:
                    await asyncio.sleep(self._dice.uniform(0, self._jitter_ms) / 1000)
            case _:
                pass

    def _play(self, samples: int) -> bool:
        """Play up to `samples`; False where there was nothing to play."""
        any_played = False
        while samples and self._buffer:
            first = self._buffer[0]
            pcm = array("h", first.pcm)[self._offset : self._offset + samples]
            if first.generation != self._generation:
                self._generation, self._count = first.generation, 0
                self.played.append(Stretch(first.turn, first.generation, array("h")))
            self.played[-1].samples += pcm
            self._count += len(pcm)
            self._offset += len(pcm)
            samples -= len(pcm)
            any_played = True
            if 2 * self._offset >= len(first.pcm):
                self._buffer.pop(0)
                self._offset = 0
        return any_played

    async def _acknowledge(self) -> None:
        if self._acks and self._generation:
            await self._caller.send(PlayedIn(self._generation, self._count))

    # ---- what was heard ---------------------------------------------------------------------------------------------

    def heard(self) -> list[str]:
        """The words of each stretch. A word that broke off ends in "—"; one whose beginning was not heard begins so."""
        return [_words(stretch.samples, self._caller.tts, self._rate_hz) for stretch in self.played]


def _words(samples: "array[int]", tts: FakeTts, rate_hz: int) -> str:
    told: list[str] = []
    runs = [(value, sum(1 for _ in run)) for value, run in groupby(samples)]
    for place, (value, length) in enumerate(runs):
        if value == APOLOGY:
            told.append("(apology)")
        elif FIRST_WORD <= value < FIRST_WORD + len(tts.words):
            word = tts.words[value - FIRST_WORD]
            whole = length >= WHOLE * (word.end_ms - word.start_ms) * rate_hz / 1000
            no_beginning = place == 0 and len(runs) > 1
            told.append(word.word if whole else f"—{word.word}" if no_beginning else f"{word.word}—")
        else:
            told.append("(sound)")
    return " ".join(told)
