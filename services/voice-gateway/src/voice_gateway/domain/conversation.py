"""The conversation as the language model is told it: what was said, and of the answers what was heard."""

from dataclasses import dataclass
from enum import StrEnum

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English with Llama 3's tokenizer; other scripts are counted one character to a token."""

MESSAGE_OVERHEAD_TOKENS = 4
"""Role markers around each message in Llama 3's chat template."""

CUT_MARK = "—"
"""Ends an answer that the caller cut short, so that the model knows."""


class Role(StrEnum):
    """Who said it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that was said."""

    role: Role
    text: str
    cut: bool = False
    """Of an answer: the caller interrupted it after `text`."""

    @property
    def sent_text(self) -> str:
        """The text as the language model gets it."""
        return f"{self.text} {CUT_MARK}" if self.cut else self.text


def estimated_tokens(text: str) -> int:
    """Upper-side estimate of the tokens of `text`."""
    ascii_characters = sum(character.isascii() for character in text)
    return -(-ascii_characters // CHARACTERS_PER_TOKEN) + (len(text) - ascii_characters)


def append_user(history: tuple[Message, ...], text: str, *, tokens: int) -> tuple[Message, ...]:
    """Add what the caller said. Two caller messages in a row are one: the first was never answered. If the two do not
    fit into `tokens`, the first is dropped: else questions to a model that is away would pile up for ever.
    """
    if history and history[-1].role is Role.USER:
        joined = f"{history[-1].text} {text}".strip()
        return (*history[:-1], Message(Role.USER, joined if estimated_tokens(joined) <= tokens else text))
    return (*history, Message(Role.USER, text))


def append_answer(history: tuple[Message, ...], heard: str, *, cut: bool) -> tuple[Message, ...]:
    """Add what was heard of an answer; nothing when nothing was heard."""
    return (*history, Message(Role.ASSISTANT, heard, cut)) if heard else history


def with_answer(history: tuple[Message, ...], answer: Message, heard: Message) -> tuple[Message, ...]:
    """Put `heard` in the place of `answer`, which must be there."""
    index = _last_index(history, answer)
    return (*history[:index], heard, *history[index + 1 :])


def without_answer(history: tuple[Message, ...], answer: Message) -> tuple[Message, ...]:
    """Take out `answer`, which must be there; the caller's messages around it become one."""
    index = _last_index(history, answer)
    before, after = history[:index], history[index + 1 :]
    if before and after and before[-1].role is after[0].role is Role.USER:
        joined = Message(Role.USER, f"{before[-1].text} {after[0].text}")
        return (*before[:-1], joined, *after[1:])
    return before + after


def _last_index(history: tuple[Message, ...], message: Message) -> int:
    return len(history) - 1 - history[::-1].index(message)


def bounded(history: tuple[Message, ...], *, tokens: int) -> tuple[Message, ...]:
    """The newest part of `history` that fits into `tokens`; all of it, or a part that begins with a caller's message.

    The last message is kept whatever its length, since a request without it would be about nothing. A conversation
    that fits keeps its beginning, which may be a greeting.
    """
    budget = tokens
    start = len(history)
    for index in range(len(history) - 1, -1, -1):
        budget -= estimated_tokens(history[index].sent_text) + MESSAGE_OVERHEAD_TOKENS
        if budget < 0 and index < len(history) - 1:
            break
        start = index
    while 0 < start < len(history) - 1 and history[start].role is not Role.USER:
        start += 1
    return history[start:]
