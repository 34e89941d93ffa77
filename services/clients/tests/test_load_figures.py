"""Load tests on paper: scenarios, figures, thresholds, pages."""

import json
import re
from argparse import ArgumentParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_clients.errors import BadInputError
from voice_clients.events import Stage
from voice_clients.load.arguments import add_load_arguments, parse_range, scenario_of
from voice_clients.load.page import page
from voice_clients.load.progress import progress_line
from voice_clients.load.records import Outcome, Records, TurnLosses, TurnRecord
from voice_clients.load.report import Generator, Report, make_report
from voice_clients.load.scenario import SCENARIOS, Scenario
from voice_clients.load.speech import cut, read_pool
from voice_clients.load.statistics import distribution, percentile
from voice_clients.load.thresholds import VALUES, judge, parse_threshold, sentence

MS = 1_000_000
SECOND = 1000 * MS
GOOD = Generator(
    lag_p99_ms=1.0, lag_max_ms=3.0, lag_limit_ms=10.0, cores=0.2, chunks=100, late_chunks=0, worst_chunk_ms=2
)
LATE = Generator(
    lag_p99_ms=25.0, lag_max_ms=90.0, lag_limit_ms=10.0, cores=1.0, chunks=100, late_chunks=40, worst_chunk_ms=90
)


def turn(response_ms: float, at_s: float = 1.0, **other: object) -> TurnRecord:
    end_ns = round(at_s * SECOND)
    made = TurnRecord(interrupting=False, speech_start_ns=end_ns - SECOND, speech_end_ns=end_ns)
    made.first_audio_ns, made.outcome = end_ns + round(response_ms * MS), Outcome.ANSWERED
    for name, value in other.items():
        setattr(made, name, value)
    return made


def report_of(*turns: TurnRecord, generator: Generator = GOOD, **calls: int) -> Report:
    records = Records(began_ns=0, turns=list(turns), calls_up=[(0, 0), (SECOND, 2), (9 * SECOND, 0)])
    for name, value in calls.items():
        setattr(records.calls, name, value)
    for item in turns:
        if item.error:
            records.error(item.error, item.speech_end_ns + 5 * SECOND)
    return make_report(
        records,
        target="127.0.0.1:50051",
        scenario=Scenario("custom <b>", users=2, duration_s=10),
        started_at="2026-01-01T00:00:00+00:00",
        ended_ns=10 * SECOND,
        interrupted=False,
        generator=generator,
    )


def failed(reason: str) -> TurnRecord:
    outcome = Outcome.LOST if reason == "NO_ANSWER" else Outcome.FAILED
    return TurnRecord(interrupting=False, speech_end_ns=SECOND, outcome=outcome, error=reason)


def test_turns_whose_connection_was_lost_are_counted_by_what_became_of_them() -> None:
    figures = report_of(
        turn(500),
        turn(500, losses=TurnLosses(committed={1, 2})),  # spoken in two parts, and nothing was lost
        turn(900, losses=TurnLosses(resumed=1, committed={3})),
        turn(900, losses=TurnLosses(resumed=1, committed={4, 5})),
        turn(0, losses=TurnLosses(resumed=2, committed=set()), outcome=Outcome.LOST),
        resume_failed=1,
    ).resumes
    assert (figures.turns, figures.turns_lost, figures.turns_duplicated, figures.calls_lost) == (3, 1, 1, 1)


def parsed(*arguments: str) -> Scenario:
    parser = ArgumentParser()
    add_load_arguments(parser)
    return scenario_of(parser.parse_args(arguments))


def test_scenarios_are_as_documented() -> None:
    users = {name: (item.users, item.duration_s) for name, item in SCENARIOS.items()}
    assert users == {
        "baseline": (1, 60),
        "light": (5, 60),
        "medium": (20, 120),
        "heavy": (50, 120),
        "spike": (100, 60),
        "endurance": (20, 1800),
    }
    assert {SCENARIOS["spike"].dials_after_s(user) for user in range(100)} == {0.0}
    assert SCENARIOS["heavy"].dials_after_s(25) == 10.0


