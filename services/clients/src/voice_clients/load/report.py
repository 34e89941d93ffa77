"""A run as figures: what the JSON report holds, and what the HTML report is drawn from. Pure."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from voice_clients.load.records import Outcome, Records, TurnRecord
from voice_clients.load.scenario import Scenario
from voice_clients.load.statistics import Distribution, distribution, percentile
from voice_clients.resumption import Resumption

SCHEMA = "voice-load-report"
SCHEMA_VERSION = 1
"""Rises when a name or a meaning changes; new names alone do not raise it."""


@dataclass(frozen=True, slots=True)
class Generator:
    """How well this process kept up."""

    lag_p99_ms: float
    lag_max_ms: float
    lag_limit_ms: float
    cores: float
    chunks: int
    late_chunks: int
    """Sent more than 20 ms late."""
    worst_chunk_ms: float

    @property
    def invalid_because(self) -> str:
        """Why the run measured its own generator; "" where it did not."""
        if self.lag_p99_ms <= self.lag_limit_ms:
            return ""
        return (
            f"the generator was overloaded: its event loop was {self.lag_p99_ms:.1f} ms late in the 99th percentile, "
            f"and {self.lag_limit_ms:g} ms is the limit; give it more CPU, fewer users or larger chunks"
        )


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Calls of the run."""

    dialled: int
    connected: int
    ended_well: int
    refused: int
    broken: int
    most_up: int


@dataclass(frozen=True, slots=True)
class TurnCounts:
    """Turns of the run. Those without an answer when the run ended are `open`, and count for nothing."""

    spoken: int
    answered: int
    failed: int
    lost: int
    open: int
    cut_in: int
    """Of the answered ones: the gateway answered before the caller had finished; they have no response time."""
    interrupting: int
    interruptions_obeyed: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """Silences inside answers because audio came late, for a listener without a jitter buffer."""

    answers: int
    answers_with_gaps: int
    gaps: int
    total_ms: float
    longest_ms: float


@dataclass(frozen=True, slots=True)
class CauseFigures:
    """Resumed calls, by why their connection was left."""

    cause: str
    gap_ms: Distribution
    """Last message of the old connection to the first of the new one."""
    silence_ms: Distribution
    """Where an answer was under way: last message of the conversation to the next one."""
    dials: Distribution
    """How often it was dialled until a gateway went on with the call."""


@dataclass(frozen=True, slots=True)
class ResumeFigures:
    """Connections that were lost, and calls that went on."""

    count: int = 0
    calls_lost: int = 0
    """Lost, and not resumed in time."""
    turns: int = 0
    """During which a call was resumed."""
    turns_lost: int = 0
    """Of those: no answer came, or an error."""
    turns_duplicated: int = 0
    """Of those: what was said once became two turns."""
    forgotten_ms: float = 0.0
    """Speech that was not kept for long enough."""
    by_cause: list[CauseFigures] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StageFigures:
    """One stage of the gateway's latency reports; ms after the end of the caller's speech, as the gateway saw it."""

    stage: str
    turns: int
    start_p50_ms: float
    end_p50_ms: float
    end_p95_ms: float
    duration_p50_ms: float
    duration_p95_ms: float


@dataclass(frozen=True, slots=True)
class Series:
    """What happened when, in seconds from the start."""

    calls_up: list[tuple[float, int]]
    responses_ms: list[tuple[float, float]]
    """At the first answer audio."""
    errors: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One threshold. `value` is None where nothing was measured, which crosses it."""

    name: str
    limit: float
    value: float | None
    crossed: bool


@dataclass(frozen=True, slots=True)
class Run:
    """What was run."""

    target: str
    scenario: Scenario
    started_at: str
    """UTC, ISO 8601."""
    duration_s: float
    interrupted: bool
    """By a signal, before its time."""


@dataclass(slots=True)
class Report:
    """A run and its figures."""

    run: Run
    generator: Generator
    calls: CallCounts
    turns: TurnCounts
    response_ms: Distribution
    setup_ms: Distribution
    jitter_ms: Distribution
    barge_in_ms: Distribution
    gaps: Gaps
    stages: list[StageFigures]
    endpoint_rules: dict[str, int]
    errors: dict[str, int]
    series: Series
    resumes: ResumeFigures = field(default_factory=ResumeFigures)
    thresholds: list[Judgement] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether the gateway was measured, and not the generator."""
        return not self.generator.invalid_because

    def document(self) -> dict[str, Any]:
        """What is written as JSON."""
        head = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "valid": self.valid}
        return {**head, "invalid_because": self.generator.invalid_because, **asdict(self)}


