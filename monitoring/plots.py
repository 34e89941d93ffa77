"""Panels drawn as SVG from what Prometheus answered: pictures for documents, where no Grafana ran. They are plots.

A hundred lines of our own, because a plotting library would be the largest dependency of the workspace.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from monitoring.grafana import COLUMNS, Json, Page, Panel, Query, to_json
from monitoring.prometheus import SCRAPE_S, Prometheus

COLUMN_PX = 50
ROW_PX = 26
COLORS = ("#3274d9", "#e0752d", "#56a64b", "#b877d9", "#e02f44", "#8f8f8f", "#37872d", "#f2cc0c")
WINDOW = "10s"
UNITS = {"s": "s", "ms": "ms", "bytes": "B", "percentunit": "", "short": ""}


@dataclass(frozen=True, slots=True)
class Series:
    """A line: name, and (seconds from the start, value)."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Box:
    """Where something is drawn, in pixels."""

    x: float
    y: float
    width: float
    height: float


async def plot_pages(server: Prometheus, pages: Sequence[Page], begin_s: float, end_s: float, folder: Path) -> None:
    """A file for each page, with its panels where the dashboard has them. `folder` is there."""
    for page in pages:
        drawn = {}
        for panel in page.panels():
            drawn[panel.title] = [
                series for query in panel.queries for series in await _series(server, query, begin_s, end_s)
            ]
        name = page.uid.removeprefix("voice-workflow-")
        picture = page_svg(page, drawn, end_s - begin_s)
        await asyncio.to_thread((folder / f"dashboards-{name}.svg").write_text, picture, encoding="utf-8")


async def _series(server: Prometheus, query: Query, begin_s: float, end_s: float) -> list[Series]:
    expr = query.promql
    for name, value in {"$namespace": ".*", "$pod": ".*", "$quantile": "0.95", "$__rate_interval": WINDOW}.items():
        expr = expr.replace(name, value)
    made = []
    steps = range(int((end_s - begin_s) / SCRAPE_S) + 1)
    for answer in await server.query_range(expr, begin_s, end_s, SCRAPE_S):
        values = dict.fromkeys(steps, 0.0) if query.leaves_out_zeros else {}
        values |= {round((at - begin_s) / SCRAPE_S): float(value) for at, value in answer["values"]}
        points = tuple((step * SCRAPE_S, value) for step, value in sorted(values.items()) if not math.isnan(value))
        if points:
            made.append(Series(_legend(query.legend, answer["metric"]), points))
    return made


def _legend(text: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text.replace("voice-gateway-gateway-", "pod ")


def page_svg(page: Page, drawn: dict[str, list[Series]], seconds: float) -> str:
    """A picture of a whole page."""
    laid_out: list[Json] = to_json(page)["panels"]
    panels = {panel.title: panel for panel in page.panels()}
    height = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in laid_out) * ROW_PX + 8
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * COLUMN_PX} {height}" '
            'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#f4f5f7"/>'
        )
    ]
    for each in laid_out:
        place: Any = each["gridPos"]
        box = Box(place["x"] * COLUMN_PX, place["y"] * ROW_PX, place["w"] * COLUMN_PX, place["h"] * ROW_PX)
        if each["type"] == "row":
            parts.append(_text(box.x + 8, box.y + 19, each["title"], size=13, bold=True))
        else:
            parts += _panel(panels[each["title"]], drawn[each["title"]], box, seconds)
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, series: list[Series], box: Box, seconds: float) -> list[str]:
    parts = [
        (
            f'<rect x="{box.x + 3}" y="{box.y + 3}" width="{box.width - 6}" height="{box.height - 6}" fill="#fff" '
            'stroke="#d8d9da" rx="3"/>'
        ),
        _text(box.x + 10, box.y + 20, panel.title, bold=True),
    ]
    inside = Box(box.x + 52, box.y + 30, box.width - 66, box.height - 80)
    if not series:
        return [*parts, _text(box.x + 10, box.y + 38, "nothing in this run", color="#8f8f8f")]
    if panel.kind == "stat":
        return [*parts, _text(box.x + 10, box.y + 62, _number(series[0].last, panel.unit), size=26, bold=True)]
    if panel.kind == "bargauge":
        return parts + _bars(panel, series, box)
    if panel.kind == "state-timeline":
        return parts + _states(panel, series, box, seconds)
    if panel.kind == "heatmap":
        return parts + _heat(series, inside, seconds)
    return parts + _lines(panel, _stacked(series) if panel.stacked else series, inside, seconds)


def _lines(panel: Panel, series: list[Series], box: Box, seconds: float) -> list[str]:
    top = max((value for each in series for _, value in each.points), default=0.0) * 1.1 or 1.0
    parts = []
    for step in range(5):
        y = box.y + box.height * (1 - step / 4)
        parts.append(f'<path d="M{box.x} {y:.1f}h{box.width}" stroke="#e7e8ea"/>')
        parts.append(_text(box.x - 5, y + 4, _number(top * step / 4, panel.unit), anchor="end", color="#555"))
    parts += _times(box, seconds)
    ground = box.y + box.height
    for index, each in reversed(list(enumerate(series))):
        color = COLORS[index % len(COLORS)]
        spots = [
            (box.x + box.width * at / seconds, ground - box.height * value / top)  # in pixels
            for at, value in each.points
        ]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        if panel.stacked:  # each lies on those before it, which are drawn over it
            around = f"M{spots[0][0]:.1f} {ground}L{path}L{spots[-1][0]:.1f} {ground}z"
            parts.append(f'<path d="{around}" fill="{color}"/>')
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    return parts + _legends(series, box.x - 40, box.y + box.height + 30, box.width + 40)


