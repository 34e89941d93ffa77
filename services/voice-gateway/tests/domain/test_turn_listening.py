"""The caller's side of a turn: when speech begins, when it ends, what becomes of its words."""

import pytest
from gateway_turns import Talk, only

from voice_gateway.domain.actions import (
    AwaitSilence,
    CloseAsr,
    CountStale,
    EventKind,
    FinalizeAsr,
    FlushAsr,
    OpenAsr,
    RememberNoForceEou,
    ReportTurn,
    ResetSpeech,
    ScoreTurn,
    SendEvent,
    SendTranscript,
    StartReply,
)
from voice_gateway.domain.events import Ask, InputClosed, SpeechEdge
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import Finalize, TurnPolicy


def test_an_utterance_is_recognised_from_its_onset() -> None:
    talk = Talk()
    talk.after(300)
    actions = talk.edge(SpeechEdge.STARTED, sample=4_000)
    assert only(OpenAsr, actions) == [OpenAsr(1, 4_000)]
    assert talk.phase() is Phase.HEARING


def test_silence_ends_the_turn_and_the_final_result_commits_it() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.after(500)
    paused = talk.edge(SpeechEdge.PAUSED)
    assert paused == [FlushAsr(1), ScoreTurn(1, pause=1), AwaitSilence(500)], "nothing was recognised so far"
    talk.after(380)
    assert talk.edge(SpeechEdge.ENDED) == [FinalizeAsr(1, half_close=False)]
    assert talk.phase() is Phase.ENDPOINTING
    talk.after(40)
    actions = talk.final("what time is it")
    assert only(CloseAsr, actions) == [CloseAsr(1)]
    assert only(SendTranscript, actions) == [SendTranscript(1, "what time is it", final=True)]
    assert only(SendEvent, actions) == [SendEvent(1, EventKind.PROCESSING)]
    assert only(StartReply, actions)[0].messages[-1].text == "what time is it"
    assert talk.phase() is Phase.THINKING
    talk.answers("It is noon.")
    talk.answer_ends()
    assert [action.report.endpoint_rule for action in talk.all(ReportTurn)] == ["no_text"]


def test_a_final_result_in_a_pause_ends_the_turn_without_waiting_for_silence() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.after(500)
    talk.edge(SpeechEdge.PAUSED)
    talk.after(180)
    actions = talk.final("what time is it")
    assert talk.phase() is Phase.THINKING
    assert ResetSpeech() in actions
    assert not only(FinalizeAsr, actions)


def test_a_final_result_while_the_caller_speaks_on_ends_nothing() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.after(500)
    talk.edge(SpeechEdge.PAUSED)
    talk.after(100)
    talk.edge(SpeechEdge.CONTINUED)
    talk.final("my number is")
    assert talk.phase() is Phase.HEARING
    talk.after(300)
    talk.edge(SpeechEdge.PAUSED)
    talk.after(380)
    # The pause alone does: all that was recognised so far was final. What is still to come must not be lost.
    talk.interim("four one", utterance=1)
    talk.edge(SpeechEdge.ENDED)
    if talk.phase() is Phase.ENDPOINTING:
        talk.final("four one")
    assert talk.finals() == ["my number is four one"]


def test_a_final_result_about_earlier_speech_does_not_end_the_later_speech() -> None:
    """The recogniser is slow: what it finalises in the second pause is the speech before the first one."""
    talk = Talk()
    talk.edge(SpeechEdge.STARTED, sample=1_600)
    talk.edge(SpeechEdge.CONFIRMED, sample=1_600)
    talk.after(400)
    talk.edge(SpeechEdge.PAUSED, sample=8_000)
    talk.after(300)
    talk.edge(SpeechEdge.CONTINUED, sample=14_400)
    talk.after(300)
    talk.edge(SpeechEdge.PAUSED, sample=17_600)
    talk.final("hello", through=12_000)
    assert talk.phase() is Phase.HEARING
    talk.after(380)
    talk.edge(SpeechEdge.ENDED, sample=17_600)
    assert talk.phase() is Phase.ENDPOINTING
    talk.final("no", through=25_000)
    assert talk.finals() == ["hello no"]


