"""The answer under way: how it comes along, what stops it, and what of it the history keeps."""

from dataclasses import replace
from typing import assert_never

from voice_gateway.domain import turn_reports
from voice_gateway.domain.actions import (
    Action,
    CancelReply,
    CountStale,
    EventKind,
    PlaybackVerb,
    ReleaseAudio,
    ReportTurn,
    SendEvent,
    SendPlayback,
)
from voice_gateway.domain.call_state import CallState, CutAnswer, ReplyState
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
from voice_gateway.domain.phases import Phase


def progress(
    state: CallState,
    event: ReplyStarted | ReplyTextDone | PhraseCut | PhraseAudio | AudioReady | PlaybackStarted | ReplyTrouble,
    now: int,
    out: list[Action],
) -> None:
    """The answer came one step further. What belongs to another turn's answer is dropped and counted."""
    reply = state.reply
    if reply is None or reply.turn != event.turn:
        out.append(CountStale("reply"))
        return
    match event:
        case ReplyStarted():
            reply.marks.first_token_ms = now
        case ReplyTextDone():
            reply.marks.text_done_ms = now
        case PhraseCut():
            reply.ledger = reply.ledger.with_phrase(event.index, event.text)
            reply.marks.first_phrase_ms = reply.marks.first_phrase_ms or now
        case PhraseAudio():
            reply.ledger = reply.ledger.with_audio(event.index, event.samples, event.word_ends)
        case AudioReady():
            reply.marks.audio_ready_ms = now
            reply.released = True
            out += [SendEvent(reply.turn, EventKind.SPEAKING), ReleaseAudio(reply.turn, reply.generation)]
        case PlaybackStarted():
            reply.audible, reply.marks.playback_ms = True, now
            if state.phase is Phase.THINKING:
                state.phase = Phase.SPEAKING
        case ReplyTrouble():
            reply.troubled = True
            out.append(SendEvent(reply.turn, EventKind.ERROR, event.message, event.reason, event.retryable))
        case _:
            assert_never(event)


def interrupt(
    state: CallState, heard_samples: int, now: int, out: list[Action], *, interruption_ms: int | None = None
) -> None:
    """Stop the answer; the history keeps what was heard of it."""
    reply = state.reply
    if reply is None:
        return
    state.generation += 1
    out.append(CancelReply(reply.turn, state.generation))
    if reply.released:
        out.append(SendPlayback(reply.turn, state.generation, PlaybackVerb.FLUSH))
    end_ducking(state, reply, out)
    heard = reply.ledger.heard_text(heard_samples) if reply.audible else ""
    complete = reply.marks.text_done_ms is not None or reply.rule == "speak"
    cut = not complete or heard != reply.ledger.whole_text()
    keep(state, append_answer(state.history, heard, cut=cut))
    if heard:
        state.cut = CutAnswer(reply.generation, reply.ledger, Message(Role.ASSISTANT, heard, cut), complete)
    out.append(SendEvent(reply.turn, EventKind.END_OF_TURN))
    report = turn_reports.report(
        reply, "interrupted", now, heard_samples=heard_samples, interruption_ms=interruption_ms
    )
    out.append(ReportTurn(report))
    state.reply = None


def played(state: CallState, event: Played) -> None:
    """The client tells, after a flush, what it had really played: put the history right."""
    cut = state.cut
    if cut is None or cut.generation != event.generation or cut.message not in state.history:
        return
    heard = cut.ledger.heard_text(event.samples)
    if not heard:
        state.history, state.cut = without_answer(state.history, cut.message), None
        return
    message = Message(Role.ASSISTANT, heard, cut=not cut.complete or heard != cut.ledger.whole_text())
    state.history = with_answer(state.history, cut.message, message)
    state.cut = replace(cut, message=message)


def end_ducking(state: CallState, reply: ReplyState, out: list[Action]) -> None:
    """Tell a client that plays the answer more quietly to play as before."""
    if reply.ducked:
        reply.ducked = False
        out.append(SendPlayback(reply.turn, state.generation, PlaybackVerb.DUCK, 0.0))


def keep(state: CallState, history: tuple[Message, ...]) -> None:
    """Make `history` the conversation, within the tokens that it may have."""
    state.history = bounded(history, tokens=state.tuning.history_tokens)
