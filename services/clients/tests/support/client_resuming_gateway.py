"""Gateways that make checkpoints and go on with each other's calls, and wires to them that can be cut or freeze.

A token is the state as JSON: nothing is sealed here. An answer is of phrases, each a tone of its own for 200 ms, spoken
at the pace of real time; it goes on at the first phrase that was not wholly heard.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from client_fake_gateway import LOUD_RMS, tone
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[pb.ClientMessage, pb.ServerMessage]

RATE = 16_000
CHUNK = 320
PHRASES = 4
PHRASE_CHUNKS = 10
PHRASE_SAMPLES = PHRASE_CHUNKS * CHUNK
ENDPOINT_SAMPLES = RATE // 5
HEARTBEAT_S = 0.4
QUESTION = "tell me all of it"


def phrase_audio(number: int) -> bytes:
    """The sound of a phrase."""
    return tone(PHRASE_SAMPLES / RATE, hz=300.0 + 200.0 * number)


@dataclass
class World:
    """What all gateways of a test share, and what they were told."""

    calls: list["Served"] = field(default_factory=list)
    on_chunk: Callable[[int, int], None] = lambda _call, _chunk: None
    """Told of each chunk of an answer: the number of the connection, and of the chunk in it."""
    on_samples: Callable[[int, int], None] = lambda _call, _end: None
    """Told of the microphone: the number of the connection, and its position."""
    refuse: dict[str, tuple[grpc.StatusCode, str]] = field(default_factory=dict)
    """By name of the gateway: what it answers, and the reason."""
    metadata: list[dict[str, str]] = field(default_factory=list)
    history: list[list[str]] = field(default_factory=list)
    """Of the newest state of the call."""


@dataclass
class Served:
    """One connection, as the gateway saw it."""

    gateway: str
    config: pb.VoiceConfig
    audio: list[tuple[int, bytes]] = field(default_factory=list)
    half_closed: bool = False
    hand_over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and the client is sent away with a checkpoint."""


