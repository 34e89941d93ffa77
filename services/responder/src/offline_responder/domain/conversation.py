"""The messages of one request, as the rules read them."""

from collections.abc import Sequence
from dataclasses import dataclass

from offline_responder.domain.text import after, words_of

_NAME_PHRASES = ("my name is", "my name was", "my name", "i am called", "you can call me", "call me", "people call me")
_FILLERS = {"is", "uh", "um", "er", "the", "just", "it", "well", "actually", "a"}
# "I am X" is a name only when it is all that was said, and X is none of these.
_NOT_NAMES = {
    "fine",
    "good",
    "ok",
    "well",
    "tired",
    "happy",
    "sad",
    "here",
    "back",
    "hungry",
    "sorry",
    "ready",
    "done",
    "lost",
    "bored",
    "sure",
    "great",
    "not",
    "so",
    "very",
    "a",
    "the",
    "in",
    "on",
    "at",
    "from",
    "sick",
    "late",
    "busy",
    "home",
    "cold",
    "hot",
    "afraid",
    "listening",
    "you",
    "what",
    "who",
    "your",
    "and",
    "but",
    "that",
    "going",
    "talking",
    "testing",
    "trying",
}


@dataclass(frozen=True)
class Message:
    """`role` as in the OpenAI API: system, developer, user, assistant, tool or function."""

    role: str
    text: str


@dataclass(frozen=True)
class Conversation:
    said: tuple[str, ...]
    """What the caller said, oldest first; the last one wants an answer."""
    answered: tuple[str, ...]
    """What the caller was told, oldest first."""

    @property
    def utterance(self) -> str:
        return self.said[-1] if self.said else ""

    def name(self) -> str | None:
        """The name the caller gave last, or None."""
        return next((name for text in reversed(self.said) if (name := stated_name(words_of(text)))), None)

    def count_said(self, *phrases: str) -> int:
        """How many earlier utterances hold one of the words."""
        return sum(any(phrase in words_of(text) for phrase in phrases) for text in self.said[:-1])


def conversation_of(messages: Sequence[Message]) -> Conversation:
    return Conversation(
        said=tuple(message.text for message in messages if message.role == "user"),
        answered=tuple(message.text for message in messages if message.role == "assistant"),
    )


def stated_name(words: tuple[str, ...]) -> str | None:
    """The name in "my name is ann", "call me bob", or an utterance that is only "hello i am carl"."""
    if "what" in words[:3] or "remember" in words or "know" in words:
        return None
    rest = after(words, *_NAME_PHRASES)
    if rest is None:
        rest = after(words, "i am", "this is")
        if rest is None or len(rest) != 1 or len(words) > 5 or rest[0] in _NOT_NAMES:
            return None
    named = next((word for word in rest if word not in _FILLERS), None)
    return named.capitalize() if named and named.isalpha() and named not in _NOT_NAMES else None
