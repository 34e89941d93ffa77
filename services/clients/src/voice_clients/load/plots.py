"""Plots as inline SVG, coloured by the page's CSS variables. Pure.

Each is 720 wide; text is a real font size there, because the SVG is shown at its own width or less.
"""

import math
from collections.abc import Sequence
from html import escape

from voice_clients.load.report import StageFigures
from voice_clients.load.statistics import percentile

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 720, 56, 16, 28, 34
BUCKETS = 40
Point = tuple[float, float]


def _ticks(top: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to at least `top`."""
    rough = max(top, 1e-9) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    return [step * number for number in range(math.ceil(max(top, step) / step - 1e-9) + 1)]


class _Frame:
    """Axes from (`x_from`, 0) to (`x_top`, `y_top`)."""

    def __init__(
        self, x_top: float, y_top: float, *, height: int, x_unit: str, y_unit: str, x_from: float = 0.0
    ) -> None:
        self._x_ticks = [x_from + tick for tick in _ticks(x_top - x_from, 8)]
        self._y_ticks = _ticks(y_top, 4)
        self._x_from, self._x_span = x_from, max(x_top - x_from, 1e-9)
        self._y_top = self._y_ticks[-1]
        self._height, self._x_unit, self._y_unit = height, x_unit, y_unit
        self.parts: list[str] = []

    def x(self, value: float) -> float:
        return round(LEFT + (value - self._x_from) / self._x_span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(self._height - BOTTOM - value / self._y_top * (self._height - TOP - BOTTOM), 1)

    def svg(self, label: str) -> str:
        """The whole picture."""
        axes = []
        for tick in self._y_ticks:
            at = self.y(tick)
            axes.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
            axes.append(f'<text class="tick" x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{tick:g}</text>')
        for tick in (tick for tick in self._x_ticks if tick <= self._x_from + self._x_span * 1.001):
            axes.append(
                f'<text class="tick" x="{self.x(tick)}" y="{self._height - BOTTOM + 16}" text-anchor="middle">'
                f"{tick:g}</text>"
            )
        middle = (LEFT + WIDTH - RIGHT) / 2
        axes.append(
            f'<text class="unit" x="{middle}" y="{self._height - 3}" text-anchor="middle">{escape(self._x_unit)}</text>'
            f'<text class="unit" x="4" y="{TOP - 16}">{escape(self._y_unit)}</text>'
        )
        return _svg(label, self._height, [*axes, *self.parts])


def _svg(label: str, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _line(points: Sequence[Point], kind: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def response_over_time(points: Sequence[Point], duration_s: float) -> str:
    """Each response as a dot; p50 and p95 of each fortieth of the run as lines. `points` are (s, ms)."""
    # One answer of a minute must not flatten all others: dots above the frame are drawn at its top.
    ordered = sorted(value for _, value in points)
    top = min(ordered[-1], 2.5 * percentile(ordered, 0.95)) * 1.05
    frame = _Frame(duration_s, top, height=260, x_unit="seconds from the start", y_unit="response, ms")
    ceiling = _ticks(top, 4)[-1]
    for at_s, value in points:
        frame.parts.append(f'<circle class="dot" cx="{frame.x(at_s)}" cy="{frame.y(min(value, ceiling))}" r="2"/>')
    width_s = max(duration_s / BUCKETS, 1e-9)
    buckets: dict[int, list[float]] = {}
    for at_s, value in points:
        buckets.setdefault(min(BUCKETS - 1, int(at_s / width_s)), []).append(value)
    for share, kind in ((0.5, "p50"), (0.95, "p95")):
        line = [
            (frame.x((bucket + 0.5) * width_s), frame.y(min(ceiling, percentile(sorted(values), share))))
            for bucket, values in sorted(buckets.items())
        ]
        frame.parts.append(_line(line, kind))
    return frame.svg("Response time over time")


def response_distribution(values: Sequence[float]) -> str:
    """Bars of how many responses took so long, with p50 and p95 marked. Values beyond twice p99 are in the last bar."""
    ordered = sorted(values)
    first = 50.0 * math.floor(max(0.0, ordered[0]) / 50)
    step = max(1.0, (min(ordered[-1], 2 * percentile(ordered, 0.99)) - first) / BUCKETS)
    counts = [0] * BUCKETS
    for value in ordered:
        counts[max(0, min(BUCKETS - 1, int((value - first) / step)))] += 1
    top = first + (BUCKETS + 1) * step
    frame = _Frame(top, max(counts), height=230, x_unit="response, ms", y_unit="turns", x_from=first)
    for number, count in enumerate(counts):
        if count:
            left, right = frame.x(first + number * step) + 1, frame.x(first + (number + 1) * step) - 1
            frame.parts.append(
                f'<rect class="bar" x="{left}" y="{frame.y(count)}" width="{max(1.0, right - left):.1f}" '
                f'height="{frame.y(0) - frame.y(count):.1f}"><title>{count} turns</title></rect>'
            )
    for share, kind in ((0.5, "p50"), (0.95, "p95")):
        at = frame.x(min(top, percentile(ordered, share)))
        frame.parts.append(f'<line class="{kind}" x1="{at}" x2="{at}" y1="{TOP}" y2="{frame.y(0)}"/>')
        frame.parts.append(f'<text class="mark" x="{at}" y="{TOP - 3}" text-anchor="middle">{kind}</text>')
    return frame.svg("Distribution of response times")


def calls_up(points: Sequence[tuple[float, int]], duration_s: float) -> str:
    """Calls up as steps."""
    frame = _Frame(
        duration_s, max(count for _, count in points), height=180, x_unit="seconds from the start", y_unit="calls up"
    )
    steps: list[Point] = []
    before = 0
    for at_s, count in points:
        x = frame.x(min(at_s, duration_s))
        steps += [(x, frame.y(before)), (x, frame.y(count))]
        before = count
    frame.parts.append(_line(steps, "steps"))
    return frame.svg("Calls up over time")


def errors_by_reason(errors: dict[str, int]) -> str:
    """A bar for each reason."""
    return _bars(
        [(reason, 0.0, float(count), f"{count}") for reason, count in errors.items()], "bad", "Errors by reason"
    )


def waterfall(stages: Sequence[StageFigures]) -> str:
    """Each stage from its median start to its median end; a thin line goes on to the p95 of its end."""
    label_width = 150
    end_ms = max(stage.end_p95_ms for stage in stages)
    start_ms = min(0.0, *(stage.start_p50_ms for stage in stages))
    height = 24 * len(stages) + 34

    def x(value_ms: float) -> float:
        share = (value_ms - start_ms) / max(1e-9, end_ms - start_ms)
        return round(label_width + share * (WIDTH - label_width - 130), 1)

    parts = []
    for number, stage in enumerate(stages):
        y = 6 + 24 * number
        words = escape(stage.stage.replace("_", " "))
        left, right = x(stage.start_p50_ms), x(stage.end_p50_ms)
        parts.append(
            f'<text class="label" x="{label_width - 10}" y="{y + 13}" text-anchor="end">{words}</text>'
            f'<line class="whisker" x1="{right}" x2="{x(stage.end_p95_ms)}" y1="{y + 9}" y2="{y + 9}"/>'
            f'<rect class="bar" x="{left}" y="{y + 2}" width="{max(2.0, right - left):.1f}" height="14"/>'
            f'<text class="tick" x="{x(stage.end_p95_ms) + 6}" y="{y + 13}">'
            f"{stage.end_p50_ms:.0f} (p95 {stage.end_p95_ms:.0f})</text>"
        )
    foot = height - 8
    for tick in _ticks(end_ms, 6):
        if tick <= end_ms:
            parts.append(f'<text class="tick" x="{x(tick)}" y="{foot}" text-anchor="middle">{tick:g}</text>')
    zero = x(0)
    parts.append(f'<line class="zero" x1="{zero}" x2="{zero}" y1="2" y2="{foot - 14}"/>')
    return _svg("Stages of a turn, ms after the end of speech", height, parts)


def _bars(rows: Sequence[tuple[str, float, float, str]], kind: str, label: str) -> str:
    """Rows are (name, begin, end, what is written behind the bar)."""
    label_width = 190
    top = max(end for _, _, end, _ in rows) or 1.0
    scale = (WIDTH - label_width - 70) / top
    parts = []
    for number, (name, begin, end, words) in enumerate(rows):
        y = 4 + 24 * number
        parts.append(
            f'<text class="label" x="{label_width - 10}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{label_width + begin * scale:.1f}" y="{y + 2}" '
            f'width="{max(2.0, (end - begin) * scale):.1f}" height="14"/>'
            f'<text class="tick" x="{label_width + end * scale + 6:.1f}" y="{y + 13}">{escape(words)}</text>'
        )
    return _svg(label, 24 * len(rows) + 8, parts)
