"""Timelines of replayed calls: what becomes a span, a mark or a row, also of things that are not known yet."""

import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

from gateway_turns import Talk
from gateway_walks import walked
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.application.timeline import RULES, Lane, Span, Timeline, described, timeline
from voice_gateway.domain.actions import StartReply
from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.events import Ask, AsrResult, Event, SpeechEdge, Tick
from voice_gateway.domain.journal import Journal
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.recording import Head, Recording, Words
from voice_gateway.domain.replay import Replay, Step, replay
from voice_gateway.domain.turn import TurnMachine


def replayed(happened: list[tuple[int, Event]], *, words: Words = Words.FULL) -> Replay:
    journal = Journal.of(TurnMachine())
    for now, event in happened:
        journal.record(now, event)
    kept = journal if words is Words.FULL else journal.redacted()
    return replay(Recording(Head(words=words), kept))


def lane(shown: Timeline, name: str) -> Lane:
    return next(each for each in shown.lanes if each.name == name)


def kinds(spans: tuple[Span, ...]) -> list[str]:
    return [span.kind for span in spans]


def conversation() -> Talk:
    talk = Talk()
    talk.says("what time is it")
    talk.answers("It is noon.", "Or near.")
    talk.after(400)
    talk.edge(SpeechEdge.STARTED)
    talk.after(100)
    talk.edge(SpeechEdge.CONFIRMED)
    talk.after(100)
    talk.asks(Ask.INTERRUPT)
    return talk


def test_a_call_has_its_lanes() -> None:
    shown = timeline(replayed(conversation().happened))
    assert kinds(lane(shown, "phase").spans)[:2] == ["hearing", "endpointing"]
    assert "speech" in kinds(lane(shown, "caller").spans)
    assert [mark.label for mark in lane(shown, "transcript").marks if mark.kind == "final"] == ["what time is it"]
    assert "playing" in kinds(lane(shown, "answer").spans)
    assert "ducked" in kinds(lane(shown, "answer").spans)
    assert {mark.kind for mark in lane(shown, "answer").marks} >= {"cut", "flush"}
    assert len(lane(shown, "ASR").spans) == 2
    assert len(lane(shown, "LLM").spans) == 1
    assert [span.label for span in lane(shown, "TTS").spans] == ["It is noon.", "Or near."]
    (turn,) = shown.turns
    assert (turn.number, turn.outcome) == (1, "interrupted")
    assert turn.response_ms is not None


def test_phases_follow_each_other_without_gaps() -> None:
    shown = timeline(replayed(conversation().happened))
    spans = lane(shown, "phase").spans
    assert [span.end_ms for span in spans[:-1]] == [span.start_ms for span in spans[1:]]
    assert (spans[0].start_ms, spans[-1].end_ms) == (shown.begin_ms, shown.end_ms)


def test_a_redacted_call_shows_how_many_words_there_were() -> None:
    shown = timeline(replayed(conversation().happened, words=Words.REDACTED))
    assert [mark.label for mark in lane(shown, "transcript").marks if mark.kind == "final"] == ["(4 words)"]
    assert "xx" not in repr(shown)
    assert len(shown.turns) == 1


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_any_life_can_be_shown(seed: int) -> None:
    walk = walked(random.Random(seed))
    journal = Journal.of(walk.unborn())
    for now, event in walk.happened:
        journal.record(now, event)
    shown = timeline(replay(Recording(Head(words=Words.FULL), journal)))
    assert len(shown.rows) == len(walk.happened)
    for each in shown.lanes:
        assert each.name != "other", "every event and action of today has its place"
        assert all(shown.begin_ms <= span.start_ms <= span.end_ms <= shown.end_ms for span in each.spans)
        assert all(shown.begin_ms <= mark.at_ms <= shown.end_ms for mark in each.marks)


class Colour(StrEnum):
    RED = "red"


class NewPhase(StrEnum):
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Guess:
    """An action of the future."""

    turn: int
    colour: Colour
    sure: bool


def test_what_is_not_known_yet_shows_too() -> None:
    step = Step(2, 100, cast(Phase, NewPhase.HELD), Tick(), Phase.LISTENING, (cast(Any, Guess(3, Colour.RED, True)),))
    base = replayed(Talk().happened)
    shown = timeline(replace(base, steps=(replace(step, now=0, phase=cast(Phase, NewPhase.HELD)), step)))
    assert kinds(lane(shown, "phase").spans) == ["held"]
    assert [(mark.label, mark.detail) for mark in lane(shown, "other").marks] == [("red", "Guess turn=3 red sure")] * 2
    assert shown.rows[1].actions == (("Guess", "turn=3 red sure"),)


def test_one_line_gives_it_a_place() -> None:
    step = Step(2, 100, Phase.LISTENING, Tick(), Phase.LISTENING, (cast(Any, Guess(3, Colour.RED, True)),))
    shown = timeline(
        replace(replayed(Talk().happened), steps=(step,)), rules={**RULES, "Guess.red": RULES["StartReply"]}
    )
    assert [span.kind for span in lane(shown, "LLM").spans] == ["request"]


def test_a_part_of_a_call_is_cut_out() -> None:
    whole = timeline(replayed(conversation().happened))
    middle = (whole.begin_ms + whole.end_ms) // 2
    part = timeline(replayed(conversation().happened), from_ms=middle, to_ms=whole.end_ms)
    assert 0 < len(part.rows) < len(whole.rows)
    assert (part.begin_ms, part.end_ms) == (middle, whole.end_ms)
    assert all(span.start_ms >= middle for each in part.lanes for span in each.spans)


def test_a_call_without_events_has_a_timeline() -> None:
    shown = timeline(replayed([]))
    assert (shown.rows, shown.turns) == ((), ())


def test_details_leave_out_what_is_as_always() -> None:
    assert described(AsrResult(2, "hi", 1, final=False), Words.FULL) == 'utterance=2 text="hi" words=1 not final'
    order = StartReply(1, 2, (Message(Role.USER, "x" * 900),))
    assert len(described(order, Words.FULL)) < 1_000
