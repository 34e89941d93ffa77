"""What was heard is read from the sound itself, however it was cut and put together again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voice_fakes import EventLog
from voice_fakes.adapters.marks import MARK_SAMPLES, REQUESTS, Mark, marked, read_marks
from voice_fakes.truth import SpokenWords

RATE = 16_000


def voice(samples: int, request: int) -> bytes:
    tone = (8000 * np.cos(np.arange(samples) / 7)).astype("<i2").tobytes()
    return b"".join(  # in chunks, as a server sends it
        marked(tone[2 * at : 2 * at + 3202], request=request, first_sample=at) for at in range(0, samples, 1601)
    )


@given(begin=st.integers(0, 3000), length=st.integers(0, 3000), request=st.integers(0, REQUESTS - 1))
def test_every_whole_mark_of_a_piece_is_read_and_no_other(begin: int, length: int, request: int) -> None:
    piece = voice(6000, request)[2 * begin : 2 * (begin + length)]
    first = -(-begin // MARK_SAMPLES) * MARK_SAMPLES
    wanted = range(first, begin + length - MARK_SAMPLES + 1, MARK_SAMPLES)
    assert read_marks(piece) == [Mark(at - begin, request, at) for at in wanted]


def test_the_sound_stays_as_it_was_but_for_its_lowest_bit() -> None:
    plain = (8000 * np.cos(np.arange(6000) / 7)).astype("<i2").astype(int)
    assert np.abs(np.frombuffer(voice(6000, 5), "<i2") - plain).max() <= 1
    assert read_marks(plain.astype("<i2").tobytes()) == []


def log_of(*requests: int) -> EventLog:
    log = EventLog()
    for request in requests:
        words = tuple((f"{word}{request}", at, at + 2000) for word, at in (("a", 0), ("b", 2000), ("c", 4000)))
        log.add("tts", "words", request, words=words, samples=6000)
    return log


def test_words_that_ended_are_told_and_no_others() -> None:
    truth = SpokenWords(log_of(1, 2))
    first, second = voice(6000, 1), voice(6000, 2)
    assert truth.ended(b"") == []
    assert truth.ended(first[: 2 * 1990]) == []
    assert truth.ended(first[: 2 * 2000]) == ["a1"]
    assert truth.ended(first + second[: 2 * 4010]) == ["a1", "b1", "c1", "a2", "b2"]


def test_an_answer_played_again_from_a_word_holds_each_word_once() -> None:
    truth = SpokenWords(log_of(1))
    whole = voice(6000, 1)
    assert truth.ended(whole[: 2 * 3000] + whole[2 * 2000 : 2 * 4100]) == ["a1", "b1"]


def test_sound_made_quieter_counts_as_going_on() -> None:
    truth = SpokenWords(log_of(1))
    whole = np.frombuffer(voice(6000, 1), "<i2")
    quieter = np.concatenate([whole[:1500], (whole[1500:2600] * 0.2).astype("<i2")]).astype("<i2").tobytes()
    assert truth.ended(quieter) == ["a1"]
