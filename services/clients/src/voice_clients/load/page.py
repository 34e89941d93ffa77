"""The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. Pure."""

from collections.abc import Sequence
from html import escape

from voice_clients.load import plots
from voice_clients.load.report import Report
from voice_clients.load.statistics import Distribution
from voice_clients.waterfall import FIRST_AUDIO, WAITED_FOR

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f6f7f9; --ink: #1b1f24; --soft: #5c6670; --rule: #dfe3e8;
  --first: #1a62c5; --second: #b3541e; --bad: #b3261e; --good: #1c7a3f; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --card: #1d2126; --ink: #e6e9ec; --soft: #9aa4ae;
  --rule: #31373e; --first: #6ea8ff; --second: #f0a060; --bad: #ff8a80; --good: #6fd08c; } }
body { margin: 2rem auto; max-width: 760px; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; }
p { margin: .3rem 0; } .soft, figcaption { color: var(--soft); font-size: .87rem; }
.verdict { padding: .6rem .9rem; border-radius: 6px; background: var(--card); border-left: 4px solid var(--good); }
.verdict.no { border-color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: .6rem; margin: 1rem 0; }
.tile { background: var(--card); border-radius: 6px; padding: .5rem .8rem; } .tile b {
  display: block; font-size: 1.35rem; font-weight: 600; } .tile span { color: var(--soft); font-size: .82rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 500; font-size: .85rem; }
