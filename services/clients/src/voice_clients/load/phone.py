"""One call of a load caller: a microphone that never stops, a loudspeaker by arithmetic, and what is said and heard."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from voice_clients.errors import CallError
from voice_clients.events import (
    AnswerAudio,
    CallEvent,
    Ended,
    Event,
    EventKind,
    GoAway,
    Latency,
    Lost,
    Playback,
    PlaybackAction,
    Resumed,
    Transcript,
)
from voice_clients.load.clockwork import Chunks
from voice_clients.load.loudspeaker import Loudspeaker
from voice_clients.load.records import TurnRecord
from voice_clients.load.speech import Utterance
from voice_clients.resuming import ResumingCall

ACK_EVERY_S = 0.16  # the contract asks for 100 to 200 ms
REMEMBERED_TURNS = 4
"""A latency report may come when the next turn has begun."""


class CallOverError(Exception):
    """The call ended while something was waited for."""


class Phone:
    """`stream()` and `read()` run as tasks, `say()` and `until()` belong to who makes the conversation."""

    def __init__(self, call: ResumingCall, rate_hz: int, chunk_ms: int, chunks: Chunks, *, acks: bool) -> None:
        self.turn: TurnRecord | None = None
        self.ended: Ended | None = None
        self.speaker = Loudspeaker(rate_hz)
        self.greeted_ns = 0
        """When the gateway said anything for the first time; 0 before that."""
        self.going_away = False
        """The gateway asked for calls to end."""
        self._call = call
        self._chunk_s = chunk_ms / 1000
        self._silence = bytes(2 * (rate_hz * chunk_ms // 1000))
        self._chunks = chunks
        self._acks = acks
        self._speech: deque[tuple[int, bytes]] = deque()  # when it was decided to say it, and what
        self._turns: deque[TurnRecord] = deque(maxlen=REMEMBERED_TURNS)
        self._answering = (0, False)  # highest turn the gateway speaks in, and whether it does
        self._awaited: tuple[Callable[[], bool], asyncio.Future[None]] | None = None
        self._microphone_on = True

    @property
    def speaking(self) -> bool:
        """Whether an answer is being given, or heard."""
        return self._answering[1] or self.speaker.silent_at_ns() > time.monotonic_ns()

    # ---- the conversation -------------------------------------------------------------------------------------------

    async def say(self, utterance: Utterance, turn: TurnRecord, *, timeout_s: float) -> None:
        """Speak, from the next chunk on; returns when all of it is sent. Raises CallOverError or TimeoutError."""
        turn.server_turn = self._answering[0]  # an answer to this one has a higher number
        self.turn = turn
        self._turns.append(turn)
        said_ns = time.monotonic_ns()
        self._speech.extend((said_ns, chunk) for chunk in utterance.chunks)
        await self.until(lambda: turn.speech_end_ns > 0, timeout_s)

    async def until(self, happened: Callable[[], bool], timeout_s: float) -> None:
        """Wait for what events bring about. Raises CallOverError or TimeoutError."""
        if happened():
            return
        if self.ended is not None:
            raise CallOverError
        future = asyncio.get_running_loop().create_future()
        self._awaited = (happened, future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        finally:
            self._awaited = None

    def _news(self) -> None:
        if self._awaited is None:
            return
        happened, future = self._awaited
        if future.done():
            return
        if happened():
            future.set_result(None)
        elif self.ended is not None:
            future.set_exception(CallOverError())

    # ---- the microphone ---------------------------------------------------------------------------------------------

    def switch_off(self) -> None:
        """The microphone sends no more than the chunk it is at."""
        self._microphone_on = False

    async def stream(self) -> None:
        """Send a chunk at each tick of an absolute schedule, and acknowledgements between them."""
        due_s = time.monotonic()
        ack_s = due_s + ACK_EVERY_S
        with contextlib.suppress(CallError):  # the reader tells why the call ended
            while self._microphone_on:
                due_s += self._chunk_s
                now_s = time.monotonic()
                if due_s > now_s:
                    await asyncio.sleep(due_s - now_s)
                    now_s = time.monotonic()
                self._chunks.note(now_s - due_s)
                await self._send_chunk(round(due_s * 1e9))
                if self._acks and now_s >= ack_s:
                    ack_s = now_s + ACK_EVERY_S
                    await self._acknowledge()
            if self._acks:
                await self._acknowledge()

    async def _send_chunk(self, due_ns: int) -> None:
        if not self._speech:
            await self._call.send_audio(self._silence)
            return
        turn = self.turn
        said_ns, chunk = self._speech.popleft()
        await self._call.send_audio(chunk)
        if turn is None:
            return
        turn.spoke(max(due_ns, said_ns), last=not self._speech)
        if not self._speech:
            self._news()

    async def _acknowledge(self) -> None:
        ack = self.speaker.next_ack(time.monotonic_ns())
        if ack is not None:
            await self._call.ack(*ack)

    # ---- what comes back --------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Take every event up to the end of the call."""
        async for event in self._call:
            self._take(event)
            if isinstance(event, Playback) and event.action is PlaybackAction.FLUSH and self._acks:
                with contextlib.suppress(CallError):  # once after each flush, says the contract
                    await self._acknowledge()

    def _take(self, event: CallEvent) -> None:
        self.greeted_ns = self.greeted_ns or event.at_ns
        turn = self.turn
        match event:
            case AnswerAudio():
                self._take_audio(event)
            case Playback():
                self._take_command(event)
            case Event():
                self._take_server_event(event)
            case Latency():
                self._take_report(event)
            case Transcript(final=True) if turn is not None and turn.speech_start_ns:
                turn.losses.committed.add(event.turn)
            case GoAway():
                self.going_away = not self._call.keeps  # else it is about to be resumed elsewhere
            case Lost():
                if event.stop_playback:
                    self._call.note_played(*self.speaker.stop(event.at_ns))
            case Resumed():
                self.going_away = False
                if turn is not None and not turn.ended:
                    turn.losses.resumed += 1
            case Ended():
                self.ended = event
            case _:
                return
        self._news()

    def _take_audio(self, event: AnswerAudio) -> None:
        speaker = self.speaker
        gaps = len(speaker.gaps_ms)
        speaker.push(event.generation, event.first_sample, len(event.pcm) // 2, event.at_ns)
        self._answering = (max(event.turn, self._answering[0]), True)
        turn = self.turn
        if turn is None or (event.turn and event.turn <= turn.server_turn and not turn.first_audio_ns):
            return  # still the answer that was there before the caller spoke
        if not turn.speech_end_ns:
            # Without numbers, audio during an interruption may be of the answer that it interrupts.
            if turn.speech_start_ns and (event.turn or not turn.interrupting):
                turn.cut_in = True
            return
        if not turn.first_audio_ns:
            turn.first_audio_ns = event.at_ns
            turn.server_turn = event.turn
        turn.jitter_ms = speaker.jitter_ms
        turn.gaps_ms += speaker.gaps_ms[gaps:]

    def _take_command(self, event: Playback) -> None:
        match event.action:
            case PlaybackAction.FLUSH:
                self.speaker.flush(event.generation, event.at_ns)
                turn = self.turn
                if turn is not None and turn.interrupting and turn.speech_start_ns and not turn.first_audio_ns:
                    turn.flush_ns = turn.flush_ns or event.at_ns
            case PlaybackAction.PAUSE:
                self.speaker.pause(event.at_ns)
            case PlaybackAction.RESUME:
                self.speaker.resume(event.at_ns)
            case _:
                pass

    def _take_server_event(self, event: Event) -> None:
        turn = self.turn
        match event.kind:
            case EventKind.ERROR if turn is not None:
                turn.error = turn.error or event.reason or "ERROR"
            case EventKind.END_OF_TURN:
                if not event.turn or event.turn >= self._answering[0]:
                    self._answering = (max(event.turn, self._answering[0]), False)
                ours = turn is not None and (not event.turn or event.turn >= turn.server_turn)
                if turn is not None and ours and (turn.first_audio_ns or (turn.error and turn.speech_end_ns)):
                    turn.ended = True
            case _:
                pass

    def _take_report(self, event: Latency) -> None:
        for turn in reversed(self._turns):
            if turn.first_audio_ns and event.turn in {0, turn.server_turn}:
                turn.stages, turn.endpoint_rule = event.stages, event.endpoint_rule
                return
