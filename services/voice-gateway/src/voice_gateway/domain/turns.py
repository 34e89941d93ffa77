"""Turn boundaries: the caller's turn is over and is answered, an answer is over and the caller is listened to."""

from dataclasses import replace

from voice_gateway.domain import answering, drafts
from voice_gateway.domain.actions import (
    AdoptReply,
    Canned,
    CloseAsr,
    EndCall,
    EventKind,
    MoveCall,
    ResetSpeech,
    SendEvent,
    SendTranscript,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.conversation import append_user
from voice_gateway.domain.events import SpeakRequest
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.reply_state import Origin
from voice_gateway.domain.report import SPEAK_RULE
from voice_gateway.domain.step import Step

MAX_QUEUED_SPEECH = 8
"""Texts to be spoken verbatim that may wait for the caller to fall silent."""


def listen(step: Step) -> None:
    """A turn boundary: what waited for it happens, else the caller is listened to."""
    state = step.state
    agenda, closing = state.agenda, state.closing
    if closing.farewell_turn is not None:
        end(step, "CALL_TOO_LONG", _limit_sentence(step), retryable=False)
    elif closing.moves and not closing.input_closed:
        move(step)
    elif agenda.queued_speech:
        request, *rest = agenda.queued_speech
        agenda.queued_speech = tuple(rest)
        speak(step, request)
    elif closing.too_long and state.tuning.conversation.farewell:
        reply = speak(step, SpeakRequest(state.tuning.conversation.farewell, 0, uninterruptible=True))
        state.closing = replace(closing, farewell_turn=reply)
    else:
        state.phase = Phase.LISTENING
        agenda.idle_since_ms = step.now
        if agenda.keys:
            # They are a turn that is not over.
            step.do(SendEvent(state.turn + 1, EventKind.LISTENING))
        elif closing.input_closed:
            close(step)
        elif closing.drain_until_ms is not None:
            end(step, "DRAINING", "The gateway is about to stop; call again.", retryable=True)
        else:
            step.do(SendEvent(state.turn + 1, EventKind.LISTENING))


def commit(
    step: Step,
    text: str,
    rule: str,
    *,
    speech_end_ms: int,
    final_ms: int | None = None,
    key: tuple[str, ...] = (),
    repeat: bool = False,
) -> None:
    """The caller's turn is over: answer it. `key` is what a speculative answer must have been begun for; with `repeat`
    the caller only asks for the last answer again.
    """
    state = step.state
    drafted = drafts.take(step, key)
    state.learned.speculation = state.learned.speculation.turn_over()
    state.learned.pace = state.learned.pace.after_turn()
    state.agenda.reprompts = 0
    answering.keep(state, append_user(state.history, text, tokens=state.tuning.history_tokens))
    state.turn += 1
    reply = drafted or answering.new_reply(state, state.turn, rule, speech_end_ms=speech_end_ms, now=step.now)
    reply.rule, reply.marks.committed_ms = rule, step.now
    reply.marks.speech_end_ms, reply.marks.final_ms = min(speech_end_ms, step.now), final_ms
    state.reply, state.phase = reply, Phase.THINKING
    step.do(SendTranscript(state.turn, text, final=True), SendEvent(state.turn, EventKind.PROCESSING))
    if drafted is not None:
        step.do(AdoptReply(reply.turn, reply.revision))
        answering.go_on(step, reply)
    elif repeat and state.tuning.conversation.repeat and state.learned.last_answer:
        reply.origin = Origin(verbatim=state.learned.last_answer)
        step.do(SpeakVerbatim(state.turn, reply.generation, state.learned.last_answer))
    else:
        step.do(StartReply(state.turn, reply.generation, drafts.request(state.tuning.system_prompt, state.history)))


def speak(step: Step, request: SpeakRequest, *, canned: Canned | None = None) -> int:
    """Say a text that nobody asked for. Gives the number of its turn."""
    state = step.state
    drafts.discard(step)
    state.turn += 1
    reply = answering.new_reply(state, state.turn, SPEAK_RULE, speech_end_ms=step.now, now=step.now)
    reply.origin, reply.marks.committed_ms = Origin(request.uninterruptible, request.text, canned), step.now
    state.reply, state.phase = reply, Phase.THINKING
    step.do(SpeakVerbatim(state.turn, reply.generation, request.text, canned))
    return state.turn


def speak_when_silent(step: Step, request: SpeakRequest) -> None:
    """Say a text now, or at the next turn boundary."""
    agenda = step.state.agenda
    if step.state.phase is Phase.LISTENING:
        speak(step, request)
    elif len(agenda.queued_speech) < MAX_QUEUED_SPEECH:
        agenda.queued_speech = (*agenda.queued_speech, request)
    else:
        message = f"At most {MAX_QUEUED_SPEECH} texts may wait to be spoken; this one was not taken."
        step.do(SendEvent(step.state.turn, EventKind.ERROR, message, "SPEECH_QUEUE_FULL", retryable=True))


def drop_utterances(step: Step) -> None:
    """Forget what the caller is saying."""
    state = step.state
    drafts.discard(step)
    step.do(*(CloseAsr(utterance.number) for utterance in state.utterances if not utterance.done))
    if state.open_utterance() is not None:
        step.do(ResetSpeech())
    state.utterances = []


def too_long(step: Step, heard_samples: int) -> None:
    """The call has reached its longest length."""
    end(step, "CALL_TOO_LONG", _limit_sentence(step), retryable=False, heard_samples=heard_samples)


def _limit_sentence(step: Step) -> str:
    return f"The call reached its limit of {step.state.policy.max_call_ms // 1000} seconds."


def end(step: Step, reason: str, message: str, *, retryable: bool, heard_samples: int = 0) -> None:
    """End the call for a reason, and the turn under way with it."""
    turn = step.state.turn
    if step.state.reply is not None:
        answering.cut_off(step, step.state.reply, heard_samples)
    step.do(SendEvent(turn, EventKind.ERROR, message, reason, retryable, fatal=True))
    close(step, EndCall(reason, message, retryable))


def move(step: Step) -> None:
    """End the call here; it goes on elsewhere. What is under way stays as it is: the checkpoint is made of it."""
    step.state.phase = Phase.CLOSED
    step.do(MoveCall(), EndCall("MOVED"))


def close(step: Step, end_call: EndCall | None = None) -> None:
    """End the call."""
    drop_utterances(step)
    step.state.reply = None
    step.state.phase = Phase.CLOSED
    step.do(end_call or EndCall())
