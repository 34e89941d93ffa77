"""What the caller has heard, from the samples that were played."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.heard import HeardLedger

RATE_HZ = 16_000


def ledger(*phrases: tuple[str, int | None, tuple[int, ...]]) -> HeardLedger:
    """Phrases with their length in samples, None where it is not known, and the ends of their words."""
    heard = HeardLedger(RATE_HZ)
    for index, (text, samples, word_ends) in enumerate(phrases):
        heard = heard.with_phrase(index, text)
        if samples is not None:
            heard = heard.with_audio(index, samples, word_ends)
    return heard


TIMED = ledger(("once upon a time", 16_000, (4_000, 8_000, 9_000, 15_000)), ("there was", 8_000, (4_000, 7_000)))


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (0, ""),
        (3_999, ""),
        (4_000, "once"),
        (14_999, "once upon a"),
        (15_000, "once upon a time"),
        (16_000, "once upon a time"),
        (20_000, "once upon a time there"),
        (23_000, "once upon a time there was"),
        (99_000, "once upon a time there was"),
    ],
)
def test_with_word_timings_a_word_is_heard_when_it_has_ended(samples: int, text: str) -> None:
    assert TIMED.heard_text(samples) == text


@pytest.mark.parametrize(
    ("samples", "text"), [(0, ""), (7_000, "aaaa"), (8_000, "aaaa bbbb"), (16_000, "aaaa bbbb cc dddd")]
)
def test_without_timings_words_share_the_phrase_by_their_letters(samples: int, text: str) -> None:
    assert ledger(("aaaa bbbb cc dddd", 14_400, ())).heard_text(samples) == text


def test_timings_of_another_number_of_words_are_a_proportion() -> None:
    """The text has two words where the voice spoke four: "in 1998"."""
    spoken = ledger(("in 1998", 8_000, (2_000, 4_000, 6_000, 8_000)))
    assert spoken.heard_text(3_000) == ""
    assert spoken.heard_text(4_000) == "in"
    assert spoken.heard_text(7_900) == "in"
    assert spoken.heard_text(8_000) == "in 1998"


def test_a_phrase_that_is_still_being_made_has_a_typical_length() -> None:
    making = ledger(("once upon a time", None, ()))
    assert making.heard_text(0) == ""
    assert making.heard_text(RATE_HZ * 16 * 65 // 1000 // 2) == "once"
    assert making.heard_text(RATE_HZ) == "once upon a"


def test_a_phrase_without_sound_is_not_heard_and_hides_nothing_after_it() -> None:
    spoken = ledger(("one", 1_000, ()), ("two", 0, ()), ("three", 1_000, ()))
    assert spoken.heard_text(1_999) == "one"
    assert spoken.heard_text(2_000) == "one three"


def test_phrases_come_in_order() -> None:
    with pytest.raises(ValueError, match="phrase 1 does not follow -1"):
        HeardLedger(RATE_HZ).with_phrase(1, "too early")


PHRASES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "bb", "cccc"]), min_size=1, max_size=6).map(" ".join),
        st.one_of(st.none(), st.integers(0, 20_000)),
        st.lists(st.integers(0, 20_000), max_size=6).map(lambda ends: tuple(sorted(ends))),
    ),
    max_size=5,
)


@given(PHRASES, st.lists(st.integers(0, 100_000), min_size=2, max_size=10))
@settings(max_examples=200, deadline=None)
def test_more_samples_never_mean_fewer_words(
    phrases: list[tuple[str, int | None, tuple[int, ...]]], samples: list[int]
) -> None:
    spoken = ledger(*phrases)
    counts = [len(spoken.heard_text(played).split()) for played in sorted(samples)]
    assert counts == sorted(counts)
    whole = spoken.whole_text().split()
    assert all(word in whole for word in spoken.heard_text(max(samples)).split())
