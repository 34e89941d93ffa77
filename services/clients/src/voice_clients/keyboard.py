"""Single keys from a terminal, and the terminal put back as it was."""

import asyncio
import contextlib
import os
import re
import sys
from dataclasses import dataclass
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
    HOLD = "h"
    QUIT = "q"


@dataclass(frozen=True, slots=True)
class Digit:
    """A key of the telephone keypad: 0-9, * or #."""

    digit: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that began with a slash, without its end."""

    text: str


Pressed = Key | Digit | Line


# The kitty keyboard protocol (sw.kovidgoyal.net/kitty/keyboard-protocol): terminals that know it answer the query, and
# then report releases as CSI code ; modifiers : event u with event 3. Flags 1 + 2: unambiguous keys, event types.
_QUERY = b"\x1b[?u"
_SWITCH_ON = b"\x1b[>3u"
_SWITCH_OFF = b"\x1b[<u"
_KITTY_ANSWER = re.compile(rb"\x1b\[\?\d+u")
_KITTY_KEY = re.compile(rb"\x1b\[(\d+)(?::\d*)*(?:;(\d*)(?::(\d))?)?(?:;[\d:]*)?u")
_OTHER_ESCAPE = re.compile(rb"\x1b(?:\[[0-9;:?<>=]*[A-Za-z~]|O[A-Za-z])")
_CTRL = 4  # bit of the modifiers, which count from 1
_SHIFT = 1
_ENDS_LINE = frozenset(b"\r\n")
_ERASES = frozenset((0x08, 0x7F))
_SLASH = ord("/")
MAX_LINE = 200  # characters of a line; further ones are not taken
_KEYS: dict[int, Pressed] = {
    ord(" "): Key.TALK_DOWN,
    ord("m"): Key.MUTE,
    ord("i"): Key.INTERRUPT,
    ord("h"): Key.HOLD,
    ord("q"): Key.QUIT,
    **{ord(digit): Digit(digit) for digit in "0123456789*#"},
}


class KeyParser:
    """Turns what a terminal sends into keys. Pure; an unfinished escape sequence waits for its rest.

    A slash begins a line; until Enter ends it, or Backspace has erased it, keys are its characters (ASCII only).
    """

    def __init__(self) -> None:
        self.reports_releases = False
        self.line: str | None = None
        """What has been typed of a line."""
        self._rest = b""

    def feed(self, data: bytes) -> list[Pressed]:
        """Keys of the data, in order."""
        data = self._rest + data
        self._rest = b""
        keys: list[Pressed] = []
        at = 0
        while at < len(data):
            if data[at] != 0x1B:
                keys += [Key.QUIT] if data[at] in {3, 4} else self._press(data[at])
                at += 1
            elif match := _KITTY_ANSWER.match(data, at):
                self.reports_releases = True
                at = match.end()
            elif match := _KITTY_KEY.match(data, at):
                keys += self._kitty_key(match)
                at = match.end()
            elif match := _OTHER_ESCAPE.match(data, at):
                at = match.end()
            elif len(data) - at < 32:  # longer than any sequence that is known
                self._rest = data[at:]
                break
            else:
                at += 1
        return keys

    def _press(self, code: int) -> list[Pressed]:
        """A key without modifiers."""
        if self.line is None:
            if code == _SLASH:
                self.line = "/"
                return []
            key = _KEYS.get(code)
            return [key] if key is not None else []
        if code in _ENDS_LINE:
            line, self.line = self.line, None
            return [Line(line)]
        if code in _ERASES:
            self.line = self.line[:-1] or None
        elif 0x20 <= code < 0x7F and len(self.line) < MAX_LINE:
            self.line += chr(code)
        return []

    def _kitty_key(self, match: re.Match[bytes]) -> list[Pressed]:
        code, event = int(match[1]), int(match[3] or b"1")
        modifiers = int(match[2] or b"1") - 1
        if modifiers & _CTRL:
            return [Key.QUIT] if code in {ord("c"), ord("d")} and event == 1 else []
        if event == 3:
            return [Key.TALK_UP] if code == ord(" ") and self.line is None else []
        if event == 2 and self.line is None:  # 2: the key repeats while it is held
            return []
        return self._press(ord(chr(code).upper()) if modifiers & _SHIFT and code < 0x80 else code)


class Keyboard:
    """Keys of the terminal on stdin, while entered. `available` is False where there is no terminal."""

    def __init__(self) -> None:
        self.available = sys.platform != "win32" and sys.stdin.isatty() and sys.stdout.isatty()
        self._parser = KeyParser()
        self._keys: asyncio.Queue[Pressed] = asyncio.Queue(KEY_QUEUE)
        self._kept: list[object] | None = None
        self._switched_on = False

    @property
    def reports_releases(self) -> bool:
        """Whether the terminal says when a key is let go, so that it can be held to talk."""
        return self._parser.reports_releases

    @property
    def line(self) -> str | None:
        """What has been typed of a line that began with a slash."""
        return self._parser.line

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

    def _put(self, key: Pressed) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._keys.put_nowait(key)

    async def next(self) -> Pressed:
        """The next key; waits for ever where there is no terminal."""
        return await self._keys.get()


def _write(data: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), data)
