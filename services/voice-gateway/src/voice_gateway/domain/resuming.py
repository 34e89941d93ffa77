"""A call is taken up again where a checkpoint left it: numbers go on, the history stands, and an answer that was under
way goes on with the first phrase that was not heard to its end.

Text of an answer that the language model had not finished when the connection broke is asked for anew: the model is
given what it had said, as far as it was cut into phrases, and told to go on there. It may go on otherwise than it would
have; models that were trained for chat sometimes repeat a few words, or end at once. What was already made into phrases
is spoken as it was written.
"""

from dataclasses import fields, replace

from voice_gateway.domain import answering, drafts, turns
from voice_gateway.domain.actions import Continuation, EventKind, SendEvent, SpeakVerbatim, StartReply
from voice_gateway.domain.call_state import Agenda, CallState, Opened
from voice_gateway.domain.checkpoint import AnswerUnderWay, Known, QueuedSpeech, Talk
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.events import CallResumed, Played, SpeakRequest
from voice_gateway.domain.heard import HeardLedger
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.reply_state import ReplyMarks, ReplyState
from voice_gateway.domain.report import SPEAK_RULE
from voice_gateway.domain.step import Step

GENERATIONS_APART = 16
"""Left out when a call is resumed: the process before may have begun some that no checkpoint tells of, and what a
client still has of them must be older than what comes now. Few answers are paused more than once."""

GO_ON = (
    "Your answer was cut off by a technical fault after the words above. Go on with it exactly where it stopped, in "
    "the same language: repeat nothing, and do not mention the fault."
)


# ---- into a checkpoint -----------------------------------------------------------------------------------------------


def talk_of(state: CallState, *, now: int, heard_samples: int, played_ms: int | None = None) -> Talk:
    """What of `state` is needed to go on elsewhere. `heard_samples`: of the current answer, at `now`, in ms of call
    time; `played_ms`: since when it is played, if that is known. What the caller is saying is not in it: the client
    sends that audio again.
    """
    agenda, learned, closing = state.agenda, state.learned, state.closing
    began_ms = state.opened.at_ms
    return Talk(
        elapsed_ms=max(0, now - began_ms),
        turn=state.turn,
        generation=state.generation,
        utterance=state.utterance,
        history=state.history,
        known=Known(
            learned.pace,
            learned.expected,
            learned.last_answer,
            learned.answered_ms - began_ms,
            learned.force_eou_ignored,
        ),
        reprompts=agenda.reprompts,
        keys=agenda.keys,
        held=agenda.held,
        queued_speech=tuple(QueuedSpeech(s.text, s.words, s.uninterruptible) for s in agenda.queued_speech),
        too_long=closing.too_long,
        farewell_turn=closing.farewell_turn,
        cut=state.cut if state.cut is not None and state.cut.message in state.history else None,
        answer=_answer_of(state.reply, began_ms, heard_samples, played_ms) if state.reply is not None else None,
    )


def _answer_of(reply: ReplyState, began_ms: int, heard_samples: int, played_ms: int | None) -> AnswerUnderWay:
    at_sample = reply.paused.at_sample if reply.paused is not None else heard_samples
    first_played_ms = reply.marks.played_ms if reply.marks.played_ms is not None else played_ms
    return AnswerUnderWay(
        turn=reply.turn,
        rule=reply.rule,
        generation=reply.generation,
        base_sample=reply.base_sample,
        paused=reply.paused,
        phrases=reply.ledger.phrases,
        complete=reply.marks.text_done_ms is not None,
        origin=reply.origin,
        expects=reply.expects,
        heard_samples=max(reply.origin.heard_samples, at_sample if reply.audible else 0),
        marks=_shifted(replace(reply.marks, played_ms=first_played_ms), -began_ms),
    )


def _shifted(marks: ReplyMarks, by_ms: int) -> ReplyMarks:
    told = ((field.name, getattr(marks, field.name)) for field in fields(marks))
    return ReplyMarks(**{name: at_ms + by_ms for name, at_ms in told if at_ms is not None})


# ---- out of a checkpoint ---------------------------------------------------------------------------------------------


