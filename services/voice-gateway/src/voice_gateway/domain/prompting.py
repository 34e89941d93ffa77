"""What is said and done without the caller's speech: greeting, re-prompt, farewell, keys, hold."""

from dataclasses import replace

from voice_gateway.domain import answering, overlap, turns, utterances
from voice_gateway.domain.actions import ResetSpeech
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.events import KeyPressed, SpeakRequest
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.step import Step

END_KEY = "#"

MAX_KEYS = 64
"""Keys of one turn; a card number with its date and code has 23."""


def greet(step: Step) -> None:
    """The call begins."""
    greeting = step.state.tuning.conversation.greeting
    if greeting:
        turns.speak(step, SpeakRequest(greeting, 0))
    else:
        turns.listen(step)


# ---- time ------------------------------------------------------------------------------------------------------------


def deadlines(state: CallState) -> list[int]:
    """When something is to be said or done by itself, in ms of call time."""
    times = []
    if (due := _reprompt_due(state)) is not None:
        times.append(due)
    if state.agenda.keys and not _keys_wait(state):
        times.append(state.agenda.keys_until_ms)
    if not state.closing.too_long and state.tuning.conversation.farewell:
        times.append(_farewell_due(state))
    return times


def _reprompt_due(state: CallState) -> int | None:
    policy, agenda = state.tuning.conversation, state.agenda
    if state.phase is not Phase.LISTENING or not policy.reprompt or agenda.held or agenda.keys:
        return None
    if agenda.idle_since_ms is None or agenda.reprompts >= policy.max_reprompts:
        return None
    return agenda.idle_since_ms + policy.reprompt_after_ms


def _farewell_due(state: CallState) -> int:
    longest_ms = state.policy.max_call_ms
    # A short call keeps at least half of its time.
    return state.opened.at_ms + max(longest_ms - state.tuning.conversation.farewell_ms, longest_ms // 2)


def tick(step: Step, heard_samples: int) -> None:
    """Say or do what is due."""
    state = step.state
    if state.agenda.keys and step.now >= state.agenda.keys_until_ms:
        commit_keys(step, heard_samples)
    if (due := _reprompt_due(state)) is not None and step.now >= due:
        state.agenda.reprompts += 1
        turns.speak(step, SpeakRequest(state.tuning.conversation.reprompt, 0))
    leaving = not state.closing.too_long and state.tuning.conversation.farewell
    if leaving and step.now >= _farewell_due(state):
        state.closing = replace(state.closing, too_long=True)
        if state.phase is Phase.LISTENING:
            turns.listen(step)


# ---- keys ------------------------------------------------------------------------------------------------------------


def key_pressed(step: Step, event: KeyPressed) -> None:
    """A key of the telephone's keypad. Keys are a turn of their own; they stop an answer as speech does."""
    state, agenda = step.state, step.state.agenda
    reply = state.reply
    if reply is not None and answering.interruptible(state, reply):
        answering.interrupt(step, event.heard_samples)
        turns.drop_utterances(step)
        turns.listen(step)
        if state.phase is Phase.CLOSED:
            return
    if event.key == END_KEY:
        commit_keys(step, event.heard_samples)
    elif len(agenda.keys) < MAX_KEYS:
        agenda.keys += event.key
        agenda.keys_until_ms = step.now + state.tuning.conversation.key_pause_ms


def _keys_wait(state: CallState) -> bool:
    return state.reply is not None and not answering.interruptible(state, state.reply)


def commit_keys(step: Step, heard_samples: int) -> None:
    """The keys pressed so far are a turn, once nothing is spoken that they may not stop."""
    if _keys_wait(step.state):
        step.state.agenda.keys_until_ms = step.now
        return
    keys, step.state.agenda.keys = step.state.agenda.keys, ""
    if keys:
        take_typed(step, keys, heard_samples, rule="keys")


def take_typed(step: Step, text: str, heard_samples: int, *, rule: str, repeat: bool = False) -> None:
    """A typed turn takes over: it stops an answer, and what was being said stands before it."""
    state = step.state
    if state.reply is not None:
        answering.interrupt(step, heard_samples)
    spoken = state.pending_text()
    turns.drop_utterances(step)
    whole = f"{spoken} {text}".strip()
    turns.commit(step, whole, rule, speech_end_ms=step.now, repeat=repeat and not spoken)


# ---- hold ------------------------------------------------------------------------------------------------------------


def hold(step: Step, heard_samples: int) -> None:
    """The client puts the call on hold: the answer stands still, and the microphone is not listened to."""
    state = step.state
    if state.agenda.held:
        return
    reply = state.reply
    state.agenda.held = True
    step.do(ResetSpeech())
    if reply is not None and state.phase in (Phase.INTERRUPTING, Phase.PAUSED):
        # It does not go on: an answer that stood still keeps its place.
        overlap.forget(step)
    if reply is not None and reply.released and reply.paused is None:
        answering.pause(step, reply, heard_samples)
    elif state.phase is Phase.HEARING:
        if (utterance := state.open_utterance()) and not utterance.paused:
            utterance.speech_end_ms = step.now
        utterances.end(step, "hold")


def unhold(step: Step) -> None:
    """The call goes on."""
    state = step.state
    if not state.agenda.held:
        return
    state.agenda.held = False
    state.agenda.idle_since_ms = step.now
    step.do(ResetSpeech())
    if state.reply is not None:
        answering.go_on(step, state.reply, after_speech=False)
