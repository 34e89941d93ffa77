"""The story of a call, the waterfall, the views: from events to what a person reads."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from voice_clients.conversation import Conversation, State
from voice_clients.events import (
    AnswerAudio,
    AnswerText,
    CallEvent,
    Cause,
    Ended,
    Event,
    EventKind,
    Latency,
    Lost,
    Playback,
    PlaybackAction,
    Resumed,
    Session,
    Stage,
    Transcript,
)
from voice_clients.view import LiveView, PlainView, Timings, meter
from voice_clients.waterfall import in_one_line, until_first_audio, waterfall

MS = 1_000_000


def turn_events(number: int, start_ms: int) -> list[CallEvent]:
    """One turn as the gateway tells it; 0 is a gateway that sends no numbers."""
    at = start_ms * MS
    return [
        Transcript(at, number, 0, "what is", final=False),
        Transcript(at + 300 * MS, number, 0, "what is it", final=True),
        Event(at + 301 * MS, number, EventKind.PROCESSING),
        AnswerText(at + 420 * MS, number, "It is "),
        AnswerText(at + 430 * MS, number, "late."),
        Event(at + 490 * MS, number, EventKind.SPEAKING),
        AnswerAudio(at + 500 * MS, number, number, 0, bytes(640)),
        AnswerAudio(at + 510 * MS, number, number, 320, bytes(640)),
        Event(at + 900 * MS, number, EventKind.END_OF_TURN),
        Event(at + 901 * MS, number + 1 if number else 0, EventKind.LISTENING),
    ]


@pytest.mark.parametrize("numbered", [True, False])
def test_turns_are_told_apart_with_and_without_numbers(numbered: bool) -> None:
    conversation = Conversation()
    for number in (1, 2, 3):
        conversation.speech_ended(number * 10_000 * MS)
        for event in turn_events(number if numbered else 0, number * 10_000):
            conversation.apply(event)
    turns = conversation.told_turns()
    assert [turn.number for turn in turns] == [1, 2, 3]
    assert {(turn.transcript, turn.answer, turn.answer_samples) for turn in turns} == {
        ("what is it", "It is late.", 640)
    }
    assert conversation.is_idle
    assert conversation.state is State.LISTENING
    assert [turn.response_ms() for turn in turns] == [500.0] * 3
    assert turns[0].stages() == (
        Stage("final transcript", 0.0, 300.0),
        Stage("first answer text", 300.0, 420.0),
        Stage("first answer audio", 420.0, 500.0),
    )


def test_a_turn_in_progress_is_not_idle() -> None:
    conversation = Conversation()
    assert conversation.is_idle
    for event in turn_events(1, 0)[:-2]:
        conversation.apply(event)
        assert not conversation.is_idle


def test_the_gateways_report_goes_before_what_is_measured_here() -> None:
    conversation = Conversation()
    for event in turn_events(1, 0):
        conversation.apply(event)
    report = Latency(0, 1, (Stage("endpoint", -20, 180),), "silence")
    conversation.apply(report)
    assert conversation.told_turns()[0].stages() == report.stages


def test_a_flushed_answer_is_told_as_interrupted() -> None:
    conversation = Conversation()
    for event in turn_events(1, 0)[:-2]:
        conversation.apply(event)
    told = []
    for event in (Playback(0, PlaybackAction.FLUSH, 2, 0.0), Event(0, 1, EventKind.END_OF_TURN)):
        conversation.apply(event)
        told.append((conversation.turn.paused, conversation.turn.interrupted))
    assert told == [(True, False), (False, True)]


@pytest.mark.parametrize("number", [0, 1])
def test_an_answer_that_goes_on_after_a_flush_was_only_paused(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    conversation, view = Conversation(), PlainView(timings=Timings.OFF)

    def take(event: CallEvent) -> State:
        conversation.apply(event)
        view.show(event, conversation)
        return conversation.state

    for event in turn_events(1, 0)[:-2]:
        take(event)
    assert take(Playback(0, PlaybackAction.DUCK, 1, -15.0)) is State.SPEAKING
    assert take(Playback(0, PlaybackAction.FLUSH, 2, 0.0)) is State.PAUSED
    assert take(Event(0, number, EventKind.SPEAKING)) is State.SPEAKING
    take(AnswerAudio(0, number, 2, 0, bytes(640)))
    take(Event(0, number, EventKind.END_OF_TURN))
    take(Event(0, 0, EventKind.LISTENING))
    (turn,) = conversation.told_turns()
    assert (turn.resumed, turn.interrupted, turn.ended) == (1, False, True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["  (paused: you spoke over it)", "  (goes on)"]


def test_a_flush_after_the_end_of_the_turn_cut_what_was_still_heard() -> None:
    conversation = Conversation()
    for event in [*turn_events(1, 0), Playback(0, PlaybackAction.FLUSH, 2, 0.0)]:
        conversation.apply(event)
    assert conversation.told_turns()[0].interrupted
    assert conversation.state is State.LISTENING


def test_hold_pauses_and_resumes_what_is_told() -> None:
    conversation = Conversation()
    for event in turn_events(1, 0)[:-2]:
        conversation.apply(event)
    states = []
    for action in (PlaybackAction.PAUSE, PlaybackAction.RESUME):
        conversation.apply(Playback(0, action, 1, 0.0))
        states.append(conversation.state)
    assert states == [State.PAUSED, State.SPEAKING]


ANY_EVENT = st.one_of(
    st.builds(Transcript, st.just(1), st.integers(0, 4), st.just(0), st.text(max_size=5), final=st.booleans()),
    st.builds(AnswerText, st.just(1), st.integers(0, 4), st.text(max_size=5)),
    st.builds(AnswerAudio, st.just(1), st.integers(0, 4), st.just(0), st.just(0), st.binary(max_size=8)),
    st.builds(Event, st.just(1), st.integers(0, 4), st.sampled_from(EventKind), st.text(max_size=5)),
    st.builds(Playback, st.just(1), st.sampled_from(PlaybackAction), st.integers(0, 4), st.just(-15.0)),
    st.builds(Latency, st.just(1), st.integers(0, 4), st.just(()), st.just("")),
)


@given(events=st.lists(ANY_EVENT, max_size=40))
def test_any_order_of_events_is_survived_and_loses_no_answer(events: list[CallEvent]) -> None:
    conversation = Conversation()
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=60))
    for event in events:
        conversation.apply(event)
        view.show(event, conversation)
    view.close()
    numbers = [turn.number for turn in conversation.turns]
    assert numbers == sorted(set(numbers))
    told = "".join(sorted("".join(turn.answer for turn in conversation.turns)))
    assert told == "".join(sorted("".join(event.text for event in events if isinstance(event, AnswerText))))


def test_the_waterfall_puts_stages_on_one_time_line() -> None:
    lines = waterfall(
        [Stage("endpoint", 0, 200), Stage("llm_first_token", 200, 300), Stage("tts", 300, 400)],
        width=60,
        ascii_only=True,
    )
    assert lines[0] == "endpoint         ###############                  0 - 200 ms"
    assert [line.index("#") for line in lines] == [17, 31, 38]
    assert lines[2].rstrip().endswith("300 - 400 ms")
    assert {len(line) for line in lines} == {60}


@given(
    stages=st.lists(
        st.tuples(st.floats(-5000, 60_000), st.floats(0, 60_000)).map(lambda pair: Stage("s_t", pair[0], sum(pair))),
        max_size=8,
    ),
    width=st.integers(20, 200),
)
def test_a_waterfall_never_outgrows_its_width(stages: list[Stage], width: int) -> None:
    lines = waterfall(stages, width=width)
    assert len(lines) == len(stages)
    assert len({len(line) for line in lines}) <= 1
    assert all(len(line) <= max(width, 70) for line in lines)


def test_what_comes_after_the_first_audio_is_not_waited_for() -> None:
    wait = (Stage("endpoint", 0, 200), Stage("first_audio_sent", 400, 400))
    assert until_first_audio((*wait, Stage("answer", 400, 3000))) == wait
    assert until_first_audio(wait[:1]) == wait[:1]


def test_an_empty_waterfall_and_a_stage_without_length() -> None:
    assert waterfall([]) == []
    assert waterfall([Stage("x", 0, 0)], ascii_only=True)[0].split() == ["x", "#", "0", "-", "0", "ms"]


def test_the_meter_runs_from_minus_60_to_0() -> None:
    assert [meter(level, cells=4, ascii_only=True) for level in (-90.0, -60.0, -30.0, 0.0, 6.0)] == [
        "----",
        "----",
        "##--",
        "####",
        "####",
    ]


def test_plain_lines_tell_a_turn_once(capsys: pytest.CaptureFixture[str]) -> None:
    conversation, view = Conversation(), PlainView()
    events = [
        Session(0, "c1", 16_000, 16_000, 0, "", frozenset(), speak=False),
        *turn_events(1, 0),
        Ended(0, "OK", None),
    ]
    for event in events:
        conversation.apply(event)
        view.show(event, conversation)
    view.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["call c1", "  ... what is", "you: what is it", "assistant: It is late."]
    assert lines[4] == "latency of turn 1, 0 = final transcript (as measured here)"
    assert lines[-1] == "  first audio of the answer reached this client 200 ms after the final transcript"
    assert len(lines) == 8


REPORT = Latency(
    901 * MS,
    1,
    (
        Stage("endpoint", 0, 210),
        Stage("llm_total", 100, 390),
        Stage("first_audio_sent", 340, 342),
        Stage("first_audio_played", 342, 371),
        Stage("answer", 342, 900),
    ),
    "complete",
)


def told(events: list[CallEvent], timings: Timings, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is printed of a spoken turn whose first audio is played 40 ms after it came."""
    conversation, view = Conversation(), PlainView(timings=timings)
    conversation.speech_ended(150 * MS)
    for event in events:
        conversation.apply(event)
        if isinstance(event, AnswerAudio):
            conversation.played(event.generation, event.at_ns + 40 * MS)
        view.show(event, conversation)
    view.close()
    return capsys.readouterr().out.splitlines()


