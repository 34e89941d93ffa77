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
from voice_clients.channel import API_KEY_METADATA, PLAINTEXT, Security, open_channel, until_connected
from voice_clients.errors import CallError, ConnectionLostError, from_rpc_error
from voice_clients.events import LEGACY, MODERN, CallEvent, Capability, Ended
from voice_clients.wire import NO_OVERRIDES, Overrides
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


def connect(
    target: str,
    config: CallConfig | None = None,
    *,
    security: Security = PLAINTEXT,
    api_key: str | None = None,
    channel: grpc.aio.Channel | None = None,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
) -> "Call":
    """Make a call, to be entered with `async with`; entering connects and sends the config, leaving hangs up.

    A given `channel` is used and left open; else the call opens and closes its own.
    Entering raises GatewayUnreachableError.
    """
    return Call(
        target,
        config or CallConfig(),
        security=security,
        api_key=api_key,
        channel=channel,
        connect_timeout_s=connect_timeout_s,
    )


class Call:
    """One call; see the module."""

    def __init__(
        self,
        target: str,
        config: CallConfig,
        *,
        security: Security,
        api_key: str | None,
        channel: grpc.aio.Channel | None,
        connect_timeout_s: float,
    ) -> None:
        self.target = target
        self.config = config
        self.ended: Ended | None = None
        self._security = security
        self._metadata = ((API_KEY_METADATA, f"Bearer {api_key}"),) if api_key else ()
        self._own_channel = channel is None
        self._channel = channel
        self._connect_timeout_s = connect_timeout_s
        self._stream: Stream | None = None
        self._sending = asyncio.Lock()  # gRPC takes one write at a time
        self._half_closed = False
        self._started = False

    async def __aenter__(self) -> Self:
        """Connect and send the config. Raises GatewayUnreachableError; a refusal comes as `Ended`."""
        if self._channel is None:
            self._channel = open_channel(self.target, self._security)
        try:
            await until_connected(self._channel, self.target, self._security, self._connect_timeout_s)
            stub = pb_grpc.VoiceGatewayStub(self._channel)
            self._stream = stub.StreamAudio(metadata=self._metadata)
            config = self.config
            message = wire.config_message(
                language_code=config.language_code,
                session_id=config.session_id,
                sample_rate_hz=config.sample_rate_hz,
                output_sample_rate_hz=config.output_sample_rate_hz,
                capabilities=config.capabilities,
                overrides=config.overrides,
            )
            with contextlib.suppress(CallError):  # refused at once: the first event read is Ended, and says why
                await self._send(message)
        except BaseException:
            await self._release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up; a call that has not ended is cancelled."""
        await self._release()

    async def _release(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        if self._own_channel and self._channel is not None:
            await self._channel.close()

    async def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio: s16le mono at the rate of the config. Waits where the gateway does not read."""
        await self._send(wire.audio_message(pcm))

    async def send_text(self, text: str) -> None:
        """Send a typed turn."""
        await self._send(wire.text_message(text))

    async def speak(self, text: str) -> None:
        """Have a text spoken as it is."""
        await self._send(wire.speak_message(text))

    async def interrupt(self) -> None:
        """Stop the answer."""
        await self._send(wire.control_message("INTERRUPT"))

    async def commit_audio(self) -> None:
        """End the caller's turn now, without waiting for silence."""
        await self._send(wire.control_message("COMMIT_AUDIO"))

    async def hold(self) -> None:
        """Put the call on hold: the answer pauses, the microphone is not listened to."""
        await self._send(wire.control_message("PAUSE"))

    async def resume(self) -> None:
        """Take the call off hold."""
        await self._send(wire.control_message("RESUME"))

    async def press(self, digit: str) -> None:
        """Press a key of a telephone keypad: one of 0-9, *, #, A-D."""
        await self._send(wire.dtmf_message(digit))

    async def update(self, overrides: Overrides) -> None:
        """Change settings of the running call; what is None stays. A refusal comes as an ERROR event."""
        await self._send(wire.update_message(overrides))

    async def ping(self, ping_id: int) -> None:
        """Ask for a Pong."""
        await self._send(wire.control_message("PING", ping_id=ping_id))

    async def ack(self, generation: int, samples: int) -> None:
        """Say how many samples of a generation have left the loudspeaker."""
        await self._send(wire.played_message(generation, samples))

    async def half_close(self) -> None:
        """Say that nothing more comes. What was said is still answered, and then the call ends."""
        async with self._sending:
            if self._half_closed or self.ended is not None:
                return
            self._half_closed = True
            with contextlib.suppress(
                grpc.aio.InternalError, asyncio.InvalidStateError
            ):  # the reader tells how it ended
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

    async def _send(self, message: pb.ClientMessage) -> None:
        """Raises CallError where the call is over; the reason is that of the call's end."""
        stream = self._open_stream()
        async with self._sending:
            if self._half_closed or stream.done():
                raise await self._over(stream)
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._write(stream, message)
            except TimeoutError as error:
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