def test_a_late_final_result_about_earlier_speech_does_not_stand_for_the_whole() -> None:
    talk = Talk()
    talk.edge(SpeechEdge.STARTED, sample=1_600)
    talk.after(400)
    talk.edge(SpeechEdge.PAUSED, sample=8_000)
    talk.edge(SpeechEdge.CONTINUED, sample=14_400)
    talk.edge(SpeechEdge.PAUSED, sample=17_600)
    talk.edge(SpeechEdge.ENDED, sample=17_600)
    talk.final("hello", through=12_000)
    assert talk.phase() is Phase.ENDPOINTING
    talk.final("no", through=25_000)
    assert talk.finals() == ["hello no"]


def test_riva_s_first_pass_ends_the_utterance_and_later_speech_is_a_new_one() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.after(500)
    talk.edge(SpeechEdge.PAUSED)
    actions = talk.interim("what time is it", first_pass=True)
    assert only(FinalizeAsr, actions)
    assert ResetSpeech() in actions, "else the next edge is CONTINUED, which belongs to no utterance"
    assert talk.phase() is Phase.ENDPOINTING


@pytest.mark.parametrize(("text", "silence_ms"), [("what is seven", 500), ("my number is four one", 1_500)])
def test_a_text_that_lags_behind_the_speech_ends_no_turn_early(text: str, silence_ms: int) -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.after(800)
    talk.interim(text, through=talk.now * 16 - 8_000)
    waits = only(AwaitSilence, talk.edge(SpeechEdge.PAUSED))
    assert waits == [AwaitSilence(silence_ms)], "half a second of speech is not in the text"
    talk.after(50)
    assert only(AwaitSilence, talk.interim("what is seven and", through=talk.now * 16)) == [AwaitSilence(1_200)]


def test_riva_s_first_pass_does_not_cut_in_where_the_words_want_more() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.after(500)
    talk.edge(SpeechEdge.PAUSED)
    actions = talk.interim("my number is", first_pass=True)
    assert not only(FinalizeAsr, actions)
    assert only(AwaitSilence, actions) == [AwaitSilence(1_200)]
    assert talk.phase() is Phase.HEARING


@pytest.mark.parametrize("finalize", [Finalize.FORCE_EOU, Finalize.HALF_CLOSE])
def test_the_policy_says_how_the_recogniser_is_asked(finalize: Finalize) -> None:
    talk = Talk(TurnPolicy(finalize=finalize))
    talk.starts_speaking()
    talk.edge(SpeechEdge.PAUSED)
    assert talk.edge(SpeechEdge.ENDED) == [FinalizeAsr(1, half_close=finalize is Finalize.HALF_CLOSE)]
    assert talk.after(1_400) == []
    assert only(CloseAsr, talk.after(200)) == [CloseAsr(1)]


def test_a_server_that_ignores_force_eou_is_remembered() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.edge(SpeechEdge.ENDED)
    assert talk.after(399) == []
    assert talk.after(1) == [RememberNoForceEou(), FinalizeAsr(1, half_close=True)]
    talk.final("yes")
    assert talk.finals() == ["yes"]
    talk.answers("Good.")
    talk.answer_ends()
    talk.starts_speaking()
    assert talk.edge(SpeechEdge.ENDED) == [FinalizeAsr(2, half_close=True)]


def test_without_a_final_result_the_interim_one_stands_after_a_while() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.interim("what time")
    talk.edge(SpeechEdge.ENDED)
    talk.after(1_500)
    assert talk.finals() == ["what time"]
    assert talk.phase() is Phase.THINKING
    assert only(CountStale, talk.final("what time is it", utterance=1)) == [CountStale("asr_result")]


def test_without_any_result_the_caller_is_listened_to_again() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.edge(SpeechEdge.ENDED)
    talk.after(1_500)
    assert talk.phase() is Phase.LISTENING
    assert talk.events() == [EventKind.LISTENING, EventKind.LISTENING]


def test_a_recogniser_that_fails_says_so_and_what_it_had_stands() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.interim("what time")
    actions = talk.asr_ended("BACKEND_UNAVAILABLE")
    assert only(SendEvent, actions)[0].reason == "BACKEND_UNAVAILABLE"
    assert talk.phase() is Phase.HEARING
    talk.edge(SpeechEdge.ENDED)
    assert talk.finals() == ["what time"]


def test_a_short_sound_with_nobody_else_speaking_is_left_to_the_recogniser() -> None:
    talk = Talk()
    talk.edge(SpeechEdge.STARTED)
    talk.after(340)
    assert talk.edge(SpeechEdge.MISFIRE) == [FinalizeAsr(1, half_close=False)]
    talk.final("yes")
    assert talk.finals() == ["yes"]


