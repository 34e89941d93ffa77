"""The caller speaks while an answer is under way: duck it, pause it, and then stop it or go on with it.

    100 ms of speech    the answer is ducked, or held back if it is not yet audible
    200 ms              it is paused; the client throws away what it has not played
    then                words that are no backchannel and no echo stop it, as does an always-interrupt phrase at any
                        time, and 700 ms of speech whatever is recognised; silence without such words lets it go on,
                        from the word where it paused

A sound that is like what is being played is taken for its echo: it neither ducks nor pauses the answer, and only words
can stop it. Words count once they are final: first guesses at a "yeah" are other words ("the", "you"), and waiting
costs nothing that is heard, since the answer stands still. What the recogniser says late, after the answer went on,
still counts.
"""

from enum import Enum, auto

from voice_gateway.domain import answering, turns, utterances
from voice_gateway.domain.actions import CloseAsr, EventKind, SendEvent
from voice_gateway.domain.call_state import CallState, Recognised, ReplyState, Utterance
from voice_gateway.domain.echo import POSSIBLE_ECHO
from voice_gateway.domain.events import AsrResult, Speech, SpeechEdge
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.report import SPEAK_RULE
from voice_gateway.domain.step import Step

CUT_IN_MS = 1_500
"""A caller that goes on within this time of its last word, before any answer was heard, had not finished."""


class Verdict(Enum):
    """What the words over an answer mean."""

    SILENT = auto()
    """Nothing was recognised."""
    DOUBTFUL = auto()
    """Only backchannels, or the answer's own echo."""
    LIKELY = auto()
    """Words of an interim result: the next one may have made a backchannel of them. "All rye" becomes "all right"."""
    INTERRUPTS = auto()


def verdict(state: CallState) -> Verdict:
    """What is recognised over the answer so far means."""
    policy = state.policy.interruption
    heard = [result for utterance in state.utterances for result in utterance.said(policy.echo_similarity)]
    if any(result.features.stop for result in heard):
        return Verdict.INTERRUPTS
    growing = [utterance.interim for utterance in state.utterances if not utterance.done]
    if state.reply is not None and not state.reply.audible:
        # Nothing was said that the caller could agree with, or that could echo.
        growing = []
    likely = [result for result in heard if not (result in growing and _may_become_echo(state, result))]
    if _wants_the_floor([result for result in likely if result not in growing], policy.min_words):
        return Verdict.INTERRUPTS
    if _wants_the_floor(likely, policy.min_words):
        return Verdict.LIKELY
    return Verdict.DOUBTFUL if any(result.words for result in state.pending()) else Verdict.SILENT


def _wants_the_floor(results: list[Recognised], min_words: int) -> bool:
    return sum(result.words for result in results if not result.features.backchannel) >= min_words


def _may_become_echo(state: CallState, interim: Recognised) -> bool:
    """Whether the next result may show it to be the answer's own echo, whose first words alone are too few to tell."""
    return interim.features.echo >= POSSIBLE_ECHO and state.policy.interruption.echo_similarity <= 1.0


# ---- speech ----------------------------------------------------------------------------------------------------------


def edge(step: Step, event: Speech, reply: ReplyState) -> None:
    """The caller makes a sound over the answer, or stops making it."""
    state = step.state
    if event.edge is SpeechEdge.STARTED:
        _forget_echo(step, event)
        if utterances.begin(step, event) and state.phase is not Phase.PAUSED:
            state.phase = Phase.INTERRUPTING
            if answering.interruptible(state, reply) and not _sounds_like_echo(state, event):
                answering.duck(step, reply)
        return
    utterance = state.open_utterance()
    if utterance is None:
        return
    match event.edge:
        case SpeechEdge.CONFIRMED:
            utterance.like_played = _sounds_like_echo(state, event)
            if utterance.like_played:
                answering.end_ducking(step, reply)
            elif state.phase is Phase.INTERRUPTING and answering.interruptible(state, reply):
                state.phase = Phase.PAUSED
                if reply.released:
                    answering.pause(step, reply, event.heard_samples)
                _decide(step, event.heard_samples)
        case SpeechEdge.CONTINUED:
            utterance.go_on(event.audio_sample)
        case SpeechEdge.PAUSED if state.phase is Phase.PAUSED:
            utterance.fall_silent(event.audio_sample, event.at_ms)
            _fell_silent(step, utterance, event.heard_samples)
        case SpeechEdge.PAUSED:
            utterance.fall_silent(event.audio_sample, event.at_ms)
        case SpeechEdge.MISFIRE | SpeechEdge.ENDED if not answering.interruptible(state, reply):
            # Speech over an answer that nothing may stop is not listened to, unless it outlasts the answer.
            forget(step)
        case SpeechEdge.MISFIRE | SpeechEdge.ENDED:
            utterance.speech_end_ms = event.at_ms
            _fell_silent(step, utterance, event.heard_samples)


