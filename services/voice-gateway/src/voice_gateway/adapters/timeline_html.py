"""A timeline as one HTML file: an inline SVG that scrolls sideways, and the same as a table. It loads nothing and runs
nothing, and says so to the browser; every text of the call is escaped.
"""

from collections.abc import Iterable, Iterator
from html import escape

from voice_gateway.adapters.timeline_text import ending, heading, printable, turn_line
from voice_gateway.application.timeline import Lane, Mark, Span, Timeline, Turn

LANE_TITLES = {"caller": "caller speaks", "transcript": "transcript", "phase": "phase", "answer": "answer heard"}
"""Other lanes are called what they are."""

TURNS = "turn"
PLAIN = "request"
"""What has no other name than that of its lane."""

LABEL_WIDTH = 104
ROW_HEIGHT = 22
BAR_HEIGHT = 16
LANE_GAP = 9
AXIS_HEIGHT = 26
MARGIN = 12

CHARACTER_WIDTH = 6.1
"""Of the 11 px labels, on the wide side: a label that does not fit its bar is cut."""

MIN_PX_PER_S, MAX_PX_PER_S = 40.0, 220.0
FITTING_PX = 1_100.0
"""A call that is short enough fills a laptop's window and does not scroll."""
MAX_WIDTH_PX = 120_000.0
"""Browsers draw wider pictures badly; an hour then has 33 px/s."""

TICK_MS = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000)
TICK_PX = 80.0
"""Least distance between two numbers on the axis."""

COLOURS = {
    "tentative": ("#cfe8d4", "#2f4a37"),
    "misfire": ("#e3e3de", "#3a3b3a"),
    "speech": ("#57b36b", "#3f8f55"),
    "pause": ("#dcefe0", "#27392c"),
    "interim": ("#8a94a6", "#8a94a6"),
    "final": ("#2c6fbb", "#6aa9ee"),
    "typed": ("#2c6fbb", "#6aa9ee"),
    "listening": ("#ececea", "#2b2d31"),
    "hearing": ("#a9dbb4", "#2d5a3a"),
    "endpointing": ("#f4dc8d", "#6b5a1f"),
    "thinking": ("#d4c2ee", "#4c3d69"),
    "speaking": ("#a8d4ee", "#24506b"),
    "interrupting": ("#f3b3a6", "#7a3528"),
    "closed": ("#d4d4d2", "#1f2023"),
    "waiting": ("#e6dcf5", "#3a3150"),
    "ready": ("#cfe4f2", "#233d50"),
    "playing": ("#4a9fd4", "#3a82b5"),
    "ducked": ("#b7d2e2", "#2c4656"),
    "paused": ("#f4dc8d", "#6b5a1f"),
    "request": ("#cdbfe6", "#4a4063"),
    "speculative": ("#e9e3f5", "#332d45"),
    "adopted": ("#6a4fb0", "#b39ff0"),
    "wasted": ("#c98a1d", "#e0b050"),
    "resumed": ("#57b36b", "#3f8f55"),
    "cancelled": ("#eac0b8", "#62362d"),
    "error": ("#c62f1d", "#ff7b68"),
    "cut": ("#c62f1d", "#ff7b68"),
    "flush": ("#c62f1d", "#ff7b68"),
    "end": ("#55585f", "#b9bcc4"),
    "other": ("#b9bcc4", "#5d6068"),
}
"""Of each kind, on a light page and on a dark one. A kind that has none here gets that of "other"."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d1f23; --soft: #6a6e76; --line: #e2e2df; --page: #fbfbf9; --band: #f3f3ef; }
body { margin: 24px; background: var(--page); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 18px; margin: 0 0 4px; } h2 { font-size: 15px; margin: 28px 0 6px; }
p { margin: 2px 0; } .soft { color: var(--soft); } .problem { color: #c62f1d; font-weight: 600; }
.picture { display: flex; margin: 16px 0; border: 1px solid var(--line); border-radius: 6px; }
.names { flex: none; border-right: 1px solid var(--line); } .scroll { overflow-x: auto; flex: 1; min-width: 0; }
svg { display: block; } svg text { font: 11px system-ui, sans-serif; fill: var(--ink); }
svg .name { font-weight: 600; fill: var(--soft); } svg .tick { fill: var(--soft); } svg .grid { stroke: var(--line); }
svg .band { fill: var(--band); } svg .turn { stroke: var(--soft); stroke-dasharray: 3 3; }
svg .bar:hover, svg .mark:hover { opacity: .7; } svg .response { fill: none; stroke: var(--ink); stroke-width: 1.5; }
table { border-collapse: collapse; font: 12px/1.5 ui-monospace, monospace; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 600; position: sticky; top: 0; background: var(--page); }
td, th { padding: 2px 12px 2px 0; vertical-align: top; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
td.n { text-align: right; white-space: nowrap; } td.p, td.e { white-space: nowrap; }
.legend { font-size: 12px; }
.swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 4px 0 8px; }
td:nth-child(4) { min-width: 300px; }
.act { color: var(--soft); } .chip { border-radius: 3px; padding: 0 5px; } .wide { overflow-x: auto; }
@media (max-width: 700px) { body { margin: 10px; } }
"""

