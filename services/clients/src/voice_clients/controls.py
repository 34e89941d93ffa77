"""What the person at the client asks for during a call: hold, keypad tones, another voice or language, an interruption.

Each is sent only where the gateway says that it obeys; elsewhere the person gets a sentence.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from voice_clients.conversation import Conversation
from voice_clients.errors import CallError
from voice_clients.requests import Requests
from voice_clients.wire import Overrides

DIGITS = frozenset("0123456789*#ABCD")
COMMANDS = "/hold, /resume, /dtmf DIGITS, /voice NAME, /language TAG"


@dataclass(frozen=True, slots=True)
class Command:
    """A typed line that begins with a slash: `/voice NAME` is Command("voice", "NAME")."""

    name: str
    argument: str


def parse_command(line: str) -> Command | None:
    """None for a line that is something to say; a second slash at its start says a slash."""
    if not line.startswith("/") or line.startswith("//"):
        return None
    name, _, argument = line[1:].strip().partition(" ")
    return Command(name.lower(), argument.strip())


class Controls:
    """The wishes of one call. None of the methods raises: a call that is over is its reader's business."""

    def __init__(self, call: Requests, conversation: Conversation, note: Callable[[str], None]) -> None:
        self._call = call
        self._conversation = conversation
        self._note = note
        self.held = False

    def obeys(self, control: str) -> bool:
        """Whether the gateway said that it obeys a control, such as "PAUSE"."""
        session = self._conversation.session
        return session is not None and control in session.controls

    async def run(self, command: Command) -> None:
        """Do what a typed command says."""
        match command.name:
            case "hold" if not self.held:
                await self.toggle_hold()
            case "resume" if self.held:
                await self.toggle_hold()
            case "hold" | "resume":
                self._note("The call is on hold already." if self.held else "The call is not on hold.")
            case "dtmf":
                await self.press(command.argument.replace(" ", "").upper())
            case "voice":
                await self._update(Overrides(tts_voice=command.argument), "tts_voice", command.argument)
            case "language":
                await self._update(Overrides(language_code=command.argument), "language_code", command.argument)
            case _:
                self._note(f"/{command.name} is no command; there are {COMMANDS}.")

    async def interrupt(self) -> None:
        """Stop the answer."""
        if self.obeys("INTERRUPT"):
            with contextlib.suppress(CallError):
                await self._call.interrupt()

    async def commit_audio(self) -> None:
        """End the caller's turn now; a gateway that cannot be told so waits for silence."""
        if self.obeys("COMMIT_AUDIO"):
            with contextlib.suppress(CallError):
                await self._call.commit_audio()

    async def toggle_hold(self) -> None:
        """Put the call on hold, or take it off."""
        if not (self.obeys("PAUSE") and self.obeys("RESUME")):
            self._note("This gateway has no hold.")
            return
        self.held = not self.held
        self._note("on hold: the answer waits, the microphone is not listened to" if self.held else "off hold")
        with contextlib.suppress(CallError):
            await (self._call.hold() if self.held else self._call.resume())

    async def press(self, digits: str) -> None:
        """Press keys of a telephone keypad, one after the other."""
        session = self._conversation.session
        if session is None or not session.dtmf:
            self._note("This gateway takes no keypad digits.")
        elif not digits or not DIGITS.issuperset(digits):
            self._note(f"/dtmf {digits}: a keypad has 0 to 9, *, # and A to D.")
        else:
            self._note(f"keypad: {digits}")
            with contextlib.suppress(CallError):
                for digit in digits:
                    await self._call.press(digit)

    async def _update(self, overrides: Overrides, key: str, value: str) -> None:
        session = self._conversation.session
        if session is None or not session.update:
            self._note("This gateway changes nothing during a call.")
        elif key not in session.overrides:
            self._note(f"This gateway does not let callers change {key}.")
        elif not value:
            self._note("Say which: /voice NAME, /language TAG.")
        else:
            self._note(f"asked for {key} {value}")
            with contextlib.suppress(CallError):
                await self._call.update(overrides)