def test_speech_while_the_final_result_is_awaited_belongs_to_the_same_turn() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.edge(SpeechEdge.ENDED)
    talk.after(100)
    actions = talk.starts_speaking()
    assert only(OpenAsr, actions)[0].utterance == 2
    assert talk.phase() is Phase.HEARING
    talk.final("my number is", utterance=1)
    assert talk.phase() is Phase.HEARING, "the caller still speaks"
    talk.edge(SpeechEdge.ENDED)
    talk.final("four one", utterance=2)
    assert talk.finals() == ["my number is four one"]


def test_results_in_the_wrong_order_make_a_text_in_the_right_order() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.edge(SpeechEdge.ENDED)
    talk.starts_speaking()
    talk.edge(SpeechEdge.ENDED)
    talk.final("two", utterance=2)
    assert talk.phase() is Phase.ENDPOINTING
    talk.final("one", utterance=1)
    assert talk.finals() == ["one two"]


def test_no_word_is_lost_however_often_the_caller_pauses() -> None:
    talk = Talk()
    spoken = [f"word{number}" for number in range(40)]
    for number, word in enumerate(spoken, start=1):
        talk.starts_speaking()
        talk.interim(word, utterance=number)
        talk.edge(SpeechEdge.ENDED)
    talk.after(2_000)
    assert talk.finals() == [" ".join(spoken)]
    assert len(talk.all(OpenAsr)) == 40
    assert {action.utterance for action in talk.all(CloseAsr)} == set(range(1, 41)), "no stream is forgotten"


def test_interim_text_is_told_once_a_change() -> None:
    talk = Talk()
    talk.starts_speaking()
    told = [*talk.interim("what"), *talk.interim("what time")]
    assert [action.text for action in only(SendTranscript, told)] == ["what", "what time"]
    assert not any(action.final for action in only(SendTranscript, told))


@pytest.mark.parametrize("paused", [False, True])
def test_commit_ends_the_turn_at_once(paused: bool) -> None:
    talk = Talk()
    talk.starts_speaking()
    if paused:
        talk.edge(SpeechEdge.PAUSED)
    actions = talk.asks(Ask.COMMIT_AUDIO)
    assert only(FinalizeAsr, actions)
    assert ResetSpeech() in actions
    talk.final("yes")
    assert talk.finals() == ["yes"]


def test_commit_with_nothing_said_changes_nothing() -> None:
    talk = Talk()
    assert talk.asks(Ask.COMMIT_AUDIO) == []
    assert talk.phase() is Phase.LISTENING


def test_cancel_forgets_what_is_being_said() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.interim("delete all")
    actions = talk.asks(Ask.CANCEL)
    assert only(CloseAsr, actions) == [CloseAsr(1)]
    assert ResetSpeech() in actions
    assert talk.phase() is Phase.LISTENING
    talk.says("hello")
    assert talk.finals() == ["hello"]


def test_cancel_while_the_final_result_is_awaited_forgets_it_too() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.edge(SpeechEdge.ENDED)
    talk.asks(Ask.CANCEL)
    talk.final("delete all", utterance=1)
    assert talk.phase() is Phase.LISTENING
    assert talk.finals() == []


def test_the_end_of_the_audio_ends_the_turn_and_after_its_answer_the_call() -> None:
    talk = Talk()
    talk.starts_speaking()
    actions = talk.tell(InputClosed())
    assert only(FinalizeAsr, actions)
    talk.final("what time is it")
    talk.answers("It is noon.")
    talk.answer_ends()
    assert talk.machine.finished
    assert talk.finals() == ["what time is it"]
    assert talk.events()[-1] is EventKind.END_OF_TURN


def test_the_end_of_the_audio_with_nothing_said_ends_the_call() -> None:
    talk = Talk()
    talk.tell(InputClosed())
    assert talk.machine.finished


def test_a_typed_turn_takes_what_was_being_said_along() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.interim("the answer to")
    actions = talk.types("question seven")
    assert only(CloseAsr, actions) == [CloseAsr(1)]
    assert talk.finals() == ["the answer to question seven"]
    assert talk.phase() is Phase.THINKING


def test_a_pause_in_noise_that_has_no_words_does_not_end_the_turn_early() -> None:
    talk = Talk()
    talk.starts_speaking()
    talk.edge(SpeechEdge.PAUSED)
    talk.final("")
    assert talk.phase() is Phase.HEARING
    talk.edge(SpeechEdge.ENDED)
    talk.final("")
    assert talk.phase() is Phase.LISTENING
