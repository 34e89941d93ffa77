"""The only writer of a call: messages at once, audio paced, nothing of a generation that was cut."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from voice_gateway.application.messages import (
    AnswerTextOut,
    AudioOut,
    CheckpointOut,
    EventOut,
    Outbound,
    PongOut,
    TranscriptOut,
)
from voice_gateway.application.playout_buffer import PlayoutBuffer
from voice_gateway.application.ports import CallTransport, Clock
from voice_gateway.domain.errors import SlowConsumer
from voice_gateway.domain.events import Event, PlaybackStarted
from voice_gateway.domain.pacing import PlayoutClock

MAX_MESSAGES = 1024
"""Messages that may wait to be written. Beyond it the caller does not read, and the call ends."""

SIGN_OF_LIFE_MS = 400
"""A client that keeps checkpoints hears something this often: the contract promises 500, and it redials after 1,500."""

ALWAYS_SENT = (AudioOut, EventOut, TranscriptOut, AnswerTextOut, CheckpointOut, PongOut)
"""Messages that any such client understands; others may not be sent at all."""

DUE = CheckpointOut(b"", 0, 0)
"""Stands in the queue for a checkpoint of the moment when it is written."""

LEAST_SLEEP_S = 1e-6
"""A timer below the clock's resolution fires at once, when what it was set for is still not due: it would spin."""


class Keeper(Protocol):
    """Makes what a client keeps of its call."""

    def checkpoint(self) -> CheckpointOut | None:
        """The state of the call as it is now; None where there is none to be had."""
        ...

    def sign_of_life(self) -> CheckpointOut:
        """What is sent where nothing else was for a while."""
        ...

    def begins_phrase(self, turn: int, generation: int, sample: int) -> bool:
        """Whether audio up to `sample` of the answer, about to be sent, begins a phrase; told once of each."""
        ...


