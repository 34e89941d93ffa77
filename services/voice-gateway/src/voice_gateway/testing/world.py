"""A gateway's inside with fake backends, and callers that speak by script. Made for virtual time."""

import asyncio
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from voice_gateway.application.call import Call
from voice_gateway.application.canned import KINDS, CannedClip, CannedSpeech, ClipKey
from voice_gateway.application.clock import LoopClock
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import (
    AnswerTextOut,
    AudioIn,
    AudioOut,
    Capability,
    EventKind,
    EventOut,
    Hello,
    Inbound,
    Outbound,
    TranscriptOut,
)
from voice_gateway.application.overrides import admit
from voice_gateway.application.ports import Backends, CheckpointSeal, EndOfTurnModel, JournalSink, Resampler
from voice_gateway.application.recording import NoJournals
from voice_gateway.application.services import CallServices, SharedKnowledge
from voice_gateway.application.tracing import NoTracer, Tracer
from voice_gateway.domain.breaker import BreakerState
from voice_gateway.domain.errors import BackendKind, BadRequest, GatewayError
from voice_gateway.domain.report import TurnReport
from voice_gateway.testing.backends import AsrScript, FakeAsr, FakeLlm, FakeTts, LlmScript, Log, TtsScript
from voice_gateway.testing.spares import Spares

FRAME_MS = 20
CLOSING_S = 3600.0
"""Longest wait for a call that is expected to end by itself."""
SPEECH_SAMPLE = b"\x40\x1f"
APOLOGY_SAMPLE = b"\x7f\x7f"
APOLOGY_MS_PER_CHARACTER = 60
ALL_CAPABILITIES = frozenset(Capability) - {Capability.CHECKPOINTS}
RESUMABLE = frozenset(Capability)


class FakeVoice:
    """Any sample that is not zero is speech."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.frame_samples = sample_rate_hz * FRAME_MS // 1000

    late_samples = 0
    steady = False

    async def is_speech(self, frame: bytes) -> bool:
        """Judge one frame."""
        return any(frame)


class FakeAudioTools:
    """Voice activity by sound or silence; resampling by repeating or skipping samples."""

    def voice_activity(self, sample_rate_hz: int) -> FakeVoice:
        """A detector."""
        return FakeVoice(sample_rate_hz)

    def resampler(self, from_hz: int, to_hz: int) -> Resampler | None:
        """A crude resampler."""
        return None if from_hz == to_hz else _Nearest(from_hz, to_hz)

    def scaled(self, pcm: bytes, gain_db: float) -> bytes:
        """Louder or quieter, sample by sample."""
        gain = 10.0 ** (gain_db / 20.0)
        return array("h", [round(sample * gain) for sample in array("h", pcm)]).tobytes()

    def likeness(self, heard: bytes, heard_hz: int, played: bytes, played_hz: int) -> float:
        """1 where the last sound heard is played audio, byte by byte."""
        sound = heard.lstrip(b"\0")
        return 1.0 if sound and heard_hz == played_hz and sound in played else 0.0


class _Nearest:
    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz

    def process(self, pcm: bytes) -> bytes:
        count = len(pcm) // 2 * self._to_hz // self._from_hz
        places = (index * self._from_hz // self._to_hz * 2 for index in range(count))
        return b"".join(pcm[place : place + 2] for place in places)

    def flush(self) -> bytes:
        return b""


class FakeTelemetry:
    """Keeps what is told to it."""

    def __init__(self) -> None:
        self.checkpoint_bytes: list[int] = []
        self.resume_gaps: list[tuple[str, float]] = []
        self.counts: Counter[str] = Counter()
        self.reports: list[TurnReport] = []
        self.trace_ids: list[str] = []
        """Of each turn, for exemplars."""
        self.longest_pause_ms = 0.0
        self.uplink_jitter_ms = 0.0

    def call_started(self) -> None:
        """Count."""
        self.counts["call_started"] += 1

    def call_ended(self, status: str, *, after_s: float) -> None:  # noqa: ARG002
        """Count."""
        self.counts[f"call_ended_{status}"] += 1

    def call_refused(self, reason: str) -> None:
        """Count."""
        self.counts[f"call_refused_{reason}"] += 1

    def turn_ended(self, report: TurnReport, *, trace_id: str = "") -> None:
        """Keep."""
        self.reports.append(report)
        self.trace_ids.append(trace_id)

    def uplink_jitter(self, milliseconds: float) -> None:
        """Keep the latest."""
        self.uplink_jitter_ms = milliseconds

    def llm_tokens(self, count: int) -> None:
        """Count."""
        self.counts["llm_tokens"] += count

    def tts_characters(self, count: int) -> None:
        """Count."""
        self.counts["tts_characters"] += count

    def backend_error(self, kind: BackendKind, reason: str) -> None:
        """Count."""
        self.counts[f"{kind}_{reason}"] += 1

    def speculation(self, outcome: str, wasted_characters: int) -> None:
        """Count."""
        self.counts[f"speculation_{outcome}"] += 1
        self.counts["speculation_wasted_characters"] += wasted_characters

    def answer_resumed(self, after_ms: float) -> None:
        """Count, and keep the longest pause."""
        self.counts["answer_resumed"] += 1
        self.longest_pause_ms = max(self.longest_pause_ms, after_ms)

    def stale_dropped(self, what: str) -> None:
        """Count."""
        self.counts[f"stale_{what}"] += 1

    def breaker_changed(self, kind: BackendKind, position: int, state: BreakerState) -> None:
        """Count."""
        self.counts[f"breaker_{kind}_{position}_{state.value}"] += 1

    def failed_over(self, kind: BackendKind, position: int, reason: str) -> None:
        """Count."""
        self.counts[f"failed_over_{kind}_{position}_{reason}"] += 1

    def apologised(self, kind: BackendKind, form: str) -> None:
        """Count."""
        self.counts[f"apologised_{kind}_{form}"] += 1

    def checkpoint_made(self, size_bytes: int) -> None:
        """Keep."""
        self.checkpoint_bytes.append(size_bytes)

    def resume_asked(self, cause: str, result: str) -> None:
        """Count."""
        self.counts[f"resume_{cause}_{result}"] += 1

    def resume_gap(self, cause: str, seconds: float) -> None:
        """Keep."""
        self.resume_gaps.append((cause, seconds))

    def uplink_gaps(self, count: int) -> None:
        """Count."""
        self.counts["uplink_gaps"] += count


def prepared(config: "FixedConfig") -> CannedSpeech:
    """Apologies that are ready: each sample is `APOLOGY_SAMPLE`, so that listeners can tell what they hear."""
    canned, tts, apology = CannedSpeech(config, FakeAudioTools()), config.current().tts, config.current().apology
    for kind in KINDS:
        text = apology.text(kind, tts.language_code, configured_language=tts.language_code)
        pcm = APOLOGY_SAMPLE * (len(text) * APOLOGY_MS_PER_CHARACTER * tts.sample_rate_hz // 1000)
        canned.hold(ClipKey(text, tts.language_code, tts.voice, tts.sample_rate_hz), CannedClip(text, pcm))
    return canned


class FixedConfig:
    """A configuration that tests may replace."""

    def __init__(self, config: CallConfig) -> None:
        self.config = config

    def current(self) -> CallConfig:
        """The newest."""
        return self.config


@dataclass(slots=True)
class Received:
    """A message that reached the caller, with the loop's time in ms."""

    at_ms: float
    message: Outbound


