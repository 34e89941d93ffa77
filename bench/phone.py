"""A caller's device: a microphone that sends a chunk at each tick, silence or speech, and a loudspeaker that plays what
comes, obeys the gateway and acknowledges what it played.

One timer callback for each chunk and no task: 100 phones with chunks of 20 ms tick 5,000 times a second.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bench.lines import Dial, Line
from bench.recordings import RATE_HZ
from voice_clients.caller import CallConfig
from voice_clients.events import (
    LEGACY,
    MODERN,
    AnswerAudio,
    CallEvent,
    Ended,
    Event,
    EventKind,
    Playback,
    PlaybackAction,
    Session,
)
from voice_clients.playback import PlaybackBuffer

ACK_EVERY_MS = 160
"""Within the 100 to 200 that the contract asks for."""
TURN_TIMEOUT_S = 60.0


class CallFailedError(Exception):
    """The call ended, or did not go on."""


@dataclass(frozen=True, slots=True)
class Said:
    """When something was said, in ms of time.monotonic(): from the first sample to the last chunk's sending."""

    start_ms: float
    end_ms: float


def now_ms() -> float:
    """Milliseconds of time.monotonic()."""
    return time.monotonic() * 1000


class Phone:
    """`async with Phone(...) as phone:` holds a call. `on_event` is told of each event when the loudspeaker knows it,
    `on_played` of what each tick played (s16le).
    """

    def __init__(
        self,
        target: str,
        dial: Dial,
        *,
        name: str,
        chunk_ms: int,
        legacy: bool = False,
        on_event: Callable[[CallEvent], None] = lambda _: None,
        on_played: Callable[[bytes], None] | None = None,
    ) -> None:
        self.call_id = ""
        self.lead_ms = 0
        self.speaker = PlaybackBuffer(RATE_HZ, prebuffer_ms=0)
        self._target = target
        self._dial = dial
        self._config = CallConfig(
            language_code="en-US",
            session_id=name,
            sample_rate_hz=RATE_HZ,
            capabilities=LEGACY if legacy else MODERN,
        )
        self._on_event = on_event
        self._on_played = on_played
        self._microphone = _Microphone(chunk_ms)
        self._line: Line | None = None
        self._ended: Ended | None = None
        self._awaited: tuple[Callable[[], bool], asyncio.Future[None]] | None = None
        self._ack_in_ms = ACK_EVERY_MS

    async def __aenter__(self) -> "Phone":
        """Call, and switch the microphone on."""
        self._line = await self._dial(self._target, self._config, self._heard)
        self._microphone.start(self._tick)
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Hang up."""
        self._microphone.stop()
        if self._line is not None:
            await self._line.hang_up()

    # ---- what a caller does -----------------------------------------------------------------------------------------

    async def say(self, chunks: list[bytes]) -> Said:
        """Speak, from the next tick on."""
        return await self._microphone.say(chunks)

    async def until(self, happened: Callable[[], bool], what: str, timeout_s: float = TURN_TIMEOUT_S) -> None:
        """Be silent until something has happened, as events tell. Raises CallFailedError."""
        if happened():
            return
        future = asyncio.get_running_loop().create_future()
        self._awaited = (happened, future)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            raise CallFailedError(f"{what} did not come within {timeout_s:g} s") from None
        finally:
            self._awaited = None

    async def finish(self) -> None:
        """Half-close, and wait for the end of the call. Raises CallFailedError where it is not OK."""
        self._microphone.stop()
        if self._line is not None:
            self._line.half_close()
        await self.until(lambda: self._ended is not None, "the end of the call")
        if self._ended is not None and self._ended.error is not None:
            raise CallFailedError(str(self._ended.error))

    # ---- every chunk ------------------------------------------------------------------------------------------------

    def _tick(self, chunk: bytes) -> None:
        line = self._line
        if line is None:
            return
        line.send_audio(chunk)
        speaker = self.speaker
        if speaker.buffered_samples or self._on_played is not None:
            played = speaker.take(len(chunk) // 2)
            if self._on_played is not None:
                self._on_played(played)
        self._ack_in_ms -= self._microphone.chunk_ms
        if self._ack_in_ms <= 0:
            self._ack_in_ms = ACK_EVERY_MS
            if self._config.capabilities:
                for ack in speaker.next_acks():
                    line.ack(ack.generation, ack.samples)

    # ---- every event ------------------------------------------------------------------------------------------------

    def _heard(self, event: CallEvent) -> None:
        match event:
            case AnswerAudio(pcm=pcm, generation=generation, first_sample=first_sample):
                self.speaker.push(pcm, generation=generation, first_sample=first_sample)
            case Playback(action=action, generation=generation, gain_db=gain_db):
                self.speaker.command(action, generation=generation, gain_db=gain_db)
                if action is PlaybackAction.FLUSH:
                    self._ack_in_ms = 0  # once after each flush, says the contract
            case Event(kind=EventKind.END_OF_TURN):
                self.speaker.end_of_answer()
            case Session(call_id=call_id, playout_lead_ms=lead_ms):
                self.call_id, self.lead_ms = call_id, lead_ms
            case Ended():
                self._ended = event
            case _:
                pass
        self._on_event(event)
        if self._awaited is not None:
            happened, future = self._awaited
            if future.done():
                return
            if happened():
                future.set_result(None)
            elif isinstance(event, Ended):
                future.set_exception(CallFailedError(f"the call ended: {event.code} {event.error or ''}"))


class _Microphone:
    """Ticks by an absolute schedule: lateness of one tick does not delay the next."""

    def __init__(self, chunk_ms: int) -> None:
        self.chunk_ms = chunk_ms
        self._silence = bytes(2 * RATE_HZ * chunk_ms // 1000)
        self._speech: deque[bytes] = deque()
        self._start_ms = 0.0
        self._said: asyncio.Future[Said] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._on_tick: Callable[[bytes], None] = lambda _: None

    def start(self, on_tick: Callable[[bytes], None]) -> None:
        self._on_tick = on_tick
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + self.chunk_ms / 1000
        self._timer = loop.call_at(self._due_s, self._tick, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def say(self, chunks: list[bytes]) -> Said:
        if self._said is not None:
            raise RuntimeError("a caller says one thing at a time")
        self._said = asyncio.get_running_loop().create_future()
        self._start_ms = 0.0
        self._speech.extend(chunks)
        try:
            return await self._said
        finally:
            self._said = None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s += self.chunk_ms / 1000
        self._timer = loop.call_at(self._due_s, self._tick, loop)
        if not self._speech:
            self._on_tick(self._silence)
            return
        if not self._start_ms:
            self._start_ms = now_ms() - self.chunk_ms
        self._on_tick(self._speech.popleft())
        if not self._speech and self._said is not None and not self._said.done():
            self._said.set_result(Said(self._start_ms, now_ms()))
