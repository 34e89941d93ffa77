"""Small files that others renew while the process runs: certificates, keys."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from servicekit.logs import get_logger

T = TypeVar("T")

MAX_BYTES = 1_048_576
"""Of one file. Kubernetes gives a Secret no more."""

log = get_logger(__name__)


class FileUnusable(Exception):
    """What the files hold can't be used. The text is one sentence that names a file, and shows nothing of it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that was not taken."""

    at_s: float
    """Unix time."""
    problems: tuple[str, ...]


class FollowedFiles(Generic[T]):
    """A value made of some files, and made again when they change. What can't be used keeps the last good value.

    `look` compares the files' identity, which takes microseconds. A mounted Secret changes all its files at once by
    pointing "..data" elsewhere; where that happens between two reads, the next look reads again.
    """

    def __init__(
        self,
        what: str,
        files: Sequence[Path],
        make: Callable[[Sequence[bytes]], T],
        *,
        on_change: Callable[[str], None] = lambda _result: None,
    ) -> None:
        """`make` has the contents of `files` and may raise FileUnusable; `on_change` is told "applied" or "refused".
        Raises FileUnusable.
        """
        self.what = what
        self._files = tuple(files)
        self._make = make
        self._on_change = on_change
        self._seen = _identity(self._files)
        self._contents = _contents(self._files)
        self.value = self._made(self._contents)
        self.refusal: Refusal | None = None
        """Stands while the last change is not taken."""

    def look(self) -> None:
        """Take a change, if there is one."""
        identity = _identity(self._files)
        if identity == self._seen:
            return
        try:
            contents = _contents(self._files)
            if _identity(self._files) != identity:
                return
            self._seen = identity
            if contents == self._contents:
                self.refusal = None
                return
            value = self._made(contents)
        except FileUnusable as error:
            self._seen = identity
            self.refusal = Refusal(time.time(), (str(error),))
            log.error("credentials_refused", what=self.what, problem=str(error))
            self._on_change("refused")
            return
        self._contents, self.value, self.refusal = contents, value, None
        log.info("credentials_applied", what=self.what)
        self._on_change("applied")

    def _made(self, contents: Sequence[bytes]) -> T:
        try:
            return self._make(contents)
        except FileUnusable:
            raise
        except Exception as error:  # a parser's own, on input that nobody thought of
            raise FileUnusable(f"{self._files[0]} can't be used: {type(error).__name__}.") from error


def _contents(files: Sequence[Path]) -> tuple[bytes, ...]:
    return tuple(_content(file) for file in files)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileUnusable(f"{file} can't be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise FileUnusable(f"{file} is larger than 1 MiB.")
    return content


def _identity(files: Sequence[Path]) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(stamp(file) for file in files)


def stamp(file: Path) -> tuple[int, int, int] | None:
    """What differs once the file has changed; None while it cannot be looked at."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