def test_arguments_reshape_a_scenario() -> None:
    assert parsed() == SCENARIOS["baseline"]
    changed = parsed("--scenario", "heavy", "--users", "3", "--think-time", "0.1-0.4", "--interrupt", "0.1")
    assert (changed.name, changed.users, changed.think_s, changed.interrupt_share) == ("custom", 3, (0.1, 0.4), 0.1)
    assert parsed("--scenario", "spike", "--chunk-ms", "256").name == "spike"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--users", "0"], "--users 0"),
        (["--duration", "0"], "--duration 0"),
        (["--ramp", "61"], "--ramp 61"),
        (["--interrupt", "1.5"], "--interrupt 1.5"),
        (["--chunk-ms", "5"], "--chunk-ms 5"),
        (["--think-time", "2-1"], "--think-time 2-1"),
        (["--think-time", "soon"], "--think-time soon"),
        (["--turns", "-1"], "--turns -1"),
        (["--max-lag-ms", "0"], "--max-lag-ms 0"),
    ],
)
def test_bad_arguments_get_a_sentence_that_names_them(arguments: list[str], names: str) -> None:
    with pytest.raises(BadInputError, match=f"^{re.escape(names)}: "):
        parsed(*arguments)


def test_think_time_is_one_number_or_two() -> None:
    assert parse_range("1.5") == (1.5, 1.5)
    assert parse_range("0.5-2") == (0.5, 2.0)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_lies_within_the_values_and_rises(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert ordered[0] <= found <= ordered[-1]
    assert percentile(ordered, share / 2) <= found


def test_a_distribution_of_nothing_says_so() -> None:
    assert distribution([]).p95 is None
    assert (distribution([10, 20, 30]).p50, distribution([10, 20, 30]).mean) == (20.0, 20.0)


def test_turns_are_counted_once_and_only_good_answers_have_a_response() -> None:
    stages = (Stage("endpoint", 0, 200), Stage("first_audio_sent", 400, 410))
    report = report_of(
        turn(500, stages=stages, endpoint_rule="complete"),
        turn(700, stages=stages, jitter_ms=3.0, gaps_ms=[12.0, 8.0]),
        turn(9000, error="LLM_UNAVAILABLE", outcome=Outcome.FAILED),
        turn(5, cut_in=True),
        failed("NO_ANSWER"),
        TurnRecord(interrupting=False),
        dialled=3,
        connected=2,
        refused=1,
    )
    turns = report.turns
    assert (turns.spoken, turns.answered, turns.failed, turns.lost, turns.open, turns.cut_in) == (6, 3, 1, 1, 1, 1)
    assert (report.response_ms.count, report.response_ms.p50, report.response_ms.max) == (2, 600.0, 700.0)
    assert report.errors == {"LLM_UNAVAILABLE": 1, "NO_ANSWER": 1}
    assert (report.gaps.answers_with_gaps, report.gaps.gaps, report.gaps.longest_ms) == (1, 2, 12.0)
    assert [(stage.stage, stage.turns, stage.end_p50_ms) for stage in report.stages] == [
        ("endpoint", 2, 200.0),
        ("first_audio_sent", 2, 410.0),
    ]


def test_an_interruption_is_timed_from_its_first_sample_to_the_order_to_stop() -> None:
    obeyed = turn(600, interrupting=True, flush_ns=round(0.18 * SECOND), speech_start_ns=0)
    ignored = turn(600, interrupting=True)
    report = report_of(obeyed, ignored)
    assert (report.turns.interrupting, report.turns.interruptions_obeyed) == (2, 1)
    assert report.barge_in_ms.p50 == 180.0


def test_a_caller_whose_audio_is_not_taken_waits_from_when_it_was_due() -> None:
    """Else a gateway that stalls before it reads would look as quick as one that does not."""
    late = TurnRecord(interrupting=False)
    for number, last in ((1, False), (2, False), (3, True)):
        late.spoke(SECOND + number * SECOND // 50, last=last)
    late.first_audio_ns = 3 * SECOND  # whenever the chunks were really sent
    assert late.response_ms == 1940.0


def test_thresholds_are_crossed_kept_or_not_measured() -> None:
    report = report_of(*[turn(500)] * 98, failed("NO_ANSWER"), failed("TTS_UNAVAILABLE"), dialled=10, refused=1)
    limits = ["p95_response_ms=500", "error_share=0.01", "lost_share=0.01", "refused_share=0.05", "p95_barge_in_ms=300"]
    judged = judge(report, [parse_threshold(text) for text in limits])
    assert [item.crossed for item in judged] == [False, True, False, True, True]
    assert [sentence(item) for item in judged if item.crossed] == [
        "error_share is 0.02, and its limit is 0.01.",
        "refused_share is 0.1, and its limit is 0.05.",
        "p95_barge_in_ms was not measured, and its limit is 300.",
    ]


@pytest.mark.parametrize("text", ["p95_response_ms", "speed=3", "error_share=5", "p95_response_ms=-1", "="])
def test_a_bad_threshold_gets_a_sentence(text: str) -> None:
    with pytest.raises(BadInputError, match=f"^--fail-over {re.escape(text)}: "):
        parse_threshold(text)


def test_every_threshold_has_a_value_or_none_on_an_empty_report() -> None:
    for name, value in VALUES.items():
        assert value(report_of()) is None, name


def test_a_late_generator_makes_a_run_invalid() -> None:
    report = report_of(turn(500), generator=LATE)
    assert not report.valid
    assert "25.0 ms late in the 99th percentile" in report.document()["invalid_because"]
    assert "Not valid:" in page(report)


def test_the_document_is_json_with_a_versioned_schema() -> None:
    report = report_of(turn(500), failed("NO_ANSWER"))
    report.thresholds = judge(report, [parse_threshold("lost_share=0")])
    document = json.loads(json.dumps(report.document()))
    assert (document["schema"], document["schema_version"], document["valid"]) == ("voice-load-report", 1, True)
    assert document["series"]["responses_ms"] == [[1.5, 500.0]]
    assert document["series"]["errors"] == [[6.0, "NO_ANSWER"]]
    assert document["thresholds"][0] == {"name": "lost_share", "limit": 0.0, "value": 0.5, "crossed": True}


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [failed("<script>alert(1)</script>")],
        [turn(0.0, speech_start_ns=0)],
        [turn(500 + 7 * number, at_s=1 + number / 20, stages=(Stage("endpoint", -20, 200),)) for number in range(150)],
    ],
    ids=["nothing", "errors only", "no time", "many"],
)
def test_the_page_stands_alone(turns: list[TurnRecord]) -> None:
    made = page(report_of(*turns))
    assert "<script" not in made
    assert not re.search(r"(src|href)=|url\(|@import|https?:", made)
    assert "custom &lt;b&gt;" in made
    assert made.count("<svg") == made.count("</svg>") >= 1
    assert not re.search(r'="(nan|inf|-inf)', made)


def test_a_pool_is_cut_to_its_speech() -> None:
    pool = read_pool([], 16_000, 20)
    assert "what-time-is-it" in {utterance.name for utterance in pool}
    assert all(len(chunk) == 640 for utterance in pool for chunk in utterance.chunks)
    silence, loud = bytes(2 * 4800), b"\x00\x30" * 3200
    utterance = cut("x", silence + loud + silence, 16_000, 256)
    assert (utterance.seconds, len(utterance.chunks)) == (0.2, 1)
    assert utterance.chunks[0].startswith(loud)


def test_a_folder_without_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="holds no WAV"):
        read_pool([tmp_path], 16_000, 20)


def test_progress_is_a_line() -> None:
    records = Records(began_ns=0, turns=[turn(500), turn(700)])
    records.calls.goes_up()
    line = progress_line(records, SCENARIOS["heavy"], 12 * SECOND)
    assert line == "  12/120 s  1/50 calls  2 turns  p50/p95 600/690 ms  0 errors"
