"""Callers for benchmarks: real speech in real time, over the caller library that `voice` uses.

Each caller speaks an utterance, streams silence until the answer has ended, waits a moment, and speaks again. It plays
what it receives on a simulated loudspeaker, obeys flushes, and acknowledges what it played.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf

from voice_clients.caller import Call, CallConfig, connect
from voice_clients.events import (
    LEGACY,
    MODERN,
    AnswerAudio,
    Ended,
    Event,
    EventKind,
    Playback,
    PlaybackAction,
    Session,
)
from voice_clients.playback import PlaybackBuffer

RATE_HZ = 16_000
LOUD = 300.0
"""RMS above which a chunk counts as speech, as in the fake recogniser."""
ACK_EVERY_MS = 160
"""Within the 100 to 200 that the contract asks for."""
TURN_TIMEOUT_S = 60.0
MAX_GAP_S = 1.0


@dataclass(slots=True)
class Turn:
    """One spoken turn; times are time.monotonic() in ms."""

    index: int
    speech_start_ms: float = 0.0
    speech_end_ms: float = 0.0
    first_audio_ms: float | None = None
    last_audio_ms: float | None = None
    flush_ms: float | None = None
    heard_after_onset_samples: int = 0
    ended_ms: float | None = None


@dataclass(slots=True)
class CallRecord:
    """What one caller measured."""

    number: int
    call_id: str = ""
    lead_ms: int = 0
    turns: list[Turn] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0
    underruns: int = 0


def utterances(folder: Path, chunk_ms: int) -> list[list[bytes]]:
    """Recorded questions as chunks of `chunk_ms` at 16 kHz, silence at both ends cut off."""
    found: list[list[bytes]] = []
    chunk_bytes = RATE_HZ * chunk_ms // 1000 * 2
    for path in sorted(folder.glob("*.wav")):
        samples, rate_hz = sf.read(path, dtype="int16")
        if rate_hz != RATE_HZ:
            raise ValueError(f"{path.name} has {rate_hz} Hz; {RATE_HZ} is needed")
        pcm = samples.tobytes()
        chunks = [pcm[start : start + chunk_bytes] for start in range(0, len(pcm) - chunk_bytes + 1, chunk_bytes)]
        loud = [index for index, chunk in enumerate(chunks) if rms(chunk) >= LOUD]
        found.append(chunks[loud[0] : loud[-1] + 1])
    if not found:
        raise FileNotFoundError(f"there are no recordings in {folder}")
    return found


def rms(chunk: bytes) -> float:
    """Root mean square of 16 bit samples."""
    samples = np.frombuffer(chunk, dtype="<i2").astype(np.float32)
    return float(np.sqrt(np.mean(samples * samples)))


class Caller:
    """One caller. With `interrupt_after_ms` it speaks over every answer, so long after its start, and hangs up during
    the last.
    """

    def __init__(
        self,
        number: int,
        target: str,
        speech: list[list[bytes]],
        *,
        turns: int,
        interrupt_after_ms: float | None = None,
        legacy: bool = False,
    ) -> None:
        self.record = CallRecord(number)
        self._target = target
        self._speech = speech
        self._chunk_bytes = len(speech[0][0])
        self._chunk_ms = self._chunk_bytes * 1000 // (2 * RATE_HZ)
        self._turns = turns
        self._interrupt_after_ms = interrupt_after_ms
        self._legacy = legacy
        self._random = random.Random(number)
        self._speaker = PlaybackBuffer(RATE_HZ, prebuffer_ms=0)
        self._turn = Turn(-1)
        self._answering = asyncio.Event()
        self._ended = asyncio.Event()
        self._due_s = 0.0

    async def run(self) -> CallRecord:
        """Hold the call; failures are noted, not raised."""
        config = CallConfig(
            language_code="en-US",
            session_id=f"bench-{self.record.number}",
            sample_rate_hz=RATE_HZ,
            capabilities=LEGACY if self._legacy else MODERN,
        )
        started_s = time.monotonic()
        try:
            async with connect(self._target, config) as call, asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(call))
                await self._talk(call)
                if self._interrupt_after_ms is None:
                    await call.half_close()
                    async with asyncio.timeout(TURN_TIMEOUT_S):
                        await reading
                else:
                    reading.cancel()
        except* Exception as errors:  # noqa: BLE001 - a benchmark counts what fails
            self.record.error = "; ".join(f"{type(e).__name__}: {e}" for e in errors.exceptions)
        self.record.seconds = time.monotonic() - started_s
        return self.record

    async def _talk(self, call: Call) -> None:
        self._due_s = time.monotonic()
        await self._silence(call, self._random.uniform(0.1, 0.5))
        for index in range(self._turns):
            await self._speak(call, index)
            if self._interrupt_after_ms is not None:
                await self._silence(call, TURN_TIMEOUT_S, until=self._answering)
                await self._silence(call, self._interrupt_after_ms / 1000)
                continue
            await self._silence(call, TURN_TIMEOUT_S, until=self._ended)
            if not self._ended.is_set():
                raise TimeoutError(f"turn {index} had no end after {TURN_TIMEOUT_S:g} s")
            await self._silence(call, self._random.uniform(0.3, MAX_GAP_S))

    async def _speak(self, call: Call, index: int) -> None:
        turn = Turn(index)
        self.record.turns.append(turn)
        self._answering.clear()
        self._ended.clear()
        chunks = self._speech[(self.record.number + index) % len(self._speech)]
        before, self._turn = self._turn, turn
        turn.speech_start_ms = time.monotonic() * 1000
        for chunk in chunks:
            heard = self._speaker.take(len(chunk) // 2)
            if before.index >= 0 and rms(heard) > 0:
                before.heard_after_onset_samples += len(chunk) // 2
            await self._chunk(call, chunk)
        turn.speech_end_ms = time.monotonic() * 1000

    async def _silence(self, call: Call, seconds: float, *, until: asyncio.Event | None = None) -> None:
        zeros = bytes(self._chunk_bytes)
        for _ in range(int(seconds * 1000 / self._chunk_ms)):
            if until is not None and until.is_set():
                return
            self._speaker.take(self._chunk_bytes // 2)
            await self._chunk(call, zeros)

    async def _chunk(self, call: Call, chunk: bytes) -> None:
        """Send one chunk at its time, by an absolute schedule; acknowledge playback now and then."""
        self._due_s += self._chunk_ms / 1000
        await asyncio.sleep(max(0.0, self._due_s - time.monotonic()))
        await call.send_audio(chunk)
        if not self._legacy and int(self._due_s * 1000) % ACK_EVERY_MS < self._chunk_ms:
            for ack in self._speaker.next_acks():
                await call.ack(ack.generation, ack.samples)

    async def _read(self, call: Call) -> None:
        async for event in call:
            now_ms = event.at_ns / 1e6
            match event:
                case Session(call_id=call_id, playout_lead_ms=lead_ms):
                    self.record.call_id, self.record.lead_ms = call_id, lead_ms
                case AnswerAudio(pcm=pcm, generation=generation, first_sample=first_sample):
                    self._speaker.push(pcm, generation=generation, first_sample=first_sample)
                    self._note_audio(now_ms)
                case Playback(action=action, generation=generation, gain_db=gain_db):
                    self._speaker.command(action, generation=generation, gain_db=gain_db)
                    if action is PlaybackAction.FLUSH:
                        self._flushed(now_ms)
                case Event(kind=EventKind.END_OF_TURN):
                    self._end_of_turn(now_ms)
                case Event(kind=EventKind.ERROR, reason=reason, message=message):
                    self.record.error = self.record.error or f"{reason}: {message}"
                case Ended(error=error):
                    if error is not None:
                        raise error
                case _:
                    pass

    def _note_audio(self, now_ms: float) -> None:
        """Audio belongs to the last turn whose answer has not ended."""
        turn = self._answered()
        if turn.first_audio_ms is None:
            turn.first_audio_ms = now_ms
            if turn is self._turn:
                self._answering.set()
        turn.last_audio_ms = now_ms

    def _flushed(self, now_ms: float) -> None:
        if len(self.record.turns) > 1:
            self.record.turns[-2].flush_ms = now_ms

    def _end_of_turn(self, now_ms: float) -> None:
        turn = self._answered()
        turn.ended_ms = now_ms
        self._speaker.end_of_answer()
        if turn is self._turn:
            self._ended.set()

    def _answered(self) -> Turn:
        return next((turn for turn in self.record.turns if turn.ended_ms is None), self._turn)
