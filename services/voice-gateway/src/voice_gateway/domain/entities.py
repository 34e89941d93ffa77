"""Numbers, spelled letters and addresses that a caller is in the middle of.

Recognisers write them in two ways: as said ("four one five", "john dot smith at") or, with inverse text
normalisation, as written ("415", "4 1 5", "john.smith@"). Both are read. A wrong guess costs time, never words: it
makes the wait longer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from voice_gateway.domain.languages.tables import EntityWords, Language, bag

LOOK_BACK_WORDS = 10
"""How far back a word such as "number" or "email" announces what is said now."""

TOP_LEVEL_DOMAINS = bag("com org net edu gov io ai co uk de fr es it pt br in eu info biz dev app me us ca au")

PROVIDERS = bag("gmail googlemail hotmail outlook yahoo icloud protonmail proton gmx aol live")
"""Names of mail providers: with an "at" before them, an address."""

_QUANTITY = re.compile(
    r"(?:[$€£₹]\s?[\d.,]+|\d{1,2}:\d\d|(?<![\d.,])\d{1,3}[.,]\d{1,2}|(?<![\d.,])\d{1,3}(?:[.,]\d{3})+|\d\s?%)\W*$"
)
"""Money, a time, a decimal, thousands: written out, so over."""

_ADDRESS = re.compile(r"(?:(?:www\.|https?://)\S*|\S*@\S*|[\w-]+\.(?:com|org|net|edu|gov|info))$", re.IGNORECASE)

_WHOLE_ADDRESS = re.compile(r"(?:@|www\.|//|^)[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}$")


class EntityKind(StrEnum):
    """What is being read out."""

    NONE = "none"
    DIGITS = "digits"
    SPELLING = "spelling"
    EMAIL = "email"
    ADDRESS_DONE = "address_done"
    """An e-mail or web address with its top-level domain."""


@dataclass(frozen=True, slots=True)
class Entity:
    """The entity that the words end in."""

    kind: EntityKind = EntityKind.NONE
    characters: int = 0
    """Digits and letters of it so far. May be above 0 for NONE: one number that is no number being read out."""


NO_ENTITY = Entity()


@dataclass(slots=True)
class _Run:
    """Digits and letters at the end of the words, read backwards."""

    start: int
    digits: int = 0
    letters: int = 0
    """Spelled letters that are no words."""
    word_letters: int = 0
    items: int = 0
    singles: int = 0
    """Items of one digit."""
    examples: int = 0
    """Letters with an example: "s as in sam"."""
    certain: bool = False
    """Something in it is more than an "oh" or an "a"."""


def entity_at_end(text: str, words: Sequence[str], language: Language) -> Entity:
    """What the caller is in the middle of reading out. `words` are those of `text`, without fillers at the end."""
    if not words:
        return NO_ENTITY
    entities = language.entities
    address = _address(text, words, entities)
    if address is not EntityKind.NONE:
        return Entity(address)
    if not _may_end_run(words[-1], entities) and _example(words, len(words) - 1, entities) is None:
        return NO_ENTITY
    if text[-1:] == "?" or _QUANTITY.search(text):
        return NO_ENTITY
    run = _run(words, entities)
    if not run.items or not run.certain:
        return NO_ENTITY
    if run.start and run.items > 1 and words[run.start] in entities.letter_words:
        # "it is a b": the "a" is an article.
        run.start, run.items, run.word_letters = run.start + 1, run.items - 1, run.word_letters - 1
    characters = run.digits + run.letters + run.word_letters
    before = words[: run.start]
    if run.letters or run.examples or (run.word_letters > 1 and run.items > 2):
        return Entity(EntityKind.SPELLING if _spells(words, run, before, entities) else EntityKind.NONE, characters)
    return Entity(EntityKind.DIGITS if _reads_number(run, before, language) else EntityKind.NONE, characters)


def _may_end_run(word: str, entities: EntityWords) -> bool:
    return len(word) == 1 or word in entities.numbers or word.isdecimal()


def _run(words: Sequence[str], entities: EntityWords) -> _Run:
    run = _Run(start=len(words))
    at = len(words) - 1
    after: int | None = None  # value of the number word that follows, for "twenty five"
    while at >= 0:
        word = words[at]
        value = entities.numbers.get(word)
        step = 1
        if word.isdecimal():
            run.digits += len(word)
            run.singles += len(word) == 1
            run.certain = True
            value = None
        elif value is not None:
            _add_number_word(run, value, after, entities)
            run.certain = run.certain or word not in {"oh", "o"}
        elif word in entities.multiples and run.items:
            run.digits += entities.multiples[word] - 1
        elif len(word) == 1 and word.isalpha():
            _add_letter(run, word, entities)
        elif (skipped := _example(words, at, entities)) is not None:
            _add_letter(run, words[at - skipped], entities)
            run.certain = True
            run.examples += 1
            step = skipped + 1
        else:
            break
        after = value
        run.items += 1
        at -= step
        run.start = at + 1
    return run


def _add_letter(run: _Run, letter: str, entities: EntityWords) -> None:
    if letter in entities.letter_words:
        run.word_letters += 1
    else:
        run.letters += 1
        run.certain = True


def _add_number_word(run: _Run, value: int, after: int | None, entities: EntityWords) -> None:
    """Count the digits of a number word, given the value of the one after it."""
    if value < 10:
        if entities.vigesimal and value == 4 and after == 20:
            return  # quatre-vingts: 20 was counted with two digits
        run.digits += 1
        run.singles += 1
        return
    run.digits += 2
    if after is None:
        return
    if value >= 20 and value % 10 == 0 and 0 < after < 10:
        # "twenty five" is 25: its 5 was counted as a digit of its own.
        run.digits -= 1
        run.singles -= 1
    elif entities.vigesimal and ((value in {20, 60} and 10 <= after < 20) or (value == 10 and 7 <= after < 10)):
        run.digits -= 2 if value != 10 else 1
        run.singles -= value == 10


def _example(words: Sequence[str], at: int, entities: EntityWords) -> int | None:
    """For "s as in sam" with `at` on "sam": how many words back the letter is."""
    for glue in entities.letter_as:
        parts = glue.split()
        start = at - len(parts)
        if start >= 1 and len(words[start - 1]) == 1 and list(words[start:at]) == parts:
            return len(parts) + 1
    return None


def _spells(words: Sequence[str], run: _Run, before: Sequence[str], entities: EntityWords) -> bool:
    tail = " ".join(words[run.start :])
    if any(tail == pair or tail.endswith(" " + pair) for pair in entities.letter_pairs) and run.items <= 3:
        return False
    if not entities.spell_leads.isdisjoint(before[-LOOK_BACK_WORDS:]):
        return True
    if run.examples:
        return True
    return run.items >= 2 and (run.digits == run.singles or run.items >= 3)


def _reads_number(run: _Run, before: Sequence[str], language: Language) -> bool:
    entities = language.entities
    if before and before[-1] in entities.scales:
        return False
    recent = before[-LOOK_BACK_WORDS:]
    if not entities.number_leads.isdisjoint(recent):
        return True
    if all(word in language.endings.openers or word in entities.is_words for word in before):
        return run.digits >= 3 or run.singles >= 2
    return run.singles >= 3 or (run.items >= 2 and run.digits >= 5)


def _address(text: str, words: Sequence[str], entities: EntityWords) -> EntityKind:
    """Whether the words end in an e-mail or web address."""
    last = text[text.rfind(" ") + 1 :].rstrip(".,;:!?") if ("@" in text or "." in text or "://" in text) else ""
    if last and _ADDRESS.search(last):
        return EntityKind.ADDRESS_DONE if _WHOLE_ADDRESS.search(last) else EntityKind.EMAIL
    if not entities.at_words:
        return EntityKind.NONE
    recent = words[-LOOK_BACK_WORDS:]
    seen = set(recent)
    has_at = not seen.isdisjoint(entities.at_words)
    has_dot = not seen.isdisjoint(entities.dot_words)
    has_sign = not seen.isdisjoint(entities.address_signs)
    lead = next((at for at, word in enumerate(recent) if word in entities.email_leads), None)
    provider = any(pair[0] in entities.at_words and pair[1] in PROVIDERS for pair in pairwise(recent))
    announced = lead is not None and not seen.isdisjoint(entities.is_words)
    if not (has_sign or provider or (has_at and has_dot) or announced or (lead is not None and has_at)):
        if len(words) < 2 or words[-2] not in entities.dot_words or words[-1] not in TOP_LEVEL_DOMAINS:
            return EntityKind.NONE
        return EntityKind.ADDRESS_DONE
    if len(words) > 1 and words[-1] in TOP_LEVEL_DOMAINS and words[-2] in entities.dot_words:
        return EntityKind.ADDRESS_DONE
    if announced and not (has_at or has_dot or has_sign):
        after_lead = recent[(lead or 0) + 1 :]
        if not after_lead or after_lead[-1] in entities.is_words or len(after_lead) > 5:
            return EntityKind.NONE
    return EntityKind.EMAIL
