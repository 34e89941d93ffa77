"""Words that the demo recogniser must not put into people's mouths.

A general language model from the web holds profanity and produces it on clean speech that never said it.
"""

import re
from typing import Final

_WHOLE: Final = (
    "arseholes?", "assholes?", "bastards?", "blowjobs?", "chinks?", "cocks?", "cocksuck\\w*", "coons?", "cum", "dicks?",
    "dildos?", "dykes?", "fags?", "faggots?", "gooks?", "jackass", "kikes?", "masturbat\\w*", "piss(?:ed|es|ing)?",
    "pricks?", "pussy", "pussies", "sluts?", "spics?", "tits?", "titties", "twats?", "wank(?:er|ers|ing)?", "whores?",
    "wops?",
)  # fmt: skip
_ANY_ENDING: Final = (
    "fuck",
    "motherfuck",
    "cunt",
    "bitch",
    "nigger",
    "bullshit",
    "dipshit",
    "horseshit",
    "shit(?!ake|ila)",
)

_BLOCKED: Final = re.compile("|".join((*_WHOLE, *(rf"{stem}[\w']*" for stem in _ANY_ENDING))))


def blocked(word: str) -> bool:
    """Whether a lower-case word must not be shown. A dictionary's variant mark, like (2), is no part of a word."""
    return _BLOCKED.fullmatch(word.split("(", maxsplit=1)[0]) is not None


class BlockedWords(frozenset[str]):
    """Behaves as the set of all blocked words, which rules describe shorter than a list."""

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and blocked(word)
