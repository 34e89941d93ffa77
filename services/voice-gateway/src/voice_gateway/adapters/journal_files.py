"""Journals of calls as files of one folder, written by one thread.

The loop hands events over and goes on: encoding, redacting and writing happen in the thread `journal-writer`. Between
the two is a queue of at most `QUEUE_EVENTS`. Where the disk is slower than the calls, it fills: each journal that then
has something to say is cut off with a marker and counted, and the call goes on undisturbed.

A file is written as NAME.jsonl.part and renamed to NAME.jsonl at its end; a process that dies leaves the .part, which
can be read. NAME is made of the time and our own call id, nothing that a caller chose. Files are for their owner only.
"""

import asyncio
import errno
import os
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from servicekit.logs import get_logger
from voice_gateway.application.ports import JournalOpening
from voice_gateway.domain.events import Event
from voice_gateway.domain.recording import Head, Outcome, Words, cut_line, entry_line, head_line, outcome_line

QUEUE_EVENTS = 8_192
"""Some 4 s of 100 busy calls at 20 events/s each; 2 MB."""

CLOSING_TIMEOUT_S = 5.0
"""Longest wait for what is queued to be written when the process stops."""

LAST_LINES_BYTES = 512
"""Kept free of a call's share for the marker and the outcome."""

MB = 1_000_000

PART = ".part"
PERSONAL = ".personal"
"""In the names of files that hold what people said."""

NAME = re.compile(r"\d{8}T\d{9}Z-[0-9A-Za-z_-]+(\.personal)?\.jsonl(\.part)?")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """Where and how much."""

    folder: Path
    words: Words = Words.REDACTED
    gateway: str = ""
    """Version of the gateway, for the head."""
    max_total_bytes: int = 500 * MB
    max_call_bytes: int = 10 * MB
    queue_events: int = QUEUE_EVENTS


class JournalFiles:
    """The JournalSink. Use it inside `running`.

    `on_end` is told of each journal from the writing thread: "kept", "cut_queue", "cut_size", "cut_total" or "failed".
    """

    def __init__(self, options: JournalOptions, on_end: Callable[[str], None] = lambda _: None) -> None:
        self.options = options
        self.on_end = on_end
        self.store = _Store(options.folder, options.max_total_bytes)
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["JournalFiles"]:
        """Write until the context is left. Raises OSError where the folder cannot be made or written to."""
        self.options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self.options.folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"JOURNAL_DIR {self.options.folder} is not writable")
        self._thread.start()
        try:
            yield self
        finally:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, CLOSING_TIMEOUT_S)
            if self._thread.is_alive():
                log.warning("journals_left_unfinished", waiting=self._queue.qsize())

    def open(self, call_id: str, opening: JournalOpening) -> "JournalFile":
        """Begin a file. Neither waits nor fails."""
        started = datetime.now(UTC)
        head = Head(
            call_id,
            started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            self.options.gateway,
            opening.config_revision,
            self.options.words,
        )
        file = JournalFile(self, head, _file_name(started, call_id, self.options.words))
        self.put(lambda: file.begin(opening.opening))
        return file

    @property
    def waiting(self) -> int:
        """Entries that wait to be written."""
        return self._queue.qsize()

    def put(self, work: Callable[[], None]) -> None:
        """Have the thread do something, in order. For the few things a journal begins and ends with: no bound."""
        self._queue.put(work)

    def offer(self, work: Callable[[], None]) -> bool:
        """Have the thread do something, or False where too much waits already."""
        if self._queue.qsize() >= self.options.queue_events:
            return False
        self._queue.put(work)
        return True

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
                if self._queue.empty():
                    self.store.flush()
            except Exception:  # one broken journal must not end the others
                log.exception("journal_failed")
        self.store.flush()