def _forget_echo(step: Step, event: Speech) -> None:
    """Of an echo that the caller speaks over, what was recognised so far is not the caller's."""
    state = step.state
    heard = state.open_utterance()
    if heard is None or not heard.like_played or _sounds_like_echo(state, event):
        return
    if not heard.done:
        step.do(CloseAsr(heard.number))
    state.utterances.remove(heard)


def _sounds_like_echo(state: CallState, event: Speech) -> bool:
    return event.echo >= state.policy.interruption.echo_sound


def _fell_silent(step: Step, utterance: Utterance, heard_samples: int) -> None:
    """The caller paused. Have the recogniser say what it was; an answer that was only ducked plays on meanwhile."""
    utterances.finish(step, utterance, "overlap")
    if step.state.phase is Phase.INTERRUPTING:
        _go_on(step)
    _decide(step, heard_samples)


def input_closed(step: Step, utterance: Utterance, reply: ReplyState, heard_samples: int) -> None:
    """The audio ends in the middle of speech over the answer."""
    if not answering.interruptible(step.state, reply):
        forget(step)
        return
    utterances.finish(step, utterance, "end_of_audio")
    if step.state.phase is Phase.INTERRUPTING:
        _go_on(step)
    _decide(step, heard_samples)


# ---- what was recognised ---------------------------------------------------------------------------------------------


def recognised(step: Step, event: AsrResult, utterance: Utterance) -> None:
    """A result, with an answer under way; the utterance has it already."""
    if event.final and not utterance.open and utterance.covered:
        utterances.done(step, utterance)
    _decide(step, event.heard_samples)


def recognition_over(step: Step, heard_samples: int) -> None:
    """Nothing more comes of an utterance."""
    _decide(step, heard_samples)


def _decide(step: Step, heard_samples: int) -> None:
    """Stop the answer, let it go on, or wait for more."""
    state = step.state
    reply = state.reply
    if reply is None or not state.utterances:
        return
    ruling = verdict(state)
    if ruling is Verdict.INTERRUPTS and answering.interruptible(state, reply):
        take_turn(step, heard_samples)
        return
    if state.open_utterance() is None and all(utterance.done for utterance in state.utterances):
        forget(step)


# ---- decisions -------------------------------------------------------------------------------------------------------


def take_turn(step: Step, heard_samples: int) -> None:
    """The speech over the answer is the caller's turn."""
    state = step.state
    reply = state.reply
    if reply is None:
        return
    onset_ms = state.utterances[0].onset_ms if state.utterances else step.now
    if not reply.audible and reply.rule != SPEAK_RULE:
        # Nobody heard an answer: the caller goes on with what was taken for a whole turn.
        gap_ms = onset_ms - reply.marks.speech_end_ms
        if 0 <= gap_ms <= CUT_IN_MS:
            state.learned.pace = state.learned.pace.after_cut_in(gap_ms)
    answering.interrupt(step, heard_samples, interruption_ms=step.now - onset_ms)
    guard = state.policy.interruption.echo_similarity
    for utterance in state.utterances:
        utterance.finals = tuple(result for result in utterance.finals if not utterance.is_echo(result, guard))
    after_answer(step)


def forget(step: Step) -> None:
    """What was said over the answer was no interruption: drop it, and go on with the answer."""
    turns.drop_utterances(step)
    _go_on(step)


def _go_on(step: Step) -> None:
    reply = step.state.reply
    if reply is None:
        return
    step.state.phase = Phase.SPEAKING if reply.audible else Phase.THINKING
    answering.go_on(step, reply)


def after_answer(step: Step) -> None:
    """An answer is over: go on with what the caller was saying over it, if anything."""
    state = step.state
    if state.open_utterance() is not None:
        state.phase = Phase.HEARING
        step.do(SendEvent(state.turn + 1, EventKind.LISTENING))
        utterances.show(step)
    elif state.utterances:
        state.phase = Phase.ENDPOINTING
        step.do(SendEvent(state.turn + 1, EventKind.LISTENING))
        utterances.settle(step)
    else:
        turns.listen(step)


# ---- time ------------------------------------------------------------------------------------------------------------


def deadline(state: CallState) -> int | None:
    """When a paused answer must be decided about, in ms of call time."""
    if state.phase is not Phase.PAUSED or not state.utterances:
        return None
    policy = state.policy.interruption
    utterance = state.open_utterance()
    if utterance is None:
        return state.utterances[-1].speech_end_ms + policy.resume_after_ms
    doubtful = verdict(state) is Verdict.DOUBTFUL
    return utterance.onset_ms + (policy.doubtful_commit_ms if doubtful else policy.commit_ms)


def tick(step: Step, heard_samples: int) -> None:
    """The time to decide may have come."""
    state = step.state
    due = deadline(state)
    if due is None or step.now < due:
        return
    if state.open_utterance() is not None or verdict(state) is Verdict.LIKELY:
        take_turn(step, heard_samples)
    else:
        # The recogniser is late. What it says may still stop the answer.
        _go_on(step)