DARK = "--ink: #e6e7ea; --soft: #9a9ea8; --line: #34373d; --page: #17181b; --band: #1d1f23;"


def page(timeline: Timeline) -> str:
    """The whole file."""
    title = heading(timeline)
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width">',
            f"<title>{_text(title)}</title><style>{STYLE}{_colours()}</style></head><body>",
            f"<h1>{_text(title)}</h1>",
            *(f'<p class="problem">{_text(problem)}</p>' for problem in timeline.problems),
            *(f'<p class="soft">{_text(note)}</p>' for note in timeline.notes),
            *([] if timeline.problems else [f'<p class="soft">{_text(ending(timeline))}</p>']),
            _picture(timeline),
            _legend(timeline),
            *_turns(timeline.turns),
            *_table(timeline),
            "</body></html>\n",
        ]
    )


def _colours() -> str:
    light = "".join(f".k-{kind}{{fill:{light};background:{light}}}" for kind, (light, _) in COLOURS.items())
    dark = "".join(f".k-{kind}{{fill:{dark};background:{dark}}}" for kind, (_, dark) in COLOURS.items())
    return f"{light}@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} {dark} }}"


def _kind(kind: str) -> str:
    return f"k-{kind}" if kind in COLOURS else "k-other"


def _text(text: str) -> str:
    return escape(printable(text), quote=True)


def _title(text: str) -> str:
    return f"<title>{chr(10).join(_text(line) for line in text.splitlines())}</title>"


# ---- the picture ----------------------------------------------------------------------------------------------------


