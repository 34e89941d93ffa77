"""What the assistant's last answer asked the caller for."""

import re
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache

from voice_gateway.domain.languages.tables import Language, QuestionWords, words_of
from voice_gateway.domain.phrase_sets import PhraseSet

_SENTENCE = re.compile(r"[^.!?。！？।॥؟]+[.!?。！？।॥؟]*")
_QUESTION_MARKS = ("?", "？", "؟")
_START_WORDS = 3
"""A question word this early makes the question an open one: "and what", "so at what"."""
_FRAGMENT_WORDS = 5
"""A question this short without a verb of asking still asks: "And your phone number?"."""


class Expectation(StrEnum):
    """The kind of answer that is awaited."""

    NOTHING = "nothing"
    """Nothing was asked."""
    YES_NO = "yes_no"
    NUMBER = "number"
    """Digits: a telephone number, a code, a card."""
    SPELLED = "spelled"
    EMAIL = "email"
    OPEN = "open"


class _Asking:
    """A language's question words, prepared for look-ups."""

    def __init__(self, questions: QuestionWords) -> None:
        self.starts = PhraseSet(questions.yes_no_starts)
        self.tags = PhraseSet(questions.tags)
        self.kinds = (
            (Expectation.SPELLED, PhraseSet(questions.spelled)),
            (Expectation.EMAIL, PhraseSet(questions.email)),
            (Expectation.NUMBER, PhraseSet(questions.number)),
        )


@lru_cache(maxsize=64)
def _asking(language: Language) -> _Asking:
    return _Asking(language.questions)


def expectation_of(answer: str, language: Language) -> Expectation:
    """What an answer of the assistant asks for: its last question counts, or a last sentence such as "Please spell it".

    Called once an answer. A language without tables gets OPEN for a question. Never raises.
    """
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(answer) if sentence.strip()]
    if not sentences:
        return Expectation.NOTHING
    questions = [sentence for sentence in sentences[-2:] if sentence.endswith(_QUESTION_MARKS)]
    if not questions:
        return _of_statement(words_of(sentences[-1]), language)
    return _of_question(questions[-1], language)


def _of_statement(words: Sequence[str], language: Language) -> Expectation:
    if language.questions.ask_verbs.isdisjoint(words[:6]):
        return Expectation.NOTHING
    return _kind(words, language)


def _of_question(question: str, language: Language) -> Expectation:
    words, asking, table = words_of(question), _asking(language), language.questions
    if not words or not (table.open_words or table.yes_no_starts):
        return Expectation.OPEN
    last_clause = words_of(question.rpartition(",")[2]) if "," in question else []
    if last_clause and asking.tags.cover(last_clause):
        return Expectation.YES_NO
    starts_yes_no = bool(asking.starts.lengths_at(words, 0))
    near = words[int(starts_yes_no) :] if table.anywhere else words[:_START_WORDS]
    is_open = not table.open_words.isdisjoint(near) and (table.anywhere or not starts_yes_no)
    asks = not table.ask_verbs.isdisjoint(words)
    if is_open or asks or (len(words) <= _FRAGMENT_WORDS and not starts_yes_no):
        kind = _kind(words, language)
        if kind is not Expectation.NOTHING:
            return kind
    if is_open or not table.or_words.isdisjoint(words[:-1]):
        return Expectation.OPEN
    return Expectation.YES_NO


def _kind(words: Sequence[str], language: Language) -> Expectation:
    for kind, phrases in _asking(language).kinds:
        if any(phrases.lengths_at(words, start) for start in range(len(words))):
            return kind
    return Expectation.NOTHING