def test_the_latency_of_a_turn_fits_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    *turn, listening = turn_events(1, 0)
    assert told([*turn, REPORT, listening], Timings.LINE, capsys)[-1] == (
        "turn 1: endpoint 210 > first audio sent 342 > first audio played 371 > llm total 390 ms, "
        "endpoint by complete; "
        "here: received 350, played 390 ms after the end of speech"
    )
    assert told([*turn, listening], Timings.LINE, capsys)[-1] == (
        "turn 1: final transcript 150 > first answer text 270 > first answer audio 350 ms (measured here); "
        "here: received 350, played 390 ms after the end of speech"
    )
    assert told([*turn, REPORT, listening], Timings.BARS, capsys)[-1] == (
        "  first audio of the answer reached this client 350 ms after the end of speech; it was played at 390 ms"
    )
    assert told([*turn, REPORT, listening], Timings.OFF, capsys)[-1] == "assistant: It is late."
    assert in_one_line([]) == ""


def test_what_is_played_belongs_to_the_turn_of_its_generation() -> None:
    conversation = Conversation()
    for number in (1, 2):
        conversation.speech_ended(number * 10_000 * MS)
        for event in turn_events(number, number * 10_000):
            conversation.apply(event)
    conversation.played(2, 20_600 * MS)
    conversation.played(7, 20_700 * MS)
    conversation.played(2, 20_800 * MS)
    assert [turn.played_ms() for turn in conversation.told_turns()] == [None, 600.0]


