"""Callers whose connection can be lost, and gateways that they find again, on virtual time.

A phone keeps what the contract says that a client keeps: the last token, the microphone's audio since what it accounts
for, and how much it has played.
"""

import asyncio
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from voice_gateway.application.call import Call
from voice_gateway.application.clock import LoopClock
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import (
    AnswerTextOut,
    AudioIn,
    AudioOut,
    Capability,
    CheckpointOut,
    EventKind,
    EventOut,
    GoAwayOut,
    Hello,
    Inbound,
    Outbound,
    PlaybackOut,
    PlaybackVerb,
    PlayedIn,
    ResumeIn,
    SessionOut,
    TranscriptOut,
)
from voice_gateway.application.ports import Backends, JournalSink
from voice_gateway.application.recording import NoJournals
from voice_gateway.application.runner import CallRunner
from voice_gateway.application.services import CallServices, SharedKnowledge
from voice_gateway.domain.conversation import Message
from voice_gateway.testing.backends import (
    FIRST_WORD,
    AsrScript,
    FakeAsr,
    FakeLlm,
    FakeTts,
    FixedBackends,
    LlmScript,
    Log,
    TtsScript,
)
from voice_gateway.testing.seals import OpenSeal
from voice_gateway.testing.world import RESUMABLE, FakeAudioTools, FakeTelemetry, FakeTransport, FixedConfig, prepared

RATE_HZ = 16_000
STEP_MS = 20
STEP_SAMPLES = RATE_HZ * STEP_MS // 1000
ACK_EVERY_STEPS = 5
AGAIN_SAMPLES = RATE_HZ // 10
"""Of a message with audio that is sent again."""


class Pods:
    """Gateways that share nothing but their backends and the key."""

    def __init__(
        self,
        said: Sequence[str],
        answers: dict[str, str],
        *,
        config: CallConfig | None = None,
        count: int = 2,
        ms_per_character: float = 20,
        journals: JournalSink | None = None,
    ) -> None:
        self._journals = journals or NoJournals()
        self.log, self.telemetry = Log(), FakeTelemetry()
        self.values = {text: value for value, text in enumerate(said, start=2)}
        meanings = {value: text for text, value in self.values.items()}
        self.asr = FakeAsr(AsrScript(meanings=meanings, interim_every_ms=100), self.log)
        self.llm = FakeLlm(LlmScript(answers=answers, first_token_ms=60, token_interval_ms=40), self.log)
        self.tts = FakeTts(
            TtsScript(ms_per_character=ms_per_character, numbered_words=True, first_chunk_ms=40), self.log
        )
        self.seal = OpenSeal()
        self.config = FixedConfig(config or CallConfig())
        self.runners = [self._runner() for _ in range(count)]

    def _runner(self) -> CallRunner:
        services = CallServices(
            self.config,
            FakeAudioTools(),
            LoopClock(),
            self.telemetry,
            SharedKnowledge(),
            prepared(self.config),
            journals=self._journals,
            seal=self.seal,
        )
        return CallRunner(services, FixedBackends(Backends(self.asr, self.llm, self.tts)))

    def held(self) -> list[Call]:
        """Calls in progress."""
        return [call for runner in self.runners for call in runner._running.values()]

    def history(self) -> tuple[Message, ...]:
        """Of the one call in progress."""
        (call,) = self.held()
        return call.machine.state.history


class _Line(FakeTransport):
    """A connection of a phone."""

    def __init__(self, phone: "Phone") -> None:
        super().__init__()
        self._phone = phone

    async def send(self, message: Outbound) -> None:
        """Take a message to the phone."""
        await super().send(message)
        self._phone.take(message, self)


@dataclass(slots=True)
class Kept:
    """What a phone needs to go on with its call."""

    token: bytes = b""
    through: int = 0
    generation: int = 0
    played: int = 0


