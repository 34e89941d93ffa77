"""The turn machine: what a call does about what happens to it. It reads no clock and does no I/O.

    machine = TurnMachine(policy)
    actions = machine.handle(event, now=milliseconds)      # perform them, in order
    when = machine.deadline()                              # send Tick() at this time, unless an event comes first

Phases and the ways between them are declared in phases.py; a handler that leaves them raises `UndeclaredTransition`.
"""

from dataclasses import replace
from typing import assert_never

from voice_gateway.domain import answering, turn_reports
from voice_gateway.domain.actions import (
    Action,
    CancelReply,
    CloseAsr,
    CountStale,
    EndCall,
    EventKind,
    FinalizeAsr,
    FlushAsr,
    OpenAsr,
    PlaybackVerb,
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
from voice_gateway.domain.call_state import CallState, ReplyState, Tuning, Utterance
from voice_gateway.domain.conversation import (
    Message,
    Role,
    append_answer,
    append_user,
)
from voice_gateway.domain.events import (
    Ask,
    Asked,
    AsrEnded,
    AsrResult,
    AudioReady,
    CallFailed,
    CallStarted,
    DrainRequested,
    Event,
    InputClosed,
    PhraseAudio,
    PhraseCut,
    PlaybackStarted,
    Played,
    ReplyEnded,
    ReplyStarted,
    ReplyTextDone,
    ReplyTrouble,
    Retuned,
    SpeakRequest,
    Speech,
    SpeechEdge,
    TextTurn,
    Tick,
)
from voice_gateway.domain.heard import HeardLedger
from voice_gateway.domain.phases import TRANSITIONS, Phase
from voice_gateway.domain.policy import Finalize, TurnPolicy

MAX_QUEUED_SPEECH = 8
"""Texts to be spoken verbatim that may wait for the caller to fall silent."""

MAX_UTTERANCES = 16
"""Stretches of speech within one turn; more than that and the turn ends with what is there."""


class IllegalEventError(Exception):
    """The event cannot happen in this phase. Nothing was changed."""


class UndeclaredTransitionError(Exception):
    """A handler went from one phase to another in a way that TRANSITIONS does not declare: a bug here."""


class TurnMachine:
    """One call."""

    def __init__(self, policy: TurnPolicy | None = None, *, state: CallState | None = None) -> None:
        self.state = state if state is not None else CallState(tuning=Tuning(policy or TurnPolicy()))

    @property
    def phase(self) -> Phase:
        """Where the call stands."""
        return self.state.phase

    @property
    def finished(self) -> bool:
        """Whether the call is over; nothing may be handled any more."""
        return self.state.phase is Phase.CLOSED

    @property
    def idle(self) -> bool:
        """Whether nobody speaks and nothing is under way."""
        return self.state.phase is Phase.LISTENING

    def deadline(self) -> int | None:
        """The next moment at which a Tick is wanted, in ms of call time."""
        if self.state.phase in (Phase.NEW, Phase.CLOSED):
            return None
        times = [self.state.started_ms + self.state.policy.max_call_ms]
        if self.state.closing.drain_until_ms is not None:
            times.append(self.state.closing.drain_until_ms)
        for utterance in self.state.utterances:
            if not utterance.done:
                times += [at for at in (utterance.patience_until_ms, utterance.final_until_ms) if at is not None]
        return min(times)

    def handle(self, event: Event, *, now: int) -> list[Action]:
        """Take one event at `now` (ms of call time; never runs backwards here) and give what is to be done, in order.

        Raises IllegalEventError, with nothing changed, for an event before CallStarted, a second CallStarted, or any
        event after the end.
        """
        before = self.state.phase
        if before is Phase.CLOSED or (before is Phase.NEW) is not isinstance(event, CallStarted):
            raise IllegalEventError(f"{type(event).__name__} cannot happen while the call is {before}")
        self.state.now_ms = now = max(self.state.now_ms, now)
        actions: list[Action] = []
        self._dispatch(event, now, actions)
        after = self.state.phase
        if after is not before and after not in TRANSITIONS[before].get(type(event), ()):
            raise UndeclaredTransitionError(f"{type(event).__name__}: {before} to {after}")
        return actions

    def _dispatch(self, event: Event, now: int, out: list[Action]) -> None:
        match event:
            case CallStarted():
                self._started(event, now, out)
            case Speech():
                self._speech(event, now, out)
            case AsrResult():
                self._asr_result(event, now, out)
            case AsrEnded():
                self._asr_ended(event, now, out)
            case TextTurn():
                self._text_turn(event, now, out)
            case SpeakRequest():
                self._speak_request(event, now, out)
            case Asked():
                self._asked(event, now, out)
            case Played():
                answering.played(self.state, event)
            case InputClosed():
                self._input_closed(now, out)
            case (
                ReplyStarted()
                | ReplyTextDone()
                | PhraseCut()
                | PhraseAudio()
                | AudioReady()
                | PlaybackStarted()
                | ReplyTrouble()
            ):
                answering.progress(self.state, event, now, out)
            case ReplyEnded():
                self._reply_ended(event, now, out)
            case Retuned():
                self.state.tuning = Tuning(event.policy, event.system_prompt, event.history_tokens)
            case DrainRequested():
                self.state.closing = replace(self.state.closing, drain_until_ms=event.deadline_ms)
                out.append(SendGoAway(max(0, event.deadline_ms - now)))
                if self.state.phase is Phase.LISTENING:
                    self._listen(now, out)
            case CallFailed():
                self._end(out, event.reason, event.message, retryable=event.retryable)
            case Tick():
                self._tick(now, out)
            case _:
                assert_never(event)

    # ---- start, end, time -------------------------------------------------------------------------------------------

    def _started(self, event: CallStarted, now: int, out: list[Action]) -> None:
        self.state.started_ms = now
        self.state.output_sample_rate_hz = event.output_sample_rate_hz
        self.state.tuning = replace(self.state.tuning, system_prompt=event.system_prompt)
        self._listen(now, out)

    def _listen(self, now: int, out: list[Action]) -> None:
        """A turn boundary: what waited for it happens, else the caller is listened to."""
        if self.state.queued_speech:
            request, *rest = self.state.queued_speech
            self.state.queued_speech = tuple(rest)
            self._speak(request, now, out)
            return
        self.state.phase = Phase.LISTENING
        if self.state.closing.input_closed:
            self._close(out)
        elif self.state.closing.drain_until_ms is not None:
            self._end(out, "DRAINING", "The gateway is about to stop; call again.", retryable=True)
        else:
            out.append(SendEvent(self.state.turn + 1, EventKind.LISTENING))

    def _end(self, out: list[Action], reason: str, message: str, *, retryable: bool) -> None:
        turn = self.state.reply.turn if self.state.reply else self.state.turn
        if self.state.reply is not None:
            self.state.generation += 1
            out.append(CancelReply(turn, self.state.generation))
        out.append(SendEvent(turn, EventKind.ERROR, message, reason, retryable, fatal=True))
        self._close(out, EndCall(reason, message, retryable))

    def _close(self, out: list[Action], end: EndCall | None = None) -> None:
        self._drop_utterances(out)
        self.state.reply = None
        self.state.phase = Phase.CLOSED
        out.append(end or EndCall())

    def _tick(self, now: int, out: list[Action]) -> None:
        state = self.state
        if now >= state.started_ms + state.policy.max_call_ms:
            limit_s = state.policy.max_call_ms // 1000
            self._end(out, "CALL_TOO_LONG", f"The call reached its limit of {limit_s} seconds.", retryable=False)
            return
        if state.closing.drain_until_ms is not None and now >= state.closing.drain_until_ms:
            self._end(out, "DRAINING", "The gateway is about to stop; call again.", retryable=True)
            return
        for utterance in state.utterances:
            if utterance.done:
                continue
            if utterance.patience_until_ms is not None and now >= utterance.patience_until_ms:
                utterance.patience_until_ms = None
                state.force_eou_ignored = True
                out += [RememberNoForceEou(), FinalizeAsr(utterance.number, half_close=True)]
            if utterance.final_until_ms is not None and now >= utterance.final_until_ms:
                utterance.ended_by = "final_timeout"
                self._utterance_done(utterance, out)
        self._settle(now, out)

    # ---- the caller speaks ------------------------------------------------------------------------------------------

    def _speech(self, event: Speech, now: int, out: list[Action]) -> None:
        match event.edge:
            case SpeechEdge.STARTED:
                self._speech_started(event, out)
            case SpeechEdge.CONFIRMED:
                if self.state.phase is Phase.INTERRUPTING:
                    self._speech_over_answer(event, now, out)
            case SpeechEdge.PAUSED:
                if self.state.phase is Phase.HEARING and (utterance := self.state.open_utterance()):
                    utterance.pause(event.audio_sample, event.at_ms)
                    out.append(FlushAsr(utterance.number))
                    if utterance.settled:
                        self._end_utterance("asr_final", now, out)
            case SpeechEdge.CONTINUED:
                if utterance := self.state.open_utterance():
                    utterance.go_on(event.audio_sample)
            case SpeechEdge.MISFIRE | SpeechEdge.ENDED if self.state.phase is Phase.INTERRUPTING:
                self._back_to_answer(out)
            case SpeechEdge.MISFIRE | SpeechEdge.ENDED:
                # A misfire with nobody else speaking may be a short "yes": the recogniser decides.
                if self.state.phase is Phase.HEARING and (utterance := self.state.open_utterance()):
                    utterance.speech_end_ms = event.at_ms
                    self._end_utterance("silence", now, out)
            case _:
                assert_never(event.edge)

    def _speech_started(self, event: Speech, out: list[Action]) -> None:
        state = self.state
        if state.open_utterance() is not None:
            return
        state.utterance += 1
        if len(state.utterances) >= MAX_UTTERANCES:
            self._fold_oldest(out)
        utterance = Utterance(
            state.utterance, event.at_ms, speech_end_ms=event.at_ms, stretch_sample=event.audio_sample
        )
        state.utterances.append(utterance)
        out.append(OpenAsr(state.utterance, event.audio_sample))
        if state.reply is None:
            state.phase = Phase.HEARING
            return
        state.phase = Phase.INTERRUPTING
        if state.reply.audible and self._interruptible(state.reply):
            state.reply.ducked = True
            duck = SendPlayback(state.reply.turn, state.generation, PlaybackVerb.DUCK, state.policy.duck_db)
            out.append(duck)

    def _fold_oldest(self, out: list[Action]) -> None:
        """Make one of the two oldest utterances: their words stay, and what the older one still awaits is given up."""
        oldest, second = self.state.utterances[:2]
        if not oldest.done:
            out.append(CloseAsr(oldest.number))
        second.take_over(oldest)
        del self.state.utterances[0]

    def _interruptible(self, reply: ReplyState) -> bool:
        return self.state.policy.interruptible and not reply.uninterruptible

    def _speech_over_answer(self, event: Speech, now: int, out: list[Action]) -> None:
        reply = self.state.reply
        if reply is None or not self._interruptible(reply):
            # The utterance stays open: if it outlasts the answer, it is the caller's turn.
            return
        utterance = self.state.open_utterance()
        onset_ms = utterance.onset_ms if utterance else now
        answering.interrupt(self.state, event.heard_samples, now, out, interruption_ms=now - onset_ms)
        self.state.phase = Phase.HEARING
        out.append(SendEvent(self.state.turn + 1, EventKind.LISTENING))

    def _back_to_answer(self, out: list[Action]) -> None:
        """What sounded like an interruption was none."""
        reply = self.state.reply
        self._drop_utterances(out)
        if reply is None:
            return
        self.state.phase = Phase.SPEAKING if reply.audible else Phase.THINKING
        answering.end_ducking(self.state, reply, out)

    def _end_utterance(self, rule: str, now: int, out: list[Action]) -> None:
        """The caller is done speaking: make sure that the recogniser finalises what it heard."""
        utterance = self.state.open_utterance()
        if utterance is None:
            return
        utterance.ended_by, utterance.paused = rule, False
        self.state.phase = Phase.ENDPOINTING
        if rule in ("asr_final", "asr_first_pass"):
            # The detector sees a pause; what follows is a new utterance, with an onset of its own.
            out.append(ResetSpeech())
        if utterance.settled or utterance.done:
            self._utterance_done(utterance, out)
        else:
            policy = self.state.policy
            half_close = policy.finalize is Finalize.HALF_CLOSE or (
                policy.finalize is Finalize.AUTO and self.state.force_eou_ignored
            )
            if policy.finalize is Finalize.AUTO and not half_close:
                utterance.patience_until_ms = now + policy.force_eou_patience_ms
            utterance.final_until_ms = now + policy.final_timeout_ms
            out.append(FinalizeAsr(utterance.number, half_close))
        self._settle(now, out)

    # ---- what was recognised ----------------------------------------------------------------------------------------

    def _asr_result(self, event: AsrResult, now: int, out: list[Action]) -> None:
        utterance = self.state.find_utterance(event.utterance)
        if utterance is None or utterance.done:
            out.append(CountStale("asr_result"))
            return
        if event.final:
            utterance.take_final(event)
        else:
            utterance.interim, utterance.interim_words = event.text, event.words
        if self.state.phase is Phase.INTERRUPTING:
            return
        if event.final and not utterance.open and utterance.covered:
            self._utterance_done(utterance, out)
            self._settle(now, out)
        elif utterance.open and utterance.paused and utterance.settled:
            self._end_utterance("asr_final", now, out)
        elif utterance.open and utterance.paused and event.first_pass_end:
            self._end_utterance("asr_first_pass", now, out)
        if self.state.phase in (Phase.HEARING, Phase.ENDPOINTING) and self.state.pending_words():
            out.append(SendTranscript(self.state.turn + 1, self.state.pending_text(), final=False))

    def _asr_ended(self, event: AsrEnded, now: int, out: list[Action]) -> None:
        utterance = self.state.find_utterance(event.utterance)
        if utterance is None or utterance.done:
            return
        if event.reason:
            turn = self.state.turn + 1
            out.append(SendEvent(turn, EventKind.ERROR, event.message, event.reason, event.retryable))
        self._utterance_done(utterance, out)
        self._settle(now, out)

    def _utterance_done(self, utterance: Utterance, out: list[Action]) -> None:
        utterance.done = True
        utterance.patience_until_ms = utterance.final_until_ms = None
        out.append(CloseAsr(utterance.number))

    def _settle(self, now: int, out: list[Action]) -> None:
        """Commit the turn once the caller is silent and everything it said is recognised."""
        state = self.state
        if state.phase not in (Phase.HEARING, Phase.ENDPOINTING) or not state.utterances:
            return
        if any(utterance.open or not utterance.done for utterance in state.utterances):
            return
        if state.pending_words():
            text, last = state.pending_text(), state.utterances[-1]
            state.utterances = []
            self._commit(text, last.ended_by, last.speech_end_ms, now, out)
        else:
            state.utterances = []
            self._listen(now, out)

    def _drop_utterances(self, out: list[Action]) -> None:
        out += [CloseAsr(utterance.number) for utterance in self.state.utterances if not utterance.done]
        if self.state.open_utterance() is not None:
            out.append(ResetSpeech())
        self.state.utterances = []

    # ---- turns ------------------------------------------------------------------------------------------------------

    def _commit(self, text: str, rule: str, speech_end_ms: int, now: int, out: list[Action]) -> None:
        """The caller's turn is over: answer it."""
        state = self.state
        answering.keep(self.state, append_user(state.history, text, tokens=state.tuning.history_tokens))
        self._new_reply(rule, speech_end_ms, now)
        out += [SendTranscript(state.turn, text, final=True), SendEvent(state.turn, EventKind.PROCESSING)]
        prompt = (Message(Role.SYSTEM, state.tuning.system_prompt),) if state.tuning.system_prompt else ()
        out.append(StartReply(state.turn, state.generation, (*prompt, *state.history)))

    def _speak(self, request: SpeakRequest, now: int, out: list[Action]) -> None:
        reply = self._new_reply("speak", now, now)
        reply.uninterruptible = request.uninterruptible
        out.append(SpeakVerbatim(self.state.turn, self.state.generation, request.text))

    def _new_reply(self, rule: str, speech_end_ms: int, now: int) -> ReplyState:
        state = self.state
        state.turn += 1
        state.generation += 1
        state.reply = ReplyState(
            turn=state.turn,
            generation=state.generation,
            rule=rule,
            ledger=HeardLedger(state.output_sample_rate_hz),
            asked_ms=now,
            speech_end_ms=min(speech_end_ms, now),
        )
        state.phase = Phase.THINKING
        return state.reply

    def _text_turn(self, event: TextTurn, now: int, out: list[Action]) -> None:
        """A typed turn takes over: it stops an answer, and what was being said stands before it."""
        if self.state.reply is not None:
            answering.interrupt(self.state, event.heard_samples, now, out)
        spoken = self.state.pending_text()
        self._drop_utterances(out)
        self._commit(f"{spoken} {event.text}".strip(), "text", now, now, out)

    def _speak_request(self, event: SpeakRequest, now: int, out: list[Action]) -> None:
        if self.state.phase is Phase.LISTENING:
            self._speak(event, now, out)
        elif len(self.state.queued_speech) < MAX_QUEUED_SPEECH:
            self.state.queued_speech = (*self.state.queued_speech, event)
        else:
            message = f"At most {MAX_QUEUED_SPEECH} texts may wait to be spoken; this one was not taken."
            out.append(SendEvent(self.state.turn, EventKind.ERROR, message, "SPEECH_QUEUE_FULL", retryable=True))

    def _asked(self, event: Asked, now: int, out: list[Action]) -> None:
        match event.ask:
            case Ask.INTERRUPT:
                if self.state.reply is None:
                    return
                answering.interrupt(self.state, event.heard_samples, now, out)
                self._after_answer(now, out)
            case Ask.COMMIT_AUDIO:
                if self.state.phase is Phase.INTERRUPTING and (reply := self.state.reply):
                    if not self._interruptible(reply):
                        self._back_to_answer(out)
                        return
                    answering.interrupt(self.state, event.heard_samples, now, out)
                    self.state.phase = Phase.HEARING
                if self.state.phase is Phase.HEARING and (utterance := self.state.open_utterance()):
                    if not utterance.paused:
                        utterance.speech_end_ms = now
                    out.append(ResetSpeech())
                    self._end_utterance("commit", now, out)
            case Ask.CANCEL:
                if self.state.phase is Phase.INTERRUPTING:
                    self._back_to_answer(out)
                elif self.state.phase in (Phase.HEARING, Phase.ENDPOINTING):
                    self._drop_utterances(out)
                    self._listen(now, out)
            case _:
                assert_never(event.ask)

    def _input_closed(self, now: int, out: list[Action]) -> None:
        self.state.closing = replace(self.state.closing, input_closed=True)
        if self.state.phase is Phase.HEARING:
            if (utterance := self.state.open_utterance()) and not utterance.paused:
                utterance.speech_end_ms = now
            self._end_utterance("end_of_audio", now, out)
        elif self.state.phase is Phase.INTERRUPTING:
            self._back_to_answer(out)
        elif self.state.phase is Phase.LISTENING:
            self._close(out)

    # ---- the answer -------------------------------------------------------------------------------------------------

    def _reply_ended(self, event: ReplyEnded, now: int, out: list[Action]) -> None:
        reply = self.state.reply
        if reply is None or reply.turn != event.turn:
            out.append(CountStale("reply"))
            return
        text = reply.ledger.whole_text()
        answering.keep(self.state, append_answer(self.state.history, text, cut=False))
        outcome = "failed" if reply.troubled else "answered" if text else "empty"
        answering.end_ducking(self.state, reply, out)
        out.append(SendEvent(reply.turn, EventKind.END_OF_TURN))
        out.append(ReportTurn(turn_reports.report(reply, outcome, now)))
        self.state.reply = None
        self._after_answer(now, out)

    def _after_answer(self, now: int, out: list[Action]) -> None:
        """An answer is over: go on with what the caller was saying over it, if anything."""
        if self.state.open_utterance() is not None:
            self.state.phase = Phase.HEARING
            out.append(SendEvent(self.state.turn + 1, EventKind.LISTENING))
        else:
            self._listen(now, out)
