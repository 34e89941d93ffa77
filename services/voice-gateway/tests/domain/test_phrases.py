"""Cutting answers into phrases: nothing lost, nothing too long, no number or abbreviation torn."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.phrases import ABBREVIATIONS, CLOSERS, PhraseCutter, PhrasePolicy


def cut(text: str, policy: PhrasePolicy | None = None) -> list[str]:
    """The phrases of a text that comes whole."""
    return cut_pieces([text], policy)


def cut_pieces(pieces: list[str], policy: PhrasePolicy | None = None) -> list[str]:
    cutter = PhraseCutter(policy or PhrasePolicy())
    phrases = [phrase for piece in pieces for phrase in cutter.push(piece)]
    return phrases + cutter.flush()


WORDS = st.one_of(
    st.sampled_from(["hello", "3.14", "1,000", "10:30", "e.g.", "U.S.", "Dr.", "i.e.", "don't", "well—yes", "ok", "I"]),
    st.text("abc é今日नम.,;:!?…\"'()।\n-5", min_size=1, max_size=12),
    st.integers(0, 10**9).map(str),
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([" ", "", ". ", ", ", "! ", "\n", '." '])), max_size=60).map(
    lambda parts: "".join(word + end for word, end in parts)
)


def split_at(text: str, places: list[int]) -> list[str]:
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(marks)]


def spoken(text: str) -> str:
    """What a voice would say: letters, digits and the signs inside of numbers. No space, no quote."""
    return "".join(character for character in text if character.isalnum())


@given(TEXTS, st.lists(st.integers(0, 2_000), max_size=40))
@settings(max_examples=300, deadline=None)
def test_nothing_is_lost_and_nothing_changes_its_place(text: str, places: list[int]) -> None:
    phrases = cut_pieces(split_at(text, places))
    assert spoken("".join(phrases)) == spoken(text)
    for phrase in phrases:
        assert phrase in text
        assert phrase == phrase.strip()
        assert phrase


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_no_phrase_is_longer_than_its_limit(text: str) -> None:
    policy = PhrasePolicy(first_max_characters=30, max_characters=60)
    phrases = cut(text, policy)
    assert all(len(phrase) <= 30 for phrase in phrases[:1])
    assert all(len(phrase) <= 60 for phrase in phrases)


@given(st.lists(st.sampled_from(["one", "two,", "three.", "four!", "five;", "six?", "seven"]), min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_token_by_token_gives_the_phrases_of_the_whole_text(words: list[str]) -> None:
    tokens = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
    assert cut_pieces(tokens) == cut("".join(tokens))


@given(st.lists(st.sampled_from(["one", "two", "three"]), min_size=40, max_size=80).map(" ".join))
def test_the_first_phrase_is_short_even_without_any_stop(text: str) -> None:
    first, *rest = cut(text)
    assert len(first) <= 70
    assert all(len(phrase) <= 200 for phrase in rest)
    assert " ".join([first, *rest]) == text


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("It is noon.", ["It is noon."]),
        ("Yes. It is noon! Is it?", ["Yes.", "It is noon!", "Is it?"]),
        ("Pi is 3.14 or so. Good.", ["Pi is 3.14 or so.", "Good."]),
        ("It costs 1,000 dollars, I think.", ["It costs 1,000 dollars,", "I think."]),
        ("We meet at 10:30 today. Fine.", ["We meet at 10:30 today.", "Fine."]),
        ("Dr. Who met Mrs. Jones. Yes.", ["Dr. Who met Mrs. Jones.", "Yes."]),
        ("Take some fruit, e.g. apples. Good.", ["Take some fruit,", "e.g. apples.", "Good."]),
        ("That is it, i.e. all. Good.", ["That is it, i.e. all.", "Good."]),
        ("The U.S. Army came. It left.", ["The U.S. Army came.", "It left."]),
        ("So did I. We left.", ["So did I.", "We left."]),
        ("यह ठीक है। आगे बढ़ो।", ["यह ठीक है।", "आगे बढ़ो।"]),
        ("今日は。いい天気ですね！", ["今日は。", "いい天気ですね！"]),
        ("هل أنت هنا؟ نعم.", ["هل أنت هنا؟", "نعم."]),
        ("Well… let me see. Yes.", ["Well…", "let me see.", "Yes."]),
        ("What?! No.", ["What?!", "No."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("(It is noon.) Yes.", ["(It is noon.)", "Yes."]),
        ("First line\nSecond line", ["First line", "Second line"]),
        ("Short, but then a clause that goes on, and more.", ["Short, but then a clause that goes on,", "and more."]),
        ("", []),
        ("   \n ", []),
        ("...", ["..."]),
    ],
)
def test_where_phrases_end(text: str, phrases: list[str]) -> None:
    assert cut(text) == phrases


@pytest.mark.parametrize(
    ("tokens", "phrases"),
    [
        (["It is noon", ".", " Yes", "."], ["It is noon.", "Yes."]),
        (["Pi is 3", ".", "14", ".", " Good", "."], ["Pi is 3.14.", "Good."]),
        (["I have 5", ".", " You have 6", "."], ["I have 5.", "You have 6."]),
        (["At 10", ":", "30", " sharp", "."], ["At 10:30 sharp."]),
        (["That is", " i", ".", "e", ".", " all", "."], ["That is i.e. all."]),
        (["So did I", ".", " Good", "."], ["So did I.", "Good."]),
        (['He said "Stop', ".", '"', " Then", "."], ['He said "Stop.', "Then."]),
        (["Well", ".", ".", ".", " maybe", "."], ["Well.", "..", "maybe."]),
        (["Really", "?", "!", " Yes", "."], ["Really?", "!", "Yes."]),
    ],
)
def test_tokens_that_tear_marks_apart(tokens: list[str], phrases: list[str]) -> None:
    """A look-ahead would cost time on every answer. What is spoken stays the same: signs alone have no sound."""
    assert cut_pieces(tokens) == phrases


@pytest.mark.parametrize("token", ["It is noon.", "No!", "Is it?", "ठीक है।"])
def test_a_sentence_is_given_with_its_last_character(token: str) -> None:
    assert PhraseCutter().push(token) == [token]


@pytest.mark.parametrize("word", sorted(ABBREVIATIONS))
def test_abbreviations_do_not_end_a_sentence(word: str) -> None:
    assert PhraseCutter().push(f"See {word.capitalize()}. ") == []


def test_a_quote_that_closes_a_phrase_already_given_is_dropped() -> None:
    cutter = PhraseCutter()
    assert cutter.push('"Stop.') == ['"Stop.']
    for closer in sorted(CLOSERS):
        assert cutter.push(f"{closer} Go.") == ["Go."]
    assert cutter.push(' "Wait.') == ['"Wait.'], "this one opens"