@dataclass(slots=True)
class Seen:
    """What a phone received."""

    sessions: list[SessionOut] = field(default_factory=list)
    finals: list[tuple[int, str]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    """Turns that END_OF_TURN was told of."""
    errors: list[str] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    """Of answers."""
    words: list[int] = field(default_factory=list)
    """Sample values as they were played, each run of equal ones once."""
    go_aways: list[GoAwayOut] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    """When something arrived."""
    tokens: int = 0


class Loudspeaker:
    """What came and was not yet played."""

    def __init__(self) -> None:
        self._buffer: deque[AudioOut] = deque()
        self._offset = 0

    def take(self, audio: AudioOut) -> None:
        """It comes after what is there."""
        self._buffer.append(audio)

    def stop(self) -> None:
        """Throw away what was not played."""
        self._buffer.clear()
        self._offset = 0

    def play(self, samples: int, kept: Kept, words: list[int]) -> bool:
        """Play so many, if there are any: counted in `kept`, and heard as `words`."""
        any_played = False
        while samples and self._buffer:
            first = self._buffer[0]
            pcm = array("h", first.pcm)[self._offset : self._offset + samples]
            if first.generation != kept.generation:
                kept.generation, kept.played = first.generation, 0
            for value in pcm:
                if not words or words[-1] != value:
                    words.append(value)
            kept.played += len(pcm)
            self._offset += len(pcm)
            samples -= len(pcm)
            any_played = True
            if 2 * self._offset >= len(first.pcm):
                self._buffer.popleft()
                self._offset = 0
        return any_played


class Phone:
    """One caller. `run` is its task: the microphone, the loudspeaker and the acknowledgements."""

    def __init__(
        self, pods: Pods, *, capabilities: frozenset[Capability] = RESUMABLE, more_again_samples: int = 0
    ) -> None:
        """`more_again_samples`: sent again, beyond what was asked for."""
        self._more_again = more_again_samples
        self.broke_off: list[int] = []
        """Words that were begun to be played, at each loss."""
        self.kept, self.seen = Kept(), Seen()
        self.pods = pods
        self.call: asyncio.Task[None] | None = None
        self._capabilities = capabilities
        self._line: _Line | None = None
        self._mic = bytearray()
        self._saying: deque[int] = deque()
        self._loudspeaker = Loudspeaker()
        self._pod = -1
        self._closed = False
        self._again = False
        """Audio is sent again: what is recorded meanwhile follows it."""
        self.left: list[asyncio.Task[None]] = []
        """Streams that a gateway asked to leave."""

    # ---- the connection ---------------------------------------------------------------------------------------------

    async def connect(self, *, cause: str = "reset", takes_s: float = 0.0) -> None:
        """To the next gateway, with the call if there is one. What it says of its microphone is as old as dialling
        takes.
        """
        self._pod += 1
        hello = Hello(sample_rate_hz=RATE_HZ, capabilities=self._capabilities)
        kept = self.kept
        if kept.token:
            played = PlayedIn(kept.generation, kept.played) if kept.generation else None
            gap_ms = round(asyncio.get_running_loop().time() * 1000 - self.seen.times_ms[-1])
            at = max(0, kept.through - self._more_again)
            resume = ResumeIn(kept.token, at, len(self._mic) // 2, played, cause, gap_ms)
            hello = replace(hello, resume=resume)
        if takes_s:
            await asyncio.sleep(takes_s)
        self._line = line = _Line(self)
        runner = self.pods.runners[self._pod % len(self.pods.runners)]
        self.call = asyncio.create_task(
            runner.run(hello, line, call_id=f"stream-{self._pod}"), name=f"call-{self._pod}"
        )
        self._again = True
        at = max(0, kept.through - self._more_again) if kept.token else 0
        while at < len(self._mic) // 2:
            until = min(len(self._mic) // 2, at + AGAIN_SAMPLES)
            await self._send(AudioIn(bytes(self._mic[2 * at : 2 * until]), at))
            at = until
        self._again = False
        if self._closed:
            await self._send(None)

    async def lose(self) -> None:
        """The process at the other end is killed."""
        call, self.call, self._line = self.call, None, None
        self._stop_playing()
        if call is not None:
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call

    def _stop_playing(self) -> None:
        self.broke_off.append(len(self.seen.words))
        self._loudspeaker.stop()

    async def move(self) -> None:
        """The gateway asked for it: connect anew, and leave the old stream then."""
        old, line = self.call, self._line
        assert old is not None
        assert line is not None
        self._stop_playing()
        await self.connect(cause="go_away")
        self.left.append(old)
        if not old.done():
            await line.inbound.put(None)

    async def _send(self, message: Inbound | None) -> None:
        call, line = self.call, self._line
        if call is None or line is None or call.done():
            return
        putting = asyncio.ensure_future(line.inbound.put(message))
        await asyncio.wait((putting, call), return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    # ---- the caller --------------------------------------------------------------------------------------------------

    async def say(self, text: str, *, milliseconds: int = 400) -> None:
        """Say a text that the recogniser understands."""
        self._saying.extend([self.pods.values[text]] * (milliseconds // STEP_MS))
        while self._saying:  # noqa: ASYNC110 - the phone's own steps
            await asyncio.sleep(STEP_MS / 1000)

    async def until_ended(self, turns: int) -> None:
        """Wait until so many turns are over."""
        while len(set(self.seen.ended)) < turns:  # noqa: ASYNC110 - the phone's own steps
            await asyncio.sleep(STEP_MS / 1000)

    async def until_heard(self, words: int) -> None:
        """Wait until so many words were begun to be played."""
        while len(self.seen.words) < words:  # noqa: ASYNC110 - the phone's own steps
            await asyncio.sleep(STEP_MS / 1000)

    async def half_close(self) -> None:
        """Say nothing more."""
        self._closed = True
        await self._send(None)

    async def run(self) -> None:
        """Hear and be heard until cancelled."""
        steps = 0
        while True:
            await asyncio.sleep(STEP_MS / 1000)
            steps += 1
            value = self._saying.popleft() if self._saying else 0
            at, frame = len(self._mic) // 2, value.to_bytes(2, "little") * STEP_SAMPLES
            if not self._closed:
                self._mic += frame
            if not self._closed and not self._again:
                await self._send(AudioIn(frame, at))
            if self.seen.go_aways and self.seen.go_aways[-1].checkpoint is not None and not self._closed:
                self.seen.go_aways.clear()
                await self.move()
            if self._loudspeaker.play(STEP_SAMPLES, self.kept, self.seen.words) and steps % ACK_EVERY_STEPS == 0:
                await self._acknowledge()

    # ---- the phone ---------------------------------------------------------------------------------------------------

    def take(self, message: Outbound, line: _Line) -> None:
        """Something arrives."""
        if line is not self._line:
            return
        self.seen.times_ms.append(asyncio.get_running_loop().time() * 1000)
        match message:
            case SessionOut():
                self.seen.sessions.append(message)
            case CheckpointOut():
                self._keep(message)
            case GoAwayOut():
                self.seen.go_aways.append(message)
                if message.checkpoint is not None:
                    self._keep(message.checkpoint)
            case TranscriptOut(turn, text, True):
                self.seen.finals.append((turn, text))
            case AnswerTextOut(turn, text):
                self.seen.texts[turn] = self.seen.texts.get(turn, "") + text
            case EventOut(turn, EventKind.END_OF_TURN):
                self.seen.ended.append(turn)
            case EventOut(kind=EventKind.ERROR, reason=reason):
                self.seen.errors.append(reason)
            case AudioOut():
                self._loudspeaker.take(message)
            case PlaybackOut(verb=PlaybackVerb.FLUSH):
                self._loudspeaker.stop()
            case _:
                pass

    def _keep(self, checkpoint: CheckpointOut) -> None:
        self.seen.tokens += bool(checkpoint.token)
        self.kept.token = checkpoint.token or self.kept.token
        self.kept.through = checkpoint.received_through_sample

    async def _acknowledge(self) -> None:
        if Capability.PLAYBACK_ACKS in self._capabilities:
            await self._send(PlayedIn(self.kept.generation, self.kept.played))

    def heard(self) -> list[str]:
        """The words that were played, in order; a word that was begun twice is there twice."""
        return [self.pods.tts.words[value - FIRST_WORD].word for value in self.seen.words if value >= FIRST_WORD]
