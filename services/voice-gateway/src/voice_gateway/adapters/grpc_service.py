"""The VoiceGateway service over grpc.aio: admission, the first message, and the call's transport.

How a caller leaves (measured, grpcio 1.85): a client that cancels, crashes or loses its network looks like a half-close
to whoever reads, with `cancelled()` and `done()` false at that moment, and within a millisecond the handler's task is
cancelled. So reading never ends a call by itself: the call runs on, as it must after a half-close, and where the client
is gone the cancellation takes its TaskGroup down. A client that vanishes without a packet is found by keepalive pings
(server.py) within 40 s.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from servicekit.logs import bound, get_logger
from servicekit.rpc_auth import PRINCIPAL
from servicekit.rpc_errors import leaf_errors
from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc
from voice_gateway.adapters.backend_checks import BackendChecks
from voice_gateway.adapters.wire import WireState, decode, encode_checks
from voice_gateway.application.admission import Admission
from voice_gateway.application.messages import EventKind, EventOut, Hello, Inbound, Outbound
from voice_gateway.application.ports import CallTransport, Telemetry
from voice_gateway.application.tracing import CallTrace, NoTracer, Tracer
from voice_gateway.domain.errors import (
    AtCapacity,
    BadRequest,
    CallIdle,
    CallRefused,
    GatewayError,
    InvalidMessage,
    SlowConsumer,
    UnexpectedMessage,
)

FIRST_MESSAGE_TIMEOUT_S = 10.0
"""A place is held from the first moment; a client that says nothing must not keep it."""

FAREWELL_TIMEOUT_S = 1.0
"""Longest wait for the client to take the ERROR event before the status follows."""
GONE_S = 1.0
"""Longest from a write that fails to the cancellation of its call; without one it is a failure of ours."""
DOOR_S = 2.0
"""Longest wait for the first message of a caller for whom there is no place. A client sends it at once; a checkpoint of
64 KiB takes that long over 256 kbit/s."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, pb.ServerMessage]"

log = get_logger(__name__)


class CallRunner(Protocol):
    """Holds calls."""

    async def run(
        self, hello: Hello, transport: CallTransport, *, call_id: str, trace: CallTrace, principal: str
    ) -> None:
        """Hold one call, from its first message on. Raises GatewayError, also inside an exception group."""
        ...

    async def supersede(self, hello: Hello, *, principal: str) -> bool:
        """End the call that comes back here; False where none does."""
        ...


