"""Connections without a network, for calls on virtual time: each does as it is told, and keeps what it was sent."""

import asyncio
from dataclasses import dataclass, field, replace

from voice_clients.caller import CallConfig
from voice_clients.channel import Address
from voice_clients.errors import BadRequestError, CallError, ConnectionLostError, GatewayUnreachableError
from voice_clients.events import (
    AnswerAudio,
    CallEvent,
    Checkpoint,
    Ended,
    Event,
    EventKind,
    GoAway,
    Session,
)
from voice_clients.resumption import RESUME_REFUSED
from voice_contracts import voice_workflow_pb2 as pb

UP = "up"
DOWN = "down"
FROZEN = "frozen"
"""Takes the connection, and is silent at once."""
UNCONNECTABLE = "unconnectable"
"""Takes as long as the time-out."""
STUCK = "stuck"
"""Takes the connection, and then nothing that is sent over it."""


def now_ns() -> int:
    """Of the loop's clock."""
    return round(asyncio.get_running_loop().time() * 1e9)


class FakeLine:
    """One connection."""

    def __init__(self, address: Address, config: CallConfig) -> None:
        self.address = address
        self.config = config
        self.sent: list[pb.ClientMessage] = []
        self.half_closed = False
        self.closed_s: float | None = None
        self.blocked: asyncio.Event | None = None
        """Where set, a send waits for it: the gateway does not read."""
        self._events: asyncio.Queue[CallEvent] = asyncio.Queue()
        self._over: CallError | None = None

    # ---- what a ResumingCall asks of it -----------------------------------------------------------------------------

    async def send(self, message: pb.ClientMessage) -> None:
        if self._over is not None:
            raise self._over
        if self.blocked is not None:
            await self.blocked.wait()
            if self._over is not None:
                raise self._over
        self.sent.append(message)

    async def half_close(self) -> None:
        self.half_closed = True

    async def __anext__(self) -> CallEvent:
        return await self._events.get()

    def hang_up(self) -> None:
        self.dies("CANCELLED")

    async def close(self) -> None:
        self.hang_up()
        if self.closed_s is None:
            self.closed_s = asyncio.get_running_loop().time()

    @property
    def closed(self) -> bool:
        """Whether the caller has left it."""
        return self.closed_s is not None

    # ---- what the gateway does --------------------------------------------------------------------------------------

    def tells(self, event: CallEvent) -> None:
        """Send an event."""
        self._events.put_nowait(event)

    def greets(self, *, resumed: bool = False, checkpoints: bool = True) -> None:
        """Send SessionStarted."""
        session = Session(now_ns(), "call", 16_000, 16_000, 200, "", frozenset(), speak=False)
        self.tells(replace(session, resumed=resumed, checkpoints=checkpoints))

    def checkpoint(self, token: bytes, through_sample: int, turn: int = 0) -> None:
        """Send a checkpoint; without a token it is a sign of life."""
        self.tells(Checkpoint(now_ns(), turn, token, through_sample, 60_000))

    def event(self, kind: EventKind, turn: int = 0) -> None:
        """Say where the conversation stands."""
        self.tells(Event(now_ns(), turn, kind))

    def audio(self, turn: int, generation: int, first_sample: int, samples: int = 320) -> None:
        """Speak."""
        self.tells(AnswerAudio(now_ns(), turn, generation, first_sample, bytes(samples * 2)))

    def goes_away(self, token: bytes = b"", through_sample: int = 0) -> None:
        """Say that the gateway stops; with a token, that the call is to move."""
        checkpoint = Checkpoint(now_ns(), 0, token, through_sample, 60_000) if token else None
        self.tells(GoAway(now_ns(), "A new version comes.", 5_000, checkpoint))

    def dies(self, code: str = "UNAVAILABLE", error: CallError | None = None) -> None:
        """End."""
        if self._over is None:
            if self.blocked is not None:
                self.blocked.set()
            self._over = error or ConnectionLostError(f"broke off ({code})", retryable=True)
            self._events.put_nowait(Ended(now_ns(), code, None if code == "OK" else self._over))

    # ---- what was heard ---------------------------------------------------------------------------------------------

    @property
    def heard(self) -> list[tuple[int, bytes]]:
        """Audio messages: position and samples."""
        found = (item for item in self.sent if item.WhichOneof("content") == "audio_chunk")
        return [(item.first_sample, item.audio_chunk) for item in found]

    @property
    def texts(self) -> list[str]:
        """Typed turns."""
        return [item.text_input for item in self.sent if item.WhichOneof("content") == "text_input"]


@dataclass
class FakeNetwork:
    """`script` holds what the next dials find; when it is used up, gateways are up and go on with calls."""

    targets: tuple[str, ...] = ("a:1",)
    script: list[str | CallError] = field(default_factory=list)
    lines: list[FakeLine] = field(default_factory=list)
    dialled: list[tuple[float, str]] = field(default_factory=list)
    resumes: bool = True
    checkpoints: bool = True
    renews_credentials: bool = False
    takes_s: float = 0.0
    """What a connection takes."""
    waited_s: list[float] = field(default_factory=list)
    """The time-out of each dial."""

    async def addresses(self) -> list[Address]:
        return [Address(target) for target in self.targets]

    async def dial(self, address: Address, config: CallConfig, timeout_s: float, *, first: bool) -> FakeLine:
        self.dialled.append((round(asyncio.get_running_loop().time(), 3), address.target))
        self.waited_s.append(timeout_s)
        what = self.script.pop(0) if self.script else UP if self.takes_s <= timeout_s else UNCONNECTABLE
        if what == DOWN:
            raise GatewayUnreachableError(f"Nothing listens at {address.target}.", retryable=True)
        if what == UNCONNECTABLE:
            await asyncio.sleep(timeout_s)
            raise GatewayUnreachableError(f"{address.target} does not answer.", retryable=True)
        if what == STUCK:
            await asyncio.Event().wait()
        line = FakeLine(address, config)
        self.lines.append(line)
        if isinstance(what, CallError):
            line.dies("RESOURCE_EXHAUSTED", what)
        elif what == UP:
            resumed = config.resume is not None and self.resumes
            line.greets(resumed=resumed, checkpoints=self.checkpoints)
        return line


def refused_resume() -> CallError:
    """As a gateway refuses a checkpoint."""
    return BadRequestError("The checkpoint has expired.", reason=RESUME_REFUSED)
