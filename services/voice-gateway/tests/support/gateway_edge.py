"""The gateway's edge on a real port with a runner that plays a script, and a caller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.application.messages import Hello
from voice_gateway.application.ports import BackendProbe, CallTransport
from voice_gateway.application.tracing import CallTrace
from voice_gateway.server import RunningGateway, serving
from voice_gateway.settings import load

Script = Callable[[Hello, CallTransport], Awaitable[None]]

WAIT_S = 20.0

COMES_BACK = b"the call that is held"
"""The token that a scripted runner knows."""


async def nothing(hello: Hello, transport: CallTransport) -> None:
    """Ends at once."""


@dataclass
class ScriptedRunner:
    """Runs `script` for each call, and keeps how calls went."""

    script: Script = nothing
    hellos: list[Hello] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    traces: list[CallTrace] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    principals: list[str] = field(default_factory=list)
    drains_ms: list[tuple[int, int]] = field(default_factory=list)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    superseded: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: BaseException | None = None

    async def run(
        self, hello: Hello, transport: CallTransport, *, call_id: str, trace: CallTrace, principal: str
    ) -> None:
        """Hold one call."""
        self.principals.append(principal)
        self.traces.append(trace)
        self.hellos.append(hello)
        self.ids.append(call_id)
        self.started.set()
        try:
            await self.script(hello, transport)
        except BaseException as error:
            self.outcome = error
            raise
        finally:
            self.ended.set()

    async def supersede(self, hello: Hello, *, principal: str) -> bool:
        """End the one call that is held, if it comes back."""
        assert hello.resume is not None
        found = hello.resume.token == COMES_BACK
        if found:
            self.superseded.set()
        self.principals.append(principal)
        return found

    async def drain(self, *, deadline_ms: int, resumable_ms: int) -> None:
        """Note it."""
        self.drains_ms.append((deadline_ms, resumable_ms))
        self.draining.set()


@dataclass
class Edge:
    """A served gateway and a channel to it."""

    gateway: RunningGateway
    runner: ScriptedRunner
    telemetry: PrometheusTelemetry
    channel: grpc.aio.Channel
    stub: Any

    def metric(self, name: str, **labels: str) -> float | None:
        """Current value of a sample."""
        return self.telemetry.registry.get_sample_value(f"voice_gateway_{name}", labels)

    async def call(self, *messages: pb.ClientMessage, close: bool = False, **metadata: str) -> Any:
        """Start a call and send `messages`; underlines in the names of `metadata` are hyphens."""
        headers = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        call = self.stub.StreamAudio(timeout=WAIT_S, metadata=headers)
        for message in messages:
            await call.write(message)
        if close:
            await call.done_writing()
        return call


@asynccontextmanager
async def served(
    script: Script = nothing,
    *,
    probes: Sequence[BackendProbe] = (),
    credentials: grpc.ChannelCredentials | None = None,
    environ: Mapping[str, str] | None = None,
    **more: str,
) -> AsyncIterator[Edge]:
    """A gateway with a scripted runner, and a channel to it: over TLS where there are `credentials`."""
    keys = {"GATEWAY_LISTEN_ADDRESS": "127.0.0.1:0", "METRICS_LISTEN_ADDRESS": "127.0.0.1:0", **(environ or {}), **more}
    runner, telemetry = ScriptedRunner(script), PrometheusTelemetry()
    async with (
        serving(load(environ=keys), runner, telemetry, probes) as gateway,
        channel_to(gateway.calls.port, credentials) as channel,
    ):
        yield Edge(gateway, runner, telemetry, channel, pb_grpc.VoiceGatewayStub(channel))


def channel_to(port: int, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A connection of its own to a port of this machine."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if credentials is None:
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)


async def all_of(call: Any) -> list[pb.ServerMessage]:
    """Every message until the server ends the stream. Raises its status when it is not OK."""
    messages: list[pb.ServerMessage] = []
    while (message := await call.read()) is not grpc.aio.EOF:
        messages.append(message)
    return messages


async def refused(call: Any) -> tuple[list[pb.ServerMessage], grpc.aio.AioRpcError]:
    """What came before the server ended the stream with an error, and the error."""
    messages: list[pb.ServerMessage] = []
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            messages.append(message)
    except grpc.aio.AioRpcError as error:
        return messages, error
    raise AssertionError(f"the call ended well, with {messages}")


def config(**fields: Any) -> pb.ClientMessage:
    """The first message."""
    return pb.ClientMessage(config=pb.VoiceConfig(**fields))


def audio(pcm: bytes = b"\0\0") -> pb.ClientMessage:
    """Microphone audio."""
    return pb.ClientMessage(audio_chunk=pcm)