figure { margin: .3rem 0; } svg { max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); } .tick, .unit { fill: var(--soft); }
.label { fill: var(--ink); } .mark { fill: var(--soft); }
.dot { fill: var(--first); opacity: .35; } .bar { fill: var(--first); } .bad { fill: var(--bad); }
polyline { fill: none; stroke-width: 2; } .steps { stroke: var(--first); }
polyline.p50 { stroke: var(--first); } line.p50 { stroke: var(--ink); stroke-width: 2; }
.p95 { stroke: var(--second); stroke-width: 2; stroke-dasharray: 6 3; }
.whisker { stroke: var(--second); stroke-width: 2; } .zero { stroke: var(--soft); stroke-dasharray: 2 3; }
.crossed { color: var(--bad); font-weight: 600; } .kept { color: var(--good); }
"""


def page(report: Report) -> str:
    """The whole document."""
    run, scenario = report.run, report.run.scenario
    title = f"voice load: {scenario.name}, {scenario.users} {'call' if scenario.users == 1 else 'calls'}"
    think = f"{scenario.think_s[0]:g} to {scenario.think_s[1]:g} s"
    audio = f"chunks of {scenario.chunk_ms} ms, {100 * scenario.interrupt_share:g} % of answers interrupted"
    early = ", ended early by a signal" if run.interrupted else ""
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(run.target)}, {escape(run.started_at)}, {run.duration_s:.0f} s{early}.</p>',
        f'<p class="soft">Ramp {scenario.ramp_s:g} s, think time {think}, {audio}.</p>',
        _verdict(report),
        _tiles(report),
        _response(report),
        _section("Calls up", plots.calls_up(report.series.calls_up, report.run.duration_s), "Once a second."),
        _stages(report),
        _resumes(report),
        _errors(report),
        _thresholds(report),
        _table(report),
        _generator(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _verdict(report: Report) -> str:
    if not report.valid:
        return f'<p class="verdict no"><b>Not valid:</b> {escape(report.generator.invalid_because)}.</p>'
    crossed = [item for item in report.thresholds if item.crossed]
    if crossed:
        return f'<p class="verdict no"><b>Crossed:</b> {escape(", ".join(item.name for item in crossed))}.</p>'
    kept = f" {len(report.thresholds)} of {len(report.thresholds)} thresholds were kept." if report.thresholds else ""
    return f'<p class="verdict">The run is valid: the generator kept up.{kept}</p>'


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _tiles(report: Report) -> str:
    turns = report.turns
    tiles = [
        (_ms(report.response_ms.p50), "response p50"),
        (_ms(report.response_ms.p95), "response p95"),
        (f"{turns.answered} / {turns.spoken - turns.open}", "turns answered"),
        (f"{report.calls.most_up}", "calls at once, at most"),
        (f"{turns.failed} + {turns.lost}", "turns failed + lost"),
        (f"{report.calls.refused} + {report.calls.broken}", "calls refused + broken"),
    ]
    inner = "".join(f'<div class="tile"><b>{escape(value)}</b><span>{name}</span></div>' for value, name in tiles)
    return f'<div class="tiles">{inner}</div>'


def _section(heading: str, picture: str, caption: str) -> str:
    return f'<h2>{heading}</h2><figure><div class="scroll">{picture}</div><figcaption>{caption}</figcaption></figure>'


def _response(report: Report) -> str:
    responses = report.series.responses_ms
    if not responses:
        return "<h2>Response time</h2><p>No turn was answered.</p>"
    over_time = _section(
        "Response time",
        plots.response_over_time(responses, report.run.duration_s),
        "From the end of the caller's speech to the first answer audio received. Each dot is a turn; solid p50, dashed "
        "p95 of each fortieth of the run.",
    )
    spread = _section(
        "Distribution", plots.response_distribution([value for _, value in responses]), "Turns by response time."
    )
    return over_time + spread


def _stages(report: Report) -> str:
    ends = [stage.end_p50_ms for stage in report.stages if stage.stage == FIRST_AUDIO]
    # What begins once audio is on its way, such as the answer itself, takes seconds and would hide what comes before.
    stages = [stage for stage in report.stages if not ends or stage.start_p50_ms < ends[0] or stage.stage in WAITED_FOR]
    stages = [stage for stage in stages if not ends or stage.end_p50_ms <= 3 * max(ends[0], 1.0)]
    if not stages:
        return "<h2>Where the time went</h2><p>The gateway sent no latency report.</p>"
    rules = ", ".join(f"{escape(rule)} {count}" for rule, count in report.endpoint_rules.items())
    return _section(
        "Where the time went",
        plots.waterfall(stages),
        "The gateway's own reports, ms after the end of speech: from the median start to the median end of each stage; "
        f"the thin line goes on to the p95 of its end.{f' Turns ended by: {rules}.' if rules else ''}",
    )


def _resumes(report: Report) -> str:
    resumes = report.resumes
    if not resumes.count and not resumes.calls_lost:
        return ""
    rows = "".join(
        f"<tr><td>{escape(item.cause.lower())}, {name}</td><td>{figures.count}</td><td>{_ms(figures.p50)}</td>"
        f"<td>{_ms(figures.p95)}</td><td>{_ms(figures.max)}</td></tr>"
        for item in resumes.by_cause
        for name, figures in (("gap", item.gap_ms), ("silence in an answer", item.silence_ms))
        if figures.count
    )
    head = "<tr><th>connection lost by</th><th>count</th><th>p50</th><th>p95</th><th>max</th></tr>"
    return (
        f'<h2>Resumed calls</h2><div class="scroll"><table>{head}{rows}</table></div>'
        f"<p>{resumes.count} resumed, {resumes.calls_lost} not. Turns with a resumed call: {resumes.turns}, "
        f"of which {resumes.turns_lost} were lost or failed and {resumes.turns_duplicated} duplicated.</p>"
        '<p class="soft">A gap is from the last message of the old connection to the first of the new one. A silence '
        "is from the last message of the conversation to the next.</p>"
    )


def _errors(report: Report) -> str:
    if not report.errors:
        return "<h2>Errors by reason</h2><p>None.</p>"
    return _section(
        "Errors by reason",
        plots.errors_by_reason(report.errors),
        "Of turns and of calls: a call that breaks off in the middle of a turn counts as both.",
    )


def _thresholds(report: Report) -> str:
    rows = "".join(
        f"<tr><td>{escape(item.name)}</td><td>{item.limit:g}</td>"
        f"<td>{'not measured' if item.value is None else f'{item.value:g}'}</td>"
        f'<td class="{"crossed" if item.crossed else "kept"}">{"crossed" if item.crossed else "kept"}</td></tr>'
        for item in report.thresholds
    )
    head = "<tr><th>threshold</th><th>at most</th><th>measured</th><th></th></tr>"
    return f'<h2>Thresholds</h2><div class="scroll"><table>{head}{rows}</table></div>' if rows else ""


def _table(report: Report) -> str:
    rows: Sequence[tuple[str, Distribution]] = (
        ("response", report.response_ms),
        ("call set-up", report.setup_ms),
        ("stop of an answer spoken over", report.barge_in_ms),
        ("jitter of received audio", report.jitter_ms),
    )
    head = "".join(f"<th>{name}</th>" for name in ("ms", "count", "mean", "p50", "p90", "p95", "p99", "max"))
    lines = "".join(
        f"<tr><td>{name}</td><td>{item.count}</td>"
        + "".join(
            f"<td>{'-' if value is None else f'{value:.1f}'}</td>"
            for value in (item.mean, item.p50, item.p90, item.p95, item.p99, item.max)
        )
        + "</tr>"
        for name, item in rows
    )
    gaps, turns = report.gaps, report.turns
    return (
        f'<h2>Figures</h2><div class="scroll"><table><tr>{head}</tr>{lines}</table></div>'
        f"<p>Gaps in playback: {gaps.gaps} in {gaps.answers_with_gaps} of {gaps.answers} answers, "
        f"{gaps.total_ms:.0f} ms in all, {gaps.longest_ms:.0f} ms at most, for a listener without a jitter buffer. "
        f"Answers that began before the caller had finished: {turns.cut_in}. Interruptions obeyed: "
        f"{turns.interruptions_obeyed} of {turns.interrupting}. Turns open when the run ended: {turns.open}. Calls: "
        f"{report.calls.dialled} dialled, {report.calls.connected} connected, {report.calls.ended_well} ended well.</p>"
        '<p class="soft">Set-up is from dialling to the gateway\'s first message. A stop is from the start of the '
        "interruption to the order to stop. Jitter is the estimate of RFC 3550 at the end of each answer, "
        "without the burst that it begins with.</p>"
    )


def _generator(report: Report) -> str:
    own = report.generator
    return (
        f"<h2>The generator</h2><p>Event loop late by {own.lag_p99_ms:.1f} ms in the 99th percentile (limit "
        f"{own.lag_limit_ms:g}), {own.lag_max_ms:.0f} ms at most; {own.cores:.2f} of a core; {own.late_chunks} of "
        f"{own.chunks} chunks sent more than 20 ms late, {own.worst_chunk_ms:.0f} ms at most.</p>"
    )
