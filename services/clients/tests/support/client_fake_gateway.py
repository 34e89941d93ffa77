"""A small gateway that keeps the contract and follows a script: what the clients' tests talk to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import numpy as np
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[pb.ClientMessage, pb.ServerMessage]

LOUD_RMS = 500.0
ENDPOINT_MS = 200
ANSWER_CHUNKS = 10
CHUNK_MS = 20


def tone(seconds: float, rate: int = 16_000, *, hz: float = 440.0, level: float = 0.4) -> bytes:
    """A sine, s16le."""
    time = np.arange(int(seconds * rate)) / rate
    return (np.sin(2 * np.pi * hz * time) * level * 32767).astype("<i2").tobytes()


def silence(seconds: float, rate: int = 16_000) -> bytes:
    """Zeros, s16le."""
    return bytes(int(seconds * rate) * 2)


@dataclass
class Script:
    """What the gateway does out of the ordinary."""

    refuse: grpc.StatusCode | None = None
    refuse_reason: str = "GATEWAY_FULL"
    refuse_text: str = "10 of 10 calls are taken"
    retry_after_ms: int | None = 1500
    break_after_bytes: int | None = None  # the call ends after so much audio
    break_with: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    mute: bool = False  # never recognises anything
    stall: bool = False  # never sends anything
    error_event: str = ""  # in place of an answer
    report: bool = True
    go_away: bool = False  # after each turn
    flush_after_chunks: int | None = None  # interrupts its own answer
    pause_after_chunks: int | None = None  # takes something for speech, and goes on with the answer
    greeting: bytes = b""  # s16le at 16 kHz, played as soon as the call begins
    offers_all: bool = False  # hold, keypad, settings of the running call
    backends_ok: bool = True
    backend_model: str = "llama"
    serving: bool = True
    answer: str = "You said hello. Nice."
    transcript: str = "hello gateway"


@dataclass
class Heard:
    """What the gateway was told."""

    configs: list[pb.VoiceConfig] = field(default_factory=list)
    audio_bytes: int = 0
    audio: bytearray = field(default_factory=bytearray)
    texts: list[str] = field(default_factory=list)
    controls: list[int] = field(default_factory=list)
    digits: str = ""
    updates: list[pb.SessionOverrides] = field(default_factory=list)
    acks: list[tuple[int, int]] = field(default_factory=list)
    half_closes: int = 0
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)
    cancelled: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add_ack(self, played: pb.Played) -> None:
        """Take an acknowledgement."""
        async with self.changed:
            self.acks.append((played.generation, played.samples))
            self.changed.notify_all()

    async def ack_of(self, generation: int, samples: int) -> None:
        """Wait for an acknowledgement."""
        async with self.changed:
            await self.changed.wait_for(lambda: (generation, samples) in self.acks)


class _Conversation:
    """One call."""

    def __init__(
        self,
        script: Script,
        heard: Heard,
        config: pb.VoiceConfig,
        context: Context,
        messages: AsyncIterator[pb.ClientMessage],
    ) -> None:
        self._script = script
        self._messages = messages
        self._heard = heard
        self._context = context
        self._capabilities = set(config.capabilities)
        self._rate = config.sample_rate or 16_000
        self._out_rate = config.output_sample_rate or self._rate
        self._spoken = False
        self._quiet_ms = 0.0
        self._turn = 1
        self._generation = 0

    def _has(self, capability: pb.ClientCapability.ValueType) -> bool:
        return capability in self._capabilities

    async def send(self, message: pb.ServerMessage) -> None:
        if self._has(pb.SESSION_INFO):
            message.turn = self._turn
            message.generation = message.generation or self._generation
        await self._context.write(message)

    async def event(self, kind: pb.EventType.ValueType, text: str = "") -> None:
        await self.send(pb.ServerMessage(event=pb.ServerEvent(type=kind, message=text)))

    async def begin(self) -> None:
        if self._has(pb.SESSION_INFO):
            offers = pb.ServerCapabilities(controls=[pb.CONTROL_INTERRUPT, pb.CONTROL_COMMIT_AUDIO, pb.CONTROL_PING])
            if self._script.offers_all:
                offers.controls.extend([pb.CONTROL_PAUSE, pb.CONTROL_RESUME])
                offers.dtmf = offers.update = True
                offers.overrides.extend(["tts_voice", "language_code"])
            session = pb.SessionStarted(
                call_id="call-1", capabilities=offers, input_sample_rate=self._rate, output_sample_rate=self._out_rate
            )
            await self._context.write(pb.ServerMessage(session=session))
        await self.event(pb.LISTENING)
        if self._script.greeting:
            self._generation += 1
            await self.event(pb.SPEAKING)
            for at in range(0, len(self._script.greeting), 6400):
                chunk = self._script.greeting[at : at + 6400]
                await self.send(pb.ServerMessage(audio_chunk=chunk, first_sample=at // 2))
            await self.event(pb.END_OF_TURN)

    async def audio(self, data: bytes) -> None:
        self._heard.audio_bytes += len(data)
        self._heard.audio += data
        if self._script.mute or self._script.stall:
            return
        samples = np.frombuffer(data, dtype="<i2").astype(np.float64)
        loud = len(samples) > 0 and float(np.sqrt(np.mean(samples**2))) > LOUD_RMS
        if loud:
            if not self._spoken:
                await self.send(pb.ServerMessage(transcript_chunk=f"{self._script.transcript.split()[0]}..."))
            self._spoken, self._quiet_ms = True, 0.0
        elif self._spoken:
            self._quiet_ms += len(samples) * 1000 / self._rate
            if self._quiet_ms >= ENDPOINT_MS:
                await self.finish_turn()

    async def finish_turn(self, typed: str | None = None) -> None:
        self._spoken, self._quiet_ms = False, 0.0
        self._generation += 1
        script = self._script
        if typed is None:
            await self.send(pb.ServerMessage(transcript_chunk=script.transcript))
        await self.event(pb.PROCESSING)
        if script.error_event:
            await self.event(pb.ERROR, script.error_event)
            await self.event(pb.END_OF_TURN)
        else:
            await self._answer()
        if script.go_away and self._has(pb.GO_AWAY):
            await self.send(pb.ServerMessage(go_away=pb.GoAway(reason="A new version comes.", deadline_ms=5000)))
        self._turn += 1
        await self.event(pb.LISTENING)

    async def _answer(self) -> None:
        script = self._script
        for word in script.answer.split(" "):
            await self.send(pb.ServerMessage(llm_response_chunk=f"{word} "))
        await self.event(pb.SPEAKING)
        chunk = tone(CHUNK_MS / 1000, self._out_rate)
        first = 0
        for number in range(ANSWER_CHUNKS):
            if number == script.flush_after_chunks:
                await self._flush()
                break
            if number == script.pause_after_chunks:
                first = number
                await self._pause(number * len(chunk) // 2)
            message = pb.ServerMessage(audio_chunk=chunk)
            if self._has(pb.SESSION_INFO):
                message.first_sample = (number - first) * len(chunk) // 2
            await self.send(message)
        await self.event(pb.END_OF_TURN)
        if script.report and self._has(pb.LATENCY_REPORTS):
            stages = [
                pb.LatencyStage(stage="endpoint", start_ms=0, end_ms=200),
                pb.LatencyStage(stage="llm_first_token", start_ms=200, end_ms=320),
                pb.LatencyStage(stage="tts_first_audio", start_ms=320, end_ms=400),
            ]
            await self.send(pb.ServerMessage(latency=pb.LatencyReport(stages=stages, endpoint_rule="silence")))

    async def _pause(self, sent: int) -> None:
        """Once all that was sent is heard: duck, pause, find that nobody spoke, go on with the next generation."""
        async for message in self._messages:
            if message.WhichOneof("content") == "played":
                await self._heard.add_ack(message.played)
                if (message.played.generation, message.played.samples) == (self._generation, sent):
                    break
        duck = pb.PlaybackCommand(action=pb.PLAYBACK_DUCK, gain_db=-15.0)
        await self.send(pb.ServerMessage(playback=duck))
        await self._flush()
        await self.event(pb.SPEAKING)

    async def _flush(self) -> None:
        self._generation += 1
        command = pb.PlaybackCommand(action=pb.PLAYBACK_FLUSH)
        await self.send(pb.ServerMessage(playback=command, generation=self._generation))

    async def half_closed(self) -> None:
        self._heard.half_closes += 1
        if self._spoken:
            await self.finish_turn()


class FakeGateway(pb_grpc.VoiceGatewayServicer):
    """The servicer; `script` may be changed between calls."""

    def __init__(self) -> None:
        self.script = Script()
        self.heard = Heard()
        self.called = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def StreamAudio(  # type: ignore[override] # noqa: N802 - grpc.aio takes a coroutine that writes
        self, request_iterator: AsyncIterator[pb.ClientMessage], context: Context
    ) -> None:
        try:
            await self._converse(request_iterator, context)
        except asyncio.CancelledError:
            self.heard.cancelled += 1
            raise
        finally:
            self.hung_up.set()

    async def _converse(self, messages: AsyncIterator[pb.ClientMessage], context: Context) -> None:
        self.heard.metadata = [(str(key), value) for key, value in context.invocation_metadata() or ()]
        if self.script.refuse is not None:
            await self._refuse(context)
        first = await anext(messages)
        if first.WhichOneof("content") != "config":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message must be config")
        self.heard.configs.append(first.config)
        self.called.set()
        call = _Conversation(self.script, self.heard, first.config, context, messages)
        if self.script.stall:
            await asyncio.Event().wait()
        await call.begin()
        async for message in messages:
            match message.WhichOneof("content"):
                case "audio_chunk":
                    await call.audio(message.audio_chunk)
                case "text_input":
                    self.heard.texts.append(message.text_input)
                    await call.finish_turn(message.text_input)
                case "control":
                    self.heard.controls.append(message.control.kind)
                    if message.control.kind == pb.CONTROL_PING:
                        await call.send(pb.ServerMessage(pong=pb.Pong(ping_id=message.control.ping_id)))
                    if message.control.kind == pb.CONTROL_COMMIT_AUDIO:
                        await call.half_closed()
                case "dtmf":
                    self.heard.digits += message.dtmf.digit
                case "update":
                    self.heard.updates.append(message.update)
                case "played":
                    await self.heard.add_ack(message.played)
                case _:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unknown message")
            limit = self.script.break_after_bytes
            if limit is not None and self.heard.audio_bytes >= limit:
                if self.script.break_with is grpc.StatusCode.OK:
                    return
                await context.abort(self.script.break_with, "Cancelling all calls")
        await call.half_closed()

    async def _refuse(self, context: Context) -> None:
        script = self.script
        assert script.refuse is not None
        info, retry = any_pb2.Any(), any_pb2.Any()
        info.Pack(error_details_pb2.ErrorInfo(reason=script.refuse_reason, domain="voice_workflow"))
        details = [info]
        if script.retry_after_ms is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(script.retry_after_ms)
            retry.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
            details.append(retry)
        code: int = script.refuse.value[0]
        status = status_pb2.Status(code=code, message=script.refuse_text, details=details)
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(script.refuse, script.refuse_text, trailing_metadata=trailing)

    async def CheckBackends(  # noqa: N802 - the contract's name
        self,
        request: pb.CheckBackendsRequest,
        context: grpc.aio.ServicerContext[pb.CheckBackendsRequest, pb.CheckBackendsResponse],
    ) -> pb.CheckBackendsResponse:
        good, model = self.script.backends_ok, self.script.backend_model
        return pb.CheckBackendsResponse(
            backends=[
                pb.BackendStatus(kind="asr", configured="parakeet", ok=True, detail="knows the model", latency_ms=12),
                pb.BackendStatus(kind="llm", configured=model, ok=True, detail="answers", latency_ms=40),
                pb.BackendStatus(
                    kind="tts",
                    configured="English-US.Female-1",
                    ok=good,
                    detail="knows the voice" if good else "does not know the voice",
                    latency_ms=9,
                    available=["English-US.Male-1"],
                ),
            ]
        )


@contextlib.asynccontextmanager
async def serving(
    gateway: FakeGateway, *, port: int = 0, credentials: grpc.ServerCredentials | None = None, health: bool = True
) -> AsyncIterator[str]:
    """Serve on loopback; gives the target."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_VoiceGatewayServicer_to_server(gateway, server)
    if health:
        servicer = HealthServicer()
        state = health_pb2.HealthCheckResponse
        await servicer.set(
            "voice_workflow.VoiceGateway", state.SERVING if gateway.script.serving else state.NOT_SERVING
        )
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{port}"
    bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(None)