class FakeTransport:
    """One caller's connection. While `flowing` is not set, writes wait."""

    def __init__(self) -> None:
        self.inbound: asyncio.Queue[Inbound | BadRequest | None] = asyncio.Queue(maxsize=64)
        """What the caller sends; a BadRequest is a message that the wire cannot read, None the half-close."""
        self.received: list[Received] = []
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._arrived = asyncio.Event()

    async def receive(self) -> Inbound | None:
        """The caller's next message."""
        message = await self.inbound.get()
        if isinstance(message, BadRequest):
            raise message
        return message

    async def send(self, message: Outbound) -> None:
        """Take a message to the caller."""
        await self.flowing.wait()
        self.received.append(Received(asyncio.get_running_loop().time() * 1000, message))
        self._arrived.set()

    async def until_event(self, kind: EventKind, *, count: int = 1) -> Received:
        """Wait for the `count`-th event of a kind."""
        while len(found := [item for item in self.received if is_event(item.message, kind)]) < count:
            self._arrived.clear()
            await self._arrived.wait()
        return found[count - 1]

    async def until_audio(self) -> Received:
        """Wait for the first audio."""
        while not (found := [item for item in self.received if isinstance(item.message, AudioOut)]):
            self._arrived.clear()
            await self._arrived.wait()
        return found[0]

    # ---- what was received ------------------------------------------------------------------------------------------

    def events(self) -> list[str]:
        """Kinds of the events received, in order."""
        return [item.message.kind.value for item in self.received if isinstance(item.message, EventOut)]

    def finals(self) -> list[str]:
        """Final transcripts."""
        return [i.message.text for i in self.received if isinstance(i.message, TranscriptOut) and i.message.final]

    def interims(self) -> list[str]:
        """Interim transcripts."""
        return [i.message.text for i in self.received if isinstance(i.message, TranscriptOut) and not i.message.final]

    def answer(self, turn: int) -> str:
        """Text of a turn's answer."""
        texts = (i.message for i in self.received if isinstance(i.message, AnswerTextOut))
        return "".join(message.text for message in texts if message.turn == turn)

    def audio(self, turn: int | None = None) -> list[Received]:
        """Audio received, of one turn or all."""
        return [
            item
            for item in self.received
            if isinstance(item.message, AudioOut) and (turn is None or item.message.turn == turn)
        ]


def is_event(message: Outbound, kind: EventKind) -> bool:
    """Whether `message` is an event of `kind`."""
    return isinstance(message, EventOut) and message.kind is kind


