"""One call: its tasks, its inbox, and the loop that turns the machine's decisions into deeds.

Tasks of a call: `receive` (uplink), `drive` (the machine), `downlink` (the only writer), `watch` (limits), one for each
utterance's recognition and one for the answer. They live in one TaskGroup and none outlives it.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, assert_never

from servicekit.logs import get_logger
from voice_gateway.application import outputs
from voice_gateway.application.canned import CannedSpeech
from voice_gateway.application.config import ConfigSource, Limits
from voice_gateway.application.downlink import Downlink
from voice_gateway.application.hearing import Hearing
from voice_gateway.application.inbox import Inbox
from voice_gateway.application.messages import Capability
from voice_gateway.application.overrides import Admitted, apply
from voice_gateway.application.ports import AsrRequest, AudioTools, Backends, CallTransport, Clock, Telemetry
from voice_gateway.application.recognition import UtteranceRecognition
from voice_gateway.application.reply import Reply
from voice_gateway.application.uplink import Uplink
from voice_gateway.application.watch import watch
from voice_gateway.domain.actions import (
    Action,
    CancelReply,
    CloseAsr,
    CountStale,
    EndCall,
    FinalizeAsr,
    FlushAsr,
    OpenAsr,
    ReleaseAudio,
    RememberNoForceEou,
    ReportTurn,
    ResetSpeech,
    SendEvent,
    SendGoAway,
    SendPlayback,
    SendTranscript,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.call_state import CallState, Tuning
from voice_gateway.domain.errors import BackendError, CallEnded, CallTooLong, Draining, GatewayError
from voice_gateway.domain.events import CallFailed, CallStarted, DrainRequested, Event, Retuned
from voice_gateway.domain.journal import Journal
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.turn import TurnMachine

log = get_logger(__name__)

CLOSING_TIMEOUT_S = 1.0
"""Longest that a recognition nobody waits for may take to end by itself, and the last messages to be written."""


@dataclass(slots=True)
class SharedKnowledge:
    """What calls learn about the backends and later calls of the process use."""

    force_eou_ignored: bool = False


@dataclass(frozen=True, slots=True)
class CallServices:
    """What every call of a process shares."""

    config: ConfigSource
    tools: AudioTools
    clock: Clock
    telemetry: Telemetry
    knowledge: SharedKnowledge
    canned: CannedSpeech


class Call:
    """One caller's conversation. `run` it once."""

    def __init__(
        self, admitted: Admitted, transport: CallTransport, backends: Backends, services: CallServices, *, call_id: str
    ) -> None:
        self.admitted = admitted
        self.call_id = call_id
        self._services = services
        self._backends = backends
        self._config = apply(services.config.current(), admitted)
        self._failure: GatewayError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reply_task: asyncio.Task[None] | None = None
        self.inbox = Inbox(services.clock, started_ms=services.clock.ms())
        tuning = Tuning(self._config.turn, history_tokens=self._config.llm.history_tokens)
        known = services.knowledge.force_eou_ignored
        self.machine = TurnMachine(state=CallState(tuning=tuning, force_eou_ignored=known))
        self.journal = Journal.of(self.machine)
        flushes = Capability.PLAYBACK_FLUSHES in admitted.capabilities
        playout = self._config.playout
        lead_ms = playout.lead_ms if flushes else playout.legacy_lead_ms
        self.downlink = Downlink(
            transport,
            services.clock,
            self.inbox.put,
            sample_rate_hz=admitted.output_rate_hz,
            frame_ms=max(10, min(playout.frame_ms, lead_ms // 3)),
            lead_ms=lead_ms,
            buffer_ms=playout.buffer_ms,
        )
        self.hearing = Hearing(
            client_rate_hz=admitted.input_rate_hz,
            config=self._config.asr,
            policy=self._config.turn,
            tools=services.tools,
            announce=self._announce,
            may_go_on=self._may_listen_on,
            now_ms=self.inbox.now,
            heard_samples=self.downlink.heard_samples,
        )
        self.uplink = Uplink(transport, self.hearing, self.downlink, self.inbox, self._config.limits)
        self._moved = asyncio.Event()

    @property
    def limits(self) -> Limits:
        """Bounds of this call."""
        return self._config.limits

    # ---- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation. Returns when it has ended well; raises GatewayError when it ended for a reason."""
        self.downlink.post(outputs.session(self.call_id, self.admitted, self._config))
        try:
            await self._converse()
        except BaseExceptionGroup as failed:
            if (error := _gateway_error(failed)) is None:
                raise
            raise error from failed
        finally:
            self.inbox.close()
        if self._failure is not None:
            raise self._failure

    async def _converse(self) -> None:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self.downlink.run(), name="downlink")
            self._spawn(group, self._receive(), "receive")
            self._spawn(group, watch(self), "watch")
            await self._drive(group)
            for task in self._tasks:
                task.cancel()
            self.downlink.close()
            await asyncio.wait((writing,), timeout=CLOSING_TIMEOUT_S)
            writing.cancel()

    async def drain(self, *, deadline_ms: int) -> None:
        """The process stops in `deadline_ms`: end at the next turn boundary."""
        await self.inbox.put(DrainRequested(self.inbox.now() + deadline_ms))

    def _spawn(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _receive(self) -> None:
        """Broken messages and limits of the uplink end the call as events do."""
        try:
            await self.uplink.run()
        except GatewayError as error:
            await self.fail(error)

    async def fail(self, error: GatewayError) -> None:
        """End the call because of `error`."""
        self._failure = self._failure or error
        await self.inbox.put(CallFailed(error.reason, str(error), error.retryable))

    async def _announce(self, event: Event) -> None:
        await self.inbox.put(event)
        await self.inbox.settled()

    async def _may_listen_on(self) -> None:
        """Hold a client back that is far ahead of real time during an answer: it cannot mean to interrupt."""
        while (
            self.machine.phase in (Phase.ENDPOINTING, Phase.THINKING, Phase.SPEAKING, Phase.INTERRUPTING)
            and self.hearing.intake.received_ms - self.inbox.now() > self._config.limits.run_ahead_ms
        ):
            self._moved.clear()
            self.uplink.held_back = True
            await self._moved.wait()
        self.uplink.held_back = False

    # ---- the loop ---------------------------------------------------------------------------------------------------

    async def _drive(self, group: asyncio.TaskGroup) -> None:
        started = CallStarted(self.admitted.output_rate_hz, self._config.llm.system_prompt)
        self._handle(started, self.inbox.now(), group)
        while not self.machine.finished:
            now, event = await self.inbox.next(self.machine.deadline())
            phase = self.machine.phase
            self._retune(now, group)
            self._handle(event, now, group)
            self.inbox.handled(event)
            if self.machine.phase is not phase:
                self._moved.set()

    def _handle(self, event: Event, now: int, group: asyncio.TaskGroup) -> None:
        self.journal.record(now, event)
        for action in self.machine.handle(event, now=now):
            self._perform(action, group)

    def _perform(self, action: Action, group: asyncio.TaskGroup) -> None:
        match action:
            case SendEvent() | SendTranscript() | SendPlayback() | SendGoAway():
                self._send(action)
            case OpenAsr():
                self._open_recognition(action, group)
            case FlushAsr() | FinalizeAsr() | CloseAsr():
                self._tell_recognition(action)
            case ResetSpeech():
                self.hearing.reset()
            case StartReply() | SpeakVerbatim():
                self._start_reply(action, group)
            case ReleaseAudio():
                self.downlink.release(action.generation)
            case CancelReply():
                self._cancel_reply(action)
            case ReportTurn():
                self._services.telemetry.turn_ended(action.report)
                self._send_latency(action)
            case RememberNoForceEou():
                self._services.knowledge.force_eou_ignored = True
                log.info("force_eou_ignored")
            case CountStale():
                self._services.telemetry.stale_dropped(action.what)
            case EndCall():
                self._failure = self._failure or _failure_of(action)
            case _:
                assert_never(action)

    def _send(self, action: SendEvent | SendTranscript | SendPlayback | SendGoAway) -> None:
        self.downlink.post(outputs.of(action))

    def _send_latency(self, action: ReportTurn) -> None:
        report = action.report
        stages = {stage.name: round(stage.end_ms) for stage in report.stages}
        rule, outcome = report.endpoint_rule, report.outcome
        log.info("turn_ended", turn=report.turn, rule=rule, outcome=outcome, ms_after_speech=stages)
        if Capability.LATENCY_REPORTS in self.admitted.capabilities:
            self.downlink.post(outputs.latency(report))

    # ---- recognition ------------------------------------------------------------------------------------------------

    def _open_recognition(self, action: OpenAsr, group: asyncio.TaskGroup) -> None:
        asr = self._config.asr
        preroll = asr.preroll_ms * asr.sample_rate_hz // 1000
        start = max(self.hearing.log.start, self.hearing.spoken_through, action.from_sample - preroll)
        for earlier in self.hearing.recognitions.values():
            earlier.stop_at(start)
        recognition = UtteranceRecognition(
            action.utterance,
            start,
            log=self.hearing.log,
            asr=self._backends.asr,
            config=asr,
            request=AsrRequest(asr.sample_rate_hz, asr.language_code, asr.model, self.call_id, asr.open_timeout_ms),
            post=self.inbox.put,
            on_error=self._count_error,
        )
        self.hearing.recognitions[action.utterance] = recognition
        recognition.audio_arrived()
        task = self._spawn(group, recognition.run(), f"asr-{action.utterance}")
        recognition.task = task
        task.add_done_callback(lambda _: self.hearing.recognitions.pop(action.utterance, None))

    def _tell_recognition(self, action: FlushAsr | FinalizeAsr | CloseAsr) -> None:
        recognition = self.hearing.recognitions.get(action.utterance)
        if recognition is None:
            return
        match action:
            case FlushAsr():
                recognition.flush()
            case FinalizeAsr():
                recognition.finalize(half_close=action.half_close)
            case CloseAsr():
                recognition.close()
                if recognition.task is not None:
                    asyncio.get_running_loop().call_later(CLOSING_TIMEOUT_S, recognition.task.cancel)
            case _:
                assert_never(action)

    def _count_error(self, error: BackendError) -> None:
        self._services.telemetry.backend_error(error.kind, error.reason)
        log.warning("backend_failed", kind=error.kind, reason=error.reason, detail=error.detail)

    # ---- answers ----------------------------------------------------------------------------------------------------

    def _start_reply(self, order: StartReply | SpeakVerbatim, group: asyncio.TaskGroup) -> None:
        reply = Reply(
            order,
            call_id=self.call_id,
            config=self._config,
            output_rate_hz=self.admitted.output_rate_hz,
            backends=self._backends,
            tools=self._services.tools,
            canned=self._services.canned,
            downlink=self.downlink,
            telemetry=self._services.telemetry,
            post=self.inbox.put,
        )
        self.downlink.begin(order.turn, order.generation)
        self._reply_task = self._spawn(group, reply.run(), f"reply-{order.turn}")

    def _cancel_reply(self, action: CancelReply) -> None:
        self.downlink.cut(action.turn)
        if self._reply_task is not None:
            self._reply_task.cancel()
            self._reply_task = None

    def _retune(self, now: int, group: asyncio.TaskGroup) -> None:
        """Take the newest configuration: the next answer is made with it. An answer under way keeps the one that it
        began with, and the call the rate that its audio is recognised at.
        """
        newest = self._services.config.current()
        if newest.revision == self._config.revision:
            return
        rate_hz = self._config.asr.sample_rate_hz
        self._config = apply(replace(newest, asr=replace(newest.asr, sample_rate_hz=rate_hz)), self.admitted)
        self.hearing.retune(self._config.turn)
        llm = self._config.llm
        self._handle(Retuned(self._config.turn, llm.system_prompt, llm.history_tokens), now, group)
        log.info("call_retuned", revision=newest.revision)


def _gateway_error(failed: BaseExceptionGroup[BaseException]) -> GatewayError | None:
    """The first error of the call itself among those that ended its tasks."""
    for error in failed.exceptions:
        found = _gateway_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, GatewayError):
            return found
    return None


def _failure_of(end: EndCall) -> GatewayError | None:
    match end.reason:
        case "":
            return None
        case "DRAINING":
            return Draining(end.message, retry_after_ms=1_000)
        case "CALL_TOO_LONG":
            return CallTooLong(end.message)
        case _:
            return CallEnded(end.message)
