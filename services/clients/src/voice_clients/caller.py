"""The caller's side of VoiceGateway.StreamAudio, for the `voice` command, the tests and the benchmarks.

    async with connect("localhost:50051", CallConfig(sample_rate_hz=16000)) as call:
        await call.send_audio(pcm)
        async for event in call:
            ...

Sending and reading may run in different tasks; several tasks may send. Reading belongs to one task. The last event
is always `Ended`. Cancelling a task inside a send or a read cancels the call: that is how gRPC works, and what a caller
who hangs up wants.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from voice_clients import wire
from voice_clients.channel import PLAINTEXT, Security, open_channel, until_connected
from voice_clients.errors import CallError, ConnectionLostError, from_rpc_error
from voice_clients.events import LEGACY, MODERN, CallEvent, Capability, Ended
from voice_clients.kept import Repeat
from voice_clients.requests import Requests
from voice_clients.wire import NO_OVERRIDES, Overrides, ResumeRequest
from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    Stream = grpc.aio.StreamStreamCall[pb.ClientMessage, pb.ServerMessage]  # generic only in its stubs
else:
    Stream = grpc.aio.StreamStreamCall

__all__ = ["LEGACY", "MODERN", "Call", "CallConfig", "Overrides", "connect"]

CONNECT_TIMEOUT_S = 5.0
# The gateway slows a file down by not reading: it may take a whole answer (minutes, at most) before it reads on.
SEND_TIMEOUT_S = 120.0
STATUS_TIMEOUT_S = 1.0  # how long a failed send waits to learn why


@dataclass(frozen=True, slots=True)
class CallConfig:
    """How a caller wants to be served. 0 and "" leave the choice to the gateway."""

    language_code: str = ""
    session_id: str = ""
    sample_rate_hz: int = 16000
    output_sample_rate_hz: int = 0
    capabilities: frozenset[Capability] = MODERN
    overrides: Overrides = NO_OVERRIDES
    resume: ResumeRequest | None = None
    """Goes on with an earlier call. `resuming.py` fills it in."""


def connect(
    target: str,
    config: CallConfig | None = None,
    *,
    security: Security = PLAINTEXT,
    channel: grpc.aio.Channel | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    diagnosing: bool = True,
) -> "Call":
    """Make a call, to be entered with `async with`; entering connects and sends the config, leaving hangs up.

    A given `channel` is used and left open; else the call opens and closes its own.
    Entering raises GatewayUnreachableError; `diagnosing` it may take some seconds more, to say what is wrong.
    """
    return Call(
        target,
        config or CallConfig(),
        security=security,
        channel=channel,
        connect_timeout_s=connect_timeout_s,
        diagnosing=diagnosing,
    )


class Call(Requests):
    """One call; see the module."""

    def __init__(
        self,
        target: str,
        config: CallConfig,
        *,
        security: Security,
        channel: grpc.aio.Channel | None,
        connect_timeout_s: float,
        diagnosing: bool,
    ) -> None:
        self.target = target
        self.config = config
        self.ended: Ended | None = None
        self._security = security
        self._own_channel = channel is None
        self._channel = channel
        self._connect_timeout_s = connect_timeout_s
        self._diagnosing = diagnosing
        self._stream: Stream | None = None
        self._sending = asyncio.Lock()  # gRPC takes one write at a time
        self._write_deadline: asyncio.Timeout | None = None
        self._hung_up = False
        self._half_closed = False
        self._started = False

    async def __aenter__(self) -> Self:
        """Connect and send the config. Raises GatewayUnreachableError; a refusal comes as `Ended`."""
        if self._channel is None:
            self._channel = await open_channel(self.target, self._security)
        try:
            await until_connected(
                self._channel, self.target, self._security, self._connect_timeout_s, diagnosing=self._diagnosing
            )
            metadata = await self._security.metadata()
            self._stream = pb_grpc.VoiceGatewayStub(self._channel).StreamAudio(metadata=metadata)
            config = self.config
            message = wire.config_message(
                language_code=config.language_code,
                session_id=config.session_id,
                sample_rate_hz=config.sample_rate_hz,
                output_sample_rate_hz=config.output_sample_rate_hz,
                capabilities=config.capabilities,
                overrides=config.overrides,
                resume=config.resume,
            )
            with contextlib.suppress(CallError):  # refused at once: the first event read is Ended, and says why
                await self.send(message)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up; a call that has not ended is cancelled."""
        await self.close()

    def hang_up(self) -> None:
        """End the call without waiting. Whoever reads gets `Ended`, with CANCELLED; whoever sends gets CallError.

        Cancelling the stream ends a read. It leaves a write to a connection that takes nothing waiting until TCP gives
        up, 10 s after the network went (seen with grpcio 1.85).
        """
        self._hung_up = True
        if self._stream is not None:
            self._stream.cancel()
        if self._write_deadline is not None and not self._write_deadline.expired():
            self._write_deadline.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Hang up, and close the connection where it is the call's own."""
        self.hang_up()
        if self._own_channel and self._channel is not None:
            await self._channel.close()

    async def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio: s16le mono at the rate of the config. Waits where the gateway does not read."""
        await self.send(wire.audio_message(pcm))

    async def _request(self, message: pb.ClientMessage, repeat: Repeat) -> None:  # noqa: ARG002 - one connection
        await self.send(message)

    async def ack(self, generation: int, samples: int) -> None:
        """Say how many samples of a generation have left the loudspeaker."""
        await self.send(wire.played_message(generation, samples))

    async def half_close(self) -> None:
        """Say that nothing more comes. What was said is still answered, and then the call ends."""
        async with self._sending:
            if self._half_closed or self.ended is not None:
                return
            self._half_closed = True
            # The reader tells how it ended.
            with contextlib.suppress(grpc.aio.InternalError, asyncio.InvalidStateError, TimeoutError):
                async with self._writing():
                    await self._open_stream().done_writing()

    def __aiter__(self) -> AsyncIterator[CallEvent]:
        """Events in their order, up to and including `Ended`."""
        return self

    async def __anext__(self) -> CallEvent:
        """The next event. Waits as long as the call lives: keepalive ends a dead one within 40 s."""
        stream = self._open_stream()
        while self.ended is None:
            try:
                message = await stream.read()
            except grpc.aio.AioRpcError as error:
                return self._end(from_rpc_error(error, target=self.target, started=self._started), error.code().name)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                return self._end(ConnectionLostError("The call was cancelled."), "CANCELLED")
            now_ns = time.monotonic_ns()
            if not isinstance(message, pb.ServerMessage):  # grpc.aio.EOF after an OK status
                return self._end(None, "OK")
            self._started = True
            event = wire.read_event(message, now_ns)
            if event is not None:
                return event
        raise StopAsyncIteration

    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("the call must be entered with `async with` before it is used")
        return self._stream

    def _end(self, error: CallError | None, code: str) -> Ended:
        self.ended = Ended(time.monotonic_ns(), code, error)
        return self.ended

    async def send(self, message: pb.ClientMessage) -> None:
        """Send a message of the contract. Raises CallError with the call's own reason where it is over."""
        stream = self._open_stream()
        async with self._sending:
            if self._half_closed or stream.done():
                raise await self._over(stream)
            try:
                async with self._writing():
                    await self._write(stream, message)
            except TimeoutError as error:
                if self._hung_up:
                    raise await self._over(stream) from None
                raise ConnectionLostError(
                    f"The gateway at {self.target} took no audio for {SEND_TIMEOUT_S:g} s.", retryable=True
                ) from error
            except (grpc.aio.AioRpcError, grpc.aio.InternalError) as error:
                raise await self._over(stream) from error
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise await self._over(stream) from None

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """Bounds a write, and lets `hang_up` end it. Raises TimeoutError."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S) as self._write_deadline:
                yield
        finally:
            self._write_deadline = None

    async def _write(self, stream: Stream, message: pb.ClientMessage) -> None:
        """Write without losing the status that ends the call.

        A public `write()` that meets a call the server has just ended replaces the server's status by INTERNAL
        "Internal error from Core", for the reader too: a refusal with its retry delay would be lost (seen with grpcio
        1.85). This does what `write()` does, without that.
        """
        await stream._metadata_sent.wait()  # type: ignore[attr-defined]
        if stream.done():
            raise await self._over(stream)
        try:
            await stream._cython_call.send_serialized_message(message.SerializeToString())  # type: ignore[attr-defined]
        except asyncio.CancelledError:
            stream.cancel()  # half a message may have been sent
            raise

    async def _over(self, stream: Stream) -> CallError:
        """Why nothing more can be sent. The status may be a moment behind, and behind messages that nobody reads."""
        if self.ended is not None and self.ended.error is not None:
            return self.ended.error
        if self._half_closed and not stream.done():
            return ConnectionLostError("The call was half-closed: nothing more can be sent.", reason="CALL_OVER")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                code = await stream.code()
                if code not in {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}:
                    trailing = grpc.aio.Metadata(*(await stream.trailing_metadata() or ()))
                    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, await stream.details())
                    return from_rpc_error(error, target=self.target, started=self._started)
        return ConnectionLostError("The call is over: nothing more can be sent.", reason="CALL_OVER")
