"""Callers with a voice: speech made by the speech worker itself, a microphone and a loudspeaker in real time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import riva.client

from voice_clients.caller import Call, CallConfig, connect
from voice_clients.events import AnswerText, CallEvent, Event, EventKind, Playback, PlaybackAction, Transcript
from voice_clients.listener import SimulatedListener
from voice_clients.pacing import Pacer

RATE_HZ = 16_000
BLOCK = RATE_HZ // 50
LONGEST_S = 40.0
"""Longest wait for anything that a caller waits for."""


def spoken(speech: str, text: str, voice: str = "") -> bytes:
    """`text` as s16le mono at 16 kHz, by the worker at the address `speech`, without the silence around it."""
    service = riva.client.SpeechSynthesisService(riva.client.Auth(uri=speech))
    answer = service.synthesize(text, voice_name=voice, language_code="en-US", sample_rate_hz=RATE_HZ)
    samples = np.frombuffer(answer.audio, dtype="<i2")
    loud = np.flatnonzero(np.abs(samples) > 300)
    return samples[loud[0] : loud[-1] + 1].tobytes()


@dataclass
class SpokenCall:
    """One call. What came of it is kept in order of arrival."""

    call: Call
    listener: SimulatedListener
    received: list[CallEvent] = field(default_factory=list)
    _speech: bytearray = field(default_factory=bytearray)
    _said: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def say(self, pcm: bytes) -> None:
        """Speak; returns when it is said."""
        self._said.clear()
        self._speech += pcm
        await asyncio.wait_for(self._said.wait(), LONGEST_S)

    async def until(self, kind: EventKind, count: int = 1) -> None:
        """Be silent until the `count`-th event of a kind."""
        async with asyncio.timeout(LONGEST_S), self._news:
            await self._news.wait_for(lambda: self.kinds().count(kind) >= count)

    async def hear(self, seconds: float) -> None:
        """Be silent until so much more of answers was heard, or the answer is over."""
        wanted = self.heard_s + seconds
        ended = self.kinds().count(EventKind.END_OF_TURN)
        async with asyncio.timeout(LONGEST_S), self._news:
            await self._news.wait_for(
                lambda: self.heard_s >= wanted or self.kinds().count(EventKind.END_OF_TURN) > ended
            )

    # ---- what was heard and seen ------------------------------------------------------------------------------------

    @property
    def heard_s(self) -> float:
        """Seconds of answers that left the loudspeaker."""
        return len(self.listener.heard) / 2 / RATE_HZ

    def kinds(self) -> list[EventKind]:
        """Kinds of the events so far."""
        return [event.kind for event in self.received if isinstance(event, Event)]

    def finals(self) -> list[str]:
        """Final transcripts."""
        return [event.text for event in self.received if isinstance(event, Transcript) and event.final]

    def flushes(self) -> int:
        """How often an answer was paused or stopped."""
        actions = [event.action for event in self.received if isinstance(event, Playback)]
        return actions.count(PlaybackAction.FLUSH)

    def answer(self, turn: int) -> str:
        """Text of a turn's answer."""
        return "".join(e.text for e in self.received if isinstance(e, AnswerText) and e.turn == turn)

    # ---- its tasks --------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        pacer = Pacer(RATE_HZ)
        while True:
            await pacer.recorded(BLOCK)
            block = bytes(self._speech[: 2 * BLOCK])
            del self._speech[: 2 * BLOCK]
            if not self._speech:
                self._said.set()
            await self.call.send_audio(block.ljust(2 * BLOCK, b"\0"))
            async with self._news:
                self._news.notify_all()

    async def _read(self) -> None:
        async for event in self.call:
            self.listener.take(event)
            async with self._news:
                self.received.append(event)
                self._news.notify_all()


@asynccontextmanager
async def spoken_call(gateway: str) -> AsyncIterator[SpokenCall]:
    """A call in progress, with a microphone and a loudspeaker that are on."""
    async with connect(gateway, CallConfig(sample_rate_hz=RATE_HZ)) as call, asyncio.TaskGroup() as tasks:
        caller = SpokenCall(call, SimulatedListener(call, RATE_HZ))
        running = [
            tasks.create_task(work, name=name)
            for work, name in ((caller._read(), "read"), (caller._speak(), "speak"), (caller.listener.run(), "listen"))
        ]
        yield caller
        for task in running:
            task.cancel()