@dataclass(slots=True)
class _Answer:
    """One answer on its way out."""

    turn: int
    revision: int
    key: int
    """The generation that it began with, by which its maker names it."""
    generation: int
    """What its audio is sent as: a newer one after each pause."""
    audio: PlayoutBuffer
    released: bool = False
    started: bool = False
    """Its first audio was sent."""
    paused_at: int | None = None
    """Samples heard when it was paused."""
    complete: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Sizes:
    sample_rate_hz: int
    lead_ms: int
    frame_bytes: int
    buffer_bytes: int

    def bytes_of(self, milliseconds: int) -> int:
        return 2 * (self.sample_rate_hz * milliseconds // 1000)


class Downlink:
    """Everything that goes to the caller passes here, in one task.

    Messages are queued without waiting, at most `MAX_MESSAGES`. Audio of the one current generation waits up to
    `buffer_ms`; then its producer waits. Before each frame the generation is looked at, so that `cut` takes effect with
    the next write.

    Ducking is a command to clients that understand it; for others `scale` makes the audio itself quieter, which they
    hear a lead later.
    """

    def __init__(
        self,
        transport: CallTransport,
        clock: Clock,
        post: Callable[[Event], Awaitable[None]],
        *,
        sample_rate_hz: int,
        frame_ms: int,
        lead_ms: int,
        buffer_ms: int,
        scale: Callable[[bytes, float], bytes] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._post = post
        self._sizes = _Sizes(
            sample_rate_hz,
            lead_ms,
            frame_bytes=2 * (sample_rate_hz * frame_ms // 1000),
            buffer_bytes=2 * (sample_rate_hz * buffer_ms // 1000),
        )
        self._scale = scale
        self._gain_db = 0.0
        self._messages: deque[Outbound] = deque()
        self._answer: _Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._closing = False
        self._held = False
        self._writing_since_ms: float | None = None
        self._keeper = keeper
        self._written_ms = clock.ms()
        self._first_played: tuple[int, float] | None = None
        """The latest turn whose answer is known to be heard, and since when."""

    # ---- messages ---------------------------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """Messages that wait."""
        return len(self._messages)

    def post(self, message: Outbound) -> None:
        """Queue a message. Raises SlowConsumer when too many wait."""
        if len(self._messages) >= MAX_MESSAGES:
            raise SlowConsumer("The caller does not read what is sent to it.")
        last = self._messages[-1] if self._messages else None
        if isinstance(message, AnswerTextOut) and isinstance(last, AnswerTextOut) and last.turn == message.turn:
            self._messages[-1] = AnswerTextOut(message.turn, last.text + message.text)
        else:
            self._messages.append(message)
        self._wake()

    def post_checkpoint(self) -> None:
        """Have a checkpoint written, after what waits now. At most one waits, and it is of the moment it is written."""
        if any(message is DUE for message in self._messages):
            self._messages = deque(message for message in self._messages if message is not DUE)
        self.post(DUE)

    # ---- audio ------------------------------------------------------------------------------------------------------

    def begin(self, turn: int, generation: int, revision: int = 0, from_sample: int = 0) -> None:
        """Audio of an answer will come, from its sample `from_sample` on, as `generation`; older audio is dropped."""
        self._drop()
        audio = PlayoutBuffer(PlayoutClock(self._sizes.sample_rate_hz, self._sizes.lead_ms), from_sample)
        self._answer = _Answer(turn, revision, generation, generation, audio)
        self._gain_db = 0.0

    def is_current(self, generation: int) -> bool:
        """Whether the generation may still be heard. The tasks of an answer that was cut run for a moment longer."""
        return self._current(generation) is not None

    async def feed(self, generation: int, pcm: bytes) -> None:
        """Add audio; waits while the buffer is full. Audio of another generation is dropped."""
        answer = self._current(generation)
        while answer is not None and answer.audio.waiting >= self._sizes.buffer_bytes:
            answer.room.clear()
            await answer.room.wait()
            answer = self._current(generation)
        if answer is not None and pcm:
            # Where audio waits already, it is known when the next of it is due.
            awaited = answer.released and not answer.audio.waiting
            answer.audio.add(pcm)
            if awaited:
                self._wake()

    async def room_for(self, generation: int, waiting_ms: int) -> None:
        """Wait until at most `waiting_ms` of the generation's audio waits to be sent."""
        limit = self._sizes.bytes_of(waiting_ms)
        while (answer := self._current(generation)) is not None and answer.audio.waiting > limit:
            answer.room.clear()
            await answer.room.wait()

    def release(self, generation: int) -> None:
        """Let the generation be heard."""
        if answer := self._current(generation):
            answer.released = True
            self._wake()

    async def played_out(self, generation: int) -> None:
        """The generation is complete: wait until it is sent and, by the clock, played."""
        if answer := self._current(generation):
            answer.complete = True
            self._wake()
            await answer.done.wait()

    def cut(self, turn: int) -> None:
        """Drop the current generation and the turn's text that waits: none of it is written any more."""
        self._drop()
        self._messages = deque(
            message for message in self._messages if not (isinstance(message, AnswerTextOut) and message.turn == turn)
        )

    def pause(self, turn: int, generation: int) -> None:
        """Send nothing more of the turn's answer until `resume`, and then as `generation`."""
        answer = self._answer
        if answer is not None and answer.turn == turn:
            answer.paused_at = self.heard_samples()
            answer.generation = generation

    def resume(self, turn: int, from_sample: int) -> None:
        """Send the answer from `from_sample` of it on, or from where its audio is still kept."""
        answer = self._answer
        if answer is not None and answer.turn == turn and answer.paused_at is not None:
            answer.paused_at = None
            answer.audio.rewind(from_sample)
            self._gain_db = 0.0
            self._wake()

    def duck(self, gain_db: float) -> None:
        """Make what is sent quieter, or as loud as before (0), for a client that can't do so itself."""
        self._gain_db = gain_db

    def acknowledge(self, generation: int, samples: int) -> bool:
        """The client says what it has played; False when that generation is over."""
        answer = self._answer
        if answer is None or answer.generation != generation or answer.paused_at is not None:
            return False
        now_ms = self._clock.ms()
        answer.audio.clock.on_ack(samples, now_ms)
        if samples > 0 and (self._first_played is None or self._first_played[0] != answer.turn):
            self._first_played = answer.turn, now_ms - samples * 1000 / self._sizes.sample_rate_hz
        return True

    def first_played_ms(self, turn: int) -> float | None:
        """When the client began to play the turn's answer, by its first acknowledgement; on the clock of `Clock.ms`."""
        return self._first_played[1] if self._first_played is not None and self._first_played[0] == turn else None

    def depths(self) -> tuple[int, float]:
        """Messages that wait to be written, and ms of audio that waits."""
        waiting = self._answer.audio.waiting if self._answer is not None else 0
        return len(self._messages), waiting / 2 * 1000 / self._sizes.sample_rate_hz

    def hold(self, held: bool) -> None:
        """Stop sending audio, or go on: for a client whose acknowledgements stall."""
        if held != self._held:
            self._held = held
            self._wake()

    def heard_samples(self) -> int:
        """Samples of the current answer that the caller has heard."""
        answer = self._answer
        if answer is None:
            return 0
        if answer.paused_at is not None:
            return answer.paused_at
        return answer.audio.base + answer.audio.clock.played(self._clock.ms())

    @property
    def sample_rate_hz(self) -> int:
        """Of the audio that is sent."""
        return self._sizes.sample_rate_hz

    def sent_lately(self, milliseconds: int) -> bytes:
        """The last audio of the answer under way that was sent; empty where none is being heard."""
        answer = self._answer
        if answer is None or not answer.started or answer.done.is_set():
            return b""
        return answer.audio.sent_last(self._sizes.bytes_of(milliseconds))

    def blocked_ms(self) -> float:
        """How long the write in progress has been waiting."""
        return 0.0 if self._writing_since_ms is None else self._clock.ms() - self._writing_since_ms

    def unacknowledged_ms(self) -> float:
        """How long acknowledgements of the current generation are overdue."""
        if self._answer is None or self._answer.done.is_set() or self._answer.paused_at is not None:
            # Clients acknowledge while audio plays: the last of it may go without.
            return 0.0
        return self._answer.audio.clock.unacknowledged_ms(self._clock.ms())

    # ---- the task ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until `close`."""
        while True:
            while self._messages:
                await self._write(self._messages.popleft())
            if self._closing:
                return
            due_ms = await self._write_audio()
            if self._messages or self._closing:
                continue
            if self._keeper is not None:
                alive_ms = self._written_ms + SIGN_OF_LIFE_MS
                if self._clock.ms() >= alive_ms:
                    await self._write(self._keeper.sign_of_life())
                    continue
                due_ms = alive_ms if due_ms is None else min(due_ms, alive_ms)
            await self._sleep(due_ms)

    def close(self) -> None:
        """Write the messages that wait, and end."""
        self._drop()
        self._closing = True
        self._wake()

    async def _write_audio(self) -> float | None:
        """Write the frames that are due; give the time of the next look, or None when only a wake-up can change it."""
        while (answer := self._answer) is not None and answer.released and not self._messages:
            if answer.paused_at is not None:
                return None
            now_ms, audio = self._clock.ms(), answer.audio
            if not audio.waiting:
                if not answer.complete:
                    return None
                end_ms = audio.clock.end_ms(now_ms)
                if now_ms < end_ms:
                    return end_ms
                answer.done.set()
                return None
            # While more comes, less than a frame goes when a whole one would: at once while the lead fills, so that the
            # first audio does not wait for the rest of its frame.
            frame_bytes = self._sizes.frame_bytes
            due_ms = audio.clock.due_ms(
                (min(audio.waiting, frame_bytes) if answer.complete else frame_bytes) // 2, now_ms
            )
            if now_ms < due_ms:
                return due_ms
            if self._held:
                return None
            if self._begins_phrase(answer):
                await self._write(DUE)
                continue
            await self._write_frame(answer, now_ms)
        if answer is not None and answer.complete and not answer.released and not answer.audio.waiting:
            answer.done.set()
        return None

    def _begins_phrase(self, answer: _Answer) -> bool:
        """Whether the next frame has the beginning of a phrase: the client is to keep that before it hears it."""
        if self._keeper is None:
            return False
        frame = min(answer.audio.waiting, self._sizes.frame_bytes) // 2
        last_sample = answer.audio.base + answer.audio.clock.sent + frame - 1
        return self._keeper.begins_phrase(answer.turn, answer.generation, last_sample)

    async def _write_frame(self, answer: _Answer, now_ms: float) -> None:
        first_sample = answer.audio.clock.sent
        pcm = answer.audio.take(self._sizes.frame_bytes, now_ms)
        answer.room.set()
        if self._scale is not None and self._gain_db:
            pcm = self._scale(pcm, self._gain_db)
        await self._write(AudioOut(answer.turn, answer.generation, first_sample, pcm))
        if not answer.started:
            answer.started = True
            await self._post(PlaybackStarted(answer.turn, answer.revision))

    async def _write(self, message: Outbound) -> None:
        if message is DUE:
            if self._keeper is None or (made := self._keeper.checkpoint()) is None:
                return
            message = made
        self._writing_since_ms = self._clock.ms()
        await self._transport.send(message)
        self._writing_since_ms = None
        if isinstance(message, ALWAYS_SENT):
            self._written_ms = self._clock.ms()

    async def _sleep(self, until_ms: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None
        if until_ms is not None:
            timer = loop.call_later(max(LEAST_SLEEP_S, (until_ms - self._clock.ms()) / 1000), self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _current(self, generation: int) -> _Answer | None:
        return self._answer if self._answer is not None and self._answer.key == generation else None

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.done.set()
            self._answer.room.set()
            self._answer = None
