"""Invariants of the turn machine under random lives; journals and snapshots of them."""

import pytest
from gateway_walks import WALKS, Walk
from hypothesis import given, settings

from voice_gateway.domain.actions import EventKind, ReportTurn, SendEvent, StartReply
from voice_gateway.domain.codec import MalformedDataError
from voice_gateway.domain.events import CallStarted, InputClosed
from voice_gateway.domain.journal import Journal, restore, snapshot
from voice_gateway.domain.turn import IllegalEventError, TurnMachine

Steps = list[tuple[int, tuple[object, ...]]]


@given(WALKS)
@settings(max_examples=300, deadline=None)
def test_invariants_hold_after_every_event(steps: Steps) -> None:
    walk = Walk()
    walk.start()
    for wait_ms, step in steps:
        walk.step(wait_ms, step)


@given(WALKS)
@settings(max_examples=100, deadline=None)
def test_every_turn_that_starts_ends_exactly_once(steps: Steps) -> None:
    walk = Walk()
    walk.start()
    for wait_ms, step in steps:
        walk.step(wait_ms, step)
    flat = [action for actions in walk.actions for action in actions]
    started = [action.turn for action in flat if isinstance(action, StartReply)]
    ended = [a.turn for a in flat if isinstance(a, SendEvent) and a.kind is EventKind.END_OF_TURN]
    reported = [action.report.turn for action in flat if isinstance(action, ReportTurn)]
    assert started == sorted(set(started))
    assert ended == sorted(set(ended)) == reported
    open_turn = {walk.machine.state.turn}
    assert set(started) - set(ended) <= open_turn


@given(WALKS)
@settings(max_examples=100, deadline=None)
def test_a_journal_replays_to_the_same_actions(steps: Steps) -> None:
    walk = Walk()
    journal = Journal.of(walk.machine, capacity=16)
    walk.start()
    for wait_ms, step in steps:
        walk.step(wait_ms, step)
    for now, event in walk.history:
        journal.record(now, event)
    reread = Journal.from_lines(list(journal.lines()))
    replayed = [actions for _, _, actions in reread.replay()]
    assert replayed == walk.actions[len(walk.actions) - len(replayed) :]
    assert len(replayed) >= min(len(walk.actions), 12)


@given(WALKS)
@settings(max_examples=100, deadline=None)
def test_a_redacted_journal_decides_alike_and_says_nothing(steps: Steps) -> None:
    walk = Walk()
    journal = Journal.of(walk.machine)
    walk.start()
    for wait_ms, step in steps:
        walk.step(wait_ms, step)
    for now, event in walk.history:
        journal.record(now, event)
    redacted = journal.redacted()
    kinds = [[type(action) for action in actions] for _, _, actions in redacted.replay()]
    assert kinds == [[type(action) for action in actions] for actions in walk.actions]
    text = "\n".join(redacted.lines())
    assert not any(word in text for word in ("what", "noon", "Be brief"))


@given(WALKS, WALKS)
@settings(max_examples=100, deadline=None)
def test_a_restored_call_goes_on_as_if_nothing_had_happened(before: Steps, after: Steps) -> None:
    walk = Walk()
    walk.start()
    for wait_ms, step in before:
        walk.step(wait_ms, step)
    other = Walk(restore(snapshot(walk.machine)), now=walk.now)
    walk.actions.clear()
    for wait_ms, step in after:
        walk.step(wait_ms, step)
        other.step(wait_ms, step)
    assert other.actions == walk.actions
    assert snapshot(other.machine) == snapshot(walk.machine)


def test_illegal_events_change_nothing() -> None:
    machine = TurnMachine()
    before = snapshot(machine)
    with pytest.raises(IllegalEventError, match="while the call is new"):
        machine.handle(InputClosed(), now=5)
    assert snapshot(machine) == before
    machine.handle(CallStarted(16_000), now=0)
    started = snapshot(machine)
    with pytest.raises(IllegalEventError, match="CallStarted cannot happen"):
        machine.handle(CallStarted(16_000), now=9)
    assert snapshot(machine) == started


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "version None"),
        (['{"journal": 99, "opening": {}}'], "version 99"),
        (["not json"], "not JSON"),
        (['{"journal": 2, "opening": {"_": "CallState", "surprise": 1}}'], "no field 'surprise'"),
        (['{"journal": 2, "opening": {"_": "CallState"}}', '[1, {"_": "Nonsense"}]'], "'Nonsense'"),
    ],
)
def test_journals_of_other_kinds_are_refused(lines: list[str], says: str) -> None:
    with pytest.raises(MalformedDataError, match=says):
        Journal.from_lines(lines)
