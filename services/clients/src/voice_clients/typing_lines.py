"""Lines that a person types, or a pipe delivers, without blocking the event loop."""

import asyncio
import contextlib
import os
import sys
import threading
from collections import deque

LINE_QUEUE = 100  # lines; the reading thread waits when it is full


class TypedLines:
    """Lines of stdin, read by a daemon thread on the bare file descriptor: stdin may be a terminal, a pipe or a file.

    The thread holds no lock of Python's own stdin, so the process can end while it waits for a line.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: deque[str | None] = deque()
        self._arrived = asyncio.Event()
        self._room = threading.Semaphore(LINE_QUEUE)
        threading.Thread(target=self._read, name="typed-lines", daemon=True).start()

    def _read(self) -> None:
        rest = b""
        fd = sys.stdin.fileno()
        while data := os.read(fd, 4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._give(line.decode(errors="replace"))
        if rest:
            self._give(rest.decode(errors="replace"))
        self._give(None)

    def _give(self, line: str | None) -> None:
        self._room.acquire()
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._take, line)

    def _take(self, line: str | None) -> None:
        self._lines.append(line)
        self._arrived.set()

    async def next(self) -> str | None:
        """The next line without its end; None after the last."""
        while not self._lines:
            self._arrived.clear()
            await self._arrived.wait()
        line = self._lines[0]
        if line is not None:  # the end stays: it is told to everyone who asks
            self._lines.popleft()
            self._room.release()
        return line