class JournalFile:
    """The JournalWriter of one call. `record` and `close` are the loop's; the rest runs in the thread."""

    def __init__(self, files: JournalFiles, head: Head, name: str) -> None:
        self._files = files
        self._head = head
        self._name = name
        self._lost = False
        """The queue was full: the loop hands over no more."""
        self._stream: BinaryIO | None = None
        self._written = 0
        self._ended_by = ""
        """Why nothing more is written, as `on_end` is told."""

    def record(self, now: int, event: Event) -> None:
        """Hand an event over, or cut the journal off."""
        if self._lost:
            return
        if not self._files.offer(lambda: self._write(now, event)):
            self._lost = True
            self._files.put(lambda: self._cut("queue", now))

    def close(self, outcome: Outcome) -> None:
        """Hand the end over."""
        self._files.put(lambda: self._end(outcome))

    # ---- in the thread ----------------------------------------------------------------------------------------------

    @property
    def _part(self) -> Path:
        return self._files.options.folder / f"{self._name}{PART}"

    def begin(self, opening: dict[str, object]) -> None:
        """Make the file and write its head."""
        line = head_line(self._head, opening)
        try:
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._stream = os.fdopen(descriptor, "wb")
            self._files.store.opened(self._part, self)
            self._files.store.has_room(len(line))
        except OSError as error:
            self._fail(error)
            return
        self._put(line)

    def flush(self) -> None:
        """Give what was written to the system, so that a crash of this process does not lose it."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def _write(self, now: int, event: Event) -> None:
        if self._ended_by:
            return
        line = entry_line(now, event, self._head.words)
        size = len(line) + 1
        if self._written + size > self._files.options.max_call_bytes - LAST_LINES_BYTES:
            self._cut("size", now)
        elif not self._files.store.has_room(size):
            self._cut("total", now)
        else:
            self._put(line)

    def _cut(self, reason: str, now: int) -> None:
        if not self._ended_by:
            self._ended_by = f"cut_{reason}"
            self._put(cut_line(reason, now))
            log.warning("journal_cut", call_id=self._head.call_id, reason=reason)

    def _put(self, line: str) -> None:
        if self._stream is None:
            return
        data = f"{line}\n".encode()
        try:
            self._stream.write(data)
        except OSError as error:
            self._fail(error)
            return
        self._written += len(data)
        self._files.store.wrote(len(data))

    def _end(self, outcome: Outcome) -> None:
        self._put(outcome_line(outcome))
        if self._stream is not None:
            try:
                self._stream.close()
                self._part.rename(self._part.with_name(self._name))
            except OSError as error:
                self._fail(error)
            self._stream = None
            self._files.store.closed(self._part)
        self._files.on_end(self._ended_by or "kept")

    def _fail(self, error: OSError) -> None:
        """No more of this journal, such as on a full disk."""
        log.warning("journal_failed", call_id=self._head.call_id, error=error.strerror or type(error).__name__)
        self._ended_by = "failed"
        stream, self._stream = self._stream, None
        self._files.store.closed(self._part)
        if stream is not None:
            with suppress(OSError):  # closing writes what is left, which fails as well
                stream.close()


class _Store:
    """The folder's files and their bytes. Only the thread touches it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._open: dict[Path, JournalFile] = {}
        self._total: int | None = None
        """Bytes of all journals; None until they were counted."""

    def opened(self, path: Path, file: JournalFile) -> None:
        self._open[path] = file

    def closed(self, path: Path) -> None:
        self._open.pop(path, None)

    def wrote(self, size: int) -> None:
        self._total = (self._total or 0) + size

    def has_room(self, size: int) -> bool:
        """Whether `size` more bytes fit, after the oldest files that nobody writes have made room."""
        if self._total is None or self._total + size > self._max_bytes:
            self._total = self._pruned(size)
        return self._total + size <= self._max_bytes

    def flush(self) -> None:
        for file in list(self._open.values()):
            file.flush()

    def _pruned(self, size: int) -> int:
        """Delete the oldest until `size` more bytes fit, or only open files are left; gives the bytes of the rest."""
        self.flush()
        found = self._found()
        total = sum(length for _, length, _ in found)
        for _, length, path in sorted(found):
            if total + size <= self._max_bytes:
                break
            if path not in self._open:
                path.unlink(missing_ok=True)
                total -= length
                log.info("journal_deleted", file=path.name)
        return total

    def _found(self) -> list[tuple[float, int, Path]]:
        """When each journal was last written, its bytes, and where it is. Other files are not ours to delete."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # another process's, which has just been renamed
                    found.append((status.st_mtime, status.st_size, Path(entry.path)))
        return found


def _file_name(started: datetime, call_id: str, words: Words) -> str:
    own_id = re.sub(r"[^0-9A-Za-z_-]", "_", call_id)[:64] or "call"
    time = f"{started:%Y%m%dT%H%M%S}{started.microsecond // 1000:03}Z"
    return f"{time}-{own_id}{PERSONAL if words is Words.FULL else ''}.jsonl"
