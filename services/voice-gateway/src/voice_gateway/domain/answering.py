"""The answer under way: how it comes along, what pauses and stops it, and what of it the history keeps."""

from dataclasses import replace
from typing import assert_never

from voice_gateway.domain import turn_reports
from voice_gateway.domain.actions import (
    CancelReply,
    CountResumed,
    CountStale,
    EventKind,
    PauseReply,
    PlaybackVerb,
    ReleaseAudio,
    ReportTurn,
    ResumeReply,
    SendEvent,
    SendPlayback,
)
from voice_gateway.domain.call_state import CallState, CutAnswer, ReplyMarks, ReplyPause, ReplyState
from voice_gateway.domain.conversation import Message, Role, append_answer, bounded, with_answer, without_answer
from voice_gateway.domain.events import (
    AudioReady,
    PhraseAudio,
    PhraseCut,
    PlaybackStarted,
    Played,
    ReplyStarted,
    ReplyTextDone,
    ReplyTrouble,
)
from voice_gateway.domain.heard import HeardLedger
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.report import SPEAK_RULE
from voice_gateway.domain.step import Step
from voice_gateway.domain.text_features import Expectation

Progress = ReplyStarted | ReplyTextDone | PhraseCut | PhraseAudio | AudioReady | PlaybackStarted | ReplyTrouble


def new_reply(state: CallState, turn: int, rule: str, *, speech_end_ms: int, now: int, revision: int = 0) -> ReplyState:
    """An answer that nothing has come of yet. It takes the call's next generation."""
    state.generation += 1
    return ReplyState(
        turn=turn,
        generation=state.generation,
        rule=rule,
        ledger=HeardLedger(state.opened.output_sample_rate_hz),
        marks=ReplyMarks(speech_end_ms=min(speech_end_ms, now), asked_ms=now),
        revision=revision,
    )


def progress(step: Step, event: Progress) -> None:
    """The answer came one step further. What belongs to another turn's answer is dropped and counted."""
    state = step.state
    reply = _reply_of(state, event.turn, event.revision)
    if reply is None:
        step.do(CountStale("reply"))
        return
    match event:
        case ReplyStarted():
            reply.marks.first_token_ms = _first(reply.marks.first_token_ms, step.now)
        case ReplyTextDone():
            reply.marks.text_done_ms = step.now
        case PhraseCut():
            reply.ledger = reply.ledger.with_phrase(event.index, event.text)
            reply.marks.first_phrase_ms = reply.marks.first_phrase_ms or step.now
            if event.expects is not Expectation.NOTHING:
                reply.expects = event.expects
        case PhraseAudio():
            reply.ledger = reply.ledger.with_audio(event.index, event.samples, event.word_ends)
        case AudioReady():
            reply.ready, reply.marks.audio_ready_ms = True, _first(reply.marks.audio_ready_ms, step.now)
            if reply is state.reply and not _held_back(state, reply):
                release(step, reply)
        case PlaybackStarted():
            reply.audible, reply.marks.playback_ms = True, _first(reply.marks.playback_ms, step.now)
            if state.phase is Phase.THINKING:
                state.phase = Phase.SPEAKING
        case ReplyTrouble():
            reply.troubled = True
            if reply is state.reply:
                step.do(SendEvent(reply.turn, EventKind.ERROR, event.message, event.reason, event.retryable))
        case _:
            assert_never(event)


def _first(before_ms: int | None, now: int) -> int:
    """An answer of a call that was resumed may have come so far before."""
    return now if before_ms is None else before_ms


def _reply_of(state: CallState, turn: int, revision: int) -> ReplyState | None:
    candidates = (state.reply, state.draft.reply if state.draft else None)
    return next((r for r in candidates if r is not None and (r.turn, r.revision) == (turn, revision)), None)


def interruptible(state: CallState, reply: ReplyState) -> bool:
    """Whether speech stops this answer."""
    return state.policy.interruptible and not reply.origin.uninterruptible


def _held_back(state: CallState, reply: ReplyState) -> bool:
    """Whether an answer may not begin now: the caller is making a sound, or the call is on hold."""
    speaking = state.phase in (Phase.INTERRUPTING, Phase.PAUSED) and interruptible(state, reply)
    return state.agenda.held or speaking


def release(step: Step, reply: ReplyState) -> None:
    """Let an answer that is ready be heard."""
    reply.released = True
    step.do(SendEvent(reply.turn, EventKind.SPEAKING), ReleaseAudio(reply.turn, reply.generation))


def pause(step: Step, reply: ReplyState, heard_samples: int) -> None:
    """Make the answer stand still: the client throws away what it has not played."""
    state = step.state
    state.generation += 1
    reply.paused = ReplyPause(reply.generation, reply.base_sample, heard_samples, step.now)
    reply.generation = state.generation
    step.do(
        PauseReply(reply.turn, reply.generation),
        SendPlayback(reply.turn, reply.generation, PlaybackVerb.FLUSH),
    )
    # Nothing plays now, and what plays next is to be as loud as before.
    end_ducking(step, reply)


