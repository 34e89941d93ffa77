"""A load caller: dials, speaks, listens, thinks, interrupts, hangs up, dials again."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass

from voice_clients.caller import CallConfig
from voice_clients.channel import Security
from voice_clients.errors import CallError, GatewayFullError, first_error
from voice_clients.load.clockwork import Chunks
from voice_clients.load.phone import CallOverError, Phone
from voice_clients.load.records import Outcome, Records, TurnRecord
from voice_clients.load.scenario import Scenario
from voice_clients.load.speech import Utterance
from voice_clients.resuming import ResumeOptions, ResumingCall, connect_resuming

CONNECT_TIMEOUT_S = 10.0
REDIAL_AFTER_S = 1.0
LONGEST_ANSWER_S = 120.0
HANG_UP_S = 5.0
HEARD_BEFORE_INTERRUPTION_S = (0.4, 1.5)
RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Line:
    """Where and how calls are made."""

    targets: tuple[str, ...]
    security: Security
    config: CallConfig
    resume_for_s: float


class User:
    """One caller. `finishing` is set when no turn may begin any more."""

    def __init__(
        self,
        number: int,
        *,
        scenario: Scenario,
        line: Line,
        pool: list[Utterance],
        records: Records,
        chunks: Chunks,
        finishing: asyncio.Event,
    ) -> None:
        self._number = number
        self._scenario = scenario
        self._line = line
        self._pool = pool
        self._records = records
        self._chunks = chunks
        self._finishing = finishing
        self._random = random.Random(f"{scenario.seed}-{number}")  # noqa: S311 - no secret: when a caller speaks
        self._up = False
        self._said = number  # users begin with different questions

    async def run(self) -> None:
        """Call until no turn may begin any more."""
        await self._idle(self._scenario.dials_after_s(self._number))
        while not self._finishing.is_set():
            await self._idle(await self._one_call())

    async def _idle(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._finishing.wait()

    async def _one_call(self) -> float:
        """Returns how long to wait until the next one, in seconds."""
        line, error = self._line, None
        self._records.calls.dialled += 1
        self._up, phone, dialled_ns = False, None, time.monotonic_ns()
        try:
            options = ResumeOptions(line.resume_for_s, connect_timeout_s=CONNECT_TIMEOUT_S, start=self._number)
            async with connect_resuming(line.targets, line.config, security=line.security, options=options) as call:
                acks = bool(line.config.capabilities)
                phone = Phone(call, RATE_HZ, self._scenario.chunk_ms, self._chunks, acks=acks)
                try:
                    await self._hold(call, phone, dialled_ns)
                finally:
                    self._note_resumptions(call)
        except* CallError as group:
            error = first_error(group)
        finally:
            self._records.calls.up -= self._up
        if phone is not None and phone.ended is not None:
            error = error or phone.ended.error
            self._records.calls.ended_well += error is None
        if error is not None:
            return self._call_failed(error)
        return self._random.uniform(*self._scenario.think_s)

    async def _hold(self, call: ResumingCall, phone: Phone, dialled_ns: int) -> None:
        """A call from its first chunk to its end."""
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(phone.read(), name="load-read")
            streaming = tasks.create_task(phone.stream(), name="load-microphone")
            with contextlib.suppress(CallOverError):
                await self._conversation(phone, dialled_ns)
            phone.switch_off()
            await streaming
            await call.half_close()
            with contextlib.suppress(CallOverError, TimeoutError):
                await phone.until(lambda: phone.ended is not None, HANG_UP_S)
            reading.cancel()

    def _note_resumptions(self, call: ResumingCall) -> None:
        self._records.resumptions += call.resumptions
        self._records.calls.resume_failed += call.is_given_up

    def _call_failed(self, error: CallError) -> float:
        calls, now_ns = self._records.calls, time.monotonic_ns()
        self._records.error(error.reason or type(error).__name__.removesuffix("Error"), now_ns)
        if isinstance(error, GatewayFullError):
            calls.refused += 1
            return (error.retry_after_ms or 1000 * REDIAL_AFTER_S) / 1000
        calls.broken += 1
        return REDIAL_AFTER_S

    async def _conversation(self, phone: Phone, dialled_ns: int) -> None:
        """Raises CallOverError."""
        scenario = self._scenario
        try:
            await phone.until(lambda: phone.greeted_ns > 0, scenario.answer_timeout_s)
        except TimeoutError:
            self._records.error("NO_GREETING", time.monotonic_ns())
            return
        if phone.ended is not None:  # what it said was no
            raise CallOverError
        self._up = True
        self._records.calls.goes_up()
        self._records.setup_ms.append((phone.greeted_ns - dialled_ns) / 1e6)
        await self._idle(self._random.uniform(*scenario.think_s))
        turns, interrupting = 0, False
        while not (self._finishing.is_set() or phone.going_away or turns >= (scenario.turns_per_call or turns + 1)):
            turns += 1
            last = turns == scenario.turns_per_call
            interrupting = await self._turn(phone, interrupting=interrupting, last=last)
            if not interrupting:
                await self._idle(self._random.uniform(*scenario.think_s))

    async def _turn(self, phone: Phone, *, interrupting: bool, last: bool) -> bool:
        """Say something and hear the answer. Returns whether the answer is to be spoken over. Raises CallOverError."""
        turn = TurnRecord(interrupting)
        self._records.turns.append(turn)
        utterance = self._pool[self._said % len(self._pool)]
        self._said += 1
        timeout_s = self._scenario.answer_timeout_s
        try:
            await phone.say(utterance, turn, timeout_s=utterance.seconds + timeout_s)
            await phone.until(lambda: turn.first_audio_ns > 0 or turn.ended, timeout_s)
            will = not last and self._random.random() < self._scenario.interrupt_share
            if will and turn.first_audio_ns and not turn.error:
                await self._idle(self._random.uniform(*HEARD_BEFORE_INTERRUPTION_S))
                if phone.speaking and not self._finishing.is_set():
                    turn.outcome = Outcome.ANSWERED
                    return True
            await phone.until(lambda: turn.ended, LONGEST_ANSWER_S)
        except TimeoutError:
            self._not_answered(turn, "ANSWER_NOT_ENDED" if turn.first_audio_ns else "NO_ANSWER")
            return False
        except CallOverError:
            self._not_answered(turn, "CALL_ENDED")
            raise
        if turn.error:
            self._not_answered(turn, turn.error)
            return False
        turn.outcome = Outcome.ANSWERED
        await asyncio.sleep(max(0.0, (phone.speaker.silent_at_ns() - time.monotonic_ns()) / 1e9))  # hear it to its end
        return False

    def _not_answered(self, turn: TurnRecord, reason: str) -> None:
        turn.error = turn.error or reason
        turn.outcome = Outcome.LOST if turn.error == "NO_ANSWER" else Outcome.FAILED
        self._records.error(turn.error, time.monotonic_ns())
