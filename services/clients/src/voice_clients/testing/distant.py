"""A listener at the far end of a bad line, who writes down what really left the loudspeaker.

Everything from the gateway reaches the loudspeaker late by a random time, and so does every acknowledgement on its way
back; the order stays, as on one connection. The log holds what was played, sample by sample, and no gateway sees it:
the truth that a gateway's own idea of what was heard is measured against.
"""

import asyncio
import random
from collections import deque
from dataclasses import dataclass

from voice_clients.errors import CallError
from voice_clients.events import AnswerAudio, CallEvent
from voice_clients.listener import ACK_EVERY_BLOCKS, BLOCK_MS, Acknowledgements, SimulatedListener
from voice_clients.pacing import Pacer
from voice_clients.playback import PlayedSamples


@dataclass(frozen=True, slots=True)
class PlayedPart:
    """At `at_s` of the loop's clock the loudspeaker got samples `first` to before `end` of `generation`."""

    at_s: float
    generation: int
    first: int
    end: int


class DistantListener(SimulatedListener):
    """Delays are uniform from 0 to `jitter_ms`, drawn for each event and each batch of acknowledgements, by `seed`."""

    def __init__(
        self,
        call: Acknowledgements,
        sample_rate_hz: int,
        *,
        jitter_ms: float,
        seed: int,
        acks: bool = True,
        prebuffer_ms: int = 0,
    ) -> None:
        super().__init__(call, sample_rate_hz, prebuffer_ms=prebuffer_ms, acks=acks)
        self.log: list[PlayedPart] = []
        self._jitter_s = jitter_ms / 1000
        self._random = random.Random(seed)  # noqa: S311 - a simulation that can be repeated
        self._coming: deque[tuple[float, CallEvent]] = deque()
        self._going: deque[tuple[float, PlayedSamples]] = deque()
        self._received: dict[int, bytearray] = {}

    def take(self, event: CallEvent) -> None:
        """See SimulatedListener; the event is on its way from now on."""
        self._coming.append((self._arrival_s(self._coming[-1][0] if self._coming else 0.0), event))

    def played_audio(self) -> bytes:
        """What left the loudspeaker, as the gateway sent it: before any change of loudness made here. s16le mono."""
        return b"".join(bytes(self._received[part.generation][2 * part.first : 2 * part.end]) for part in self.log)

    async def run(self) -> None:
        """Play until cancelled, or until the call takes no acknowledgement any more."""
        block = self.playback.sample_rate_hz * BLOCK_MS // 1000
        pacer = Pacer(self.playback.sample_rate_hz)
        blocks = 0
        while True:
            await pacer.recorded(block)
            blocks += 1
            now_s = asyncio.get_running_loop().time()
            while self._coming and self._coming[0][0] <= now_s:
                self._arrived(self._coming.popleft()[1])
            self._play(block)
            if self._acks and (self._due_now or blocks % ACK_EVERY_BLOCKS == 0):
                self._due_now = False
                due_s = self._arrival_s(self._going[-1][0] if self._going else 0.0)
                self._going.extend((due_s, ack) for ack in self.playback.next_acks())
            try:
                while self._going and self._going[0][0] <= now_s:
                    ack = self._going.popleft()[1]
                    await self._call.ack(ack.generation, ack.samples)
            except CallError:  # the call is over; its reader says why
                self._acks = False
                self._going.clear()

    def _arrival_s(self, not_before_s: float) -> float:
        now_s = asyncio.get_running_loop().time()
        return max(not_before_s, now_s + self._random.uniform(0.0, self._jitter_s))

    def _arrived(self, event: CallEvent) -> None:
        if isinstance(event, AnswerAudio):
            # Gateways of the first contract send no positions: 0 on every chunk.
            kept = self._received.setdefault(event.generation, bytearray())
            if event.first_sample in {0, len(kept) // 2}:
                kept += event.pcm
            else:
                raise AssertionError(f"audio at {event.first_sample} does not follow {len(kept) // 2}")
        super().take(event)

    def _note(self, before: PlayedSamples, samples: int) -> None:
        at_s, after = asyncio.get_running_loop().time(), self.playback.played
        if after.generation != before.generation:  # the block begins with the rest of the generation before
            samples_after = min(samples, after.samples)
            if samples > samples_after:
                first = before.samples
                self.log.append(PlayedPart(at_s, before.generation, first, first + samples - samples_after))
            samples = samples_after
        self.log.append(PlayedPart(at_s, after.generation, after.samples - samples, after.samples))
