"""Single keys from a terminal, and the terminal put back as it was."""

import asyncio
import contextlib
import os
import re
import sys
from enum import Enum
from types import TracebackType
from typing import Self

if sys.platform != "win32":  # no single keys there
    import termios
    import tty

KEY_QUEUE = 64  # keys typed ahead; further ones are lost


class Key(Enum):
    """What a key means."""

    TALK_DOWN = "space pressed"
    TALK_UP = "space released"
    MUTE = "m"
    INTERRUPT = "i"
    QUIT = "q"


# The kitty keyboard protocol (sw.kovidgoyal.net/kitty/keyboard-protocol): terminals that know it answer the query, and
# then report releases as CSI code ; modifiers : event u with event 3. Flags 1 + 2: unambiguous keys, event types.
_QUERY = b"\x1b[?u"
_SWITCH_ON = b"\x1b[>3u"
_SWITCH_OFF = b"\x1b[<u"
_KITTY_ANSWER = re.compile(rb"\x1b\[\?\d+u")
_KITTY_KEY = re.compile(rb"\x1b\[(\d+)(?::\d*)*(?:;(\d*)(?::(\d))?)?(?:;[\d:]*)?u")
_OTHER_ESCAPE = re.compile(rb"\x1b(?:\[[0-9;:?<>=]*[A-Za-z~]|O[A-Za-z])")
_CTRL = 4  # bit of the modifiers, which count from 1
_LETTERS = {ord(" "): Key.TALK_DOWN, ord("m"): Key.MUTE, ord("i"): Key.INTERRUPT, ord("q"): Key.QUIT}


class KeyParser:
    """Turns what a terminal sends into keys. Pure; an unfinished escape sequence waits for its rest."""

    def __init__(self) -> None:
        self.reports_releases = False
        self._rest = b""

    def feed(self, data: bytes) -> list[Key]:
        """Keys of the data, in order."""
        data = self._rest + data
        self._rest = b""
        keys: list[Key] = []
        at = 0
        while at < len(data):
            if data[at] != 0x1B:
                key = _LETTERS.get(data[at]) if data[at] not in {3, 4} else Key.QUIT
                keys += [key] if key is not None else []
                at += 1
            elif match := _KITTY_ANSWER.match(data, at):
                self.reports_releases = True
                at = match.end()
            elif match := _KITTY_KEY.match(data, at):
                keys += _kitty_key(match)
                at = match.end()
            elif match := _OTHER_ESCAPE.match(data, at):
                at = match.end()
            elif len(data) - at < 32:  # longer than any sequence that is known
                self._rest = data[at:]
                break
            else:
                at += 1
        return keys


def _kitty_key(match: re.Match[bytes]) -> list[Key]:
    code, event = int(match[1]), int(match[3] or b"1")
    modifiers = int(match[2] or b"1") - 1
    if modifiers & _CTRL:
        return [Key.QUIT] if code in {ord("c"), ord("d")} and event == 1 else []
    key = _LETTERS.get(code)
    if key is None or event == 2:  # 2: the key repeats while it is held
        return []
    if event == 3:
        return [Key.TALK_UP] if key is Key.TALK_DOWN else []
    return [key]


class Keyboard:
    """Keys of the terminal on stdin, while entered. `available` is False where there is no terminal."""

    def __init__(self) -> None:
        self.available = sys.platform != "win32" and sys.stdin.isatty() and sys.stdout.isatty()
        self._parser = KeyParser()
        self._keys: asyncio.Queue[Key] = asyncio.Queue(KEY_QUEUE)
        self._kept: list[object] | None = None
        self._switched_on = False

    @property
    def reports_releases(self) -> bool:
        """Whether the terminal says when a key is let go, so that it can be held to talk."""
        return self._parser.reports_releases

    def __enter__(self) -> Self:
        """Take single keys, without echo."""
        if self.available:
            fd = sys.stdin.fileno()
            self._kept = termios.tcgetattr(fd)
            tty.setcbreak(fd, termios.TCSADRAIN)
            asyncio.get_running_loop().add_reader(fd, self._readable)
            _write(_QUERY)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the terminal back as it was."""
        if self._kept is None:
            return
        fd = sys.stdin.fileno()
        asyncio.get_running_loop().remove_reader(fd)
        if self._switched_on:
            _write(_SWITCH_OFF)
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(fd, termios.TCSAFLUSH, self._kept)  # type: ignore[arg-type] # as tcgetattr gave it

    def _readable(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), 1024)
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._put(Key.QUIT)
            return
        for key in self._parser.feed(data):
            self._put(key)
        if self._parser.reports_releases and not self._switched_on:
            self._switched_on = True
            _write(_SWITCH_ON)

    def _put(self, key: Key) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._keys.put_nowait(key)

    async def next(self) -> Key:
        """The next key; waits for ever where there is no terminal."""
        return await self._keys.get()


def _write(data: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), data)
