"""One call: its tasks, its inbox, and the loop that turns the machine's decisions into deeds.

Tasks of a call: `receive` (uplink), `drive` (the machine), `downlink` (the only writer), `watch` (limits), one for each
utterance's recognition and one for the answer. They live in one TaskGroup and none outlives it.
"""

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, assert_never

from servicekit.logs import get_logger
from voice_gateway.application import outputs, overrides
from voice_gateway.application.answers import Answers, Spawn
from voice_gateway.application.config import CallConfig, Limits
from voice_gateway.application.continuity import LEAVING_S, Continuity
from voice_gateway.application.downlink import Downlink
from voice_gateway.application.hearing import Hearing
from voice_gateway.application.inbox import Inbox
from voice_gateway.application.messages import Capability, UpdateIn
from voice_gateway.application.overrides import Admitted, apply
from voice_gateway.application.ports import Backends, CallTransport
from voice_gateway.application.recognitions import Recognitions
from voice_gateway.application.recording import RecordedJournal
from voice_gateway.application.resumption import CallMoved, Resumption
from voice_gateway.application.services import CallServices
from voice_gateway.application.tracing import NO_TRACE, CallSpans, CallTrace
from voice_gateway.application.understanding import Understanding
from voice_gateway.application.uplink import Uplink
from voice_gateway.application.watch import watch
from voice_gateway.domain import turn_reports
from voice_gateway.domain.actions import (
    Action,
    AdoptReply,
    AwaitSilence,
    CancelReply,
    CloseAsr,
    CountResumed,
    CountSpeculation,
    CountStale,
    EndCall,
    FinalizeAsr,
    FlushAsr,
    MoveCall,
    OpenAsr,
    PauseReply,
    ReleaseAudio,
    RememberNoForceEou,
    ReportTurn,
    ResetSpeech,
    ResumeReply,
    ScoreTurn,
    SendEvent,
    SendGoAway,
    SendPlayback,
    SendTranscript,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.call_state import CallState, Learned, Tuning
from voice_gateway.domain.errors import CallEnded, CallTooLong, Draining, GatewayError
from voice_gateway.domain.events import CallFailed, CallStarted, DrainRequested, Event, PlaybackStarted, Retuned, Tick
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.report import Stage, TurnReport
from voice_gateway.domain.turn import TurnMachine

log = get_logger(__name__)

CLOSING_TIMEOUT_S = 1.0
"""Longest that the last messages may take to be written."""


BUSY = (Phase.ENDPOINTING, Phase.THINKING, Phase.SPEAKING, Phase.INTERRUPTING, Phase.PAUSED)
"""Phases in which a client that sends a file must not run ahead."""


class _Tasks:
    """The tasks of a call beside the one that writes."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start one."""
        task = self._group.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def cancel(self, *, besides: asyncio.Task[None] | None) -> None:
        """End them."""
        for task in self._running - {besides}:
            task.cancel()


class Call:
    """One caller's conversation. `run` it once."""

    def __init__(
        self,
        admitted: Admitted,
        transport: CallTransport,
        backends: Backends,
        services: CallServices,
        *,
        call_id: str,
        trace: CallTrace = NO_TRACE,
        principal: str = "",
        resumption: Resumption | None = None,
    ) -> None:
        self.admitted = admitted
        self._services = services
        self._config = apply(services.config.current(), admitted)
        self.spans = CallSpans(trace, services.clock, call_id=call_id, personal=self._config.log_words)
        self._failure: GatewayError | None = None
        self.continuity = Continuity(
            self, services.seal, services.telemetry, principal=principal, resumption=resumption
        )
        self.inbox = Inbox(services.clock, started_ms=services.clock.ms())
        self.machine = self._make_machine()
        self.journal = self._make_journal()
        self.downlink = self._make_downlink(transport)
        self._answers = Answers(admitted, backends, self.downlink, services, spans=self.spans, post=self.inbox.put)
        self.hearing = Hearing(
            client_rate_hz=admitted.input_rate_hz,
            config=self._config.asr,
            policy=self._config.turn,
            tools=services.tools,
            announce=self._announce,
            run_ahead_ms=self._config.limits.run_ahead_ms,
            may_go_on=self._may_listen_on,
            now_ms=self.inbox.now,
            loudspeaker=self.downlink,
            resumption=resumption,
        )
        understanding = self._make_understanding()
        self._recognitions = Recognitions(
            backends.asr,
            self.hearing,
            services,
            spans=self.spans,
            understanding=understanding,
            post=self.inbox.put,
        )
        self.uplink = Uplink(
            transport,
            self.hearing,
            self.downlink,
            self.inbox,
            self._config.limits,
            understanding=understanding,
            update=self._update,
        )
        self._moved = asyncio.Event()

    def _make_downlink(self, transport: CallTransport) -> Downlink:
        flushes = Capability.PLAYBACK_FLUSHES in self.admitted.capabilities
        playout = self._config.playout
        lead_ms = playout.lead_ms if flushes else playout.legacy_lead_ms
        return Downlink(
            transport,
            self._services.clock,
            self.inbox.put,
            sample_rate_hz=self.admitted.output_rate_hz,
            frame_ms=max(10, min(playout.frame_ms, lead_ms // 3)),
            lead_ms=lead_ms,
            buffer_ms=playout.buffer_ms,
            scale=self._services.tools.scaled,
            keeper=self.continuity if self.continuity.kept else None,
        )

    def _make_understanding(self) -> Understanding:
        return Understanding(
            lambda: self.machine.state,
            language_code=self._config.asr.language_code,
            lists=self._config.phrase_lists,
            salt=secrets.token_hex(8),
            heard_samples=self.downlink.heard_samples,
            sounds_like_echo=self.hearing.echo,
            now_ms=self.inbox.now,
        )

    @property
    def call_id(self) -> str:
        """By which logs and backends know the call."""
        return self.spans.call_id

    @property
    def limits(self) -> Limits:
        """Bounds of this call."""
        return self._config.limits

    # ---- life -------------------------------------------------------------------------------------------------------

    def _make_machine(self) -> TurnMachine:
        knowledge = self._services.knowledge
        learned = Learned(force_eou_ignored=knowledge.force_eou_ignored, lag=knowledge.recogniser_lag)
        return TurnMachine(state=CallState(tuning=_tuning(self._config), learned=learned))

    def _make_journal(self) -> RecordedJournal:
        return RecordedJournal.for_call(
            self.machine.state, self._services.journals, call_id=self.call_id, config_revision=self._config.revision
        )

    async def run(self) -> None:
        """Hold the conversation. Returns when it has ended well; raises GatewayError when it ended for a reason."""
        with self.journal.recording(self.machine):
            try:
                await self._run()
            finally:
                self._tell_of_turn_left()
                self.spans.close()

    async def _run(self) -> None:
        resumed, kept = self.continuity.resumption is not None, self._services.seal is not None
        self.downlink.post(
            outputs.session(self.call_id, self.admitted, self._config, resumed=resumed, checkpoints=kept)
        )
        try:
            async with self.continuity.here():
                await self._converse()
        except BaseExceptionGroup as failed:
            if (error := _gateway_error(failed)) is None:
                raise
            raise error from failed
        finally:
            self.inbox.close()
        if self._failure is not None:
            raise self._failure
        if self.continuity.moved:
            raise CallMoved

    async def _converse(self) -> None:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self.downlink.run(), name="downlink")
            tasks = _Tasks(group)
            receiving = tasks.spawn(self._receive(), "receive")
            tasks.spawn(watch(self), "watch")
            await self._drive(tasks.spawn)
            self.uplink.ignores = True
            tasks.cancel(besides=receiving if self.continuity.moved else None)
            self.downlink.close()
            await asyncio.wait((writing,), timeout=CLOSING_TIMEOUT_S)
            if self.continuity.moved:
                # It was sent away: it leaves, or the stream ends.
                await asyncio.wait((receiving,), timeout=LEAVING_S)
                receiving.cancel()
            writing.cancel()

    async def drain(self, *, deadline_ms: int, resumable_ms: int | None = None) -> None:
        """The process stops in `deadline_ms`: end at the next turn boundary. A call that can go on elsewhere does so at
        its next turn boundary, or in `resumable_ms`.
        """
        now = self.inbox.now()
        if resumable_ms is None or not self.continuity.movable:
            await self.inbox.put(DrainRequested(now + deadline_ms))
        else:
            await self.inbox.put(DrainRequested(now + resumable_ms, resumable=True))

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
        while self.machine.phase in BUSY and self.hearing.intake.runs_ahead(self.inbox.now()):
            self._moved.clear()
            self.uplink.held_back = True
            await self._moved.wait()
        self.uplink.held_back = False

    # ---- the loop ---------------------------------------------------------------------------------------------------

    async def _drive(self, spawn: Spawn) -> None:
        self._handle(self._opening(), self.inbox.now(), spawn)
        while not self.machine.finished:
            now, event = await self.inbox.next(self.machine.deadline())
            if isinstance(event, Tick):
                event = Tick(self.downlink.heard_samples())
            phase = self.machine.phase
            self._retune(now, spawn)
            self._handle(event, now, spawn)
            self.inbox.handled(event)
            if self.machine.phase is not phase:
                self._moved.set()

    def _opening(self) -> Event:
        prompt, rate_hz = self._config.llm.system_prompt, self._config.asr.sample_rate_hz
        if self.continuity.resumption is None:
            return CallStarted(self.admitted.output_rate_hz, prompt, rate_hz)
        self.continuity.begun(self._services.clock.ms())
        return self.continuity.resumption.event(system_prompt=prompt, input_sample_rate_hz=rate_hz)

    def _handle(self, event: Event, now: int, spawn: Spawn) -> None:
        self.journal.record(now, event)
        for action in self.machine.handle(event, now=now):
            self._perform(action, spawn)
        if self.continuity.news():
            self.downlink.post_checkpoint()
        if self.machine.state.reply is None or isinstance(event, PlaybackStarted):
            self.continuity.spoke(self._services.clock.ms())

    def _perform(self, action: Action, spawn: Spawn) -> None:
        match action:
            case SendEvent() | SendTranscript() | SendGoAway():
                self.downlink.post(outputs.of(action))
            case MoveCall():
                if (away := self.continuity.go_away()) is not None:
                    self.downlink.post(away)
                else:  # its client has an older checkpoint, and goes on with that from a stream that breaks off
                    self._failure = Draining("The gateway is about to stop; call again.", retry_after_ms=1_000)
            case SendPlayback():
                self._answers.send_playback(action)
            case OpenAsr() | FlushAsr() | FinalizeAsr() | CloseAsr() | ScoreTurn():
                self._recognitions.perform(action, self._config.asr, spawn, turn=self.machine.state.turn + 1)
            case ResetSpeech():
                self.hearing.reset()
            case AwaitSilence():
                self.hearing.await_silence(action.milliseconds)
            case (
                StartReply()
                | SpeakVerbatim()
                | AdoptReply()
                | ReleaseAudio()
                | PauseReply()
                | ResumeReply()
                | CancelReply()
            ):
                self._answers.perform(action, self._config, spawn)
            case CountSpeculation():
                self._services.telemetry.speculation(action.outcome, action.characters)
            case CountResumed():
                self._services.telemetry.answer_resumed(action.after_ms)
            case ReportTurn():
                report = self._with_playback(action.report)
                self._tell_of_turn(report)
                self._services.knowledge.recogniser_lag = self.machine.state.learned.lag
                self._send_latency(report)
            case RememberNoForceEou():
                self._services.knowledge.force_eou_ignored = True
                log.info("force_eou_ignored", turn=self.machine.state.turn)
            case CountStale():
                self._services.telemetry.stale_dropped(action.what)
            case EndCall():
                self._failure = self._failure or _failure_of(action)
            case _:
                assert_never(action)

    def _tell_of_turn_left(self) -> None:
        """Most callers hang up in the middle of an answer: the machine never hears of it, and the turn counts."""
        reply = self.machine.state.reply
        if reply is None or self.continuity.moved:
            return
        heard = reply.paused.at_sample if reply.paused else self.downlink.heard_samples()
        report = turn_reports.report(reply, "cut_off", self.inbox.now(), heard_samples=heard)
        self._tell_of_turn(self._with_playback(report))

    def _tell_of_turn(self, report: TurnReport) -> None:
        """Metrics, trace and log of a turn that has ended."""
        telemetry, intake = self._services.telemetry, self.hearing.intake
        telemetry.turn_ended(report, trace_id=self.spans.trace_id)
        telemetry.uplink_jitter(intake.jitter_ms)
        telemetry.uplink_gaps(intake.positions.told_gaps())
        span_id = self.spans.turn_ended(report, [each.number for each in self.machine.state.utterances])
        log.info(
            "turn_ended",
            turn=report.turn,
            rule=report.endpoint_rule,
            outcome=report.outcome,
            ms_after_speech={stage.name: round(stage.end_ms) for stage in report.stages},
            config_revision=self.config_revision,
            **({"span_id": span_id} if span_id else {}),
        )

    def _with_playback(self, report: TurnReport) -> TurnReport:
        """`report`, with when the client began to play, if it acknowledges."""
        played_ms = self.continuity.first_played_ms(report.turn)
        sent = report.stage("first_audio_sent")
        if played_ms is None or sent is None:
            return report
        after_ms = max(sent.end_ms, played_ms - report.speech_end_ms)
        return replace(report, stages=(*report.stages, Stage("first_audio_played", sent.end_ms, after_ms)))

    def depths(self) -> dict[str, float]:
        """What waits in this call, by the name of the queue."""
        messages, playout_ms = self.downlink.depths()
        return {
            "inbox": self.inbox.depth,
            "downlink_messages": messages,
            "playout_ms": playout_ms,
            "uplink_ahead_ms": max(0.0, self.hearing.intake.ahead_ms(self.inbox.now())),
        }

    @property
    def config_revision(self) -> str:
        """Of the configuration that this call goes by."""
        return self._config.revision

    def _send_latency(self, report: TurnReport) -> None:
        if Capability.LATENCY_REPORTS in self.admitted.capabilities:
            if self.continuity.news():  # before it: a gateway that goes on without knowing would tell it again
                self.downlink.post_checkpoint()
            self.downlink.post(outputs.latency(report))

    # ---- configuration ----------------------------------------------------------------------------------------------

    def _retune(self, now: int, spawn: Spawn) -> None:
        """Take the newest configuration: the next answer is made with it. An answer under way keeps the one that it
        began with, and the call the rate that its audio is recognised at.
        """
        newest = self._services.config.current()
        if newest.revision == self._config.revision:
            return
        self._handle(self._take(newest), now, spawn)
        log.info("call_retuned", turn=self.machine.state.turn, revision=newest.revision)

    async def _update(self, wishes: UpdateIn) -> None:
        """The caller wants other settings from its next turn on. Raises InvalidConfig."""
        newest = self._services.config.current()
        self.admitted = overrides.update(self.admitted, wishes.overrides, wishes.language_code, newest)
        await self.inbox.put(self._take(newest))

    def _take(self, newest: CallConfig) -> Retuned:
        rate_hz = self._config.asr.sample_rate_hz
        config = apply(replace(newest, asr=replace(newest.asr, sample_rate_hz=rate_hz)), self.admitted)
        self._config = config
        self.hearing.retune(config.turn)
        self._recognitions.understanding.retune(config.asr.language_code, config.phrase_lists)
        return Retuned(config.turn, config.llm.system_prompt, config.llm.history_tokens, config.conversation)


def _tuning(config: CallConfig) -> Tuning:
    return Tuning(config.turn, history_tokens=config.llm.history_tokens, conversation=config.conversation)


def _gateway_error(failed: BaseExceptionGroup[BaseException]) -> GatewayError | None:
    """The first error of the call itself among those that ended its tasks."""
    for error in failed.exceptions:
        found = _gateway_error(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, GatewayError):
            return found
    return None


def _failure_of(end: EndCall) -> GatewayError | None:
    match end.reason:
        case "" | "MOVED":
            return None
        case "DRAINING":
            return Draining(end.message, retry_after_ms=1_000)
        case "CALL_TOO_LONG":
            return CallTooLong(end.message)
        case _:
            return CallEnded(end.message)
