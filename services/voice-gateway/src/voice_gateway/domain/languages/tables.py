"""What a language table holds. Rules of turn-taking are data: a rule reads a table and knows no word of its own.

Words in a table are written as a recogniser may write them; the rules normalise them with `words_of`, as they do what
was heard, so case, apostrophes and hyphens do not matter.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|"
    "[^\\W_\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0900-\u0dff]+(?:[\u0300-\u036f\u064b-\u065f]+[^\\W_\u0900-\u0dff]*)*|"
    "[\u0900-\u0963\u0966-\u0dff\u200c\u200d]+"
)
"""Runs of letters and digits. Each Chinese or Japanese character counts as a word: there are no spaces. The vowel
signs of Indic scripts are no letters to `re`; the dandas U+0964 and U+0965 are left out as marks."""

_APOSTROPHES = str.maketrans("", "", "'’ʼ‘")


def words_of(text: str) -> list[str]:
    """Normalised words: case-folded, NFC, without apostrophes; other marks, hyphens among them, part words."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "e-mail" in text:
        text = text.replace("e-mail", "email")
    return _WORD.findall(text.translate(_APOSTROPHES))


@dataclass(frozen=True, slots=True)
class PhraseLists:
    """Phrases that decide about interruptions. Operators give their own; they add to the language's, or replace
    them."""

    never: tuple[str, ...] = ()
    """Never interrupt: what a listener says to show that they listen, and sounds that are no words."""
    always: tuple[str, ...] = ()
    """Always interrupt, however short."""
    repeat: tuple[str, ...] = ()
    """Ask for the last answer again, where they are the whole utterance."""
    replace: bool = False
    """Of an operator's lists: a list that is not empty takes the place of the language's instead of adding to it."""

    def over(self, base: "PhraseLists") -> "PhraseLists":
        """These lists laid over a language's own."""
        if self.replace:
            return PhraseLists(self.never or base.never, self.always or base.always, self.repeat or base.repeat)
        return PhraseLists(base.never + self.never, base.always + self.always, base.repeat + self.repeat)


@dataclass(frozen=True, slots=True, eq=False)
class EndingWords:
    """Words that tell whether a sentence is over."""

    fillers: frozenset[str] = frozenset()
    """Sounds of thinking. They keep the floor (Clark and Fox Tree 2002, "Using uh and um in spontaneous speaking")."""
    openers: frozenset[str] = frozenset()
    """Words before an utterance that change nothing about it: "well", "oh", "please"."""
    never_last: frozenset[str] = frozenset()
    """No sentence ends in them: articles, conjunctions, possessives. They outweigh a full stop."""
    seldom_last: frozenset[str] = frozenset()
    """Prepositions and auxiliaries: sentences end in them at times, so a full stop or a question mark outweighs
    them."""
    unfinished: tuple[str, ...] = ()
    """Phrases that want more: "tell me", "i would like"."""
    finished: tuple[str, ...] = ()
    """Phrases that end a sentence in spite of their last word: "turn it on", "where are you from"."""
    answers: tuple[str, ...] = ()
    """Phrases that are complete by themselves, beside the never-interrupt ones."""
    closers: frozenset[str] = frozenset()
    """Words that a request ends in: "please", "thanks"."""
    starts: tuple[str, ...] = ()
    """How questions and requests begin; from `min_sentence_words` on they count as complete without a mark."""
    conditions: frozenset[str] = frozenset()
    """"if", "because": a text that begins so and has no mark waits for its main clause."""
    not_after_stop: frozenset[str] = frozenset()
    """Words that make something else of the stop phrase before them: "stop sign"."""
    min_sentence_words: int = 4


@dataclass(frozen=True, slots=True, eq=False)
class EntityWords:
    """Words of numbers, spelling and addresses."""

    numbers: Mapping[str, int] = field(default_factory=dict)
    """Number words from 0 to 99. Below ten they are digits; from ten on they count two digits."""
    scales: frozenset[str] = frozenset()
    """"hundred", "thousand": signs of a quantity rather than of a number being read out."""
    multiples: Mapping[str, int] = field(default_factory=dict)
    """"double" and "triple" before a digit."""
    vigesimal: bool = False
    """Numbers made as in French: soixante-dix, quatre-vingts."""
    number_leads: frozenset[str] = frozenset()
    """Words that announce a number: "phone", "code"."""
    letter_words: frozenset[str] = frozenset()
    """Single letters that are words."""
    letter_pairs: tuple[str, ...] = ()
    """Letters that are said as letters but are no spelling: "p m"."""
    letter_as: tuple[str, ...] = ()
    """What stands between a letter and its example: "as in", "for"."""
    spell_leads: frozenset[str] = frozenset()
    at_words: frozenset[str] = frozenset()
    dot_words: frozenset[str] = frozenset()
    address_signs: frozenset[str] = frozenset()
    """Words that hardly occur outside of addresses: "underscore", "www", names of mail providers."""
    email_leads: frozenset[str] = frozenset()
    is_words: frozenset[str] = frozenset()
    """"is": what stands between a lead and its value."""


@dataclass(frozen=True, slots=True, eq=False)
class QuestionWords:
    """Words that tell what the assistant asked for."""

    open_words: frozenset[str] = frozenset()
    """Who, what, when: the answer is open. Looked for anywhere in the question where `anywhere`, else at its start."""
    anywhere: bool = False
    or_words: frozenset[str] = frozenset()
    yes_no_starts: tuple[str, ...] = ()
    """Verbs that a yes/no question begins with."""
    tags: tuple[str, ...] = ()
    """"right?", "is that correct?": whatever came before, the answer is yes or no."""
    ask_verbs: frozenset[str] = frozenset()
    """"give", "tell", "spell": with these a yes/no question about a number asks for the number."""
    number: tuple[str, ...] = ()
    spelled: tuple[str, ...] = ()
    email: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """All tables of a language. Compared by identity: there is one object per language."""

    code: str
    """BCP 47 primary subtag, lower case; "" for the neutral tables."""
    phrases: PhraseLists = field(default_factory=PhraseLists)
    endings: EndingWords = field(default_factory=EndingWords)
    entities: EntityWords = field(default_factory=EntityWords)
    questions: QuestionWords = field(default_factory=QuestionWords)


def bag(text: str) -> frozenset[str]:
    """Words of a table, parted by spaces."""
    return frozenset(words_of(text))


def listed(text: str) -> tuple[str, ...]:
    """Phrases of a table, parted by semicolons."""
    return tuple(phrase for part in text.split(";") if (phrase := " ".join(words_of(part))))


def counted(text: str, first: int = 0, step: int = 1) -> dict[str, int]:
    """Number words in order; alternatives of one number are joined by a slash."""
    return {
        word: first + step * place
        for place, names in enumerate(text.split())
        for word in words_of(names.replace("/", " "))
    }