class GrpcTransport:
    """One caller's stream."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wire = WireState()
        self.told_end = False
        """The caller was sent an ERROR event that ends the call."""
        self.blocked = False
        """A write was cancelled while the caller did not take it. gRPC still holds it, and takes no other."""

    async def receive(self) -> Inbound | None:
        """The next message; None when the caller has half-closed, or is gone. Raises InvalidMessage."""
        try:
            message = await self._context.read()
        except DecodeError as error:
            raise InvalidMessage("A message that is not a ClientMessage was received.") from error
        if message is grpc.aio.EOF:
            return None
        return self._wire.take(decode(message))

    async def send(self, message: Outbound) -> None:
        """Send what the caller understands of it."""
        if isinstance(message, EventOut) and message.fatal:
            self.told_end = True
        encoded = self._wire.encode(message)
        if encoded is None:
            return
        if self.blocked:
            raise SlowConsumer("The caller does not take what is sent to it.")
        try:
            await self._context.write(encoded)
        except asyncio.CancelledError:
            self.blocked = True
            raise
        except grpc.aio.InternalError:
            # The connection broke while gRPC had the message. That the caller is gone cancels the call, in a moment.
            self.blocked = True
            await asyncio.sleep(GONE_S)
            raise


class VoiceGatewayService(pb_grpc.VoiceGatewayServicer):
    """Takes calls."""

    def __init__(
        self,
        runner: CallRunner,
        admission: Admission,
        checks: BackendChecks,
        telemetry: Telemetry,
        tracer: Tracer | None = None,
        *,
        new_call_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._runner = runner
        self._admission = admission
        self._checks = checks
        self._telemetry = telemetry
        self._tracer = tracer or NoTracer()
        self._new_call_id = new_call_id
        self._idle = asyncio.Event()
        self._at_door = 0

    # Generated types know generators only; reading and writing by hand is grpc.aio's other way.
    async def StreamAudio(self, request_iterator: Any, context: Context) -> None:  # type: ignore[override] # noqa: ARG002, N802
        """One call."""
        transport = GrpcTransport(context)
        try:
            async with AsyncExitStack() as held:
                hello = await self._admit(held, transport)
                call_id = self._new_call_id()
                trace = self._tracer.call_started(call_id, _texts(context.invocation_metadata()))
                held.enter_context(bound(call_id=call_id, **_log_fields(trace)))
                await self._counted(transport, trace, call_id=call_id, hello=hello)
        finally:
            if not self._admission.running:
                self._idle.set()

    async def _admit(self, held: AsyncExitStack, transport: GrpcTransport) -> Hello | None:
        """Take a place. Where all are taken, a call that is held here and comes back gets the one that it has. Gives
        the first message where that had to be read. Raises CallRefused.
        """
        hello = None
        try:
            try:
                held.enter_context(self._admission.place())
            except AtCapacity:
                hello = back = await self._at_the_door(transport)
                if back is None:
                    raise
                place = self._admission.handed_over(lambda: self._runner.supersede(back, principal=PRINCIPAL.get()))
                await held.enter_async_context(place)
        except CallRefused as refusal:
            self._telemetry.call_refused(refusal.reason.lower())
            raise
        return hello

    async def _at_the_door(self, transport: GrpcTransport) -> Hello | None:
        """The first message of a caller for whom there is no place, if it brings a call back. As many may wait here as
        there are places: all calls may have lost their connections at once.
        """
        if self._at_door >= self._admission.max_calls:
            return None
        self._at_door += 1
        try:
            async with asyncio.timeout(DOOR_S):
                first = await transport.receive()
        except (TimeoutError, BadRequest):
            return None
        finally:
            self._at_door -= 1
        return first if isinstance(first, Hello) and first.resume is not None else None

    async def CheckBackends(self, request: pb.CheckBackendsRequest, context: Any) -> pb.CheckBackendsResponse:  # noqa: ARG002, N802
        """How the backends are."""
        return encode_checks(await self._checks.all())

    async def until_idle(self) -> None:
        """Wait until no call is in progress."""
        while self._admission.running:
            self._idle.clear()
            await self._idle.wait()

    async def _counted(self, transport: GrpcTransport, trace: CallTrace, *, call_id: str, hello: Hello | None) -> None:
        started_s = time.monotonic()
        status = "internal"
        self._telemetry.call_started()
        try:
            await self._call(transport, trace, call_id=call_id, hello=hello)
            status = "ok"
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        except BaseException as error:
            status = next(
                (leaf.reason.lower() for leaf in leaf_errors(error) if isinstance(leaf, GatewayError)), status
            )
            raise
        finally:
            after_s = time.monotonic() - started_s
            self._telemetry.call_ended(status, after_s=after_s)
            trace.ended(status)
            log.info("call_ended", status=status, seconds=round(after_s, 3))

    async def _call(self, transport: GrpcTransport, trace: CallTrace, *, call_id: str, hello: Hello | None) -> None:
        principal = PRINCIPAL.get()
        try:
            hello = hello or await self._hello(transport)
            if hello.resume is None:  # else the runner finds out which call it is
                trace.begun(sample_rate_hz=hello.sample_rate_hz, language=hello.language_code[:35])
            log.info(
                "call_started",
                principal=principal,
                session_id=hello.session_id[:64],
                sample_rate_hz=hello.sample_rate_hz,
                language=hello.language_code[:35],
                capabilities=sorted(hello.capabilities),
                resuming=hello.resume is not None,
            )
            await self._runner.run(hello, transport, call_id=call_id, trace=trace, principal=principal)
        except Exception as error:
            for leaf in leaf_errors(error):
                if isinstance(leaf, GatewayError):
                    await self._farewell(transport, leaf)
                    raise leaf from error
            raise

    async def _hello(self, transport: GrpcTransport) -> Hello:
        """The first message. Raises BadRequest or CallIdle."""
        try:
            async with asyncio.timeout(FIRST_MESSAGE_TIMEOUT_S):
                first = await transport.receive()
        except TimeoutError:
            raise CallIdle(f"No config was received within {FIRST_MESSAGE_TIMEOUT_S:g} seconds.") from None
        if not isinstance(first, Hello):
            got = "the end of the stream" if first is None else "something else"
            raise UnexpectedMessage(f"The first message must be config; {got} was received.")
        return first

    async def _farewell(self, transport: GrpcTransport, error: GatewayError) -> None:
        """Say why the call ends, if the call itself has not: clients of the first contract look at events."""
        if transport.told_end or transport.blocked:
            return
        event = EventOut(0, EventKind.ERROR, str(error), error.reason, error.retryable, fatal=True)
        try:
            async with asyncio.timeout(FAREWELL_TIMEOUT_S):
                await transport.send(event)
        except TimeoutError:
            log.info("farewell_not_taken", reason=error.reason)


def _texts(metadata: Any) -> list[tuple[str, str]]:
    """Metadata that is text; keys that end in "-bin" have bytes."""
    return [(key, value) for key, value in metadata or () if isinstance(value, str)]


def _log_fields(trace: CallTrace) -> dict[str, str]:
    return {"trace_id": trace.trace_id, "span_id": trace.span_id} if trace.trace_id else {}
