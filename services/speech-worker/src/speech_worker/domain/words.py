"""Words and when they are spoken."""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

_WORD = re.compile(r"[^\s]+")
_LETTERS = re.compile(r"[\w']+")
_SPOKEN = re.compile(r"\w")


@dataclass(frozen=True)
class Word:
    """Times in ms from the start of the stream (recognition) or of the request's audio (synthesis)."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float = 0.0

    def shifted(self, by_ms: int) -> "Word":
        return replace(self, start_ms=self.start_ms + by_ms, end_ms=self.end_ms + by_ms)


@dataclass(frozen=True)
class Hypothesis:
    """What an engine believes about one utterance. `words` may be empty where it has no timings."""

    text: str = ""
    confidence: float = 0.0
    words: tuple[Word, ...] = ()


def spoken_words(text: str) -> list[str]:
    """The parts between spaces that hold at least one letter or digit."""
    return [match.group() for match in _WORD.finditer(text) if _SPOKEN.search(match.group())]


def estimate_words(text: str, *, start_ms: int, end_ms: int) -> tuple[Word, ...]:
    """Spread the words over the time by their letters.

    One extra unit per word stands for the part of its length that does not depend on spelling. For audio this is
    good to about a syllable, which is what a heard ledger without engine timings has anyway.
    """
    words = spoken_words(text)
    if not words:
        return ()
    weights = [len(word) + 1 for word in words]
    total = sum(weights)
    span_ms = max(0, end_ms - start_ms)
    result: list[Word] = []
    passed = 0
    for word, weight in zip(words, weights, strict=True):
        begins = start_ms + span_ms * passed // total
        passed += weight
        result.append(Word(word, begins, start_ms + span_ms * passed // total))
    return tuple(result)


def durations_s(words: Iterable[Word]) -> list[float]:
    """Length of each word in seconds."""
    return [max(0, word.end_ms - word.start_ms) / 1000 for word in words]


def masked(word: str) -> str:
    """The first letter, then one asterisk for each other letter: what Riva's profanity filter shows."""
    return word[:1] + "*" * (len(word) - 1)


def filter_words(text: str, blocked: Container[str]) -> str:
    """Mask whole words of `blocked`, which is lower case."""

    def shown(match: re.Match[str]) -> str:
        return masked(match.group()) if match.group().lower() in blocked else match.group()

    return _LETTERS.sub(shown, text)