def make_report(
    records: Records,
    *,
    target: str,
    scenario: Scenario,
    started_at: str,
    ended_ns: int,
    interrupted: bool,
    generator: Generator,
) -> Report:
    """Add it all up."""
    turns = records.turns
    answered = [turn for turn in turns if turn.answered]

    def at_s(now_ns: int) -> float:
        return round((now_ns - records.began_ns) / 1e9, 2)

    calls = records.calls
    run = Run(target, scenario, started_at, at_s(ended_ns), interrupted)
    return Report(
        run=run,
        generator=generator,
        calls=CallCounts(calls.dialled, calls.connected, calls.ended_well, calls.refused, calls.broken, calls.most_up),
        turns=_count(turns),
        response_ms=distribution(records.responses_ms()),
        setup_ms=distribution(records.setup_ms),
        jitter_ms=distribution(turn.jitter_ms for turn in answered if turn.jitter_ms is not None),
        barge_in_ms=distribution(turn.barge_in_ms for turn in turns if turn.barge_in_ms is not None),
        gaps=_gaps(answered),
        stages=_stages(answered),
        endpoint_rules=dict(Counter(turn.endpoint_rule for turn in answered if turn.endpoint_rule).most_common()),
        errors=dict(Counter(reason for _, reason in records.errors).most_common()),
        series=Series(
            calls_up=[(at_s(now_ns), up) for now_ns, up in records.calls_up],
            responses_ms=[
                (at_s(turn.first_audio_ns), round(turn.response_ms, 1))
                for turn in answered
                if turn.response_ms is not None
            ],
            errors=[(at_s(now_ns), reason) for now_ns, reason in records.errors],
        ),
        resumes=_resumes(records),
    )


def _resumes(records: Records) -> ResumeFigures:
    turns = [turn for turn in records.turns if turn.losses.resumed]
    by_cause: dict[str, list[Resumption]] = defaultdict(list)
    for item in records.resumptions:
        by_cause[item.cause.name].append(item)
    return ResumeFigures(
        count=len(records.resumptions),
        calls_lost=records.calls.resume_failed,
        turns=len(turns),
        turns_lost=sum(turn.outcome in {Outcome.LOST, Outcome.FAILED} for turn in turns),
        turns_duplicated=sum(turn.losses.duplicated for turn in turns),
        forgotten_ms=round(sum(item.forgotten_ms for item in records.resumptions), 1),
        by_cause=[
            CauseFigures(
                cause,
                distribution(item.gap_ms for item in found),
                distribution(item.silence_ms for item in found if item.silence_ms is not None),
                distribution(item.attempts for item in found),
            )
            for cause, found in sorted(by_cause.items())
        ],
    )


def _count(turns: Sequence[TurnRecord]) -> TurnCounts:
    outcomes = Counter(turn.outcome for turn in turns)
    interrupting = [turn for turn in turns if turn.interrupting and turn.speech_end_ns]
    return TurnCounts(
        spoken=len(turns),
        answered=sum(turn.answered for turn in turns),
        failed=outcomes[Outcome.FAILED],
        lost=outcomes[Outcome.LOST],
        open=sum(turn.outcome is Outcome.OPEN and not turn.answered for turn in turns),
        cut_in=sum(turn.cut_in for turn in turns if turn.answered),
        interrupting=len(interrupting),
        interruptions_obeyed=sum(turn.flush_ns > 0 for turn in interrupting),
    )


def _gaps(answered: Sequence[TurnRecord]) -> Gaps:
    gaps = [gap for turn in answered for gap in turn.gaps_ms]
    return Gaps(
        answers=len(answered),
        answers_with_gaps=sum(bool(turn.gaps_ms) for turn in answered),
        gaps=len(gaps),
        total_ms=round(sum(gaps), 1),
        longest_ms=round(max(gaps, default=0.0), 1),
    )


def _stages(answered: Sequence[TurnRecord]) -> list[StageFigures]:
    intervals: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for turn in answered:
        for stage in turn.stages:
            intervals[stage.name].append((stage.start_ms, stage.end_ms))
    figures = []
    for name, pairs in intervals.items():
        starts, ends = sorted(start for start, _ in pairs), sorted(end for _, end in pairs)
        lengths = sorted(end - start for start, end in pairs)
        shares = (starts, 0.5), (ends, 0.5), (ends, 0.95), (lengths, 0.5), (lengths, 0.95)
        values = [round(percentile(ordered, share), 1) for ordered, share in shares]
        figures.append(StageFigures(name, len(pairs), *values))
    return sorted(figures, key=lambda stage: (stage.start_p50_ms, stage.end_p50_ms))