def go_on(step: Step, reply: ReplyState, *, after_speech: bool = True) -> None:
    """Undo what speech over the answer did to it, or else being put on hold."""
    if step.state.agenda.held:
        return
    if reply.paused is not None:
        reply.base_sample = reply.ledger.word_boundary(reply.paused.at_sample)
        step.do(
            SendEvent(reply.turn, EventKind.SPEAKING),
            ResumeReply(reply.turn, reply.generation, reply.base_sample),
        )
        if after_speech:
            step.do(CountResumed(step.now - reply.paused.at_ms))
        reply.paused = None
    elif reply.ready and not reply.released:
        release(step, reply)
    end_ducking(step, reply)


def interrupt(step: Step, heard_samples: int, *, interruption_ms: int | None = None) -> None:
    """Stop the answer; the history keeps what was heard of it."""
    state = step.state
    reply = state.reply
    if reply is None:
        return
    state.generation += 1
    step.do(CancelReply(reply.turn, state.generation))
    if reply.released and reply.paused is None:
        step.do(SendPlayback(reply.turn, state.generation, PlaybackVerb.FLUSH))
    end_ducking(step, reply)
    stopped = reply.paused or ReplyPause(reply.generation, reply.base_sample, heard_samples, step.now)
    before = reply.origin.heard_samples
    heard = reply.ledger.heard_text(max(stopped.at_sample, before)) if reply.audible else ""
    complete = reply.marks.text_done_ms is not None or reply.rule == SPEAK_RULE
    cut = not complete or heard != reply.ledger.whole_text()
    keep(state, append_answer(state.history, heard, cut=cut))
    if heard:
        message = Message(Role.ASSISTANT, heard, cut)
        state.cut = CutAnswer(stopped.generation, stopped.base_sample, reply.ledger, message, complete, before)
    step.do(SendEvent(reply.turn, EventKind.END_OF_TURN))
    report = turn_reports.report(
        reply, "interrupted", step.now, heard_samples=stopped.at_sample, interruption_ms=interruption_ms
    )
    step.do(ReportTurn(report))
    _remember(step, reply)


def ended(step: Step, reply: ReplyState) -> None:
    """The answer was heard to its end, or nothing more comes of it."""
    state = step.state
    text = reply.ledger.whole_text()
    keep(state, append_answer(state.history, text, cut=False))
    outcome = "failed" if reply.troubled else "answered" if text else "empty"
    end_ducking(step, reply)
    step.do(SendEvent(reply.turn, EventKind.END_OF_TURN), ReportTurn(turn_reports.report(reply, outcome, step.now)))
    _remember(step, reply)


def cut_off(step: Step, reply: ReplyState, heard_samples: int) -> None:
    """The call ends while the answer is under way."""
    step.state.generation += 1
    heard = reply.paused.at_sample if reply.paused else heard_samples
    report = turn_reports.report(reply, "cut_off", step.now, heard_samples=heard)
    step.do(CancelReply(reply.turn, step.state.generation), SendEvent(reply.turn, EventKind.END_OF_TURN))
    step.do(ReportTurn(report))
    step.state.reply = None


def _remember(step: Step, reply: ReplyState) -> None:
    state = step.state
    state.reply = None
    state.learned.answered_ms = step.now
    state.learned.expected = reply.expects
    if text := reply.ledger.whole_text():
        state.learned.last_answer = text


def played(state: CallState, event: Played) -> None:
    """The client tells, after a flush, what it had really played: put the position, or the history, right."""
    reply, cut = state.reply, state.cut
    if reply is not None and reply.paused is not None and reply.paused.generation == event.generation:
        reply.paused = replace(reply.paused, at_sample=reply.paused.base_sample + event.samples)
        return
    if cut is None or cut.generation != event.generation or cut.message not in state.history:
        return
    heard = cut.ledger.heard_text(max(cut.base_sample + event.samples, cut.heard_samples))
    if not heard:
        state.history, state.cut = without_answer(state.history, cut.message), None
        return
    message = Message(Role.ASSISTANT, heard, cut=not cut.complete or heard != cut.ledger.whole_text())
    state.history = with_answer(state.history, cut.message, message)
    state.cut = replace(cut, message=message)


def duck(step: Step, reply: ReplyState) -> None:
    """Make the answer quieter while it is not known what the caller's sound is."""
    if reply.audible and reply.paused is None and not reply.ducked:
        reply.ducked = True
        step.do(SendPlayback(reply.turn, step.state.generation, PlaybackVerb.DUCK, step.state.policy.duck_db))


def end_ducking(step: Step, reply: ReplyState) -> None:
    """Play the answer as loudly as before."""
    if reply.ducked:
        reply.ducked = False
        step.do(SendPlayback(reply.turn, step.state.generation, PlaybackVerb.DUCK, 0.0))


def keep(state: CallState, history: tuple[Message, ...]) -> None:
    """Make `history` the conversation, within the tokens that it may have."""
    state.history = bounded(history, tokens=state.tuning.history_tokens)