def _times(box: Box, seconds: float) -> list[str]:
    """Marks of the time axis."""
    return [
        _text(
            box.x + box.width * step / 4, box.y + box.height + 14, f"{seconds * step / 4:.0f} s",
            anchor="end" if step == 4 else "middle", color="#555",
        )
        for step in range(5)
    ]  # fmt: skip


def _heat(series: list[Series], box: Box, seconds: float) -> list[str]:
    """Turns in each bucket: what Prometheus counts up to a bound, less what it counts up to the one below."""
    buckets = sorted((float(each.name), dict(each.points)) for each in series)
    counts = [
        {at: max(0.0, value - below.get(at, 0.0)) for at, value in points.items()}
        for (_, points), below in zip(buckets, [{}, *(points for _, points in buckets)], strict=False)
    ]
    most = max((value for bucket in counts for value in bucket.values()), default=0.0) or 1.0
    height, width = box.height / len(buckets), box.width * SCRAPE_S / seconds
    parts = []
    for index, ((bound, _), bucket) in enumerate(zip(buckets, counts, strict=True)):
        y = box.y + box.height - (index + 1) * height
        if index % 3 == 2:
            parts.append(_text(box.x - 5, y + 4, _number(bound, "s"), anchor="end", color="#555"))
        parts += [
            f'<rect x="{box.x + box.width * at / seconds:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="#e0752d" fill-opacity="{value / most:.2f}"/>'
            for at, value in bucket.items()
            if value > 0.01 * most
        ]
    return parts + _times(box, seconds)


def _legends(series: list[Series], x: float, y: float, width: float) -> list[str]:
    parts, at = [], x
    for index, each in enumerate(series):
        needed = 20 + 6.0 * len(each.name)
        if at + needed > x + width:
            at, y = x, y + 12
        parts.append(f'<rect x="{at:.0f}" y="{y - 6}" width="8" height="8" fill="{COLORS[index % len(COLORS)]}"/>')
        parts.append(_text(at + 11, y + 2, each.name, size=10, color="#555"))
        at += needed
    return parts


def _bars(panel: Panel, series: list[Series], box: Box) -> list[str]:
    means = [sum(value for _, value in each.points) / len(each.points) for each in series]
    top, height = max(means) or 1.0, (box.height - 40) / len(series)
    parts = []
    for index, (each, value) in enumerate(zip(series, means, strict=True)):
        y = box.y + 32 + index * height
        width = (box.width - 270) * value / top
        parts.append(_text(box.x + 10, y + height / 2 + 4, each.name))
        parts.append(
            f'<rect x="{box.x + 170}" y="{y + 3:.1f}" width="{width:.1f}" height="{height - 6:.1f}" fill="#56a64b"/>'
        )
        parts.append(_text(box.x + 178 + width, y + height / 2 + 4, _number(value, panel.unit)))
    return parts


def _states(panel: Panel, series: list[Series], box: Box, seconds: float) -> list[str]:
    colors = {value: {"green": "#56a64b", "yellow": "#f2cc0c", "red": "#e02f44"}.get(color, "#3274d9")
              for value, _, color in panel.states}  # fmt: skip
    height = min(26.0, (box.height - 60) / len(series))
    left, width = box.x + 150, box.width - 170
    parts = []
    for index, each in enumerate(series):
        y = box.y + 32 + index * height
        parts.append(_text(box.x + 10, y + height / 2 + 3, each.name, size=10))
        for at, value in each.points:
            color = colors.get(int(value), "#8f8f8f")
            parts.append(
                f'<rect x="{left + width * at / seconds:.1f}" y="{y + 2:.1f}" width="{width * SCRAPE_S / seconds:.1f}" '
                f'height="{height - 4:.1f}" fill="{color}"/>'
            )
    at = left
    for value, text, _ in panel.states:
        parts.append(f'<rect x="{at}" y="{box.y + box.height - 22}" width="8" height="8" fill="{colors[value]}"/>')
        parts.append(_text(at + 11, box.y + box.height - 14, text, size=10, color="#555"))
        at += 75
    return parts


def _stacked(series: list[Series]) -> list[Series]:
    below: dict[float, float] = {}
    made = []
    for each in series:
        for at, value in each.points:
            key = round(at, 3)
            below[key] = below.get(key, 0.0) + value
        made.append(Series(each.name, tuple((at, below[round(at, 3)]) for at, _ in each.points)))
    return made


def _number(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s" and value < 1:
        return f"{1000 * value:.3g} ms"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if value >= 1000:
        return f"{value:.0f} {UNITS.get(unit, unit)}".strip()
    return f"{value:.3g} {UNITS.get(unit, unit)}".strip()


def _text(
    x: float, y: float, text: str, *, size: int = 11, bold: bool = False, anchor: str = "start", color: str = "#222"
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}" text-anchor="{anchor}"{weight}>'
        f"{escape(text)}</text>"
    )
