"""A call that survives its connections: it keeps the gateway's checkpoints, and goes on elsewhere when one is lost.

    async with connect_resuming(["gateway:50051"], config) as call:
        await call.send_audio(pcm)
        async for event in call:
            ...

It is used as a `Call` is. In addition `Lost` comes when the connection is lost and `Resumed` when the call goes on;
after a `Lost`, say by `note_played` what was played before asking for the next event. Sending does not fail meanwhile:
audio and wishes are kept. Where nothing can be resumed (a gateway that makes no checkpoints, a caller of the first
contract, `resume_for_s` 0) the call ends as any call does.

What is decided, and when, is in `resumption.py` and `kept.py`; here are the connections, the timer and the order.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

from voice_clients import wire
from voice_clients.caller import CONNECT_TIMEOUT_S, CallConfig, connect
from voice_clients.channel import PLAINTEXT, Address, Security, addresses_of
from voice_clients.errors import BadRequestError, CallError, ConnectionLostError, GatewayFullError, NotAllowedError
from voice_clients.events import CallEvent, Capability, Cause, Checkpoint, Ended, GoAway, Lost, Resumed, Session
from voice_clients.kept import KEEP_S, Repeat
from voice_clients.requests import Requests
from voice_clients.resumption import (
    RESUME_FOR_S,
    RESUME_REFUSED,
    SILENT_AFTER_S,
    STEADY_S,
    CallMemory,
    Redial,
    Resumption,
    Silence,
    is_lost,
)
from voice_contracts import voice_workflow_pb2 as pb

REPLAY_MS = 100
"""Kept audio is joined into messages of this length: fewer cost less, and any gateway takes so much in one."""
TRY_ANOTHER = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""Refusals of one gateway that say nothing about its neighbours."""


class Connection(Protocol):
    """A call on one connection: `Call`, or what a test has in its place."""

    async def send(self, message: pb.ClientMessage) -> None:
        """Send a message. Raises CallError where the connection is over."""

    async def half_close(self) -> None:
        """Nothing more comes."""

    async def __anext__(self) -> CallEvent:
        """The next event; the last is `Ended`."""

    def hang_up(self) -> None:
        """End it without waiting; whoever reads gets `Ended`, whoever sends CallError."""

    async def close(self) -> None:
        """Hang up and let go of everything."""


class Network(Protocol):
    """Where gateways are, and how they are reached."""

    async def addresses(self) -> list[Address]:
        """All of them, in the order in which they are tried."""

    async def dial(self, address: Address, config: CallConfig, timeout_s: float, *, first: bool) -> Connection:
        """Connect and send the config, with the key or token of now. Raises CallError; `first`, it may take longer to
        say why.
        """

    @property
    def renews_credentials(self) -> bool:
        """Whether the next dial may bring another key or token."""


@dataclass(frozen=True, slots=True)
class GrpcNetwork:
    """The real one. Each dial opens a channel of its own: a connection that failed is never used again."""

    targets: tuple[str, ...]
    security: Security = PLAINTEXT

    @property
    def renews_credentials(self) -> bool:
        """See Network."""
        return self.security.renewed

    async def addresses(self) -> list[Address]:
        """See Network."""
        return [address for target in self.targets for address in await addresses_of(target)]

    async def dial(self, address: Address, config: CallConfig, timeout_s: float, *, first: bool) -> Connection:
        """See Network."""
        named = replace(self.security, server_name=self.security.server_name or address.name)
        call = connect(address.target, config, security=named, connect_timeout_s=timeout_s, diagnosing=first)
        return await call.__aenter__()


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """How a call is resumed."""

    resume_for_s: float = RESUME_FOR_S
    """How long it is tried after a loss; 0: never."""
    keep_s: float = KEEP_S
    """Of microphone audio."""
    live: bool = True
    """Audio comes from a microphone, which does not wait: while there is no connection, sending it returns at once."""
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    start: int = 0
    """With which of several addresses to begin."""


USUAL = ResumeOptions()


def connect_resuming(
    targets: Sequence[str],
    config: CallConfig | None = None,
    *,
    security: Security = PLAINTEXT,
    options: ResumeOptions = USUAL,
) -> "ResumingCall":
    """Make a call, to be entered with `async with`, to the first of the targets that takes it.

    Entering raises GatewayUnreachableError; a refusal comes as `Ended`.
    """
    return ResumingCall(GrpcNetwork(tuple(targets), security), config or CallConfig(), options)


