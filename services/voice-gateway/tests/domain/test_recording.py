"""Journals as files: written, read again, damaged, redacted, replayed and held against the end of the call."""

import json
import random
from collections.abc import Callable

import pytest
from gateway_turns import Talk
from gateway_walks import Walk, walked
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.codec import MalformedDataError
from voice_gateway.domain.events import Event, PlaybackStarted, TextTurn
from voice_gateway.domain.journal import VERSION, Journal
from voice_gateway.domain.recording import (
    Head,
    Outcome,
    Words,
    cut_line,
    entry_line,
    head_line,
    outcome_line,
    read,
)
from voice_gateway.domain.replay import replay
from voice_gateway.domain.turn import TurnMachine

SEEDS = st.integers(0, 2**32)

HEAD = Head("call-1", "2026-11-21T10:00:00.000Z", "0.1.0", "abc", Words.FULL)


def lines_of(
    opening: dict[str, object], happened: list[tuple[int, Event]], machine: TurnMachine, words: Words
) -> list[str]:
    head = Head(HEAD.call_id, HEAD.started_at, HEAD.gateway, HEAD.config_revision, words)
    entries = [entry_line(now, event, words) for now, event in happened]
    return [head_line(head, opening), *entries, outcome_line(Outcome.of(machine, "ok"))]


def recorded(seed: int, words: Words) -> tuple[Walk, list[str]]:
    """A random life, and the lines of its journal."""
    walk = walked(random.Random(seed))
    return walk, lines_of(Journal.of(walk.unborn()).opening, walk.happened, walk.machine, words)


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_recording_replays_to_the_same_actions_and_the_same_end(seed: int) -> None:
    walk, lines = recorded(seed, Words.FULL)
    recording = read(lines)
    assert recording.head == HEAD
    replayed = replay(recording)
    assert [list(step.actions) for step in replayed.steps] == walk.actions
    assert [(step.now, step.event) for step in replayed.steps] == walk.happened
    assert (replayed.problems, replayed.notes) == ((), ())


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_a_redacted_recording_decides_alike_and_says_nothing(seed: int) -> None:
    walk, lines = recorded(seed, Words.REDACTED)
    replayed = replay(read(lines))
    kinds = [[type(action) for action in step.actions] for step in replayed.steps]
    assert kinds == [[type(action) for action in actions] for actions in walk.actions]
    assert replayed.problems == ()
    text = "\n".join(lines)
    assert not any(words in text for words in ("what time", "w0", "Be brief", "takes its audio", "No voice", "Mind"))


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_redacting_as_it_is_written_is_redacting_the_whole_journal(seed: int) -> None:
    walk, lines = recorded(seed, Words.REDACTED)
    journal = Journal.of(walk.unborn())
    for now, event in walk.happened:
        journal.record(now, event)
    assert read(lines).journal.entries == journal.redacted().entries


# ---- damage ---------------------------------------------------------------------------------------------------------


def conversation() -> list[str]:
    talk = Talk()
    opening = Journal.of(TurnMachine(talk.machine.state.policy)).opening
    talk.says("what time is it")
    talk.answers("It is noon.")
    talk.answer_ends()
    return lines_of(opening, talk.happened, talk.machine, Words.FULL)


def test_every_cut_of_the_file_replays_up_to_there() -> None:
    """A crash may end the file at any byte."""
    text = "\n".join(conversation()) + "\n"
    head = text.index("\n")
    whole = len(read(text.split("\n")).journal.entries)
    for end in range(head, len(text) - 1):
        recording = read(text[:end].split("\n"))
        replayed = replay(recording)
        assert replayed.problems == (), end
        complete = text[:end].count("\n") - 1
        assert complete <= len(replayed.steps) <= min(complete + 1, whole)
        assert replayed.notes or recording.outcome is not None


