"""Finds listed phrases among words."""

from collections.abc import Iterable, Sequence

from voice_gateway.domain.languages.tables import words_of


class PhraseSet:
    """Phrases, found by their first word. A look-up costs a fraction of a microsecond where that word is not listed."""

    def __init__(self, phrases: Iterable[str]) -> None:
        found = {tuple(words) for phrase in phrases if (words := words_of(phrase))}
        by_first: dict[str, list[tuple[str, ...]]] = {}
        for phrase in sorted(found, key=len, reverse=True):
            by_first.setdefault(phrase[0], []).append(phrase)
        self._by_first = {first: tuple(listed) for first, listed in by_first.items()}
        self._by_last: dict[str, tuple[tuple[str, ...], ...]] = {}
        for phrase in found:
            self._by_last[phrase[-1]] = (*self._by_last.get(phrase[-1], ()), phrase)
        self.first_words = frozenset(by_first)

    def lengths_at(self, words: Sequence[str], start: int) -> list[int]:
        """In words, the lengths of the phrases that begin at `start`, longest first."""
        return [
            len(phrase)
            for phrase in self._by_first.get(words[start], ())
            if tuple(words[start : start + len(phrase)]) == phrase
        ]

    def ends(self, words: Sequence[str]) -> int:
        """Length of a phrase that the words end in, 0 for none."""
        if not words:
            return 0
        lengths = [len(p) for p in self._by_last.get(words[-1], ()) if tuple(words[-len(p) :]) == p]
        return max(lengths, default=0)

    def cover(self, words: Sequence[str]) -> bool:
        """Whether the words are nothing but listed phrases, one after the other."""
        if not words:
            return False
        reached, waiting = {0}, [0]
        while waiting:
            start = waiting.pop()
            for length in self.lengths_at(words, start):
                end = start + length
                if end == len(words):
                    return True
                if end not in reached:
                    reached.add(end)
                    waiting.append(end)
        return False
