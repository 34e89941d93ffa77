"""Pieces of text that stand for tokens, and where an answer ends."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# A word keeps the space before it, as the tokenisers of language models do; long words take several tokens.
_PIECE = re.compile(r"\s*(?:[^\W\d_]{1,8}(?:'[^\W\d_]{1,3})?|\d{1,3}|[^\s]|$)|\s+")

FinishReason = Literal["stop", "length"]


def split_tokens(text: str) -> list[str]:
    """Pieces whose concatenation is the text."""
    return [piece for piece in _PIECE.findall(text) if piece]


@dataclass(frozen=True)
class Answer:
    tokens: tuple[str, ...]
    finish_reason: FinishReason

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def end_answer(text: str, *, stop: Sequence[str], max_tokens: int | None) -> Answer:
    """The answer up to the first stop sequence (which is left out) or `max_tokens`, whichever comes first."""
    cuts = [at for at in (text.find(sequence) for sequence in stop if sequence) if at >= 0]
    kept = split_tokens(text[: min(cuts)] if cuts else text)
    if max_tokens is not None and len(kept) > max_tokens:
        return Answer(tuple(kept[:max_tokens]), "length")
    return Answer(tuple(kept), "stop")
