"""What happened, exactly when, in the order in which it became known."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

MAX_EVENTS = 1_000_000  # about 300 MB; the oldest go first
FLUSH_INTERVAL_S = 0.5


def now_ms() -> float:
    """Milliseconds of time.monotonic(): on Linux and macOS one clock for all processes of a machine."""
    return time.monotonic() * 1000


@dataclass(frozen=True, slots=True)
class Event:
    """`t_ms` is when it happened; `request` is the number of the stream, call or request of that source, from 0."""

    t_ms: float
    source: str
    name: str
    request: int
    fields: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            "t_ms": round(self.t_ms, 3),
            "source": self.source,
            "event": self.name,
            "request": self.request,
            **self.fields,
        }


# Kept as tuples, the last two being names and values of the fields. The garbage collector forgets tuples of plain
# values, but not those that hold a dict: its full runs over 90,000 such events stopped the loop for 30 to 80 ms.
_Kept = tuple[float, str, str, int, tuple[str, ...], tuple[Any, ...]]


class EventLog:
    """Events in memory, the newest MAX_EVENTS, and where a path is given as JSON lines in that file."""

    def __init__(self, path: Path | None = None) -> None:
        self._events: deque[_Kept] = deque(maxlen=MAX_EVENTS)
        self._path = path
        self._file: TextIO | None = None
        self._unwritten: list[_Kept] = []
        self._flusher: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Event] = []
        self.dropped = 0

    def add(self, source: str, name: str, request: int, *, t_ms: float | None = None, **fields: Any) -> None:
        event = (now_ms() if t_ms is None else t_ms, source, name, request, tuple(fields), tuple(fields.values()))
        if len(self._events) == MAX_EVENTS:
            self.dropped += 1
        self._events.append(event)
        if self._file is not None:
            self._unwritten.append(event)
        if self._waiting:
            for waiting in self._waiting:
                waiting.set()

    def __iter__(self) -> Iterator[Event]:
        return iter([_event(kept) for kept in self._events])

    def __len__(self) -> int:
        return len(self._events)

    def events(self, source: str | None = None, name: str | None = None, request: int | None = None) -> list[Event]:
        """The events that match all that is given, in log order."""
        return [
            _event(kept)
            for kept in self._events
            if (source is None or kept[1] == source)
            and (name is None or kept[2] == name)
            and (request is None or kept[3] == request)
        ]

    async def wait_for(self, source: str, name: str, *, count: int = 1, timeout_s: float = 10.0) -> list[Event]:
        """Returns once `count` such events are logged. Raises TimeoutError."""
        news = asyncio.Event()
        self._waiting.append(news)
        try:
            async with asyncio.timeout(timeout_s):
                while len(found := self.events(source, name)) < count:
                    news.clear()
                    await news.wait()
            return found
        finally:
            self._waiting.remove(news)

    def clear(self) -> None:
        """Forgets the events in memory; the file keeps them."""
        self._events.clear()
        self.dropped = 0

    async def __aenter__(self) -> Self:
        """Opens the file, if there is one. A log without a file works without being entered."""
        if self._path is not None:
            self._file = await asyncio.to_thread(self._path.open, "a", encoding="utf-8")
            self._flusher = asyncio.create_task(self._flush_now_and_then(), name="fakes-log-flush")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.wait([self._flusher])
        if self._file is not None:
            await self.flush()
            await asyncio.to_thread(self._file.close)
            self._file = None

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            await self.flush()

    async def flush(self) -> None:
        """Writes what is not written yet, off the loop."""
        if self._file is not None and self._unwritten:
            events, self._unwritten = self._unwritten, []
            await asyncio.to_thread(_write, self._file, events)


def _event(kept: _Kept) -> Event:
    t_ms, source, name, request, names, values = kept
    return Event(t_ms, source, name, request, dict(zip(names, values, strict=True)))


def _write(file: TextIO, events: list[_Kept]) -> None:
    file.writelines(json.dumps(_event(kept).as_dict(), ensure_ascii=False) + "\n" for kept in events)
    file.flush()
