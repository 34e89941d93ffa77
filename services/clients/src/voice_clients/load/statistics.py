"""Percentiles, and how a set of durations is told. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of milliseconds. All but `count` are None where nothing was measured."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values, interpolated between the nearest two. Raises ValueError where there are none."""
    if not ordered:
        raise ValueError("no values")
    at = (len(ordered) - 1) * share
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def distribution(values: Iterable[float]) -> Distribution:
    """Rounded to 0.1 ms."""
    ordered = sorted(values)
    if not ordered:
        return Distribution()
    p50, p90, p95, p99 = (round(percentile(ordered, share), 1) for share in (0.5, 0.9, 0.95, 0.99))
    return Distribution(len(ordered), round(sum(ordered) / len(ordered), 1), p50, p90, p95, p99, round(ordered[-1], 1))
