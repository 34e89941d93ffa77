"""A call that is taken up again: what goes on, what is said, and that any life may be cut off anywhere."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from gateway_walks import PROMPT, Walk
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.actions import (
    Canned,
    Continuation,
    EndCall,
    EventKind,
    MoveCall,
    SendEvent,
    SendGoAway,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.call_state import CallState, Tuning
from voice_gateway.domain.checkpoint import AnswerUnderWay, Known, QueuedSpeech, Talk
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.events import (
    CallResumed,
    CallStarted,
    DrainRequested,
    InputClosed,
    KeyPressed,
    PhraseAudio,
    PhraseCut,
    PlaybackStarted,
    Played,
    ReplyEnded,
    SpeakRequest,
    TextTurn,
    Tick,
)
from voice_gateway.domain.heard import SpokenPhrase
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import ConversationPolicy, TurnPolicy
from voice_gateway.domain.reply_state import Origin, ReplyMarks, ReplyPause
from voice_gateway.domain.report import SPEAK_RULE
from voice_gateway.domain.resuming import GENERATIONS_APART, GO_ON, talk_of
from voice_gateway.domain.turn import IllegalEventError, TurnMachine

SEEDS = st.integers(0, 2**32)
S = 16_000

ASKED = Message(Role.USER, "tell me a story")
PHRASES = (
    SpokenPhrase("Once upon a time.", S, (4_000, 8_000, 10_000, S)),
    SpokenPhrase("There was a harbour.", S, (4_000, 8_000, 10_000, S)),
    SpokenPhrase("It was small."),
)
STORY = AnswerUnderWay(turn=1, rule="silence", generation=7, phrases=PHRASES, marks=ReplyMarks(900, 950, 1_000))
TALK = Talk(elapsed_ms=4_000, turn=1, generation=7, utterance=3, history=(ASKED,), answer=STORY)


def resumed(
    talk: Talk, *, played: Played | None = None, now: int = 0, **event: int
) -> tuple[TurnMachine, list[object]]:
    machine = TurnMachine()
    return machine, list(machine.handle(CallResumed(talk, S, PROMPT, played=played, **event), now=now))


# ---- any life -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", range(4))
def test_a_life_may_be_cut_off_anywhere(batch: int) -> None:
    """The model around the machine holds the history, and what is said, against what was said and heard before."""
    seen = Counter[str]()
    for seed in range(batch * 500, (batch + 1) * 500):
        dice = random.Random(seed)
        walk = Walk.begun(dice)
        for _ in range(3):
            walk.steps(dice, dice.randrange(1, 25))
            if walk.machine.finished:
                break
            seen[walk.machine.phase.value] += 1
            walk = walk.resumed(dice)
            seen["goes on"] += walk.shell.job is not None and bool(walk.shell.job.phrases)
        if not walk.machine.finished:
            walk.settle()
    for phase in set(Phase) - {Phase.NEW, Phase.CLOSED}:
        assert seen[phase.value] > 3, seen
    assert seen["goes on"] > 50


@given(st.randoms(use_true_random=False, note_method_calls=False))
@settings(max_examples=100, deadline=None)
def test_lives_that_shrink(dice: random.Random) -> None:
    walk = Walk.begun(dice)
    walk.steps(dice, 15)
    if not walk.machine.finished:
        walk = walk.resumed(dice)
        walk.steps(dice, 15)


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_a_checkpoint_of_a_call_that_was_just_resumed_says_the_same(seed: int) -> None:
    dice = random.Random(seed)
    walk = Walk.begun(dice)
    walk.steps(dice, 25)
    if walk.machine.finished:
        return
    state, now = walk.machine.state, walk.shell.now_ms
    talk = talk_of(state, now=now, heard_samples=walk.shell.heard())
    machine = TurnMachine(state=CallState(tuning=state.tuning))
    machine.handle(CallResumed(talk, S, PROMPT), now=5)
    if machine.finished or (talk.answer is not None and machine.state.reply is None) or machine.state.turn != talk.turn:
        return
    again = talk_of(machine.state, now=5, heard_samples=0)
    assert again.history == talk.history
    assert (again.turn, again.utterance, again.elapsed_ms) == (talk.turn, talk.utterance, talk.elapsed_ms)
    assert (again.known, again.keys, again.held, again.queued_speech) == (
        talk.known, talk.keys, talk.held, talk.queued_speech,
    )  # fmt: skip
    if talk.answer is not None and again.answer is not None:
        assert again.answer.phrases == talk.answer.phrases
        assert again.answer.origin.verbatim == talk.answer.origin.verbatim
        assert again.answer.heard_samples == talk.answer.heard_samples
        # What the model is asked for again is not complete.
        told = talk.answer.phrases or talk.answer.origin.verbatim or talk.answer.origin.canned
        done_ms = talk.answer.marks.text_done_ms if told else None
        assert again.answer.marks == replace(talk.answer.marks, text_done_ms=done_ms)


# ---- an answer goes on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "first", "from_sample"),
    [(0, 0, 0), (S - 1, 0, 0), (S, 1, S), (S + 9_000, 1, S), (2 * S, 2, 2 * S), (9 * S, 2, 2 * S)],
)
def test_speech_goes_on_with_the_first_phrase_that_was_not_heard_to_its_end(
    samples: int, first: int, from_sample: int
) -> None:
    machine, actions = resumed(TALK, played=Played(7, samples))
    rest = tuple(phrase.text for phrase in PHRASES[first:])
    told, order = actions
    assert told == SendEvent(1, EventKind.PROCESSING)
    assert isinstance(order, StartReply)
    assert order.goes_on == Continuation(first, from_sample, rest)
    assert order.generation == 7 + GENERATIONS_APART + 1
    *_, asked, said, wish = order.messages
    assert (asked, said.text, wish) == (
        ASKED, "Once upon a time. There was a harbour. It was small.", Message(Role.USER, GO_ON),
    )  # fmt: skip
    assert machine.phase is (Phase.SPEAKING if samples else Phase.THINKING)
    assert machine.state.history == (ASKED,)


def test_a_complete_answer_needs_no_model() -> None:
    _, actions = resumed(replace(TALK, answer=replace(STORY, complete=True)), played=Played(7, S))
    assert actions[1] == SpeakVerbatim(1, 24, "", goes_on=Continuation(1, S, ("There was a harbour.", "It was small.")))


def test_an_answer_that_was_heard_to_its_end_is_over() -> None:
    told = tuple(replace(phrase, samples=S) for phrase in PHRASES)
    machine, actions = resumed(
        replace(TALK, answer=replace(STORY, complete=True, phrases=told)), played=Played(7, 3 * S)
    )
    kinds = [action.kind for action in actions if isinstance(action, SendEvent)]
    assert kinds == [EventKind.PROCESSING, EventKind.END_OF_TURN, EventKind.LISTENING]
    assert machine.state.history == (ASKED, Message(Role.ASSISTANT, " ".join(phrase.text for phrase in PHRASES)))


def test_an_answer_of_which_there_was_nothing_is_asked_for_again() -> None:
    _, actions = resumed(replace(TALK, answer=replace(STORY, phrases=())))
    assert actions[1] == StartReply(1, 24, (Message(Role.SYSTEM, PROMPT), ASKED))


def test_a_text_that_is_spoken_as_it_is_goes_on_so() -> None:
    origin = Origin(uninterruptible=True, verbatim="Once upon a time. There was a harbour. It was small. The end.")
    machine, actions = resumed(
        replace(TALK, answer=replace(STORY, rule=SPEAK_RULE, origin=origin)), played=Played(7, S)
    )
    assert actions == [
        SpeakVerbatim(1, 24, origin.verbatim, goes_on=Continuation(1, S, ("There was a harbour.", "It was small.")))
    ]
    assert machine.state.reply is not None
    assert machine.state.reply.origin.uninterruptible


def test_an_apology_that_had_not_begun_is_given() -> None:
    answer = AnswerUnderWay(turn=1, rule=SPEAK_RULE, generation=2, origin=Origin(canned=Canned.ASR))
    _, actions = resumed(replace(TALK, answer=answer))
    assert actions == [SpeakVerbatim(1, 24, "", Canned.ASR)]


def test_what_the_client_heard_before_a_pause_counts() -> None:
    paused = replace(STORY, generation=8, paused=ReplyPause(7, 0, S // 2, 3_000))
    _, actions = resumed(replace(TALK, generation=8, answer=paused), played=Played(7, S + 1))
    assert isinstance(order := actions[1], StartReply)
    assert order.goes_on is not None
    assert order.goes_on.first_phrase == 1


@pytest.mark.parametrize("played", [None, Played(3, 9 * S), Played(9, 9 * S)])
def test_without_a_count_of_this_answer_the_gateways_own_guess_counts(played: Played | None) -> None:
    machine, actions = resumed(replace(TALK, answer=replace(STORY, heard_samples=S + 50)), played=played)
    assert isinstance(order := actions[1], StartReply)
    assert order.goes_on is not None
    assert order.goes_on.first_phrase == 1
    assert order.generation > max(7, played.generation if played else 0), "whatever it has is older"
    assert machine.phase is Phase.SPEAKING


def test_interrupted_before_it_speaks_again_the_history_holds_what_was_heard_before() -> None:
    machine, _ = resumed(TALK, played=Played(7, S + 8_500))
    machine.handle(TextTurn("stop", 1, heard_samples=S), now=100)
    heard = Message(Role.ASSISTANT, "Once upon a time. There was", cut=True)
    assert machine.state.history == (ASKED, heard, Message(Role.USER, "stop"))
    machine.handle(Played(24, 0), now=120)
    assert machine.state.history[1] == heard, "the client has played nothing here; what it heard before it has heard"


def test_the_answer_is_kept_once_and_whole() -> None:
    machine, _ = resumed(TALK, played=Played(7, S + 8_500))
    for event in (
        PlaybackStarted(1),
        PhraseAudio(1, 1, S + 200),
        PhraseAudio(1, 2, S),
        PhraseCut(1, 3, "The end.", 8),
        PhraseAudio(1, 3, S),
        ReplyEnded(1),
    ):
        machine.handle(event, now=2_000)
    said = Message(Role.ASSISTANT, "Once upon a time. There was a harbour. It was small. The end.")
    assert machine.state.history == (ASKED, said)
    assert machine.phase is Phase.LISTENING


# ---- the rest of the state ------------------------------------------------------------------------------------------


def test_a_call_that_listened_listens() -> None:
    known = Known(last_answer="It is noon.", answered_ms=3_500, force_eou_ignored=True)
    talk = Talk(elapsed_ms=4_000, turn=3, generation=9, utterance=5, history=(ASKED,), known=known, reprompts=1)
    machine, actions = resumed(talk, now=10, away_ms=600)
    assert actions == [SendEvent(4, EventKind.LISTENING)]
    state = machine.state
    assert (state.turn, state.utterance, state.agenda.reprompts) == (3, 5, 1)
    assert (state.learned.last_answer, state.learned.force_eou_ignored) == ("It is noon.", True)
    assert state.learned.answered_ms == 10 - 4_600 + 3_500


def test_there_is_no_second_greeting() -> None:
    tuning = Tuning(conversation=ConversationPolicy(greeting="Hello."))
    machine = TurnMachine(state=CallState(tuning=tuning))
    assert machine.handle(CallResumed(Talk(), S), now=0) == [SendEvent(1, EventKind.LISTENING)]


def test_the_limits_of_a_call_go_on_counting() -> None:
    machine = TurnMachine(TurnPolicy(max_call_ms=10_000))
    machine.handle(CallResumed(Talk(elapsed_ms=7_000), S, away_ms=1_000), now=0)
    assert machine.deadline() == 2_000
    assert isinstance(machine.handle(Tick(), now=2_000)[-1], EndCall)


def test_what_waited_to_be_said_is_said() -> None:
    machine, actions = resumed(Talk(turn=2, queued_speech=(QueuedSpeech("Mind the gap.", 3, True),)))
    assert actions == [SpeakVerbatim(3, GENERATIONS_APART + 1, "Mind the gap.")]
    assert machine.state.reply is not None
    assert machine.state.reply.origin.uninterruptible


def test_keys_that_were_pressed_are_a_turn_with_those_that_follow() -> None:
    machine, _ = resumed(Talk(keys="41"))
    machine.handle(KeyPressed("5"), now=100)
    machine.handle(KeyPressed("#"), now=200)
    assert machine.state.history == (Message(Role.USER, "415"),)


def test_a_held_call_stays_held_and_its_answer_waits() -> None:
    machine, _ = resumed(replace(TALK, held=True))
    assert machine.state.agenda.held


def test_a_call_begins_once() -> None:
    machine, _ = resumed(Talk())
    with pytest.raises(IllegalEventError):
        machine.handle(CallResumed(Talk(), S), now=1)
    with pytest.raises(IllegalEventError):
        machine.handle(CallStarted(S), now=1)


# ---- a drain --------------------------------------------------------------------------------------------------------


def started() -> TurnMachine:
    machine = TurnMachine()
    machine.handle(CallStarted(S), now=0)
    return machine


def test_a_call_that_listens_moves_at_once() -> None:
    machine = started()
    actions = machine.handle(DrainRequested(10_000, resumable=True), now=100)
    assert actions == [SendGoAway(9_900), MoveCall(), EndCall("MOVED")]


def test_an_answer_is_finished_and_then_the_call_moves_with_what_waits() -> None:
    machine = started()
    machine.handle(TextTurn("hello", 1), now=50)
    machine.handle(SpeakRequest("Mind the gap.", 3), now=60)
    assert machine.handle(DrainRequested(10_000, resumable=True), now=100) == [SendGoAway(9_900)]
    *_, end, _, move, over = machine.handle(ReplyEnded(1), now=900)
    assert isinstance(end, SendEvent)
    assert end.kind is EventKind.END_OF_TURN
    assert (move, over) == (MoveCall(), EndCall("MOVED"))
    talk = talk_of(machine.state, now=900, heard_samples=0)
    assert [speech.text for speech in talk.queued_speech] == ["Mind the gap."]


def test_at_the_deadline_it_moves_in_the_middle_of_the_answer() -> None:
    machine = started()
    machine.handle(TextTurn("hello", 1), now=50)
    machine.handle(PhraseCut(1, 0, "Good day.", 9), now=60)
    machine.handle(DrainRequested(2_000, resumable=True), now=100)
    assert machine.deadline() == 2_000
    assert machine.handle(Tick(), now=2_000) == [MoveCall(), EndCall("MOVED")]
    talk = talk_of(machine.state, now=2_000, heard_samples=0)
    assert talk.answer is not None
    assert [phrase.text for phrase in talk.answer.phrases] == ["Good day."]
    assert talk.history == (Message(Role.USER, "hello"),)


def test_a_caller_who_has_nothing_more_to_say_is_not_sent_anywhere() -> None:
    machine = started()
    machine.handle(TextTurn("hello", 1), now=50)
    machine.handle(InputClosed(), now=60)
    machine.handle(DrainRequested(10_000, resumable=True), now=100)
    assert machine.handle(ReplyEnded(1), now=900)[-1] == EndCall()
