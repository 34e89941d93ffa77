"""What is taken out of a redacted journal: every text that is not known to be harmless."""

import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from voice_gateway.domain.call_state import CallState, Recognised, Utterance
from voice_gateway.domain.events import AsrEnded, AsrResult, Event, KeyPressed, Speech, SpeechEdge
from voice_gateway.domain.personal import HARMLESS, PERSONAL, redacted


def text_fields(kind: Any, seen: set[type]) -> Iterator[str]:
    """ "Class.field" of every text that a value of `kind` can hold, however deep."""
    for part in _classes(kind):
        if isinstance(part, type) and is_dataclass(part) and part not in seen:
            seen.add(part)
            hints = get_type_hints(part)
            for field in fields(part):
                if str in _classes(hints[field.name]):
                    yield f"{part.__name__}.{field.name}"
                yield from text_fields(hints[field.name], seen)


def _classes(kind: Any) -> list[Any]:
    """The classes in a type hint: members of unions, items of tuples and lists, and so on down."""
    if get_origin(kind) is not None or isinstance(kind, types.UnionType):
        return [inner for argument in get_args(kind) if argument is not Ellipsis for inner in _classes(argument)]
    return [kind]


def all_text_fields() -> set[str]:
    return set(text_fields(Union[Event, CallState], set()))  # noqa: UP007 - an alias and a class


def test_every_text_of_events_and_memory_is_known_to_be_personal_or_harmless() -> None:
    """A new text field belongs into one of the two tables of domain/personal.py. A text that the machine decides on
    must be harmless: what is personal is gone from a redacted journal.
    """
    assert all_text_fields() - PERSONAL - HARMLESS == set()


def test_the_tables_hold_nothing_that_is_not_there() -> None:
    assert (PERSONAL | HARMLESS) - all_text_fields() == set()
    assert PERSONAL.isdisjoint(HARMLESS)


@dataclass(frozen=True, slots=True)
class New:
    """An event that the tables do not know."""

    remark: str
    remarks: tuple[str, ...]
    nested: AsrResult | None
    edge: SpeechEdge = SpeechEdge.PAUSED
    count: int = 3
    share: float = 0.5
    sure: bool = True


def test_a_text_that_is_listed_nowhere_is_taken_out() -> None:
    event = New("my secret", ("one", "two"), AsrResult(1, "three", 1, final=True))
    assert redacted(event) == New("xx xxxxxx", ("xxx", "xxx"), AsrResult(1, "xxxxx", 1, final=True))


def test_the_search_for_texts_looks_everywhere() -> None:
    assert set(text_fields(New, set())) == {"New.remark", "New.remarks", "AsrResult.text", "TextFeatures.key"}


def test_what_is_harmless_and_what_is_no_text_stays() -> None:
    ended = redacted(AsrEnded(2, "BACKEND_TIMEOUT", "The voice 'Anna' is not known.", retryable=True))
    assert ended.reason == "BACKEND_TIMEOUT"
    assert "Anna" not in ended.message
    speech = Speech(SpeechEdge.STARTED, 8_000, 500)
    assert redacted(speech) == speech


@pytest.mark.parametrize(("key", "kept"), [("7", "x"), ("*", "x"), ("#", "#")])
def test_keys_are_taken_out_but_for_the_one_that_ends_an_input(key: str, kept: str) -> None:
    assert redacted(KeyPressed(key)) == KeyPressed(kept)


def test_a_memory_is_copied_not_changed() -> None:
    state = CallState(utterances=[Utterance(1, 0, finals=(Recognised("hello", 1),), ended_by="silence")])
    (gone,) = redacted(state).utterances
    assert (gone.finals[0].text, gone.ended_by) == ("xxxxx", "silence")
    assert state.utterances[0].finals[0].text == "hello"


@pytest.mark.parametrize("value", [{"a": "b"}, b"words", object()])
def test_what_cannot_be_looked_through_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be redacted"):
        redacted(value)


def test_enums_are_not_taken_for_texts() -> None:
    assert isinstance(redacted(SpeechEdge.STARTED), Enum)
