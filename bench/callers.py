"""Callers for benchmarks: real speech in real time.

Each caller speaks an utterance, is silent until the answer has ended, waits a moment, and speaks again.
"""

import asyncio
import random
from dataclasses import dataclass, field

from bench.lines import Dial, RawLine
from bench.phone import CallFailedError, Phone, now_ms
from voice_clients.events import AnswerAudio, CallEvent, Event, EventKind

MAX_GAP_S = 1.0


@dataclass(slots=True)
class Turn:
    """One spoken turn; times are time.monotonic() in ms."""

    index: int
    speech_start_ms: float = 0.0
    speech_end_ms: float = 0.0
    first_audio_ms: float | None = None
    ended_ms: float | None = None


@dataclass(slots=True)
class CallRecord:
    """What one caller measured."""

    number: int
    call_id: str = ""
    turns: list[Turn] = field(default_factory=list)
    error: str = ""
    """What ended the call, or the first error that the caller was told of."""
    ended: bool = False
    """The call came to its end in order, errors or not."""
    seconds: float = 0.0
    late_frames: int = 0
    """Frames that came after the loudspeaker had run dry."""


class Caller:
    """One caller."""

    def __init__(
        self,
        number: int,
        target: str,
        speech: list[list[bytes]],
        *,
        turns: int,
        chunk_ms: int,
        dial: Dial = RawLine.dial,
    ) -> None:
        self.record = CallRecord(number)
        self._speech = speech
        self._turns = turns
        self._random = random.Random(number)
        self._phone = Phone(target, dial, name=f"bench-{number}", chunk_ms=chunk_ms, on_event=self._heard)

    async def run(self) -> CallRecord:
        """Hold the call; failures are noted, not raised."""
        started_ms = now_ms()
        try:
            async with self._phone:
                await asyncio.sleep(self._random.uniform(0.1, 0.5))
                for index in range(self._turns):
                    await self._turn(index)
                    await asyncio.sleep(self._random.uniform(0.3, MAX_GAP_S))
                await self._phone.finish()
                self.record.ended = True
        except (CallFailedError, OSError, TimeoutError) as error:
            self.record.error = self.record.error or f"{type(error).__name__}: {error}"
        self.record.call_id = self._phone.call_id
        self.record.seconds = (now_ms() - started_ms) / 1000
        return self.record

    async def _turn(self, index: int) -> None:
        turn = Turn(index)
        self.record.turns.append(turn)
        said = await self._phone.say(self._speech[(self.record.number + index) % len(self._speech)])
        turn.speech_start_ms, turn.speech_end_ms = said.start_ms, said.end_ms
        await self._phone.until(lambda: turn.ended_ms is not None, f"the end of turn {index}")

    def _heard(self, event: CallEvent) -> None:
        match event:
            case AnswerAudio(first_sample=first_sample, pcm=pcm):
                turn = self.record.turns[-1]
                if turn.first_audio_ms is None:
                    turn.first_audio_ms = event.at_ns / 1e6
                elif first_sample and self._phone.speaker.buffered_samples <= len(pcm) // 2:
                    self.record.late_frames += 1
            case Event(kind=EventKind.END_OF_TURN):
                self.record.turns[-1].ended_ms = event.at_ns / 1e6
            case Event(kind=EventKind.ERROR, reason=reason, message=message):
                self.record.error = self.record.error or f"{reason}: {message}"
            case _:
                pass
