"""The caller's speech while no answer is under way: when it ends, and what was said."""

from dataclasses import replace

from voice_gateway.domain import drafts, turns
from voice_gateway.domain.actions import (
    AwaitSilence,
    Canned,
    CloseAsr,
    FinalizeAsr,
    FlushAsr,
    OpenAsr,
    RememberNoForceEou,
    ResetSpeech,
    ScoreTurn,
    SendTranscript,
)
from voice_gateway.domain.call_state import UNHEARD_MS, Utterance
from voice_gateway.domain.endpointing import EndpointChoice, silence_for
from voice_gateway.domain.events import NO_FEATURES, AsrResult, SpeakRequest, Speech, SpeechEdge, TurnScored
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import Finalize
from voice_gateway.domain.step import Step
from voice_gateway.domain.text_features import Ending, TextFeatures

MAX_UTTERANCES = 16
"""Stretches of speech within one turn; more than that and the turn ends with what is there."""


def begin(step: Step, event: Speech) -> bool:
    """Speech has perhaps begun: have it recognised. False where the caller was speaking already."""
    state = step.state
    if state.open_utterance() is not None:
        return False
    if state.utterances and state.reply is None:
        # The caller goes on while the final result of what came before is awaited.
        _learn_pause(step, event.at_ms - state.utterances[-1].speech_end_ms)
        drafts.discard(step)
    state.utterance += 1
    if len(state.utterances) >= MAX_UTTERANCES:
        _fold_oldest(step)
    utterance = Utterance(state.utterance, event.at_ms, speech_end_ms=event.at_ms, stretch_sample=event.audio_sample)
    state.utterances.append(utterance)
    step.do(OpenAsr(state.utterance, event.audio_sample))
    return True


def _fold_oldest(step: Step) -> None:
    """Make one of the two oldest utterances: their words stay, and what the older one still awaits is given up."""
    oldest, second = step.state.utterances[:2]
    if not oldest.done:
        step.do(CloseAsr(oldest.number))
    second.take_over(oldest)
    del step.state.utterances[0]


def edge(step: Step, event: Speech) -> None:
    """The caller's speech goes on, pauses or ends, with no answer under way."""
    utterance = step.state.open_utterance()
    if utterance is None:
        return
    match event.edge:
        case SpeechEdge.PAUSED:
            utterance.fall_silent(event.audio_sample, event.at_ms)
            step.do(FlushAsr(utterance.number), ScoreTurn(utterance.number, utterance.pause.number))
            _weigh(step, utterance)
            drafts.consider(step)
        case SpeechEdge.CONTINUED:
            _learn_pause(step, event.at_ms - utterance.speech_end_ms)
            drafts.discard(step)
            utterance.go_on(event.audio_sample)
        case SpeechEdge.MISFIRE | SpeechEdge.ENDED:
            # A misfire with nobody else speaking may be a short "yes": the recogniser decides.
            utterance.speech_end_ms = event.at_ms
            end(step, utterance.pause.rule or "no_text")
        case SpeechEdge.STARTED:
            pass


def _learn_pause(step: Step, pause_ms: int) -> None:
    step.state.learned.pace = step.state.learned.pace.after_pause(max(0, pause_ms))


# ---- the end of the turn ---------------------------------------------------------------------------------------------


def _weigh(step: Step, utterance: Utterance) -> None:
    """The caller is silent: decide how much more silence ends the turn, or that the recogniser has heard enough."""
    choice = _choice(step, utterance)
    if (choice.silence_ms, choice.rule) != (utterance.pause.silence_ms, utterance.pause.rule):
        if choice.silence_ms != utterance.pause.silence_ms:
            step.do(AwaitSilence(choice.silence_ms))
        utterance.pause.silence_ms, utterance.pause.rule = choice.silence_ms, choice.rule
    if utterance.settled and _quick(step, utterance):
        # The recogniser's own endpointing agrees.
        end(step, "asr_final")


def _choice(step: Step, utterance: Utterance) -> EndpointChoice:
    state = step.state
    pending = state.pending()
    policy = state.policy.endpoint
    if policy.neutral_ms != state.policy.endpoint_silence_ms:
        policy = replace(policy, neutral_ms=state.policy.endpoint_silence_ms)

    def silence(features: TextFeatures | None) -> EndpointChoice:
        return silence_for(
            features, state.learned.expected, state.learned.pace, policy, turn_complete=utterance.pause.complete
        )

    choice = silence(pending[-1].features if pending else None)
    if utterance.unheard() <= UNHEARD_MS * state.opened.input_sample_rate_hz // 1000:
        return choice
    # The recogniser has not come to the last word yet, which may be the "and" after which more follows.
    return max(choice, silence(None), key=lambda candidate: candidate.silence_ms)


