"""Answers that are begun before the turn is over: when, for which words, and what is learned from it."""

from gateway_turns import Talk, only

from voice_gateway.domain.actions import CountSpeculation, Speculation, StartReply
from voice_gateway.domain.events import SpeechEdge
from voice_gateway.domain.speculation import LONGEST_LAG_MS, RecogniserLag

QUESTION = "will it be sunny today"


def falls_silent(talk: Talk, shown: str) -> list[StartReply]:
    """The caller speaks and pauses; the recogniser has shown so much. What is begun by then?"""
    talk.starts_speaking()
    talk.interim(shown)
    talk.after(120)
    return only(StartReply, talk.edge(SpeechEdge.PAUSED))


def outcomes(talk: Talk) -> list[Speculation]:
    return [action.outcome for action in talk.all(CountSpeculation)]


def late_recogniser(lag_ms: int) -> Talk:
    """A call that has had a turn whose last word was shown so long after the end of speech."""
    talk = Talk()
    falls_silent(talk, "will it be sunny")
    talk.after(lag_ms)
    talk.interim(QUESTION)
    talk.after(300 - lag_ms)
    talk.final(QUESTION)
    talk.answers("Sunny.")
    talk.answer_ends()
    return talk


def test_an_answer_is_begun_in_the_pause_and_adopted() -> None:
    talk = Talk()
    (begun,) = falls_silent(talk, QUESTION)
    assert begun.speculative
    assert only(StartReply, talk.after(180)) == []
    assert only(StartReply, talk.final(QUESTION)) == []
    assert outcomes(talk) == [Speculation.STARTED, Speculation.ADOPTED]


def test_a_first_guess_without_the_last_word_is_thrown_away() -> None:
    assert outcomes(late_recogniser(200)) == [
        Speculation.STARTED,
        Speculation.WASTED,
        Speculation.STARTED,
        Speculation.ADOPTED,
    ]


def test_a_recogniser_that_is_known_to_lag_gets_the_time_to_show_the_last_word() -> None:
    talk = late_recogniser(150)
    assert falls_silent(talk, QUESTION) == []
    assert only(StartReply, talk.after(149)) == []
    assert len(only(StartReply, talk.after(1))) == 1


def test_a_word_that_is_shown_in_the_pause_begins_the_answer_at_once() -> None:
    talk = late_recogniser(200)
    before = len(outcomes(talk))
    assert falls_silent(talk, "will it be sunny") == []
    talk.after(80)
    assert len(only(StartReply, talk.interim(QUESTION))) == 1
    talk.after(100)
    talk.final(QUESTION)
    assert outcomes(talk)[before:] == [Speculation.STARTED, Speculation.ADOPTED]


def test_a_longer_lag_counts_at_once_and_a_shorter_one_slowly() -> None:
    lag = RecogniserLag().after_turn(200)
    assert lag.ms == 200
    assert 150 < lag.after_turn(0).ms < 200
    assert lag.after_turn(60_000).ms == LONGEST_LAG_MS
    assert lag.after_turn(-5).ms >= 0