@dataclass(slots=True)
class World:
    """Fake backends, a configuration, and calls on them."""

    asr: AsrScript = field(default_factory=AsrScript)
    llm: LlmScript = field(default_factory=LlmScript)
    tts: TtsScript = field(default_factory=TtsScript)
    config: FixedConfig = field(default_factory=lambda: FixedConfig(CallConfig()))
    log: Log = field(default_factory=Log)
    telemetry: FakeTelemetry = field(default_factory=FakeTelemetry)
    knowledge: SharedKnowledge = field(default_factory=SharedKnowledge)
    journals: JournalSink = field(default_factory=NoJournals)
    tracer: Tracer = field(default_factory=NoTracer)
    turn_model: EndOfTurnModel | None = None
    seal: CheckpointSeal | None = None
    """With one, clients that keep checkpoints can resume."""
    spares: Spares | None = None
    """Where there are some, calls have lists of backends, with breakers."""
    canned: CannedSpeech = field(init=False)
    """Holds the configured apologies in the configured voice, as soon after the start of a process."""

    def __post_init__(self) -> None:
        self.canned = prepared(self.config)

    @asynccontextmanager
    async def call(
        self,
        hello: Hello | None = None,
        *,
        ends_with: type[GatewayError] | None = None,
        call_id: str = "call-1",
        headers: Sequence[tuple[str, str]] = (),
    ) -> AsyncIterator["Caller"]:
        """A call in progress. On leaving, the caller half-closes and the call runs to its end. Raises the call's error,
        or AssertionError where it did not end with the error in `ends_with`. `headers` are what comes with the call.
        """
        hello = hello or Hello(sample_rate_hz=16_000)
        asr = FakeAsr(self.asr, self.log)
        llm, tts = FakeLlm(self.llm, self.log), FakeTts(self.tts, self.log)
        backends = Backends(asr, llm, tts)
        if self.spares is not None:
            backends = self.spares.behind(backends, self.log, self.telemetry)
        services = CallServices(
            self.config,
            FakeAudioTools(),
            LoopClock(),
            self.telemetry,
            self.knowledge,
            self.canned,
            self.turn_model,
            journals=self.journals,
            seal=self.seal,
        )
        transport = FakeTransport()
        trace = self.tracer.call_started(call_id, headers)
        trace.begun()
        call = Call(admit(hello, self.config.current()), transport, backends, services, call_id=call_id, trace=trace)
        running = asyncio.create_task(call.run(), name="call")
        caller = Caller(call, transport, running, asr, llm, tts, call.admitted.input_rate_hz)
        try:
            yield caller
            if ends_with is None:
                await caller.half_close()
                await running
            else:
                await asyncio.wait((running,), timeout=CLOSING_S)
                error = running.exception() if running.done() else None
                assert isinstance(error, ends_with), f"the call ended with {error!r}, not {ends_with.__name__}"
                caller.error = error
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            trace.ended("ok" if caller.error is None else caller.error.reason.lower())


@dataclass(slots=True)
class Caller:
    """One scripted caller."""

    call: Call
    transport: FakeTransport
    running: asyncio.Task[None]
    asr: FakeAsr
    llm: FakeLlm
    tts: FakeTts
    rate_hz: int
    error: GatewayError | None = None
    """What the call ended with, where that was expected."""

    async def send(self, message: Inbound | BadRequest | None) -> None:
        """Send any message, unless the call is over: then nobody reads."""
        if self.running.done():
            return
        if not self.transport.inbound.full():
            self.transport.inbound.put_nowait(message)
            return
        sending = asyncio.ensure_future(self.transport.inbound.put(message))
        try:
            await asyncio.wait((sending, self.running), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def speak(self, milliseconds: int, *, paced: bool = True, sample: bytes = SPEECH_SAMPLE) -> float:
        """Speak in real time, or as fast as the gateway reads; gives the time of the end in ms."""
        return await self._stream(sample, milliseconds, paced)

    async def silence(self, milliseconds: int, *, paced: bool = True) -> float:
        """Stream silence."""
        return await self._stream(b"\x00\x00", milliseconds, paced)

    async def silence_until(self, waiting: "asyncio.Task[Received]") -> Received:
        """Stream silence until something happened. Raises what ends the call before it happens."""
        try:
            while not waiting.done():
                if self.running.done():
                    await self.running
                    raise AssertionError("the call ended well, and what was waited for did not happen")
                await self.silence(FRAME_MS)
            return waiting.result()
        finally:
            waiting.cancel()

    async def listen_for(self, kind: EventKind, *, count: int = 1) -> Received:
        """Stream silence until an event arrives."""
        return await self.silence_until(asyncio.create_task(self.transport.until_event(kind, count=count)))

    async def half_close(self) -> None:
        """Say nothing more."""
        await self.send(None)

    async def _stream(self, sample: bytes, milliseconds: int, paced: bool) -> float:
        frame = sample * (self.rate_hz * FRAME_MS // 1000)
        loop = asyncio.get_running_loop()
        for _ in range(milliseconds // FRAME_MS):
            if paced:
                await asyncio.sleep(FRAME_MS / 1000)
            await self.send(AudioIn(frame))
        return loop.time() * 1000