def end(step: Step, rule: str) -> None:
    """The caller is done speaking, as far as can be told."""
    utterance = step.state.open_utterance()
    if utterance is None:
        return
    step.state.phase = Phase.ENDPOINTING
    finish(step, utterance, rule)
    settle(step)
    drafts.consider(step)


def finish(step: Step, utterance: Utterance, rule: str) -> None:
    """The utterance is over: make sure that the recogniser finalises what it heard."""
    utterance.ended_by, utterance.paused = rule, False
    if rule in ("asr_final", "asr_first_pass", "overlap"):
        # The detector sees a pause; what follows is a new utterance, with an onset of its own.
        step.do(ResetSpeech())
    if utterance.settled or utterance.done:
        done(step, utterance)
        return
    policy = step.state.policy
    half_close = policy.finalize is Finalize.HALF_CLOSE or (
        policy.finalize is Finalize.AUTO and step.state.learned.force_eou_ignored
    )
    if policy.finalize is Finalize.AUTO and not half_close:
        utterance.wait.patience_until_ms = step.now + policy.force_eou_patience_ms
    utterance.wait.until_ms = step.now + policy.final_timeout_ms
    step.do(FinalizeAsr(utterance.number, half_close))


def scored(step: Step, event: TurnScored) -> None:
    """The end-of-turn model has answered."""
    utterance = step.state.open_utterance()
    if utterance is None or utterance.number != event.utterance or not utterance.paused:
        return
    if step.state.reply is not None or utterance.pause.number != event.pause:
        return
    utterance.pause.complete = event.complete
    _weigh(step, utterance)


def lost_patience(step: Step, utterance: Utterance) -> None:
    """The server did not answer `force_eou`: half-close the utterance's stream, and remember."""
    utterance.wait.patience_until_ms = None
    step.state.learned.force_eou_ignored = True
    step.do(RememberNoForceEou(), FinalizeAsr(utterance.number, half_close=True))


# ---- what was recognised ---------------------------------------------------------------------------------------------


def recognised(step: Step, event: AsrResult, utterance: Utterance) -> None:
    """A result, with no answer under way; the utterance has it already."""
    state = step.state
    if event.final and not utterance.open and utterance.covered:
        done(step, utterance)
        settle(step)
    elif utterance.open and utterance.paused:
        _weigh(step, utterance)
        if event.first_pass_end and not utterance.ended_by and _quick(step, utterance):
            end(step, "asr_first_pass")
    if state.phase in (Phase.HEARING, Phase.ENDPOINTING):
        show(step)
        drafts.consider(step)


def _quick(step: Step, utterance: Utterance) -> bool:
    """Whether the recogniser's own end of utterance is believed: not where the rules ask for more silence than usual,
    nor after a number word, which may be the first of several.
    """
    if utterance.pause.silence_ms > step.state.policy.endpoint_silence_ms:
        return False
    pending = step.state.pending()
    features = pending[-1].features if pending else NO_FEATURES
    return not (features.ending is Ending.NEUTRAL and features.digits)


def show(step: Step) -> None:
    """Tell the client what was recognised so far."""
    if any(result.words for result in step.state.pending()):
        step.do(SendTranscript(step.state.turn + 1, step.state.pending_text(), final=False))


def done(step: Step, utterance: Utterance) -> None:
    """Nothing more is awaited of the utterance."""
    utterance.done = True
    utterance.wait.patience_until_ms = utterance.wait.until_ms = None
    step.do(CloseAsr(utterance.number))


def settle(step: Step) -> None:
    """Commit the turn once the caller is silent and everything it said is recognised."""
    state = step.state
    if state.phase not in (Phase.HEARING, Phase.ENDPOINTING) or not state.utterances:
        return
    if any(utterance.open or not utterance.done for utterance in state.utterances):
        return
    last, failed = state.utterances[-1], any(utterance.failed for utterance in state.utterances)
    pending, text, key = state.pending(), state.pending_text(), state.pending_key()
    drafts.learn_lag(state, last)
    said, state.utterances = state.utterances, []
    guard = state.policy.interruption.echo_similarity
    if any(utterance.said(guard) for utterance in said):
        repeat = all(result.features.asks_repeat for result in pending)
        turns.commit(
            step,
            text,
            last.ended_by,
            speech_end_ms=last.speech_end_ms,
            final_ms=last.wait.final_ms,
            key=key,
            repeat=repeat,
        )
        return
    drafts.discard(step)
    if failed and state.tuning.conversation.apologise:
        turns.speak(step, SpeakRequest("", 0), canned=Canned.ASR)
    else:
        turns.listen(step)
