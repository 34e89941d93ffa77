"""Invariants of the turn machine under random lives; journals and snapshots of them.

The model around the machine (`gateway_shell`) checks after every event: one active turn, nothing audible before it is
committed, nothing of a dead turn after it, a history of exactly what was heard, no deadline in the past, streams that
belong to utterances. Each life then comes to rest.
"""

import random
from collections import Counter

import pytest
from gateway_walks import TEXTS, Walk, walked
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.actions import (
    AdoptReply,
    CountSpeculation,
    EventKind,
    PauseReply,
    ReportTurn,
    ResumeReply,
    SendEvent,
    SpeakVerbatim,
    Speculation,
    StartReply,
)
from voice_gateway.domain.codec import MalformedDataError
from voice_gateway.domain.events import CallStarted, InputClosed, KeyPressed, TurnScored
from voice_gateway.domain.journal import Journal, snapshot
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.report import OUTCOMES, RULES
from voice_gateway.domain.turn import IllegalEventError, TurnMachine

SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("batch", range(8))
def test_many_lives(batch: int) -> None:
    """A seed that fails is a life to look at: `walked(random.Random(seed))`."""
    for seed in range(batch * 500, (batch + 1) * 500):
        walked(random.Random(seed))


def test_long_lives() -> None:
    for seed in range(150):
        walked(random.Random(seed), steps=400)


@given(st.randoms(use_true_random=False, note_method_calls=False))
@settings(max_examples=100, deadline=None)
def test_lives_that_shrink(dice: random.Random) -> None:
    walked(dice, steps=30)


def test_the_lives_go_everywhere() -> None:
    """Without this, an invariant may hold because nothing happens."""
    ways: set[tuple[Phase, Phase]] = set()
    events: Counter[type] = Counter()
    actions: Counter[type] = Counter()
    outcomes: Counter[Speculation] = Counter()
    reports: set[tuple[str, str]] = set()
    for seed in range(1_000):
        walk = walked(random.Random(seed))
        ways |= {(before, after) for before, _, after in walk.ways}
        events.update(type(event) for _, event in walk.happened)
        actions.update(type(action) for done in walk.actions for action in done)
        outcomes.update(a.outcome for done in walk.actions for a in done if isinstance(a, CountSpeculation))
        told = (action.report for done in walk.actions for action in done if isinstance(action, ReportTurn))
        reports |= {(report.endpoint_rule, report.outcome) for report in told}
    assert min(outcomes[kind] for kind in Speculation) > 30
    assert min(actions[kind] for kind in (AdoptReply, PauseReply, ResumeReply, SpeakVerbatim)) > 20
    assert min(events[kind] for kind in (KeyPressed, TurnScored)) > 30
    assert {after for before, after in ways if before is Phase.INTERRUPTING} >= {Phase.PAUSED, Phase.SPEAKING}
    assert {after for before, after in ways if before is Phase.PAUSED} >= {
        Phase.SPEAKING,
        Phase.HEARING,
        Phase.THINKING,
    }
    # Both are labels of a metric: what is not listed would be a series that nobody knows of.
    assert {rule for rule, _ in reports} <= set(RULES)
    assert {outcome for _, outcome in reports} == set(OUTCOMES)
    assert {before for before, after in ways if after is Phase.CLOSED} >= set(Phase) - {Phase.NEW, Phase.CLOSED}


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_every_turn_that_starts_ends_exactly_once(seed: int) -> None:
    walk = walked(random.Random(seed))
    flat = [action for actions in walk.actions for action in actions]
    started = {action.turn for action in flat if isinstance(action, StartReply | SpeakVerbatim)}
    adopted = {action.turn for action in flat if isinstance(action, AdoptReply)}
    drafted = {action.turn for action in flat if isinstance(action, StartReply) and action.speculative}
    ended = [a.turn for a in flat if isinstance(a, SendEvent) and a.kind is EventKind.END_OF_TURN]
    reported = [action.report.turn for action in flat if isinstance(action, ReportTurn)]
    assert ended == sorted(set(ended)) == reported
    assert started >= set(ended) >= adopted
    assert started - drafted <= set(ended)


@given(SEEDS, SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_journal_replays_to_the_same_actions(seed: int, more: int) -> None:
    """Also one that was begun in the middle of the call, and one that keeps only the latest events."""
    walk = walked(random.Random(seed))
    journal = Journal.of(walk.unborn(), capacity=16)
    for now, event in walk.happened:
        journal.record(now, event)
    reread = Journal.from_lines(list(journal.lines()))
    replayed = [actions for _, _, actions in reread.replay()]
    assert replayed == walk.actions[len(walk.actions) - len(replayed) :]
    assert len(replayed) >= min(len(walk.actions), 12)
    if not walk.machine.finished:
        later = Journal.of(walk.machine)
        known = len(walk.happened)
        walk.steps(random.Random(more), 20)
        for now, event in walk.happened[known:]:
            later.record(now, event)
        assert [actions for _, _, actions in later.replay()] == walk.actions[known:]


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_redacted_journal_decides_alike_and_says_nothing(seed: int) -> None:
    walk = walked(random.Random(seed))
    journal = Journal.of(walk.unborn())
    for now, event in walk.happened:
        journal.record(now, event)
    redacted = journal.redacted()
    kinds = [[type(action) for action in actions] for _, _, actions in redacted.replay()]
    assert kinds == [[type(action) for action in actions] for actions in walk.actions]
    assert not said_in("\n".join(redacted.lines()))


def said_in(text: str) -> list[str]:
    """What people said, or were told, that stands in a journal."""
    private = [*(known for known in TEXTS if len(known.split()) > 1), "w0", "Be brief", "Mind the gap", "Hello."]
    return [words for words in private if words in text]


@given(SEEDS, SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_restored_call_goes_on_as_if_nothing_had_happened(before: int, after: int) -> None:
    walk = Walk.begun(random.Random(before))
    walk.steps(random.Random(before), 30)
    other = walk.restored()
    for life in (walk, other):
        life.steps(random.Random(after), 30)
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