def resume(step: Step, event: CallResumed) -> None:
    """The call goes on here."""
    state, talk, played = step.state, event.talk, event.played
    began_ms = step.now - talk.elapsed_ms - event.away_ms
    state.opened = Opened(began_ms, event.output_sample_rate_hz, event.input_sample_rate_hz)
    state.tuning = replace(state.tuning, system_prompt=event.system_prompt)
    state.turn, state.utterance, state.cut = talk.turn, talk.utterance, talk.cut
    seen = played.generation if played is not None else 0
    state.generation = max(talk.generation, seen) + GENERATIONS_APART
    answering.keep(state, talk.history)
    learned, known = state.learned, talk.known
    learned.pace, learned.expected = known.pace, known.expected
    learned.last_answer, learned.answered_ms = known.last_answer, known.answered_ms + began_ms
    learned.force_eou_ignored = learned.force_eou_ignored or known.force_eou_ignored
    state.agenda = Agenda(
        queued_speech=tuple(SpeakRequest(s.text, s.words, s.uninterruptible) for s in talk.queued_speech),
        held=talk.held,
        reprompts=talk.reprompts,
        keys=talk.keys,
        keys_until_ms=step.now + state.tuning.conversation.key_pause_ms,
    )
    state.closing = replace(state.closing, too_long=talk.too_long, farewell_turn=talk.farewell_turn)
    if talk.answer is not None:
        _go_on(step, talk.answer, heard_before(talk.answer, played), began_ms, kept_ms=began_ms + talk.elapsed_ms)
        return
    if played is not None:
        answering.played(state, played)
    turns.listen(step)


def heard_before(answer: AnswerUnderWay, played: Played | None) -> int:
    """Samples of the answer that were heard: by what the client says, else by what the gateway knew."""
    paused = answer.paused
    if played is not None and played.generation == answer.generation and paused is None:
        heard = answer.base_sample + played.samples
    elif played is not None and paused is not None and played.generation == paused.generation:
        heard = paused.base_sample + played.samples
    else:
        heard = answer.heard_samples
    return max(heard, answer.origin.heard_samples)


def _go_on(step: Step, answer: AnswerUnderWay, heard: int, began_ms: int, *, kept_ms: int) -> None:
    """Have the rest of the answer made and spoken. The checkpoint was made at `kept_ms`."""
    state = step.state
    reply = answering.new_reply(state, answer.turn, answer.rule, speech_end_ms=step.now, now=step.now)
    reply.ledger = HeardLedger(state.opened.output_sample_rate_hz, answer.phrases)
    reply.origin, reply.expects = replace(answer.origin, heard_samples=heard), answer.expects
    reply.marks = _shifted(answer.marks, began_ms)
    reply.audible = heard > 0
    if reply.audible and reply.marks.playback_ms is None:
        reply.marks.playback_ms = kept_ms  # such a checkpoint is written right before the first audio
    first, reply.base_sample = reply.ledger.first_unheard(heard)
    state.reply, state.phase = reply, Phase.SPEAKING if reply.audible else Phase.THINKING
    goes_on = Continuation(first, reply.base_sample, tuple(phrase.text for phrase in answer.phrases[first:]))
    if answer.rule != SPEAK_RULE:
        step.do(SendEvent(reply.turn, EventKind.PROCESSING))
    order = _order(state, reply, answer, goes_on)
    if isinstance(order, StartReply):
        reply.marks.text_done_ms = None
    if order is not None:
        step.do(order)
    else:
        answering.ended(step, reply)
        turns.listen(step)


def _order(
    state: CallState, reply: ReplyState, answer: AnswerUnderWay, goes_on: Continuation
) -> StartReply | SpeakVerbatim | None:
    """What is to be made of the answer; None where all of it was heard."""
    turn, generation, origin = reply.turn, reply.generation, reply.origin
    asked = not origin.verbatim and origin.canned is None
    prompt = state.tuning.system_prompt
    if not answer.phrases:
        if asked:
            return StartReply(turn, generation, drafts.request(prompt, state.history))
        return SpeakVerbatim(turn, generation, origin.verbatim, origin.canned)
    if origin.verbatim:
        return SpeakVerbatim(turn, generation, origin.verbatim, goes_on=goes_on)
    if asked and not answer.complete:
        said = Message(Role.ASSISTANT, reply.ledger.whole_text())
        history = (*state.history, said, Message(Role.USER, GO_ON))
        return StartReply(turn, generation, drafts.request(prompt, history), goes_on=goes_on)
    return SpeakVerbatim(turn, generation, "", goes_on=goes_on) if goes_on.phrases else None
