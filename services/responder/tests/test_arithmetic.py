"""Numbers and sums as people say them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_responder.domain.arithmetic import answer_sum, find_sum
from offline_responder.domain.numbers import parse_number, say_integer, say_number, say_ordinal, say_year
from offline_responder.domain.text import words_of

INTEGERS = st.integers(min_value=-(10**15) + 1, max_value=10**15 - 1)
SMALL = st.integers(min_value=-9999, max_value=9999)


@given(INTEGERS)
def test_what_is_spoken_reads_back(value: int) -> None:
    words = tuple(say_integer(value).split())
    assert parse_number(words, 0) == (Fraction(value), len(words))


@given(st.fractions(min_value=-(10**9), max_value=10**9).map(lambda value: round(value, 3)))
def test_decimals_read_back(value: Fraction) -> None:
    spoken, exact = say_number(value)
    words = tuple(spoken.split())
    assert exact
    assert parse_number(words, 0) == (value, len(words))


@given(SMALL, SMALL, st.sampled_from(["plus", "minus", "times"]), st.sampled_from(["", "what is ", "tell me "]))
def test_spoken_sums(left: int, right: int, operator: str, before: str) -> None:
    found = find_sum(words_of(f"{before}{say_integer(left)} {operator} {say_integer(right)} please"))
    expected = {"plus": left + right, "minus": left - right, "times": left * right}[operator]
    assert found is not None
    assert found.value == expected


@given(SMALL, SMALL, st.sampled_from(["+", "-", "*", "x", "/"]), st.booleans())
def test_written_sums(left: int, right: int, operator: str, spaced: bool) -> None:
    left, right = abs(left), abs(right) + 1
    gap = " " if spaced else ""
    found = find_sum(words_of(f"{left}{gap}{operator}{gap}{right} = ?"))
    expected = {
        "+": left + right, "-": left - right, "*": left * right, "x": left * right, "/": Fraction(left, right),
    }[operator]  # fmt: skip
    assert found is not None
    assert found.value == expected


@given(SMALL, SMALL, SMALL)
def test_times_binds_stronger_than_plus(a: int, b: int, c: int) -> None:
    found = find_sum(words_of(f"{say_integer(a)} plus {say_integer(b)} times {say_integer(c)}"))
    assert found is not None
    assert found.value == a + b * c


NUMBER_WORDS = (
    "zero one two ten twenty hundred thousand million a an and half of point plus minus times divided by percent the",
    "square root squared to power for add from subtract multiply 3 2.5 what is",
)


@given(st.lists(st.sampled_from(" ".join(NUMBER_WORDS).split()), max_size=14))
def test_any_mix_of_number_words_is_answered_or_left_alone(words: list[str]) -> None:
    answer = answer_sum(tuple(words))
    assert answer is None or answer.endswith(".")


@given(st.text(max_size=60))
def test_any_text_is_answered_or_left_alone(text: str) -> None:
    answer = answer_sum(words_of(text))
    assert answer is None or answer.endswith(".")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("what is seven times six", "Seven times six is forty two."),
        ("twelve plus thirty", "Twelve plus thirty is forty two."),
        ("What's half of nine?", "Half of nine is four point five."),
        ("fifteen percent of two hundred", "Fifteen percent of two hundred is thirty."),
        ("twenty per cent of fifty", "Twenty percent of fifty is ten."),
        ("a third of ten", "A third of ten is about three point three three three."),
        ("add one hundred and five", "One hundred plus five is one hundred and five."),
        ("add one hundred and five to two", "One hundred and five plus two is one hundred and seven."),
        ("subtract three from ten", "Ten minus three is seven."),
        ("the sum of four and five", "Four plus five is nine."),
        ("multiply eight by two and a half", "Eight times two point five is twenty."),
        ("a hundred and twenty divided by eight", "One hundred and twenty divided by eight is fifteen."),
        ("three point one four times two", "Three point one four times two is six point two eight."),
        ("the square root of sixteen", "The square root of sixteen is four."),
        ("two to the power of ten", "Two to the power of ten is one thousand and twenty four."),
        ("nine squared", "Nine squared is eighty one."),
        ("twice twenty one", "Twice twenty one is forty two."),
        ("a dozen plus one", "Twelve plus one is thirteen."),
        ("for times too", "Four times two is eight."),
        ("seven time six", "Seven times six is forty two."),
        ("one divided by zero", "Nothing can be divided by zero."),
        ("the square root of minus four", "A negative number has no real square root."),
        ("ten to the power of sixty", "That result is too large for me to say."),
        ("nine to the power of one hundred", "I can only raise to small whole powers."),
        ("how many times did you go there", None),
        ("what time is it", None),
        ("seven", None),
    ],
)
def test_sums(said: str, answer: str | None) -> None:
    assert answer_sum(words_of(said)) == answer


def test_ordinals_and_years() -> None:
    assert [say_ordinal(day) for day in (1, 2, 3, 4, 5, 8, 9, 12, 20, 21, 30, 31)] == [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "eighth",
        "ninth",
        "twelfth",
        "twentieth",
        "twenty first",
        "thirtieth",
        "thirty first",
    ]
    assert [say_year(year) for year in (1984, 1900, 2000, 2005, 2026, 1905)] == [
        "nineteen eighty four",
        "nineteen hundred",
        "two thousand",
        "two thousand and five",
        "twenty twenty six",
        "nineteen oh five",
    ]
