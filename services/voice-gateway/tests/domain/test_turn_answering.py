"""The assistant's side of a turn: thinking, speaking, being interrupted, and what the history keeps of it."""

import pytest
from gateway_turns import Talk, only

from voice_gateway.domain.actions import (
    CancelReply,
    CloseAsr,
    CountStale,
    EndCall,
    EventKind,
    FinalizeAsr,
    OpenAsr,
    PauseReply,
    PlaybackVerb,
    ReleaseAudio,
    ReportTurn,
    ResumeReply,
    SendEvent,
    SendGoAway,
    SendPlayback,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.echo import POSSIBLE_ECHO
from voice_gateway.domain.events import (
    Ask,
    AudioReady,
    CallFailed,
    CallStarted,
    DrainRequested,
    InputClosed,
    PhraseCut,
    PlaybackStarted,
    Played,
    ReplyEnded,
    ReplyTextDone,
    ReplyTrouble,
    Retuned,
    Speech,
    SpeechEdge,
)
from voice_gateway.domain.phases import TRANSITIONS, Phase, diagram
from voice_gateway.domain.policy import ConversationPolicy, TurnPolicy
from voice_gateway.domain.turns import MAX_QUEUED_SPEECH

ANSWER = ("Once upon a time", "there was a harbour.")


def asked() -> Talk:
    """A call whose first turn is being thought about."""
    talk = Talk()
    talk.says("tell me a story")
    return talk


def speaking() -> Talk:
    """A call whose first answer, two phrases of a second each, is being heard."""
    talk = asked()
    talk.answers(*ANSWER)
    return talk


def test_nothing_is_audible_before_the_machine_releases_it() -> None:
    talk = asked()
    assert talk.tell(PhraseCut(1, 0, "Once upon a time", 16)) == []
    actions = talk.tell(AudioReady(1))
    assert actions == [SendEvent(1, EventKind.SPEAKING), ReleaseAudio(1, talk.machine.state.generation)]
    assert talk.phase() is Phase.THINKING
    talk.tell(PlaybackStarted(1))
    assert talk.phase() is Phase.SPEAKING


def test_an_answer_that_was_heard_is_remembered_whole() -> None:
    talk = speaking()
    talk.after(2_000)
    actions = talk.answer_ends()
    assert [type(action) for action in actions] == [SendEvent, ReportTurn, SendEvent]
    assert talk.history() == [("user", "tell me a story"), ("assistant", " ".join(ANSWER))]
    assert talk.phase() is Phase.LISTENING


def test_the_next_question_is_asked_with_the_history() -> None:
    talk = speaking()
    talk.answer_ends()
    talk.says("and then")
    messages = talk.all(StartReply)[-1].messages
    assert [message.text for message in messages] == ["Be brief.", "tell me a story", " ".join(ANSWER), "and then"]


def test_speech_over_the_answer_ducks_then_pauses_then_stops_it() -> None:
    talk = speaking()
    talk.after(1_200)
    ducked = talk.edge(SpeechEdge.STARTED, heard=17_600)
    generation = talk.machine.state.generation
    assert only(SendPlayback, ducked) == [SendPlayback(1, generation, PlaybackVerb.DUCK, -15.0)]
    assert talk.phase() is Phase.INTERRUPTING
    talk.after(100)
    paused = talk.edge(SpeechEdge.CONFIRMED, heard=19_200)
    assert paused == [
        PauseReply(1, generation + 1),
        SendPlayback(1, generation + 1, PlaybackVerb.FLUSH),
        SendPlayback(1, generation + 1, PlaybackVerb.DUCK, 0.0),
    ], "the ducking was of what was flushed: what is played next is loud again"
    assert talk.phase() is Phase.PAUSED
    talk.after(200)
    actions = talk.interim("wait a minute")
    assert actions[0] == CancelReply(1, generation + 2)
    assert not only(SendPlayback, actions), "it was flushed already"
    assert [action.kind for action in only(SendEvent, actions)] == [EventKind.END_OF_TURN, EventKind.LISTENING]
    report = only(ReportTurn, actions)[0].report
    assert (report.outcome, report.interruption_ms) == ("interrupted", 300)
    assert talk.phase() is Phase.HEARING
    assert talk.history()[-1] == ("assistant", "Once upon a time —")


def test_a_misfire_over_the_answer_gives_the_answer_back() -> None:
    talk = speaking()
    talk.edge(SpeechEdge.STARTED)
    talk.after(300)
    actions = talk.edge(SpeechEdge.MISFIRE)
    assert only(FinalizeAsr, actions) == [FinalizeAsr(2, half_close=False)], "it may have been a short no"
    assert only(SendPlayback, actions)[0].gain_db == 0.0
    assert talk.phase() is Phase.SPEAKING
    assert only(CloseAsr, talk.final("")) == [CloseAsr(2)]
    assert talk.phase() is Phase.SPEAKING


def test_the_first_word_of_what_may_be_an_echo_waits_for_the_next_result() -> None:
    talk = speaking()
    talk.starts_speaking()
    assert not only(CancelReply, talk.interim("once", echo=0.5))
    assert not only(CancelReply, talk.interim("once upon a", echo=1.0))
    talk.edge(SpeechEdge.PAUSED)
    assert only(CancelReply, talk.final("once upon a different", echo=0.3)), "it was the caller after all"


def test_the_first_guess_at_a_backchannel_does_not_stop_the_answer() -> None:
    talk = speaking()
    talk.starts_speaking()
    assert not only(CancelReply, talk.interim("all rye"))
    talk.edge(SpeechEdge.PAUSED)
    assert only(ResumeReply, talk.final("all right"))


def test_words_stop_the_answer_where_the_recogniser_is_late_with_its_final_result() -> None:
    talk = speaking()
    talk.starts_speaking()
    assert not only(CancelReply, talk.interim("not that one"))
    talk.edge(SpeechEdge.PAUSED)
    assert only(CancelReply, talk.after(600))


def test_a_single_word_that_was_just_played_stops_the_answer_once_it_is_final() -> None:
    talk = speaking()
    talk.starts_speaking()
    assert not only(CancelReply, talk.interim("harbour", echo=0.5))
    talk.edge(SpeechEdge.PAUSED)
    assert only(CancelReply, talk.final("harbour", echo=0.5))


def test_a_misfire_while_thinking_goes_back_to_thinking() -> None:
    talk = asked()
    assert not only(SendPlayback, talk.edge(SpeechEdge.STARTED)), "there is nothing to duck"
    talk.edge(SpeechEdge.MISFIRE)
    assert talk.phase() is Phase.THINKING


def test_speech_while_thinking_joins_the_unanswered_message() -> None:
    talk = asked()
    talk.after(50)
    talk.starts_speaking()
    assert talk.phase() is Phase.PAUSED
    assert not talk.all(PauseReply), "nothing was released, so nothing is paused"
    talk.after(200)
    actions = talk.interim("about a")
    assert only(CancelReply, actions)
    assert not only(SendPlayback, actions), "nothing was released, so there is nothing to flush"
    talk.edge(SpeechEdge.ENDED)
    talk.final("about a harbour")
    assert talk.all(StartReply)[-1].messages[-1].text == "tell me a story about a harbour"
    assert talk.history() == [("user", "tell me a story about a harbour")]


def test_an_answer_that_ends_under_the_caller_s_speech_leaves_the_caller_speaking() -> None:
    talk = speaking()
    talk.edge(SpeechEdge.STARTED)
    assert only(SendPlayback, talk.answer_ends())[0].gain_db == 0.0
    assert talk.phase() is Phase.HEARING
    talk.edge(SpeechEdge.MISFIRE)
    talk.final("yes")
    assert talk.finals()[-1] == "yes"


def test_late_words_of_a_dead_turn_are_dropped_and_counted() -> None:
    talk = speaking()
    talk.asks(Ask.INTERRUPT)
    assert talk.tell(PhraseCut(1, 2, "and a ship.", 11)) == [CountStale("reply")]
    assert talk.tell(ReplyEnded(1)) == [CountStale("reply")]


def test_interrupt_stops_the_answer_and_listens() -> None:
    talk = speaking()
    actions = talk.asks(Ask.INTERRUPT, heard=16_000)
    assert [action.kind for action in only(SendEvent, actions)] == [EventKind.END_OF_TURN, EventKind.LISTENING]
    assert talk.phase() is Phase.LISTENING
    assert talk.answers_in_history() == ["Once upon a time"]


def test_interrupt_with_no_answer_changes_nothing() -> None:
    talk = Talk()
    assert talk.asks(Ask.INTERRUPT) == []


def test_commit_over_an_answer_is_an_interruption() -> None:
    talk = speaking()
    talk.edge(SpeechEdge.STARTED)
    talk.asks(Ask.COMMIT_AUDIO)
    talk.final("stop")
    assert talk.finals()[-1] == "stop"


def test_cancel_over_an_answer_gives_the_answer_back() -> None:
    talk = speaking()
    talk.edge(SpeechEdge.STARTED)
    talk.asks(Ask.CANCEL)
    assert talk.phase() is Phase.SPEAKING


def test_a_typed_turn_stops_the_answer() -> None:
    talk = speaking()
    actions = talk.types("never mind", heard=8_000)
    assert [type(action) for action in actions][:2] == [CancelReply, SendPlayback]
    assert talk.phase() is Phase.THINKING
    assert talk.machine.state.turn == 2


def test_trouble_is_told_and_the_turn_still_ends() -> None:
    talk = asked()
    actions = talk.tell(ReplyTrouble(1, "llm", "BACKEND_TIMEOUT", "No answer came.", retryable=True))
    assert actions == [SendEvent(1, EventKind.ERROR, "No answer came.", "BACKEND_TIMEOUT", retryable=True)]
    ended = talk.answer_ends()
    assert only(ReportTurn, ended)[0].report.outcome == "failed"
    assert talk.phase() is Phase.LISTENING


def test_questions_that_are_never_answered_do_not_pile_up_for_ever() -> None:
    talk = Talk()
    for number in range(3_000):
        talk.types(f"is anybody there for question number {number}")
        talk.tell(ReplyTrouble(number + 1, "llm", "BACKEND_UNAVAILABLE", "No answer came.", retryable=True))
        talk.answer_ends()
    text = talk.machine.state.history[-1].text
    assert len(text) <= talk.machine.state.tuning.history_tokens * 4
    assert text.endswith("question number 2999")


# ---- what was heard -------------------------------------------------------------------------------------------------


def test_what_the_client_says_it_played_corrects_the_history() -> None:
    talk = speaking()
    generation = talk.machine.state.generation
    talk.asks(Ask.INTERRUPT, heard=25_600)
    assert talk.answers_in_history() == ["Once upon a time there was a"]
    talk.tell(Played(generation, 10_000))
    assert talk.answers_in_history() == ["Once upon"]
    talk.tell(Played(generation, 16_000))
    assert talk.answers_in_history() == ["Once upon a time"]


@pytest.mark.parametrize(("complete", "mark"), [(True, ""), (False, " —")])
def test_an_answer_is_cut_when_more_of_it_was_to_come(complete: bool, mark: str) -> None:
    """All phrases so far were heard; whether that was all depends on the model."""
    talk = speaking()
    if complete:
        talk.tell(ReplyTextDone(1))
    generation = talk.machine.state.generation
    talk.asks(Ask.INTERRUPT, heard=32_000)
    assert talk.history()[-1] == ("assistant", f"{' '.join(ANSWER)}{mark}")
    talk.tell(Played(generation, 31_999))
    assert talk.history()[-1][1].endswith("was a —")
    talk.tell(Played(generation, 32_000))
    assert talk.history()[-1] == ("assistant", f"{' '.join(ANSWER)}{mark}")


def test_an_answer_of_which_the_client_played_nothing_is_taken_out_of_the_history() -> None:
    talk = speaking()
    generation = talk.machine.state.generation
    talk.types("never mind", heard=16_000)
    assert talk.answers_in_history() == ["Once upon a time"]
    talk.tell(Played(generation, 0))
    assert talk.history() == [("user", "tell me a story never mind")]


def test_what_was_played_of_another_answer_corrects_nothing() -> None:
    talk = speaking()
    generation = talk.machine.state.generation
    talk.asks(Ask.INTERRUPT, heard=25_600)
    before = talk.history()
    talk.tell(Played(generation + 1, 100))
    talk.tell(Played(generation - 1, 100))
    assert talk.history() == before


# ---- verbatim speech ------------------------------------------------------------------------------------------------


def test_a_text_is_spoken_as_it_is() -> None:
    talk = Talk()
    actions = talk.wants_spoken("Good morning.")
    assert only(SpeakVerbatim, actions) == [SpeakVerbatim(1, 1, "Good morning.")]
    assert not only(StartReply, actions)
    talk.answers("Good morning.")
    talk.answer_ends()
    assert talk.history() == [("assistant", "Good morning.")]


def test_texts_wait_for_the_answer_and_follow_in_order() -> None:
    talk = speaking()
    talk.wants_spoken("First.")
    talk.wants_spoken("Second.")
    talk.answer_ends()
    talk.answer_ends()
    assert [action.text for action in talk.all(SpeakVerbatim)] == ["First.", "Second."]
    assert talk.phase() is Phase.THINKING


def test_only_so_many_texts_wait() -> None:
    talk = speaking()
    for _ in range(MAX_QUEUED_SPEECH):
        assert talk.wants_spoken("More.") == []
    refused = talk.wants_spoken("Too much.")
    assert only(SendEvent, refused)[0].reason == "SPEECH_QUEUE_FULL"


def test_waiting_texts_are_spoken_before_a_half_closed_call_ends() -> None:
    talk = speaking()
    talk.wants_spoken("Goodbye.")
    talk.tell(InputClosed())
    talk.answer_ends()
    assert not talk.machine.finished
    talk.answer_ends()
    assert talk.machine.finished


def uninterruptible() -> Talk:
    """A call in which an announcement is heard that speech does not stop."""
    talk = Talk()
    talk.wants_spoken("This call is recorded.", uninterruptible=True)
    talk.answers("This call is recorded.")
    return talk


def test_speech_does_not_stop_an_uninterruptible_text() -> None:
    talk = uninterruptible()
    actions = talk.starts_speaking()
    assert not only(CancelReply, actions)
    assert not only(SendPlayback, actions), "it is not ducked either"
    talk.after(300)
    talk.edge(SpeechEdge.PAUSED)
    talk.edge(SpeechEdge.ENDED)
    assert talk.phase() is Phase.SPEAKING
    assert len(talk.all(OpenAsr)) == 1, "one stream, however long the caller speaks"
    assert {action.utterance for action in talk.all(CloseAsr)} == {1}


def test_speech_that_outlasts_an_uninterruptible_text_is_heard() -> None:
    talk = uninterruptible()
    talk.starts_speaking()
    talk.answer_ends()
    assert talk.phase() is Phase.HEARING
    talk.edge(SpeechEdge.ENDED)
    talk.final("I agree")
    assert talk.finals() == ["I agree"]


def test_commit_does_not_stop_an_uninterruptible_text() -> None:
    talk = uninterruptible()
    talk.starts_speaking()
    talk.asks(Ask.COMMIT_AUDIO)
    assert talk.phase() is Phase.SPEAKING
    assert not talk.all(CancelReply)


def test_where_answers_are_uninterruptible_speech_over_them_is_not_ducked() -> None:
    talk = Talk(TurnPolicy(interruptible=False))
    talk.says("tell me a story")
    talk.answers(*ANSWER)
    talk.starts_speaking()
    assert not talk.all(CancelReply)
    assert not talk.all(SendPlayback)


# ---- the answer's own echo ------------------------------------------------------------------------------------------


def echoes(talk: Talk, likeness: float) -> None:
    """200 ms of a sound that is so much like what is played."""
    talk.tell(Speech(SpeechEdge.STARTED, talk.now * 16, talk.now, echo=likeness))
    talk.after(100)
    talk.tell(Speech(SpeechEdge.CONFIRMED, talk.now * 16, talk.now, echo=likeness))


def test_a_sound_that_is_like_the_answer_neither_ducks_nor_pauses_it() -> None:
    talk = speaking()
    echoes(talk, 0.7)
    talk.interim("once upon a time there", echo=0.95)
    talk.after(2_000)
    assert not talk.all(SendPlayback)
    assert not talk.all(PauseReply)
    talk.edge(SpeechEdge.PAUSED)
    talk.after(400)
    talk.edge(SpeechEdge.ENDED)
    talk.final("once upon a time there was", echo=0.95)
    assert talk.phase() is Phase.SPEAKING
    assert not talk.all(CancelReply)


def test_a_single_word_is_an_echo_where_the_sound_is_one_too() -> None:
    """By the words alone it is too short to tell."""
    talk = speaking()
    echoes(talk, 0.7)
    talk.final("once", echo=POSSIBLE_ECHO)
    assert not talk.all(CancelReply)
    other = speaking()
    echoes(other, 0.0)
    other.final("once", echo=POSSIBLE_ECHO)
    assert other.all(CancelReply)


def test_words_over_an_echo_stop_the_answer() -> None:
    talk = speaking()
    echoes(talk, 0.7)
    talk.final("what time is it")
    assert talk.all(CancelReply)
    assert talk.phase() is Phase.HEARING


def test_a_caller_who_speaks_over_an_echo_has_an_utterance_without_it() -> None:
    talk = speaking()
    echoes(talk, 0.7)
    talk.interim("once upon a", echo=0.9)
    echo = talk.machine.state.utterance
    actions = [*talk.edge(SpeechEdge.STARTED), *talk.edge(SpeechEdge.CONFIRMED)]
    assert only(CloseAsr, actions) == [CloseAsr(echo)]
    assert talk.machine.state.utterance == echo + 1
    assert talk.phase() is Phase.PAUSED
    talk.edge(SpeechEdge.PAUSED)
    talk.edge(SpeechEdge.ENDED)
    talk.final("what time is it")
    assert talk.finals()[-1] == "what time is it"


def test_a_sound_that_turns_out_to_be_an_echo_is_ducked_no_longer() -> None:
    talk = speaking()
    talk.edge(SpeechEdge.STARTED)
    talk.after(100)
    talk.tell(Speech(SpeechEdge.CONFIRMED, talk.now * 16, talk.now, echo=0.7))
    assert [(each.verb, each.gain_db) for each in talk.all(SendPlayback)] == [
        (PlaybackVerb.DUCK, -15.0),
        (PlaybackVerb.DUCK, 0.0),
    ]


def test_a_sound_that_is_hardly_like_the_answer_is_speech() -> None:
    talk = speaking()
    echoes(talk, 0.5)
    assert talk.phase() is Phase.PAUSED


# ---- the end of calls -----------------------------------------------------------------------------------------------


def test_a_drain_ends_an_idle_call_at_once() -> None:
    talk = Talk()
    actions = talk.tell(DrainRequested(20_000))
    assert only(SendGoAway, actions) == [SendGoAway(20_000)]
    assert only(EndCall, actions)[0].reason == "DRAINING"


def test_a_farewell_that_is_configured_late_is_spoken_before_a_drain_ends_the_call() -> None:
    parting = ConversationPolicy(farewell="Goodbye.")
    talk = Talk(TurnPolicy(max_call_ms=20_000), conversation=parting)
    talk.says("tell me a story")
    talk.answers(*ANSWER)
    talk.after(10_000)
    tuning = talk.machine.state.tuning
    talk.tell(Retuned(tuning.policy, "", tuning.history_tokens))
    talk.answer_ends()
    talk.tell(Retuned(tuning.policy, "", tuning.history_tokens, parting))
    talk.tell(DrainRequested(talk.now + 5_000))
    assert [order.text for order in talk.all(SpeakVerbatim)] == ["Goodbye."]
    talk.answers("Goodbye.")
    assert only(EndCall, talk.answer_ends())[0].reason == "CALL_TOO_LONG"


def test_a_drain_lets_the_turn_finish() -> None:
    talk = speaking()
    talk.tell(DrainRequested(talk.now + 20_000))
    assert talk.phase() is Phase.SPEAKING
    ended = talk.answer_ends()
    assert only(EndCall, ended)[0].reason == "DRAINING"
    assert only(SendEvent, ended)[0].kind is EventKind.END_OF_TURN


def test_a_drain_lets_the_caller_finish_and_be_answered() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.tell(DrainRequested(talk.now + 20_000))
    talk.edge(SpeechEdge.ENDED)
    talk.final("one more thing")
    talk.answers("Yes.")
    assert only(EndCall, talk.answer_ends())[0].reason == "DRAINING"


def test_a_drain_has_an_end() -> None:
    talk = speaking()
    talk.tell(DrainRequested(talk.now + 500))
    actions = talk.after(500)
    assert only(CancelReply, actions)
    assert only(EndCall, actions)[0].reason == "DRAINING"


@pytest.mark.parametrize("state", ["idle", "hearing", "thinking", "speaking"])
def test_the_longest_call_ends_whatever_happens_in_it(state: str) -> None:
    talk = {"idle": Talk, "hearing": Talk, "thinking": asked, "speaking": speaking}[state]()
    if state == "hearing":
        talk.starts_speaking()
    talk.after(3_600_000)
    assert talk.machine.finished
    assert talk.all(EndCall)[0].reason == "CALL_TOO_LONG"
    assert talk.now - 3_600_000 <= 1_000


def test_a_failure_of_the_call_ends_it_and_its_requests() -> None:
    talk = speaking()
    talk.edge(SpeechEdge.STARTED)
    actions = talk.tell(CallFailed("SLOW_CONSUMER", "The caller does not take its audio.", retryable=True))
    assert isinstance(actions[0], CancelReply)
    assert only(CloseAsr, actions)
    assert [event.kind for event in only(SendEvent, actions)] == [EventKind.END_OF_TURN, EventKind.ERROR]
    assert only(SendEvent, actions)[1].fatal
    assert only(ReportTurn, actions)[0].report.outcome == "cut_off"
    assert isinstance(actions[-1], EndCall)


def test_a_retuning_holds_from_the_next_turn_on() -> None:
    talk = speaking()
    talk.tell(Retuned(TurnPolicy(endpoint_silence_ms=300), "Speak French.", 1_000))
    assert talk.phase() is Phase.SPEAKING
    talk.answer_ends()
    talk.says("hello")
    assert talk.all(StartReply)[-1].messages[0].text == "Speak French."


# ---- the table ------------------------------------------------------------------------------------------------------


def test_every_phase_is_in_the_table_and_in_the_diagram() -> None:
    assert set(TRANSITIONS) == set(Phase)
    drawn = diagram()
    for phase in Phase:
        assert f"    {phase}" in drawn
    assert drawn.startswith("stateDiagram-v2\n    [*] --> new\n    new --> listening: CallStarted, CallResumed\n")
    assert drawn.endswith("closed --> [*]")


def test_every_phase_but_the_last_can_end() -> None:
    reachable = {
        phase: {target for targets in ways.values() for target in targets} for phase, ways in TRANSITIONS.items()
    }
    assert not reachable[Phase.CLOSED]
    assert CallStarted in TRANSITIONS[Phase.NEW]
    assert all(Phase.CLOSED in reachable[phase] for phase in set(Phase) - {Phase.NEW, Phase.CLOSED})
