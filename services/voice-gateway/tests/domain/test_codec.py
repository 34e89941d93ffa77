"""Values to plain data and back; journals that stay bounded; data of another shape is refused."""

import json
from dataclasses import dataclass
from enum import StrEnum

import pytest
from gateway_turns import Talk
from hypothesis import given
from hypothesis import strategies as st

from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import MalformedDataError, decode, encode
from voice_gateway.domain.events import AsrResult, Event, InputClosed, Played, Speech, SpeechEdge, Tick
from voice_gateway.domain.journal import Journal, restore, snapshot
from voice_gateway.domain.personal import redacted_text
from voice_gateway.domain.policy import TurnPolicy
from voice_gateway.domain.turn import TurnMachine

EVENTS = st.one_of(
    st.builds(Speech, st.sampled_from(SpeechEdge), st.integers(), st.integers(), st.integers()),
    st.builds(AsrResult, st.integers(), st.text(), st.integers(), st.booleans(), st.booleans(), st.integers()),
    st.builds(Played, st.integers(), st.integers()),
    st.just(Tick()),
    st.just(InputClosed()),
)


@given(EVENTS)
def test_events_come_back_as_they_were(event: Event) -> None:
    plain = json.loads(json.dumps(encode(event)))
    assert decode(Event, plain) == event


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_whole_number_is_good_where_a_fraction_may_stand(number: float) -> None:
    assert decode(float, encode(number)) == number
    assert decode(float, 3) == 3


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Inner:
    number: int
    colour: Colour = Colour.RED


@dataclass(slots=True)
class Outer:
    inner: Inner | None
    pairs: tuple[tuple[int, str], ...] = ()
    flags: list[bool] | None = None


@pytest.mark.parametrize(
    "value", [Outer(None), Outer(Inner(1)), Outer(Inner(2), ((1, "a"), (2, "é")), [True, False]), Outer(None, (), [])]
)
def test_nested_values_come_back_as_they_were(value: Outer) -> None:
    assert decode(Outer, json.loads(json.dumps(encode(value)))) == value


def test_fields_that_older_data_lacks_take_their_defaults() -> None:
    assert decode(Inner, {"_": "Inner", "number": 1}) == Inner(1)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (Inner, {"_": "Inner"}),
        (Inner, {"_": "Inner", "number": "1"}),
        (Inner, {"_": "Inner", "number": True}),
        (Inner, {"_": "Inner", "number": 1, "colour": "blue"}),
        (Inner, {"_": "Inner", "number": 1, "colour": []}),
        (Inner, {"_": "Outer", "number": 1}),
        (Inner, {"_": "Inner", "number": 1, "more": 2}),
        (Inner, [1, "red"]),
        (Outer, {"_": "Outer", "inner": {"_": "Colour"}}),
        (Outer, {"_": "Outer", "inner": None, "pairs": [[1]]}),
        (Outer, {"_": "Outer", "inner": None, "pairs": "ab"}),
        (Event, {"_": ["Tick"]}),
        (Event, 7),
        (float, True),
        (str, None),
    ],
)
def test_data_of_another_shape_is_refused(kind: object, data: object) -> None:
    with pytest.raises(MalformedDataError):
        decode(kind, data)


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no plain form"):
        encode(object())


@pytest.mark.parametrize("capacity", [1, 3, 16])
def test_a_journal_stays_within_its_capacity_and_knows_the_present(capacity: int) -> None:
    talk = Talk()
    journal = Journal.of(TurnMachine(TurnPolicy()), capacity=capacity)
    for number in range(20):
        talk.says(f"question {number}")
        talk.answers("Yes.")
        talk.answer_ends()
    for now, event in talk.happened:
        journal.record(now, event)
        assert len(journal.entries) <= capacity
    machine = TurnMachine(state=decode(CallState, journal.opening))
    for now, event in journal.entries:
        machine.handle(event, now=now)
    assert snapshot(machine) == snapshot(talk.machine)


@given(st.text())
def test_redacted_words_keep_their_number_and_lengths(text: str) -> None:
    redacted = redacted_text(text)
    assert [len(word) for word in redacted.split()] == [len(word) for word in text.split()]
    assert set(redacted) <= {"x", " "}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{}", "snapshot version None"),
        ('{"call": 1}', "snapshot version 1 is not 2"),
        ("[]", "snapshot version None"),
        ("{", "not JSON"),
        ('{"call": 2, "state": {"_": "CallState", "phase": "dancing"}}', "dancing"),
        ('{"call": 2}', "None is not a CallState"),
    ],
)
def test_snapshots_of_other_kinds_are_refused(document: str, says: str) -> None:
    with pytest.raises(MalformedDataError, match=says):
        restore(document)