class _Conversation:
    """One connection of a call."""

    def __init__(self, world: World, served: Served, context: Context, state: dict[str, Any]) -> None:
        self.world = world
        self.served = served
        self.context = context
        self.state = state
        self.number = len(world.calls) - 1
        self.answer: asyncio.Task[None] | None = None
        self.end = int(state["through"])
        self.onset: int | None = None
        self.quiet = 0
        self.writing = asyncio.Lock()
        self.told_s = 0.0

    async def send(self, message: pb.ServerMessage) -> None:
        message.turn = message.turn or self.state["turn"]
        async with self.writing:
            self.told_s = asyncio.get_running_loop().time()
            await self.context.write(message)

    async def event(self, kind: pb.EventType.ValueType) -> None:
        await self.send(pb.ServerMessage(event=pb.ServerEvent(type=kind)))

    def checkpoint(self, *, token: bool = True) -> pb.Checkpoint:
        through = self.end if self.onset is None else self.onset
        self.state["through"] = through
        self.world.history = [list(item) for item in self.state["history"]]
        data = json.dumps(self.state).encode() if token else b""
        return pb.Checkpoint(token=data, received_through_sample=through, valid_for_ms=60_000)

    async def tell_state(self) -> None:
        await self.send(pb.ServerMessage(checkpoint=self.checkpoint()))

    async def live(self) -> None:
        """Sign of life."""
        while True:
            await asyncio.sleep(0.1)
            if asyncio.get_running_loop().time() - self.told_s >= HEARTBEAT_S:
                await self.send(pb.ServerMessage(checkpoint=self.checkpoint(token=False)))

    async def moves(self) -> None:
        """Send the client away when the test says so."""
        await self.served.hand_over.wait()
        if self.answer is not None:
            self.answer.cancel()
        go_away = pb.GoAway(reason="A new version comes.", deadline_ms=1000, checkpoint=self.checkpoint())
        await self.send(pb.ServerMessage(go_away=go_away))

    async def begin(self, resume: pb.Resume | None) -> None:
        offers = pb.ServerCapabilities(client_capabilities=[pb.GO_AWAY, pb.CHECKPOINTS])
        session = pb.SessionStarted(call_id="call-7", capabilities=offers, output_sample_rate=RATE)
        session.resumed = resume is not None
        await self.context.write(pb.ServerMessage(session=session))
        if resume is None or self.state["phrase"] is None:
            await self.event(pb.LISTENING)
            await self.tell_state()
            return
        state = self.state
        same = resume.played.generation == state["generation"]
        state["phrase"] = state["first_phrase"] + (resume.played.samples // PHRASE_SAMPLES if same else 0)
        state["generation"] = max(state["generation"], resume.played.generation) + 1
        self.answer = asyncio.create_task(self.speak(), name="answer")

    async def heard(self, first: int, data: bytes) -> None:
        self.served.audio.append((first, data))
        at, data = (first, data) if first >= self.end else (self.end, data[(self.end - first) * 2 :])
        self.end = at + len(data) // 2
        for start in range(0, len(data), CHUNK * 2):
            await self.listen(at + start // 2, np.frombuffer(data[start : start + CHUNK * 2], "<i2"))
        self.world.on_samples(self.number, self.end)

    async def listen(self, at: int, samples: "np.ndarray[Any, np.dtype[np.int16]]") -> None:
        loud = float(np.sqrt(np.mean(samples.astype(float) ** 2))) > LOUD_RMS
        if loud:
            self.onset = at if self.onset is None else self.onset
            self.quiet = 0
        elif self.onset is not None:
            self.quiet += len(samples)
            if self.quiet >= ENDPOINT_SAMPLES:
                self.onset, self.quiet = None, 0
                await self.commit(QUESTION, spoken=True)

    async def commit(self, text: str, *, spoken: bool) -> None:
        state = self.state
        state["turn"] += 1
        state["history"].append(["user", text])
        state["generation"] += 1
        state["phrase"] = 0
        if spoken:
            await self.send(pb.ServerMessage(transcript_chunk=text))
        await self.event(pb.PROCESSING)
        await self.tell_state()
        words = " ".join(f"Phrase {number}." for number in range(PHRASES))
        await self.send(pb.ServerMessage(llm_response_chunk=words))
        self.answer = asyncio.create_task(self.speak(), name="answer")

    async def speak(self) -> None:
        state, chunks = self.state, 0
        state["first_phrase"] = state["phrase"]
        await self.event(pb.SPEAKING)
        due_s = asyncio.get_running_loop().time()
        for number in range(state["first_phrase"], PHRASES):
            state["phrase"] = number
            await self.tell_state()
            audio = phrase_audio(number)
            for at in range(0, len(audio), CHUNK * 2):
                first = (number - state["first_phrase"]) * PHRASE_SAMPLES + at // 2
                message = pb.ServerMessage(audio_chunk=audio[at : at + CHUNK * 2], first_sample=first)
                message.generation = state["generation"]
                await self.send(message)
                self.world.on_chunk(self.number, chunks)
                chunks += 1
                due_s += CHUNK / RATE
                await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
        state["phrase"] = None
        state["history"].append(["assistant", "all of it"])
        await self.event(pb.END_OF_TURN)
        await self.tell_state()
        await self.event(pb.LISTENING)


class ResumingGateway(pb_grpc.VoiceGatewayServicer):
    """One gateway of a world."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name

    async def CheckBackends(self, request: pb.CheckBackendsRequest, context: Any) -> pb.CheckBackendsResponse:  # noqa: N802
        return pb.CheckBackendsResponse()

    async def StreamAudio(self, request_iterator: Any, context: Context) -> None:  # type: ignore[override] # noqa: N802
        self.world.metadata.append({key: str(value) for key, value in context.invocation_metadata() or ()})
        if self.name in self.world.refuse:
            await _refuse(context, *self.world.refuse[self.name])
        config = (await anext(request_iterator)).config
        served = Served(self.name, config)
        self.world.calls.append(served)
        resume = config.resume if config.HasField("resume") else None
        fresh: dict[str, Any] = {"turn": 0, "generation": 0, "history": [], "through": 0}
        fresh |= {"phrase": None, "first_phrase": 0}
        call = _Conversation(self.world, served, context, json.loads(resume.token) if resume is not None else fresh)
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(call.live(), name="live"), tasks.create_task(call.moves(), name="moves")]
            try:
                await call.begin(resume)
                async for message in request_iterator:
                    match message.WhichOneof("content"):
                        case "audio_chunk":
                            # Callers that do not resume send no positions.
                            await call.heard(message.first_sample or call.end, message.audio_chunk)
                        case "text_input":
                            await call.commit(message.text_input, spoken=False)
                        case _:
                            pass
                served.half_closed = True
                if call.onset is not None:
                    call.onset = None
                    await call.commit(QUESTION, spoken=True)
                if call.answer is not None:
                    await call.answer
            finally:
                for task in [*background, *([call.answer] if call.answer is not None else [])]:
                    task.cancel()


async def _refuse(context: Context, code: grpc.StatusCode, reason: str) -> None:
    info, retry = any_pb2.Any(), any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="voice_workflow"))
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(50)
    retry.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    details = [info, retry] if code is grpc.StatusCode.RESOURCE_EXHAUSTED else [info]
    status = status_pb2.Status(code=code.value[0], message="not now", details=details)
    await context.abort(code, "not now", trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),))


@contextlib.asynccontextmanager
async def gateway(
    world: World, name: str = "a", credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[str]:
    """Serve on loopback; gives the target."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_VoiceGatewayServicer_to_server(ResumingGateway(world, name), server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class Wire:
    """A TCP connection's way to a gateway, which tests cut or freeze: as a killed process and a dead node look."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.refuses = False
        self._frozen = False
        self._moving = asyncio.Event()
        self._moving.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self, *, for_good: bool = True) -> None:
        """Reset every connection, and take no more where `for_good`."""
        self.refuses = for_good
        for writer in self._writers:
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing through any more; connections stay, and new ones are taken."""
        self._moving.clear()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection comes."""
        if self.refuses:
            writer.transport.abort()
            return
        host, _, port = self.target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._writers |= {writer, far_writer}
        pair = [(reader, far_writer), (far_reader, writer)]
        tasks = [asyncio.create_task(self._carry(*ends), name="wire") for ends in pair]
        self._tasks |= set(tasks)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._moving.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def close(self) -> None:
        """Let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def wire_to(target: str) -> AsyncIterator[Wire]:
    """A wire with an address of its own."""
    wire = Wire(target)
    server = await asyncio.start_server(wire.take, "127.0.0.1", 0)
    wire.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
