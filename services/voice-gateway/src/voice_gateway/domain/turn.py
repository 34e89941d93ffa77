"""The turn machine: what a call does about what happens to it. It reads no clock and does no I/O.

    machine = TurnMachine(policy)
    actions = machine.handle(event, now=milliseconds)      # perform them, in order
    when = machine.deadline()                              # send Tick() at this time, unless an event comes first

Phases and the ways between them are declared in phases.py; a handler that leaves them raises `UndeclaredTransition`.
The rules are in the files beside this one: utterances.py (the caller speaks), overlap.py (over an answer), drafts.py
(answers begun early), answering.py (the answer), turns.py (turn boundaries), prompting.py (what happens by itself),
resuming.py (a call that was cut off goes on).
"""

from dataclasses import replace
from typing import assert_never

from voice_gateway.domain import answering, drafts, overlap, prompting, resuming, turns, utterances
from voice_gateway.domain.actions import Action, CountStale, EventKind, ResetSpeech, SendEvent, SendGoAway
from voice_gateway.domain.call_state import CallState, Opened, Tuning
from voice_gateway.domain.events import (
    Ask,
    Asked,
    AsrEnded,
    AsrResult,
    AudioReady,
    CallFailed,
    CallResumed,
    CallStarted,
    DrainRequested,
    Event,
    InputClosed,
    KeyPressed,
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
    TurnScored,
)
from voice_gateway.domain.phases import TRANSITIONS, Phase
from voice_gateway.domain.policy import TurnPolicy
from voice_gateway.domain.step import Step

OVER_ANSWER = (Phase.INTERRUPTING, Phase.PAUSED)
"""The caller makes a sound over an answer, and what that means is not decided."""


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
        state = self.state
        if state.phase in (Phase.NEW, Phase.CLOSED):
            return None
        times = [state.opened.at_ms + state.policy.max_call_ms, *prompting.deadlines(state)]
        if state.closing.drain_until_ms is not None:
            times.append(state.closing.drain_until_ms)
        if (due := overlap.deadline(state)) is not None:
            times.append(due)
        if (due := drafts.deadline(state)) is not None:
            times.append(due)
        for utterance in state.utterances:
            if not utterance.done:
                wait = utterance.wait
                times += [at for at in (wait.patience_until_ms, wait.until_ms) if at is not None]
        return min(times)

    def handle(self, event: Event, *, now: int) -> list[Action]:
        """Take one event at `now` (ms of call time; never runs backwards here) and give what is to be done, in order.

        Raises IllegalEventError, with nothing changed, for an event before CallStarted or CallResumed, a second one of
        those, or any event after the end.
        """
        before = self.state.phase
        if before is Phase.CLOSED or (before is Phase.NEW) is not isinstance(event, CallStarted | CallResumed):
            raise IllegalEventError(f"{type(event).__name__} cannot happen while the call is {before}")
        self.state.now_ms = now = max(self.state.now_ms, now)
        step = Step(self.state, now)
        _dispatch(step, event)
        after = self.state.phase
        if after is not before and after not in TRANSITIONS[before].get(type(event), ()):
            raise UndeclaredTransitionError(f"{type(event).__name__}: {before} to {after}")
        return step.out


def _dispatch(step: Step, event: Event) -> None:
    match event:
        case CallStarted() | CallResumed():
            _opened(step, event)
        case Speech():
            _speech(step, event)
        case AsrResult():
            _asr_result(step, event)
        case AsrEnded():
            _asr_ended(step, event)
        case TurnScored():
            utterances.scored(step, event)
        case TextTurn():
            repeat = event.features.asks_repeat
            prompting.take_typed(step, event.text, event.heard_samples, rule="text", repeat=repeat)
        case KeyPressed():
            prompting.key_pressed(step, event)
        case SpeakRequest():
            turns.speak_when_silent(step, event)
        case Asked():
            _asked(step, event)
        case Played():
            answering.played(step.state, event)
        case InputClosed():
            _input_closed(step, event)
        case (
            ReplyStarted()
            | ReplyTextDone()
            | PhraseCut()
            | PhraseAudio()
            | AudioReady()
            | PlaybackStarted()
            | ReplyTrouble()
        ):
            answering.progress(step, event)
        case ReplyEnded():
            _reply_ended(step, event)
        case Retuned():
            _retuned(step, event)
        case DrainRequested():
            _drain(step, event)
        case CallFailed():
            turns.end(step, event.reason, event.message, retryable=event.retryable)
        case Tick():
            _tick(step, event)
        case _:
            assert_never(event)


# ---- start, end, time -----------------------------------------------------------------------------------------------


def _opened(step: Step, event: CallStarted | CallResumed) -> None:
    state = step.state
    if isinstance(event, CallResumed):
        resuming.resume(step, event)
        return
    state.opened = Opened(step.now, event.output_sample_rate_hz, event.input_sample_rate_hz)
    state.tuning = replace(state.tuning, system_prompt=event.system_prompt)
    prompting.greet(step)


def _retuned(step: Step, event: Retuned) -> None:
    # An answer begun early was begun with the prompt of before.
    drafts.discard(step)
    step.state.tuning = Tuning(event.policy, event.system_prompt, event.history_tokens, event.conversation)


