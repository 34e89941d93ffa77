"""What the turn machine is told of a text. It decides on these features and never on words, so that a journal whose
words are redacted replays to the same actions.

A call costs some tens of microseconds; it is made for every interim result.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from voice_gateway.domain.entities import Entity, EntityKind, entity_at_end
from voice_gateway.domain.expectation import Expectation as Expectation
from voice_gateway.domain.expectation import expectation_of as expectation_of
from voice_gateway.domain.languages import Language, PhraseLists
from voice_gateway.domain.languages.tables import words_of
from voice_gateway.domain.phrase_sets import PhraseSet

MAX_BACKCHANNEL_WORDS = 8
"""Longer runs of "yeah" and "right" want the floor."""

_SOUND_MARK = re.compile(r"\[[^\]\d]*\]|\([^)\d]*\)|<[^>\d]*>|\*[^*\d]+\*|\+\+[^+\d]*\+\+|[♪♫]+")
"""How recognisers write sounds that are no words: "[laughter]", "(coughs)", "<unk>", "++NOISE++". With a digit in it,
it may be a telephone number: "(415) 555"."""

_LONG_DRAWN = re.compile(r"([^\W\d_])\1\1+")

_SENTENCE_END = frozenset("?!.。！？।॥؟")
_UNFINISHED_MARKS = frozenset(",;:-–—…，、；：،")
_CLOSERS = "\"'”’)]»* "


class Ending(StrEnum):
    """How the text ends, as far as words and marks tell."""

    COMPLETE = "complete"
    """A whole sentence, or a short answer that stands by itself."""
    NEUTRAL = "neutral"
    TRAILING = "trailing"
    """More is to come: it ends in a conjunction, a preposition, a filler, a comma."""
    DIGITS = "digits"
    """A number is being read out."""
    SPELLING = "spelling"
    """A word is being spelled."""
    EMAIL = "email"
    """An e-mail or web address is being said."""


@dataclass(frozen=True, slots=True)
class TextFeatures:
    """All that is known of a text without its words."""

    words: int = 0
    backchannel: bool = False
    """Nothing but never-interrupt phrases, fillers and sound marks, and at least one of them."""
    stop: bool = False
    """Has an always-interrupt phrase that stands on its own."""
    ending: Ending = Ending.NEUTRAL
    digits: int = 0
    """Digits and letters of the number or the spelling that the text ends in, so far."""
    asks_repeat: bool = False
    """The whole text asks for the last answer again."""
    key: str = ""
    """Fingerprint of the normalised words, 16 hex digits; empty where there are no words. See `fingerprint`."""
    echo: float = 0.0
    """How much of it is in what was just played, 0 to 1; see `domain/echo.py`. Filled in by whoever knows what was
    played."""


IN_PROGRESS = frozenset({Ending.DIGITS, Ending.SPELLING, Ending.EMAIL})
"""Endings that more of the same kind is awaited after."""


def in_context(features: TextFeatures, whole: TextFeatures) -> TextFeatures:
    """`features` of a result, given those of the turn's `whole` text up to its end.

    A recogniser that ends an utterance in each pause gives a number group by group: "nine" is no number yet, and "four
    one five nine" is one. Only numbers, spellings and addresses are read across results: how a sentence ends, its last
    part tells."""
    if whole.ending in IN_PROGRESS:
        return replace(features, ending=whole.ending, digits=whole.digits)
    if features.ending is Ending.NEUTRAL and whole.digits > features.digits > 0:
        # "It is nine", a pause, "nine": being read out.
        return replace(features, ending=Ending.DIGITS, digits=whole.digits)
    return features


class _Rules:
    """A language's lists, prepared for look-ups."""

    def __init__(self, language: Language, lists: PhraseLists) -> None:
        endings = language.endings
        self.interjections = frozenset(word for phrase in lists.never for word in words_of(phrase)) | endings.fillers
        self.backchannel = PhraseSet((*lists.never, *endings.fillers))
        self.always = PhraseSet(lists.always)
        self.repeat = PhraseSet(lists.repeat)
        self.answers = PhraseSet((*lists.never, *endings.answers))
        self.unfinished = PhraseSet(endings.unfinished)
        self.finished = PhraseSet(endings.finished)
        self.starts = PhraseSet(endings.starts)
        self.polite = endings.openers | endings.closers


@lru_cache(maxsize=64)
def _rules(language: Language, lists: PhraseLists | None) -> _Rules:
    return _Rules(language, lists.over(language.phrases) if lists is not None else language.phrases)


def features_of(
    text: str, language: Language, *, final: bool, salt: str = "", lists: PhraseLists | None = None
) -> TextFeatures:
    """The features of what a recogniser heard.

    `final` tells a final result from an interim one: at the end of an interim result a full stop may be no more than
    the recogniser's habit. `salt` is for the fingerprint. `lists` are the operator's phrases, added to the language's
    or in their place. Never raises."""
    rules = _rules(language, lists)
    bare = _SOUND_MARK.sub(" ", text).strip()
    words = words_of(bare)
    if not words:
        return TextFeatures(backchannel=bool(text.strip()) and not bare)
    if _LONG_DRAWN.search(bare):
        words = [_short(word, rules.interjections) for word in words]
    fillers = language.endings.fillers
    solid = _without_last(words, fillers)
    entity = entity_at_end(bare, solid, language)
    return TextFeatures(
        words=len(words),
        backchannel=len(words) <= MAX_BACKCHANNEL_WORDS and rules.backchannel.cover(words),
        stop=_stops(bare, words, language, rules),
        ending=_ending(bare, words, entity, language, rules, final=final),
        digits=entity.characters,
        asks_repeat=_asks_repeat(words, language, rules),
        key=fingerprint(words, language, salt),
    )