def test_the_live_view_keeps_what_is_finished_and_leaves_the_cursor_visible() -> None:
    out = io.StringIO()
    conversation, view = Conversation(), LiveView(Console(file=out, force_terminal=True, width=80))
    for event in turn_events(1, 0):
        conversation.apply(event)
        view.show(event, conversation)
    view.level(-20.0, "open")
    view.close()
    text = out.getvalue()
    assert text.count("assistant: ") >= 1
    assert "It is late." in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_a_long_answer_leaves_room_for_the_foot() -> None:
    out = io.StringIO()
    conversation, view = Conversation(), LiveView(Console(file=out, force_terminal=True, width=70, height=12))
    for event in (Transcript(0, 1, 0, "a story", final=True), AnswerText(0, 1, "word " * 500 + "the end")):
        conversation.apply(event)
        view.show(event, conversation)
    out.truncate(0)
    view.level(-20.0, "open")
    region = out.getvalue()
    view.close()
    assert region.count("\n") < 12
    assert "the end" in region
    assert "open" in region


def test_markup_in_what_was_said_is_shown_as_it_is() -> None:
    out = io.StringIO()
    conversation, view = Conversation(), LiveView(Console(file=out, force_terminal=True, width=80, color_system=None))
    events = turn_events(1, 0)
    events[1] = Transcript(0, 1, 0, "[red]not a colour[/red]", final=True)
    for event in events:
        conversation.apply(event)
        view.show(event, conversation)
    view.close()
    assert "[red]not a colour[/red]" in out.getvalue()


@pytest.mark.parametrize(
    ("before", "since", "answer"),
    [
        ("One. Two. So", [" Three.", " Four."], "One. Two. So Three. Four."),
        ("One. Two. Thr", [" Three.", " Four."], "One. Two. Three. Four."),
        ("One. Two. Thr", ["Two. Th", "ree. Four."], "One. Two. Three. Four."),
        ("One. Two.", [], "One. Two."),
        ("Once upon", ["Once upon a time"], "Once upon a time"),
        ("One. Two. Three.", [" Three."], "One. Two. Three."),
    ],
)
def test_text_that_a_resumed_answer_repeats_is_told_once(before: str, since: list[str], answer: str) -> None:
    conversation = Conversation()
    events: tuple[CallEvent, ...] = (
        Transcript(1, 1, 0, "tell me", final=True),
        Event(2, 1, EventKind.PROCESSING),
        AnswerText(3, 1, before),
        Lost(4, Cause.RESET, stop_playback=True),
        Resumed(5, Cause.RESET, 400.0, 1, "b:1", 0.0),
        *(AnswerText(6, 1, text) for text in since),
    )
    for event in events:
        conversation.apply(event)
    assert conversation.turn.answer == answer
    assert conversation.state.value == "thinking"
    assert [item.gap_ms for item in conversation.resumed] == [400.0]
