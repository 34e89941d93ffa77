"""Which of the machine's values hold words, said in one place, and how words are taken out of them.

A text is taken out unless it is listed as harmless, so that a field that is new and listed nowhere does not reach a
redacted journal. A test fails for such a field, since it may be one that the machine decides on.
"""

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

PERSONAL = frozenset(
    {
        "Agenda.keys",
        "AsrEnded.message",  # free sentences may quote what a caller chose; `reason` says the same in a stable word
        "AsrResult.text",
        "CallFailed.message",
        "CallResumed.system_prompt",
        "CallStarted.system_prompt",
        "ConversationPolicy.farewell",
        "ConversationPolicy.greeting",
        "ConversationPolicy.reprompt",
        "KeyPressed.key",
        "Known.last_answer",
        "Learned.last_answer",
        "Message.text",
        "Origin.verbatim",
        "PhraseCut.text",
        "QueuedSpeech.text",
        "Recognised.text",
        "ReplyTrouble.message",
        "Retuned.system_prompt",
        "SpeakRequest.text",
        "SpokenPhrase.text",
        "Talk.keys",
        "TextTurn.text",
        "Tuning.system_prompt",
    }
)
"""Texts of events and of the call's memory that people or models have written."""

HARMLESS = frozenset(
    {
        "AnswerUnderWay.rule",
        "AsrEnded.reason",
        "CallFailed.reason",
        "Draft.key",
        "Pause.rule",
        "ReplyState.rule",
        "ReplyTrouble.reason",
        "ReplyTrouble.stage",
        "TextFeatures.key",  # a fingerprint, salted with what is not in the journal
        "Utterance.ended_by",
    }
)
"""Texts that are one of a few words of ours."""

STAYING = {"KeyPressed.key": frozenset({"#"})}
"""Values of a personal text that say nothing, and that the machine decides on: the key that ends an input."""


def redacted(value: T) -> T:
    """A copy of a value of the domain without anything that was said or written: numbers, flags and enums stay."""
    return _redacted(value)  # type: ignore[no-any-return]


def _redacted(value: Any) -> Any:
    if value is None or isinstance(value, Enum | bool | int | float):
        return value
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, tuple | list):
        return type(value)(_redacted(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        kept = {item.name: getattr(value, item.name) for item in fields(value)}
        return type(value)(
            **{
                field: content if _stays(f"{name}.{field}", content) else _redacted(content)
                for field, content in kept.items()
            }
        )
    raise TypeError(f"{type(value).__name__} cannot be redacted")


def _stays(place: str, content: Any) -> bool:
    return place in HARMLESS or (place in STAYING and content in STAYING[place])


def redacted_text(text: str) -> str:
    """As many words as `text` has, of the same lengths, saying nothing."""
    return " ".join("x" * len(word) for word in text.split())