def test_a_broken_last_line_is_told_as_a_crash() -> None:
    lines = conversation()[:-1]
    lines[-1] = lines[-1][:20]
    (note,) = replay(read(lines)).notes
    assert note.startswith(f"Line {len(lines)} is broken (a line is not JSON")
    assert note.endswith("the process died there.")


@pytest.mark.parametrize(
    "line", ["{nonsense", "[1, 2, 3]", '[5, {"_": "Nonsense"}]', "17", '{"a": 1}', '{"cut": 3}', "[" * 100_000]
)
def test_a_damaged_line_in_the_middle_is_told_with_its_place(line: str) -> None:
    lines = conversation()
    lines[3] = line
    replayed = replay(read(lines))
    assert len(replayed.steps) == 2
    (problem,) = replayed.problems
    assert problem.startswith("Line 4 is damaged (")
    assert problem.endswith(f"{len(lines) - 4} more lines were not read.")


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ("", "the first line is not the head of a journal"),
        ("not json", "not JSON"),
        ("[1]", "the first line is not the head"),
        ('{"journal": 99}', f"journal version 99 is not {VERSION}, the one that can be read"),
        (f'{{"journal": {VERSION}}}', "None is not a CallState"),
        (f'{{"journal": {VERSION}, "words": "some"}}', "some"),
        (f'{{"journal": {VERSION}, "call_id": 3}}', "call_id is 3, which is not a text"),
    ],
)
def test_what_is_no_journal_is_refused(first: str, says: str) -> None:
    with pytest.raises(MalformedDataError, match=says):
        read([first])


def test_a_journal_that_was_kept_in_memory_can_be_read() -> None:
    talk = Talk()
    journal = Journal.of(TurnMachine(talk.machine.state.policy))
    for now, event in talk.happened:
        journal.record(now, event)
    recording = read(journal.lines())
    assert recording.head == Head()
    assert replay(recording).notes == (
        "The journal has no outcome: the call was still in progress, or the process died.",
    )


def test_a_journal_that_was_cut_off_replays_up_to_there() -> None:
    lines = conversation()
    replayed = replay(read([*lines[:4], cut_line("size", 700), lines[-1]]))
    assert len(replayed.steps) == 3
    assert replayed.problems == ()
    assert replayed.notes == ("The journal was cut off (size); what came after is not known.",)


def test_an_event_after_the_end_is_damage() -> None:
    lines = conversation()
    (problem,) = replay(read([*lines, lines[2]])).problems
    assert "an event follows the end" in problem


# ---- the verdict ----------------------------------------------------------------------------------------------------


def _other_turn(outcome: dict[str, object]) -> None:
    outcome["turn"] = 9


def _other_phase(outcome: dict[str, object]) -> None:
    outcome["phase"] = "thinking"


@pytest.mark.parametrize("change", [_other_turn, _other_phase])
def test_another_end_than_the_recorded_one_is_a_problem(change: Callable[[dict[str, object]], None]) -> None:
    lines = conversation()
    outcome = json.loads(lines[-1])
    change(outcome)
    (problem,) = replay(read([*lines[:-1], json.dumps(outcome)])).problems
    assert "this gateway decides otherwise" in problem


def test_an_event_that_the_machine_refuses_is_a_problem_with_its_line() -> None:
    lines = conversation()
    (problem,) = replay(read([lines[0], entry_line(0, PlaybackStarted(1), Words.FULL), *lines[1:]])).problems
    assert problem.startswith("Line 2: the machine fails at PlaybackStarted while new: IllegalEventError(")


def test_a_call_that_failed_in_the_machine_fails_again() -> None:
    """That is what one replays it for: no problem, but the reason."""
    lines = conversation()
    broken = [lines[0], entry_line(0, TextTurn("hello", 1), Words.FULL)]
    failed = replay(read([*broken, outcome_line(Outcome("internal", "new", 0, 0))]))
    assert failed.problems == ()
    assert failed.notes[0].startswith("Line 2: the machine fails at TextTurn")