class _Scale:
    """Call time to pixels."""

    def __init__(self, begin_ms: int, end_ms: int) -> None:
        seconds = max(0.001, (end_ms - begin_ms) / 1000)
        self.begin_ms, self.end_ms = begin_ms, end_ms
        wanted = min(MAX_PX_PER_S, max(MIN_PX_PER_S, FITTING_PX / seconds))
        self.px_per_s = min(wanted if seconds < FITTING_PX / MIN_PX_PER_S else 70.0, MAX_WIDTH_PX / seconds)
        self.width = round(seconds * self.px_per_s) + 2 * MARGIN + 60  # the last labels go on after the end

    def x(self, at_ms: int) -> float:
        return round(MARGIN + (at_ms - self.begin_ms) / 1000 * self.px_per_s, 1)

    def ticks(self) -> Iterator[int]:
        step = next((ms for ms in TICK_MS if ms / 1000 * self.px_per_s >= TICK_PX), TICK_MS[-1])
        yield from range(-(-self.begin_ms // step) * step, self.end_ms + 1, step)


def _picture(timeline: Timeline) -> str:
    scale = _Scale(timeline.begin_ms, timeline.end_ms)
    names: list[str] = []
    drawn: list[str] = []
    top = AXIS_HEIGHT
    for number, (title, rows) in enumerate(_lanes(timeline, scale)):
        height = max(1, len(rows)) * ROW_HEIGHT + LANE_GAP
        if number % 2 == 0:
            band = f'<rect class="band" x="0" y="{top}" width="100%" height="{height}"/>'
            names.append(band)
            drawn.append(band)
        names.append(f'<text class="name" x="10" y="{top + ROW_HEIGHT / 2 + LANE_GAP / 2 + 4}">{_text(title)}</text>')
        for place, row in enumerate(rows):
            drawn += [part.replace("%Y%", f"{top + place * ROW_HEIGHT + LANE_GAP / 2}") for part in row]
        top += height
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" role="img">{}</svg>'
    grid = list(_grid(timeline, scale, top))
    picture = svg.format(scale.width, top + 4, "".join(_under(drawn, grid)))
    return (
        f'<div class="picture"><div class="names">{svg.format(LABEL_WIDTH, top + 4, "".join(names))}</div>'
        f'<div class="scroll">{picture}</div></div>'
    )


def _legend(timeline: Timeline) -> str:
    """The colours of what is in the picture; phases have their names in them."""
    lanes = [lane for lane in timeline.lanes if lane.name != "phase"]
    kinds = {span.kind for lane in lanes for span in lane.spans} | {m.kind for lane in lanes for m in lane.marks}
    swatches = (f'<span class="swatch {_kind(kind)}"></span>{_text(kind)} ' for kind in COLOURS if kind in kinds)
    return f'<p class="legend soft">{"".join(swatches)} Rest the pointer on a bar for more.</p>'


def _under(drawn: list[str], grid: list[str]) -> Iterator[str]:
    """Bands lie under the grid, bars and marks over it."""
    yield from (part for part in drawn if part.startswith('<rect class="band"'))
    yield from grid
    yield from (part for part in drawn if not part.startswith('<rect class="band"'))


def _grid(timeline: Timeline, scale: _Scale, bottom: float) -> Iterator[str]:
    for at_ms in scale.ticks():
        x = scale.x(at_ms)
        yield f'<line class="grid" x1="{x}" y1="{AXIS_HEIGHT - 6}" x2="{x}" y2="{bottom}"/>'
        yield f'<text class="tick" x="{x}" y="14" text-anchor="middle">{at_ms / 1000:g} s</text>'
    for turn in timeline.turns:
        x = scale.x(turn.speech_end_ms)
        if timeline.begin_ms <= turn.speech_end_ms <= timeline.end_ms:
            yield f'<line class="turn" x1="{x}" y1="{AXIS_HEIGHT}" x2="{x}" y2="{bottom}"/>'


def _lanes(timeline: Timeline, scale: _Scale) -> Iterator[tuple[str, list[list[str]]]]:
    """Each lane's title and its rows of drawn parts; %Y% stands for the row's top."""
    yield TURNS, _packed(_response(turn, timeline, scale) for turn in timeline.turns)
    for lane in timeline.lanes:
        yield LANE_TITLES.get(lane.name, lane.name), _drawn(lane, scale)


def _drawn(lane: Lane, scale: _Scale) -> list[list[str]]:
    """Bars and marks of a lane. What would overlap goes to a further row."""
    rows = _packed(_bar(span, scale) for span in lane.spans)
    labelled = lane.name in ("transcript", "events", "other")
    if not labelled:
        rows = rows or [[]]
        rows[0] += [_mark(mark, scale) for mark in lane.marks]
        return rows
    ticks = [mark for mark in lane.marks if mark.kind == "interim"]
    told = [mark for mark in lane.marks if mark.kind != "interim"]
    packed = _packed(_labelled(mark, scale) for mark in told)
    packed = packed or [[]]
    packed[0] += [_mark(mark, scale) for mark in ticks]
    return rows + packed


def _packed(parts: Iterable[tuple[float, float, str]]) -> list[list[str]]:
    """Rows such that no two parts of a row overlap: each goes to the first row that is free."""
    rows: list[list[str]] = []
    ends: list[float] = []
    for start, end, drawn in parts:
        row = next((number for number, taken in enumerate(ends) if taken <= start), None)
        if row is None:
            row = len(rows)
            rows.append([])
            ends.append(0.0)
        rows[row].append(drawn)
        ends[row] = end
    return rows


def _bar(span: Span, scale: _Scale) -> tuple[float, float, str]:
    start, end = scale.x(span.start_ms), scale.x(span.end_ms)
    said = f"{span.kind} {_interval(span.start_ms, span.end_ms)}\n{span.detail}"
    text = _fitting(span.label or ("" if span.kind == PLAIN else span.kind), end - start)
    bar = f'<rect x="{start}" y="%Y%" width="{max(2.0, round(end - start, 1))}" height="{BAR_HEIGHT}" rx="2"/>'
    label = f'<text x="{start + 4}" y="%Y%" dy="12">{_text(text)}</text>' if text else ""
    return start, end, f'<g class="bar {_kind(span.kind)}">{_title(said)}{bar}{label}</g>'


def _mark(mark: Mark, scale: _Scale) -> str:
    x = scale.x(mark.at_ms)
    width = 2 if mark.kind == "interim" else 3
    said = f"{mark.at_ms / 1000:.3f} s {mark.kind}\n{mark.detail}"
    bar = f'<rect x="{x - width / 2}" y="%Y%" width="{width}" height="{BAR_HEIGHT}"/>'
    return f'<g class="mark {_kind(mark.kind)}">{_title(said)}{bar}</g>'


def _labelled(mark: Mark, scale: _Scale) -> tuple[float, float, str]:
    """A mark with its text at its right."""
    x = scale.x(mark.at_ms)
    text = _fitting(mark.label, 260)
    return (
        x - 2,
        x + 12 + len(text) * CHARACTER_WIDTH,
        (f'{_mark(mark, scale)}<text x="{x + 5}" y="%Y%" dy="12">{_text(text)}</text>'),
    )


def _response(turn: Turn, timeline: Timeline, scale: _Scale) -> tuple[float, float, str]:
    """A bracket from the end of the caller's speech to the first audio, with what ended the turn."""
    start = scale.x(max(turn.speech_end_ms, timeline.begin_ms))
    waited = turn.response_ms if turn.response_ms is not None else 0
    end = scale.x(min(turn.speech_end_ms + waited, timeline.end_ms))
    took = f"{turn.response_ms} ms" if turn.response_ms is not None else turn.outcome
    text = f"{turn.number} · {turn.rule} · {took}" + ("" if turn.outcome == "answered" else f" · {turn.outcome}")
    bracket = f'<path class="response" d="M{start} %Y% v6 H{end} v-6"/>'
    label = f'<text x="{start + 4}" y="%Y%" dy="18">{_text(text)}</text>'
    return (
        start,
        max(end, start + len(text) * CHARACTER_WIDTH) + 10,
        f'<g class="mark">{_title(turn_line(turn))}{bracket}{label}</g>',
    )


def _fitting(text: str, width: float) -> str:
    room = int((width - 6) / CHARACTER_WIDTH)
    if len(text) <= room:
        return text
    return f"{text[: room - 1]}…" if room >= 6 else ""


def _interval(start_ms: int, end_ms: int) -> str:
    return f"{start_ms / 1000:.3f} to {end_ms / 1000:.3f} s ({end_ms - start_ms} ms)"


# ---- tables ---------------------------------------------------------------------------------------------------------


def _turns(turns: tuple[Turn, ...]) -> Iterator[str]:
    if turns:
        yield "<h2>Turns</h2>"
        yield from (f"<p>{_text(turn_line(turn))}</p>" for turn in turns)


def _table(timeline: Timeline) -> Iterator[str]:
    yield '<h2>Events</h2><div class="wide"><table><tr><th>s</th><th>phase after</th><th>event</th><th>says</th>'
    yield "<th>actions</th></tr>"
    for row in timeline.rows:
        chip = f'<span class="chip {_kind(row.phase)}">{_text(row.phase)}</span>' if row.changed else ""
        actions = "<br>".join(f'{_text(name)} <span class="act">{_text(detail)}</span>' for name, detail in row.actions)
        yield (
            f'<tr><td class="n">{row.at_ms / 1000:.3f}</td><td class="p">{chip}</td>'
            f'<td class="e">{_text(row.event)}</td><td>{_text(row.detail)}</td><td>{actions}</td></tr>'
        )
    yield "</table></div>"