def fingerprint(words: Sequence[str], language: Language, salt: str) -> str:
    """Tells whether two texts say the same, without keeping their words: BLAKE2b, 64 bits, of the words without
    fillers, with number words as digits and digits joined ("four one five", "4 1 5" and "415" are alike).

    Give every call a random `salt` of its own: without one, whoever has a redacted journal can find the words again by
    trying likely sentences. The salt must not be written where the journal is.
    """
    parts: list[str] = []
    numbers, fillers = language.entities.numbers, language.endings.fillers
    tens = joined = False
    for word in words:
        if word in fillers:
            continue
        value = numbers.get(word)
        if value is None and not word.isdecimal():
            parts.append(word)
            tens = joined = False
            continue
        if value is not None and tens and 0 < value < 10:
            parts[-1] = parts[-1][:-1] + str(value)
            tens = False
            continue
        digits = word if value is None else str(value)
        if joined:
            parts[-1] += digits
        else:
            parts.append(digits)
        joined, tens = True, value is not None and value >= 20 and value % 10 == 0
    if not parts:
        return ""
    return blake2b(
        " ".join(parts).encode("utf-8", "replace"), digest_size=8, key=salt.encode("utf-8", "replace")[:64]
    ).hexdigest()


def _short(word: str, interjections: frozenset[str]) -> str:
    """ "uhhhh" as "uh", where that is an interjection."""
    for kept in (r"\1\1", r"\1"):
        if (shorter := _LONG_DRAWN.sub(kept, word)) in interjections:
            return shorter
    return word


def _without_last(words: list[str], dropped: frozenset[str]) -> list[str]:
    end = len(words)
    while end and words[end - 1] in dropped:
        end -= 1
    return words[:end]


def _asks_repeat(words: list[str], language: Language, rules: _Rules) -> bool:
    """Nothing but the request: "sorry, can you say that again please", and not "repeat that order for my friend"."""
    endings = language.endings
    start = 0
    while start < len(words) - 1 and not rules.repeat.lengths_at(words, start):
        if words[start] not in endings.openers and words[start] not in endings.fillers:
            return False
        start += 1
    return not rules.backchannel.cover(words) and _covers(rules.repeat, words[start:], rules.polite)


def _covers(phrases: PhraseSet, words: list[str], polite: frozenset[str]) -> bool:
    """Whether the words are listed phrases, with or without polite words after them."""
    end = len(words)
    while not phrases.cover(words[:end]):
        if not end or words[end - 1] not in polite:
            return False
        end -= 1
    return True


def _stops(text: str, words: list[str], language: Language, rules: _Rules) -> bool:
    """An always-interrupt phrase at the start of the text, or as its last clause: "the bus stop" is none."""
    always, endings = rules.always, language.endings
    if always.first_words.isdisjoint(words):
        return False
    start = 0
    while start < len(words):
        for length in always.lengths_at(words, start):
            end = start + length
            if end == len(words) or words[end] not in endings.not_after_stop or always.lengths_at(words, end):
                return True
        if words[start] not in endings.openers and words[start] not in endings.fillers:
            break
        start += 1
    clause = words_of(_last_clause(text))
    return _covers(always, clause, rules.polite)


def _last_clause(text: str) -> str:
    """What comes after the last mark inside the text; empty where there is none."""
    text = text.rstrip("".join(_SENTENCE_END | _UNFINISHED_MARKS) + _CLOSERS)
    cut = max((text.rfind(mark) for mark in ",.;:!?—–।،，。"), default=-1)
    return text[cut + 1 :] if cut >= 0 else ""


def _ending(text: str, words: list[str], entity: Entity, language: Language, rules: _Rules, *, final: bool) -> Ending:
    match entity.kind:
        case EntityKind.DIGITS:
            return Ending.DIGITS
        case EntityKind.SPELLING:
            return Ending.SPELLING
        case EntityKind.EMAIL:
            return Ending.EMAIL
        case EntityKind.ADDRESS_DONE:
            return Ending.COMPLETE
        case EntityKind.NONE:
            pass
    endings = language.endings
    mark = text.rstrip(_CLOSERS)[-1:]
    if mark in _UNFINISHED_MARKS or text.endswith("..."):
        return Ending.TRAILING
    if mark in {"?", "？", "؟", "!", "！"}:
        return Ending.COMPLETE
    if _is_answer(words, language, rules):
        return Ending.COMPLETE
    last = words[-1]
    if last in endings.fillers or last in endings.never_last:
        return Ending.TRAILING
    stopped = mark in _SENTENCE_END
    if stopped and final:
        return Ending.COMPLETE
    if rules.finished.ends(words):
        return Ending.COMPLETE
    if last in endings.seldom_last or rules.unfinished.ends(words):
        return Ending.TRAILING
    if stopped:
        return Ending.COMPLETE
    start = _after_openers(words, language)
    if words[start] in endings.conditions:
        return Ending.NEUTRAL
    asks = len(words) - start >= endings.min_sentence_words and bool(rules.starts.lengths_at(words, start))
    return Ending.COMPLETE if asks or last in endings.closers else Ending.NEUTRAL


def _is_answer(words: list[str], language: Language, rules: _Rules) -> bool:
    """Whether the words are a short answer that stands by itself; with "well" before it or "please" after it."""
    endings = language.endings
    if all(word in endings.fillers for word in words):
        return False
    if rules.answers.cover(words):
        return True
    return _covers(rules.answers, words[_after_openers(words, language) :], endings.closers)


def _after_openers(words: list[str], language: Language) -> int:
    """Place of the first word that is no opener and no filler, or of the last word."""
    endings = language.endings
    start = 0
    while start < len(words) - 1 and (words[start] in endings.openers or words[start] in endings.fillers):
        start += 1
    return start