@dataclass(slots=True)
class _Line:
    """One connection, and how far into the microphone's audio it has been sent."""

    connection: Connection
    address: Address
    cursor: int = 0
    resumed_s: float = 0.0
    silent: bool = False
    """Nothing came for too long."""
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    catching_up: "asyncio.Task[None] | None" = None

    async def close(self) -> None:
        """Leave it."""
        self.connection.hang_up()
        if self.catching_up is not None:
            self.catching_up.cancel()
            await asyncio.gather(self.catching_up, return_exceptions=True)
        await self.connection.close()


@dataclass(frozen=True, slots=True)
class _Loss:
    cause: Cause
    line: _Line
    error: CallError | None


class _Watch:
    """The one timer that looks for silence."""

    def __init__(self) -> None:
        self._silence = Silence()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, on_silence: Callable[[], None]) -> None:
        self.stop()
        self._silence.heard(asyncio.get_running_loop().time())
        self._look(on_silence)

    def heard(self) -> None:
        if self._timer is not None:
            self._silence.heard(asyncio.get_running_loop().time())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._silence.stop()

    def _look(self, on_silence: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        wait_s = self._silence.look(loop.time())
        if wait_s is None:
            self.stop()
            on_silence()
        else:
            self._timer = loop.call_later(wait_s, self._look, on_silence)


class ResumingCall(Requests):
    """See the module. Reading belongs to one task, as with a `Call`."""

    def __init__(self, network: Network, config: CallConfig, options: ResumeOptions = USUAL) -> None:
        self.keeps = options.resume_for_s > 0 and bool(config.capabilities)
        """Whether the call is resumed, as far as this side goes."""
        self.config = config
        if self.keeps:
            self.config = replace(config, capabilities=config.capabilities | {Capability.CHECKPOINTS})
        self.ended: Ended | None = None
        self.resumptions: list[Resumption] = []
        """How it went on, each time."""
        self._network = network
        self._options = options
        self._memory = CallMemory.of(config.sample_rate_hz or 16_000, options.keep_s)
        self._line: _Line | None = None
        self._untried: list[Address] = []
        self._loss: _Loss | None = None
        self._redial: Redial[Address] | None = None
        self._watch = _Watch()
        self._due: deque[CallEvent] = deque()
        self._there = asyncio.Event()
        """There is a connection, or there will be none any more."""
        self._half_closed = False

    async def __aenter__(self) -> Self:
        """Connect and send the config. Raises GatewayUnreachableError; a refusal comes as `Ended`."""
        found = await self._network.addresses()
        start = self._options.start % len(found) if found else 0
        self._untried = [*found[start:], *found[:start]]
        self._connected(await self._first_line())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self._watch.stop()
        for line in {id(line): line for line in (self._line, self._loss and self._loss.line) if line}.values():
            await line.close()

    async def _first_line(self) -> _Line:
        """To the first address that can be reached."""
        failure: CallError | None = None
        while self._untried:
            address = self._untried.pop(0)
            try:
                connection = await self._network.dial(
                    address, self.config, self._options.connect_timeout_s, first=not self._untried and failure is None
                )
            except CallError as error:
                failure = error
            else:
                return _Line(connection, address)
        raise failure or ConnectionLostError("There is no address to dial.")

    # ---- sending ----------------------------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the call is not between two connections."""
        return self._loss is None and self.ended is None

    @property
    def is_given_up(self) -> bool:
        """Whether the call ended because its connection was lost and no gateway went on with it."""
        return self._loss is not None and self.ended is not None

    async def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio: s16le mono at the rate of the config, or keep it until there is a connection."""
        line = await self._sending_line()
        if Capability.CHECKPOINTS not in self.config.capabilities:
            if line is not None:
                await line.connection.send(wire.audio_message(pcm))
            return
        self._memory.audio.add(pcm)
        if line is None or (self._options.live and line.sending.locked()):
            return  # whoever sends, or will, sends this too
        with contextlib.suppress(CallError):  # the reader finds out why
            await self._send_kept(line)

    async def _sending_line(self) -> _Line | None:
        """Raises CallError where the call is over."""
        if not self._options.live:
            await self._there.wait()
        if self.ended is not None:
            raise self.ended.error or ConnectionLostError(
                "The call is over: nothing more can be sent.", reason="CALL_OVER"
            )
        return self._line

    async def _send_kept(self, line: _Line) -> None:
        audio = self._memory.audio
        async with line.sending:
            while True:
                first, pcm = audio.after(line.cursor, audio.rate_hz * REPLAY_MS // 1000)
                if not pcm:
                    return
                line.cursor = first + len(pcm) // 2
                if not self.keeps:  # found out meanwhile: the gateway makes no checkpoints
                    audio.accounted(line.cursor)
                await line.connection.send(wire.audio_message(pcm, first))

    async def _request(self, message: pb.ClientMessage, repeat: Repeat) -> None:
        line = await self._sending_line()
        if self._loss is not None:  # handed over: the gateway that said so listens no more
            line = None
        if self.keeps:
            self._memory.wishes.made(message, repeat, handed=line is not None, text=message.text_input)
        if line is None:
            return
        await self._caught_up(line)
        try:
            await line.connection.send(message)
        except CallError:
            if not self.keeps:
                raise

    async def ack(self, generation: int, samples: int) -> None:
        """Say how many samples of a generation have left the loudspeaker."""
        self.note_played(generation, samples)
        line = self._line
        if line is not None and self.is_connected:
            try:
                await line.connection.send(wire.played_message(generation, samples))
            except CallError:
                if not self.keeps:
                    raise

    def note_played(self, generation: int, samples: int) -> None:
        """What was played, for the next connection."""
        self._memory.played = (generation, samples)

    async def half_close(self) -> None:
        """Say that nothing more comes. What was said is still answered, and then the call ends."""
        self._half_closed = True
        line = self._line
        if line is None or self.ended is not None:
            return
        await self._caught_up(line)
        with contextlib.suppress(CallError):
            await self._send_kept(line)
            await line.connection.half_close()

    async def _caught_up(self, line: _Line) -> None:
        """Wait until a new connection knows what came before; what follows must not overtake it."""
        if line.catching_up is not None and not line.catching_up.done():
            await asyncio.wait((line.catching_up,))

    # ---- receiving --------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[CallEvent]:
        """Events in their order, up to and including `Ended`."""
        return self

    async def __anext__(self) -> CallEvent:
        """The next event. Checkpoints are kept and not told."""
        while not self._due:
            if self.ended is not None:
                raise StopAsyncIteration
            if self._loss is not None:
                await self._resume(self._loss)
            elif self._line is None:
                raise RuntimeError("the call must be entered with `async with` before it is used")
            else:
                await self._take(self._line, await self._line.connection.__anext__())
        event = self._due.popleft()
        if isinstance(event, Ended):
            self._end(event)
        return event

    def _end(self, event: Ended) -> None:
        self.ended = event
        self._watch.stop()
        self._there.set()

    async def _take(self, line: _Line, event: CallEvent) -> None:
        self._watch.heard()
        self._memory.received(event)
        match event:
            case Ended():
                await self._line_ended(line, event)
                return
            case Session():
                self._offers(event)
            case Checkpoint():
                return
            case GoAway(checkpoint=Checkpoint()) if self._memory.token:
                self._due.append(event)
                self._lose(Cause.GO_AWAY, line, None)
                return
            case _:
                pass
        self._due.append(event)

    def _offers(self, session: Session) -> None:
        self._untried.clear()
        self.keeps = self.keeps and session.checkpoints
        if self.keeps:
            self._watch.start(self._on_silence)

    def _on_silence(self) -> None:
        if self._line is not None and self._loss is None:
            self._line.silent = True
            self._line.connection.hang_up()

    async def _line_ended(self, line: _Line, ended: Ended) -> None:
        memory = self._memory
        if not memory.heard_ns and self._untried and self.keeps and ended.code in TRY_ANOTHER:
            with contextlib.suppress(CallError):
                fresh = await self._first_line()
                await line.close()
                self._connected(fresh)
                return
        error = ended.error
        if line.silent:
            error = ConnectionLostError(
                f"The gateway at {line.address.target} sent nothing for {SILENT_AFTER_S:g} s.", retryable=True
            )
            ended = Ended(ended.at_ns, ended.code, error)
        if not (self.keeps and memory.token and is_lost(ended)):
            self._due.append(ended)
            return
        self._lose(Cause.SILENCE if line.silent else Cause.RESET, line, error)
        self._line = None
        self._there.clear()

    # ---- resuming ---------------------------------------------------------------------------------------------------

    def _lose(self, cause: Cause, line: _Line, error: CallError | None) -> None:
        self._watch.stop()
        now_s = asyncio.get_running_loop().time()
        if self._redial is None or now_s - line.resumed_s > STEADY_S:
            # No secret: it keeps callers apart.
            self._redial = Redial(now_s, self._options.resume_for_s, line.address, random.Random())  # noqa: S311
        self._redial.last = line.address
        self._loss = _Loss(cause, line, error)
        self._due.append(Lost(round(now_s * 1e9), cause, stop_playback=not self._memory.answer_is_kept))

    def _connected(self, line: _Line) -> None:
        self._line = line
        self._there.set()
        wishes = self._memory.wishes.again()
        line.catching_up = asyncio.create_task(self._catch_up(line, wishes), name="call-catch-up")

    async def _catch_up(self, line: _Line, wishes: list[pb.ClientMessage]) -> None:
        """Tell a new connection what the ones before it may not have understood."""
        with contextlib.suppress(CallError):  # lost again: the reader finds out
            await self._send_kept(line)
            for message in wishes:
                await line.connection.send(message)
            if self._half_closed:
                await line.connection.half_close()

    async def _resume(self, loss: _Loss) -> None:
        """Dial until a gateway goes on with the call, refuses to, or time is up."""
        loop, redial = asyncio.get_running_loop(), self._redial
        assert redial is not None
        if loss.cause is not Cause.GO_AWAY:
            await loss.line.close()
        failure: CallError | None = None
        while (step := redial.next(loop.time(), await self._network.addresses())) is not None:
            wait_s, address = step
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            found = await self._try(address, loss.cause, redial.connect_s)
            if not isinstance(found, CallError):
                line, session = found
                await self._go_on(loss, line, session, redial.attempts)
                return
            failure = found
            if isinstance(failure, BadRequestError):  # also of a gateway that knows nothing of resuming
                failure = BadRequestError(str(failure), reason=RESUME_REFUSED)
            if isinstance(failure, BadRequestError) or (
                isinstance(failure, NotAllowedError) and not self._network.renews_credentials
            ):
                await self._give_up(loss, failure)
                return
            retry_after_ms = failure.retry_after_ms if isinstance(failure, GatewayFullError) else None
            redial.refused(address, loop.time(), retry_after_ms)
        why = str(loss.error or "The gateway stopped.")
        last = f" {failure}" if failure is not None else ""
        seconds = self._options.resume_for_s
        await self._give_up(
            loss,
            ConnectionLostError(f"{why} The call could not be resumed within {seconds:g} s.{last}", retryable=True),
        )

    async def _try(self, address: Address, cause: Cause, connect_s: float) -> tuple[_Line, Session] | CallError:
        """One dial. The connection is left open only where a gateway goes on with the call."""
        request = self._memory.request(cause, round(asyncio.get_running_loop().time() * 1e9))
        config = replace(self.config, resume=request)
        try:
            async with asyncio.timeout(connect_s + SILENT_AFTER_S):  # the config is sent too
                connection = await self._network.dial(address, config, connect_s, first=False)
        except TimeoutError:
            return ConnectionLostError(f"The gateway at {address.target} takes nothing.", retryable=True)
        except CallError as error:
            return error
        line, session = _Line(connection, address, cursor=request.first_sample), None
        try:
            first = await self._first_word(connection)
            match first:
                case Session(resumed=True):
                    session = first
                    return line, session
                case Session():
                    return BadRequestError(f"The gateway at {address.target} resumes no calls.", reason=RESUME_REFUSED)
                case Ended(error=CallError() as refusal):
                    return refusal
                case _:
                    return ConnectionLostError(f"The gateway at {address.target} says nothing.", retryable=True)
        finally:
            if session is None:
                await line.close()

    async def _first_word(self, connection: Connection) -> CallEvent | None:
        """SessionStarted or the end of the call; None where neither comes in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENT_AFTER_S):
                while True:
                    event = await connection.__anext__()
                    if isinstance(event, Session | Ended):
                        return event
        return None

    async def _go_on(self, loss: _Loss, line: _Line, session: Session, attempts: int) -> None:
        made = self._memory.resumed(loss.cause, session.at_ns, attempts=attempts, address=line.address.target)
        self.resumptions.append(made)
        line.resumed_s = asyncio.get_running_loop().time()
        self._due.append(
            Resumed(session.at_ns, made.cause, made.gap_ms, made.attempts, made.address, made.forgotten_ms)
        )
        self._loss = None
        self._connected(line)
        await loss.line.close()  # after a go_away it was still there
        await self._take(line, session)

    async def _give_up(self, loss: _Loss, error: CallError) -> None:
        await loss.line.close()
        self._due.append(Ended(round(asyncio.get_running_loop().time() * 1e9), "UNAVAILABLE", error))
