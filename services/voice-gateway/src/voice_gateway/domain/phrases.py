"""Cuts an answer, as it streams in, into phrases that can be spoken.

A cut is made on the character that ends a phrase, without waiting for the one after it: at 30 ms a token, a look-ahead
of one token costs 30 ms on every answer (peers wait one or two). Only where the character alone cannot decide, a full
stop after a digit or an abbreviation, the next character is awaited.
"""

from dataclasses import dataclass, field

SENTENCE_END = frozenset("!?。！？।…॥؟")
"""Characters that end a sentence whatever follows. "।" is the Devanagari danda, "؟" the Arabic question mark."""

CLAUSE_END = frozenset(",;:，；：、—–")

CLOSERS = frozenset("\"'”’)]»")

ABBREVIATIONS = frozenset({"mr", "mrs", "ms", "dr", "prof", "jr", "sr", "vs", "e.g", "i.e", "vol", "fig", "approx"})
"""Words whose full stop does not end a sentence by itself."""


@dataclass(frozen=True, slots=True)
class PhrasePolicy:
    """How long phrases are, in characters."""

    first_min_characters: int = 12
    """The first phrase may end at a clause from this length on: about 0.8 s of speech, time to make the second."""
    first_max_characters: int = 70
    """The first phrase is cut at a word when nothing else ended it before."""
    min_characters: int = 40
    """Later phrases may end at a clause from this length on; sentences end at any length."""
    max_characters: int = 200
    """NVIDIA's clients split at 200 characters, and Riva refuses much longer requests."""


@dataclass(slots=True)
class PhraseCutter:
    """Feed it text with `push`, end with `flush`."""

    policy: PhrasePolicy = field(default_factory=PhrasePolicy)
    _pending: str = ""
    _scanned: int = 0
    _cut_any: bool = False

    def push(self, text: str) -> list[str]:
        """Take the next piece of text; give the phrases that it completes, trimmed and never empty. One may be of signs
        alone, such as the end of a code block: SpeechCleaner wants to see those, and leaves nothing of them to speak.
        """
        self._pending += text
        phrases: list[str] = []
        while (end := self._next_cut()) is not None:
            phrases += self._take(end)
        return phrases

    def flush(self) -> list[str]:
        """The answer is complete: give what is left."""
        return self._take(len(self._pending))

    def _take(self, end: int) -> list[str]:
        phrase, self._pending, self._scanned = self._pending[:end], self._pending[end:], 0
        if self._cut_any:
            # The closing quote of a sentence that was cut off before it.
            phrase = phrase.lstrip("".join(CLOSERS))
        phrase = phrase.strip()
        self._cut_any = self._cut_any or bool(phrase)
        return [phrase] if phrase else []

    def _next_cut(self) -> int | None:
        """Index after the first phrase in the pending text, or None when it needs more text."""
        text = self._pending
        minimum = self.policy.min_characters if self._cut_any else self.policy.first_min_characters
        maximum = self.policy.max_characters if self._cut_any else self.policy.first_max_characters
        for index in range(self._scanned, len(text)):
            verdict = self._ends_phrase(index, minimum)
            if verdict is None:
                # Undecided until the next character: look at this one again then.
                self._scanned = index
                return None
            if verdict:
                return index + 1
            if index + 1 >= maximum:
                return _last_space(text, index + 1)
        self._scanned = len(text)
        return None

    def _ends_phrase(self, index: int, minimum: int) -> bool | None:
        """Whether the phrase ends with the character at `index`; None where the next character decides."""
        text, character = self._pending, self._pending[index]
        following = text[index + 1] if index + 1 < len(text) else None
        if character == "\n":
            return bool(text[:index].strip())
        if character in SENTENCE_END or character == ".":
            if following is not None and (following in CLOSERS or following in SENTENCE_END or following == "."):
                return False
            return True if character != "." else _full_stop_ends(text, index, following)
        if character in CLOSERS and index and (text[index - 1] in SENTENCE_END or text[index - 1] == "."):
            return True
        if character in CLAUSE_END:
            if len(text[: index + 1].strip()) < minimum or text[:index].lower().endswith(("http", "https")):
                return False
            # "1,000" and "10:30" go on; a clause is followed by a space.
            if index and text[index - 1].isdigit():
                return None if following is None else not following.isdigit()
            return True
        return False


def _full_stop_ends(text: str, index: int, following: str | None) -> bool | None:
    """Whether the full stop at `index` ends a sentence: "3.14", "Dr. Who", "e.g. this" and "U.S." do not."""
    word_start = max(text.rfind(" ", 0, index), text.rfind("\n", 0, index)) + 1
    word = text[word_start:index].strip("\"'“‘([*_").lower()
    if word == "i":
        # "So did I." and "i.e."
        return None if following is None else not following.isalnum()
    if word in ABBREVIATIONS or (len(word) == 1 and word.isalpha()) or (len(word) > 2 and word[-2] == "."):
        return False
    if not word:
        return False
    if word[-1].isdigit():
        return None if following is None else not following.isdigit()
    return following is None or not following.isalnum()


def _last_space(text: str, limit: int) -> int:
    """Where to cut a phrase that does not end: after a clause mark, else after a word, else in the middle of it."""
    window = text[:limit]
    for index in range(limit - 1, limit // 2, -1):
        if window[index] in CLAUSE_END and index + 1 < len(text) and text[index + 1].isspace():
            return index + 1
    space = window.rfind(" ")
    return space + 1 if space > 0 and window[:space].strip() else limit
