"""Speculation: the answer is begun while the caller may still go on, and thrown away if that was wrong.

An answer is begun on what is recognised when the caller falls silent and may be done, once the recogniser has had the
time to show the last word, or has just shown it; begun anew when the recogniser changes its mind; adopted when the turn
ends with the words that it was begun for. Until then nothing of it leaves the gateway. The transaction is that of
huggingface/speech-to-speech (turn and revision); the budget is in speculation.py.
"""

from voice_gateway.domain import answering
from voice_gateway.domain.actions import CancelReply, CountSpeculation, Speculation, StartReply
from voice_gateway.domain.call_state import UNHEARD_MS, CallState, Draft, ReplyState, Utterance
from voice_gateway.domain.conversation import Message, Role, append_user, bounded
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.step import Step
from voice_gateway.domain.text_features import Ending


def consider(step: Step) -> None:
    """Begin an answer, or begin it anew, if what is recognised may be all that the caller has to say."""
    state = step.state
    if state.phase not in (Phase.HEARING, Phase.ENDPOINTING) or not state.utterances:
        return
    key = state.pending_key()
    if state.draft is not None and state.draft.key == key:
        return
    if state.draft is not None:
        discard(step)
    last = state.utterances[-1]
    if not _words_are_in(state, last):
        return
    budget = state.learned.speculation
    if not key or not _may_be_all(last, state.opened.input_sample_rate_hz):
        return
    if not budget.allows(state.policy.speculation):
        return
    state.learned.speculation = budget.begun()
    revision = state.learned.speculation.revisions
    reply = answering.new_reply(
        state, state.turn + 1, "", speech_end_ms=last.speech_end_ms, now=step.now, revision=revision
    )
    state.draft = Draft(reply, key)
    tokens = state.tuning.history_tokens
    history = bounded(append_user(state.history, state.pending_text(), tokens=tokens), tokens=tokens)
    messages = request(state.tuning.system_prompt, history)
    step.do(
        StartReply(reply.turn, reply.generation, messages, revision, speculative=True),
        CountSpeculation(Speculation.STARTED),
    )


def _words_are_in(state: CallState, utterance: Utterance) -> bool:
    """Whether the recogniser has shown all that was said, by what is known of its lag."""
    if not utterance.open or utterance.pause.text_ms is not None or not utterance.interim.words:
        return True
    return state.now_ms >= _due_ms(state, utterance)


def _due_ms(state: CallState, utterance: Utterance) -> int:
    return utterance.speech_end_ms + round(state.learned.lag.ms)


def deadline(state: CallState) -> int | None:
    """When to consider it again though nothing happens, in ms of call time."""
    utterance = state.open_utterance()
    if utterance is None or not utterance.paused or state.reply is not None or not state.policy.speculation.enabled:
        return None
    due_ms = _due_ms(state, utterance)
    return due_ms if due_ms > state.now_ms else None


def learn_lag(state: CallState, utterance: Utterance) -> None:
    """The turn is over: how late were its words?"""
    if utterance.pause.number:
        shown_ms = utterance.pause.text_ms
        lag_ms = 0 if shown_ms is None else shown_ms - utterance.speech_end_ms
        state.learned.lag = state.learned.lag.after_turn(lag_ms)


def _may_be_all(utterance: Utterance, rate_hz: int) -> bool:
    """Whether the caller is silent, and what is recognised speaks of all that was said and sounds finished."""
    if (utterance.open and not utterance.paused) or not utterance.results:
        return False
    last = utterance.results[-1]
    if utterance.unheard() > UNHEARD_MS * rate_hz // 1000:
        return False
    if last.features.asks_repeat:
        return False
    return last.features.ending in (Ending.COMPLETE, Ending.NEUTRAL) or not utterance.open


def take(step: Step, key: tuple[str, ...]) -> ReplyState | None:
    """The caller's turn is over: the answer that was begun for just these words, if there is one."""
    draft = step.state.draft
    if draft is None:
        return None
    if draft.key != key or draft.reply.troubled:
        discard(step)
        return None
    step.state.draft = None
    step.state.learned.speculation = step.state.learned.speculation.kept()
    step.do(CountSpeculation(Speculation.ADOPTED))
    return draft.reply


def discard(step: Step) -> None:
    """Throw the answer away that was begun, if any."""
    state, draft = step.state, step.state.draft
    if draft is None:
        return
    state.draft = None
    state.generation += 1
    characters = sum(len(phrase.text) for phrase in draft.reply.ledger.phrases)
    state.learned.speculation = state.learned.speculation.lost(characters)
    step.do(CancelReply(draft.reply.turn, state.generation), CountSpeculation(Speculation.WASTED, characters))


def request(system_prompt: str, history: tuple[Message, ...]) -> tuple[Message, ...]:
    """What the language model is asked."""
    return (Message(Role.SYSTEM, system_prompt), *history) if system_prompt else history
