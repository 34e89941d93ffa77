"""Limits that a run must keep: parsed from `NAME=VALUE`, judged against a report. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from voice_clients.errors import BadInputError
from voice_clients.load.report import Judgement, Report
from voice_clients.load.statistics import Distribution

Value = Callable[[Report], float | None]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _decided(report: Report) -> int:
    return report.turns.answered + report.turns.failed + report.turns.lost


def _percentiles(noun: str, get: Callable[[Report], Distribution], names: Sequence[str]) -> dict[str, Value]:
    def value(name: str) -> Value:
        return lambda report: getattr(get(report), name)

    return {f"{name}_{noun}_ms": value(name) for name in names}


VALUES: Mapping[str, Value] = MappingProxyType(
    {
        **_percentiles("response", lambda report: report.response_ms, ("p50", "p90", "p95", "p99", "max")),
        **_percentiles("setup", lambda report: report.setup_ms, ("p50", "p95", "max")),
        **_percentiles("barge_in", lambda report: report.barge_in_ms, ("p50", "p95")),
        **_percentiles("jitter", lambda report: report.jitter_ms, ("p50", "p95")),
        # Of turns: those that failed or got no answer.
        "error_share": lambda report: _share(report.turns.failed + report.turns.lost, _decided(report)),
        # Of turns: those that got no answer, and nothing said why.
        "lost_share": lambda report: _share(report.turns.lost, _decided(report)),
        # Of calls dialled: refused for want of room.
        "refused_share": lambda report: _share(report.calls.refused, report.calls.dialled),
        # Of calls dialled: could not be made, or broke off.
        "broken_share": lambda report: _share(report.calls.broken, report.calls.dialled),
        # Of lost connections: calls that no gateway went on with.
        "unresumed_share": lambda report: _share(
            report.resumes.calls_lost, report.resumes.calls_lost + report.resumes.count
        ),
        # Of answers: those with a silence because audio came late.
        "gap_share": lambda report: _share(report.gaps.answers_with_gaps, report.gaps.answers),
    }
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """`name` of VALUES must not be over `limit`."""

    name: str
    limit: float


def parse_threshold(text: str) -> Threshold:
    """Raises BadInputError."""
    match = re.fullmatch(r"\s*([a-z0-9_]+)\s*=\s*(\d+(?:\.\d+)?)\s*", text)
    if match is None:
        raise BadInputError(f"--fail-over {text}: give NAME=NUMBER, such as p95_response_ms=1500.")
    name, limit = match[1], float(match[2])
    if name not in VALUES:
        raise BadInputError(f"--fail-over {text}: {name} is not known; there are {', '.join(VALUES)}.")
    if name.endswith("_share") and limit > 1:
        raise BadInputError(f"--fail-over {text}: a share is from 0 to 1, and 0.01 is one in a hundred.")
    return Threshold(name, limit)


def judge(report: Report, thresholds: Sequence[Threshold]) -> list[Judgement]:
    """What was not measured crosses its threshold: a run without answers has not kept it."""
    judged = []
    for threshold in thresholds:
        value = VALUES[threshold.name](report)
        crossed = value is None or value > threshold.limit
        judged.append(Judgement(threshold.name, threshold.limit, value if value is None else round(value, 4), crossed))
    return judged


def sentence(judgement: Judgement) -> str:
    """What was crossed, in words."""
    if judgement.value is None:
        return f"{judgement.name} was not measured, and its limit is {judgement.limit:g}."
    return f"{judgement.name} is {judgement.value:g}, and its limit is {judgement.limit:g}."
