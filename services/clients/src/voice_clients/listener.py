"""A listener without a loudspeaker: plays the answer into memory at the pace of real time, and acknowledges it."""

import time
from typing import Protocol

from voice_clients.errors import CallError
from voice_clients.events import AnswerAudio, CallEvent, Event, EventKind, Lost, Playback, PlaybackAction
from voice_clients.pacing import Pacer
from voice_clients.playback import PlaybackBuffer, PlayedSamples

BLOCK_MS = 20
ACK_EVERY_BLOCKS = 7  # 140 ms; the contract asks for 100 to 200


def deliver(event: CallEvent, playback: PlaybackBuffer) -> None:
    """Give the playback buffer its share of an event: audio, commands, the end of an answer."""
    match event:
        case AnswerAudio():
            playback.push(event.pcm, generation=event.generation, first_sample=event.first_sample)
        case Playback():
            playback.command(event.action, generation=event.generation, gain_db=event.gain_db)
        case Event(kind=EventKind.END_OF_TURN):
            playback.end_of_answer()
        case Lost(stop_playback=True):
            playback.stop()
        case Lost():
            playback.end_of_answer()
        case _:
            pass


class Acknowledgements(Protocol):
    """Where acknowledgements go: a Call."""

    async def ack(self, generation: int, samples: int) -> None:
        """Say how many samples of a generation have left the loudspeaker. Raises CallError where the call is over."""


class SimulatedListener:
    """Hears what a person at a loudspeaker would have heard. `heard` is that, without the silence between answers."""

    def __init__(
        self, call: Acknowledgements, sample_rate_hz: int, *, prebuffer_ms: int = 0, acks: bool = True
    ) -> None:
        self.playback = PlaybackBuffer(sample_rate_hz, prebuffer_ms=prebuffer_ms)
        self._call = call
        self._acks = acks
        self._heard: list[bytes] = []
        self._begun: list[tuple[int, int]] = []
        self._due_now = False  # the gateway waits for the count of a flushed answer

    @property
    def heard(self) -> bytes:
        """All that was played so far: s16le mono."""
        return b"".join(self._heard)

    def take(self, event: CallEvent) -> None:
        """Give it an event of the call."""
        flush = isinstance(event, Playback) and event.action is PlaybackAction.FLUSH
        deliver(event, self.playback)
        if flush:
            self._due_now = True

    async def run(self) -> None:
        """Play until cancelled, or until the call takes no acknowledgement any more."""
        rate = self.playback.sample_rate_hz
        block = rate * BLOCK_MS // 1000
        pacer = Pacer(rate)
        blocks = 0
        while True:
            await pacer.recorded(block)
            blocks += 1
            self._play(block)
            if self._acks and (self._due_now or blocks % ACK_EVERY_BLOCKS == 0):
                self._due_now = False
                try:
                    await self.acknowledge()
                except CallError:  # the call is over; its reader says why
                    self._acks = False

    async def acknowledge(self) -> None:
        """Tell the gateway what has been played since it was told last."""
        for ack in self.playback.next_acks():
            await self._call.ack(ack.generation, ack.samples)

    def take_begun(self) -> list[tuple[int, int]]:
        """Generations whose first audio was played since the last call, each with its time.monotonic_ns()."""
        begun, self._begun = self._begun, []
        return begun

    def play_rest(self) -> None:
        """Play what is still buffered, at once."""
        self.playback.end_of_answer()
        while self.playback.buffered_samples:
            self._play(self.playback.buffered_samples)

    def _play(self, samples: int) -> None:
        available = min(samples, self.playback.buffered_samples)
        before = self.playback.played
        block = self.playback.take(samples)
        played = self.playback.played
        if played != before:
            if played.generation != before.generation or not before.samples:
                self._begun.append((played.generation, time.monotonic_ns()))
            self._heard.append(block[: available * 2])
            self._note(before, available)

    def _note(self, before: PlayedSamples, samples: int) -> None:
        """`samples` more have been played, by `playback.played`, which was `before`. For listeners that keep books."""