def _drain(step: Step, event: DrainRequested) -> None:
    step.state.closing = replace(step.state.closing, drain_until_ms=event.deadline_ms, moves=event.resumable)
    step.do(SendGoAway(max(0, event.deadline_ms - step.now)))
    if step.state.phase is Phase.LISTENING:
        turns.listen(step)


def _tick(step: Step, event: Tick) -> None:
    state, now = step.state, step.now
    if now >= state.opened.at_ms + state.policy.max_call_ms:
        turns.too_long(step, event.heard_samples)
        return
    if state.closing.drain_until_ms is not None and now >= state.closing.drain_until_ms:
        if state.closing.moves:
            turns.move(step)
            return
        message = "The gateway is about to stop; call again."
        turns.end(step, "DRAINING", message, retryable=True, heard_samples=event.heard_samples)
        return
    for utterance in state.utterances:
        if utterance.done:
            continue
        if (patience := utterance.wait.patience_until_ms) is not None and now >= patience:
            utterances.lost_patience(step, utterance)
        if (until := utterance.wait.until_ms) is not None and now >= until:
            utterance.ended_by = "final_timeout"
            utterances.done(step, utterance)
    if state.reply is not None:
        overlap.recognition_over(step, event.heard_samples)
        overlap.tick(step, event.heard_samples)
    else:
        utterances.settle(step)
        drafts.consider(step)
    if state.phase is not Phase.CLOSED:
        prompting.tick(step, event.heard_samples)


# ---- the caller -----------------------------------------------------------------------------------------------------


def _speech(step: Step, event: Speech) -> None:
    state = step.state
    if state.agenda.held:
        return
    if state.reply is not None:
        overlap.edge(step, event, state.reply)
    elif event.edge is not SpeechEdge.STARTED:
        if state.phase is Phase.HEARING:
            utterances.edge(step, event)
    elif utterances.begin(step, event):
        state.phase = Phase.HEARING


def _asr_result(step: Step, event: AsrResult) -> None:
    utterance = step.state.find_utterance(event.utterance)
    if utterance is None or utterance.done:
        step.do(CountStale("asr_result"))
        return
    utterance.take(event, step.now)
    if step.state.reply is not None:
        overlap.recognised(step, event, utterance)
    else:
        utterances.recognised(step, event, utterance)


def _asr_ended(step: Step, event: AsrEnded) -> None:
    utterance = step.state.find_utterance(event.utterance)
    if utterance is None or utterance.done:
        return
    if event.reason:
        utterance.failed = True
        turn = step.state.turn + 1
        step.do(SendEvent(turn, EventKind.ERROR, event.message, event.reason, event.retryable))
    utterances.done(step, utterance)
    if step.state.reply is not None:
        overlap.recognition_over(step, event.heard_samples)
    else:
        utterances.settle(step)


def _asked(step: Step, event: Asked) -> None:
    state = step.state
    match event.ask:
        case Ask.INTERRUPT:
            if state.reply is not None:
                answering.interrupt(step, event.heard_samples)
                overlap.after_answer(step)
        case Ask.COMMIT_AUDIO:
            _commit_audio(step, event.heard_samples)
        case Ask.CANCEL:
            if state.reply is not None:
                if state.utterances:
                    overlap.forget(step)
            elif state.phase in (Phase.HEARING, Phase.ENDPOINTING):
                turns.drop_utterances(step)
                turns.listen(step)
        case Ask.HOLD:
            prompting.hold(step, event.heard_samples)
        case Ask.UNHOLD:
            prompting.unhold(step)
        case _:
            assert_never(event.ask)


def _commit_audio(step: Step, heard_samples: int) -> None:
    state = step.state
    if state.phase in OVER_ANSWER and (reply := state.reply):
        if not answering.interruptible(state, reply):
            overlap.forget(step)
            return
        overlap.take_turn(step, heard_samples)
    if state.phase is Phase.HEARING and (utterance := state.open_utterance()):
        if not utterance.paused:
            utterance.speech_end_ms = step.now
        step.do(ResetSpeech())
        utterances.end(step, "commit")


def _input_closed(step: Step, event: InputClosed) -> None:
    state = step.state
    state.closing = replace(state.closing, input_closed=True)
    # Nobody is left to take the call off hold.
    prompting.unhold(step)
    utterance = state.open_utterance()
    if utterance is not None and not utterance.paused:
        utterance.speech_end_ms = step.now
    if state.phase is Phase.HEARING:
        utterances.end(step, "end_of_audio")
    elif state.phase in OVER_ANSWER and utterance is not None and state.reply is not None:
        overlap.input_closed(step, utterance, state.reply, event.heard_samples)
    elif state.phase is Phase.LISTENING:
        if state.agenda.keys:
            prompting.commit_keys(step, event.heard_samples)
        else:
            turns.close(step)


# ---- the answer -----------------------------------------------------------------------------------------------------


def _reply_ended(step: Step, event: ReplyEnded) -> None:
    state = step.state
    draft = state.draft
    if draft is not None and (draft.reply.turn, draft.reply.revision) == (event.turn, event.revision):
        # It came to its end without sound: if the turn ends with these words, the answer is made anew.
        drafts.discard(step)
        return
    reply = state.reply
    if reply is None or (reply.turn, reply.revision) != (event.turn, event.revision):
        step.do(CountStale("reply"))
        return
    answering.ended(step, reply)
    overlap.after_answer(step)
