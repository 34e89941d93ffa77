"""The one queue of a call's events."""

import asyncio
from collections import deque

from voice_gateway.application.ports import Clock
from voice_gateway.domain.events import AsrResult, Event, Tick

CAPACITY = 256
"""Events that may wait. A call makes some ten a second and handles one in microseconds: full means a stuck loop."""


class Inbox:
    """Events in the order of their arrival, each with its time.

    Bound: `CAPACITY`. When full, producers wait; nothing is dropped. Of interim results of one utterance that wait in a
    row, only the newest is kept. A deadline that falls before the next event's arrival comes first, as a Tick.
    """

    def __init__(self, clock: Clock, *, started_ms: float) -> None:
        self._clock = clock
        self._started_ms = started_ms
        self._events: deque[tuple[int, Event]] = deque()
        self._consumer: asyncio.Future[None] | None = None
        self._producers: deque[asyncio.Future[None]] = deque()
        self._settling: list[tuple[int, asyncio.Future[None]]] = []
        self._put = 0
        self._handled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: int | None = None

    def now(self) -> int:
        """Call time in ms."""
        return int(self._clock.ms() - self._started_ms)

    def call_ms(self, clock_ms: float) -> float:
        """A time of the clock as call time."""
        return clock_ms - self._started_ms

    @property
    def depth(self) -> int:
        """Events that wait."""
        return len(self._events)

    async def put(self, event: Event) -> None:
        """Add an event that arrives now; waits while the inbox is full."""
        if (
            isinstance(event, AsrResult)
            and not event.final
            and not event.first_pass_end
            and self._events
            and isinstance(waiting := self._events[-1][1], AsrResult)
            and not waiting.final
            and waiting.utterance == event.utterance
            and not waiting.first_pass_end
        ):
            self._events[-1] = (self._events[-1][0], event)
            return
        while len(self._events) >= CAPACITY:
            room = asyncio.get_running_loop().create_future()
            self._producers.append(room)
            await room
        self._put += 1
        self._events.append((self.now(), event))
        _wake(self._consumer)

    async def next(self, until: int | None) -> tuple[int, Event]:
        """The next event and its time; a Tick when `until` (ms of call time) comes before one."""
        while True:
            if self._events:
                at_ms, event = self._events[0]
                if until is not None and until <= at_ms:
                    return until, Tick()
                self._events.popleft()
                if self._producers:
                    _wake(self._producers.popleft())
                return at_ms, event
            now = self.now()
            if until is not None and until <= now:
                return now, Tick()
            self._arm(until)
            self._consumer = asyncio.get_running_loop().create_future()
            try:
                await self._consumer
            finally:
                self._consumer = None

    def handled(self, event: Event) -> None:
        """The consumer has done all that `event` asked for."""
        if isinstance(event, Tick):
            return
        self._handled += 1
        while self._settling and self._settling[0][0] <= self._handled:
            _wake(self._settling.pop(0)[1])

    async def settled(self) -> None:
        """Wait until every event put so far is handled."""
        if self._handled >= self._put:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._settling.append((self._put, waiter))
        await waiter

    def close(self) -> None:
        """Disarm the timer."""
        self._arm(None)

    def _arm(self, until: int | None) -> None:
        """One timer for the call, armed anew only when the deadline moves."""
        if until == self._timer_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_ms = until
        if until is not None:
            wait_s = max(0.0, (self._started_ms + until - self._clock.ms()) / 1000)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._due)

    def _due(self) -> None:
        self._timer = self._timer_ms = None
        _wake(self._consumer)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
