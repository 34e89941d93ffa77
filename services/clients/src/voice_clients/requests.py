"""What a caller may ask for besides being listened to, in the words of this package."""

from abc import ABC, abstractmethod

from voice_clients import wire
from voice_clients.kept import Repeat
from voice_clients.wire import Overrides
from voice_contracts import voice_workflow_pb2 as pb


class Requests(ABC):
    """Shared by a call on one connection and a call that survives its connections. All raise CallError."""

    @abstractmethod
    async def _request(self, message: pb.ClientMessage, repeat: Repeat) -> None:
        """Send a message; `repeat` says what becomes of it where the connection is lost."""

    async def send_text(self, text: str) -> None:
        """Send a typed turn."""
        await self._request(wire.text_message(text), Repeat.TEXT)

    async def speak(self, text: str) -> None:
        """Have a text spoken as it is."""
        await self._request(wire.speak_message(text), Repeat.ONCE)

    async def interrupt(self) -> None:
        """Stop the answer."""
        await self._request(wire.control_message("INTERRUPT"), Repeat.MOMENT)

    async def commit_audio(self) -> None:
        """End the caller's turn now, without waiting for silence."""
        await self._request(wire.control_message("COMMIT_AUDIO"), Repeat.MOMENT)

    async def hold(self) -> None:
        """Put the call on hold: the answer pauses, the microphone is not listened to."""
        await self._request(wire.control_message("PAUSE"), Repeat.STATE)

    async def resume(self) -> None:
        """Take the call off hold."""
        await self._request(wire.control_message("RESUME"), Repeat.STATE)

    async def press(self, digit: str) -> None:
        """Press a key of a telephone keypad: one of 0-9, *, #, A-D."""
        await self._request(wire.dtmf_message(digit), Repeat.ONCE)

    async def update(self, overrides: Overrides) -> None:
        """Change settings of the running call; what is None stays. A refusal comes as an ERROR event."""
        await self._request(wire.update_message(overrides), Repeat.STATE)

    async def ping(self, ping_id: int) -> None:
        """Ask for a Pong."""
        await self._request(wire.control_message("PING", ping_id=ping_id), Repeat.MOMENT)
