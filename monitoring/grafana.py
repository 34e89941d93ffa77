"""Panels and pages, and the JSON that Grafana reads. Pages are in pages.py; nobody edits the JSON.

The field names are those of Grafana's dashboard model, schema version 39 (Grafana 10.4 and 11).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 39
COLUMNS = 24
TAG = "voice-workflow"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

Kind = Literal["timeseries", "stat", "bargauge", "heatmap", "state-timeline", "table"]
Json = dict[str, Any]

KEPT = '{namespace=~"$namespace",pod=~"$pod"}'
"""The series of the chosen pods. `{{}}` in a query stands for it."""
NAMESPACE_ONLY = '{namespace=~"$namespace"}'
"""For other services than the gateway, whose pods the variable does not list. `<<>>` in a query stands for it."""
ABOVE_ZERO = " > 0"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; `{{}}`, or `{{status="ok"}}` with more matchers, selects the chosen pods."""

    expr: str
    legend: str = ""
    exemplars: bool = False
    may_be_empty: bool = False
    """True for what is there only after a rare event, such as a failure; the check does not miss it."""

    @property
    def leaves_out_zeros(self) -> bool:
        """Whether no answer means zero."""
        return self.expr.endswith(ABOVE_ZERO)

    @property
    def promql(self) -> str:
        """The expression that Grafana sends, with its variables."""
        return _selected(_selected(self.expr, "{{", "}}", KEPT), "<<", ">>", NAMESPACE_ONLY)


@dataclass(frozen=True, slots=True)
class Panel:
    """`width` and `height` in Grafana's grid: 24 columns, 30 pixels a row."""

    title: str
    about: str
    """What it shows, and what to do where it looks wrong."""
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    """Thresholds: from this value on, this colour."""
    low: str = "green"
    """Colour below the first of them."""
    stacked: bool = False
    maximum: float | None = None
    states: tuple[tuple[int, str, str], ...] = ()
    """Values that have names: value, name, colour."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading. They fill the grid from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard. `uid` is also its file's name."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    quantile: bool = False
    """Whether the reader chooses a quantile."""
    variables: tuple[str, ...] = field(default=("datasource", "namespace", "pod"))

    def panels(self) -> list[Panel]:
        """All of them, in order."""
        return [panel for row in self.rows for panel in row.panels]


def to_json(page: Page) -> Json:
    """The dashboard as Grafana reads it."""
    return {
        "uid": page.uid,
        "title": f"Voice workflow / {page.title}",
        "description": page.about,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # a shared crosshair: one moment, all panels
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables(page)},
        "annotations": {"list": [_annotation()]},
        "links": [
            {"type": "dashboards", "title": "Voice workflow", "tags": [TAG], "asDropdown": True, "includeVars": True,
             "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}
        ],
        "panels": _laid_out(page),
    }  # fmt: skip


REVISION_CHANGES = Query('changes(voice_gateway_config_reloads_total{{result="applied"}}[$__rate_interval]) > 0')
"""Moments at which an edit of the configuration was applied: a line through every panel."""


def _annotation() -> Json:
    return {
        "name": "Configuration applied",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": REVISION_CHANGES.promql,
        "titleFormat": "configuration applied",
        "textFormat": "{{pod}}",
    }


def _selected(expr: str, opening: str, closing: str, selector: str) -> str:
    before, mark, rest = expr.partition(opening)
    if not mark:
        return expr
    matchers, _, after = rest.partition(closing)
    inside = selector[1:-1] + ("," + matchers if matchers else "")
    return f"{before}{{{inside}}}" + _selected(after, opening, closing, selector)


def _variables(page: Page) -> list[Json]:
    made: list[Json] = [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0,
         "refresh": 1, "includeAll": False, "multi": False, "options": [], "current": {}, "regex": ""},
        _label_values("namespace", "Namespace", "label_values(voice_gateway_active_streams, namespace)"),
        _label_values("pod", "Pod", 'label_values(voice_gateway_active_streams{namespace=~"$namespace"}, pod)'),
    ]  # fmt: skip
    if page.quantile:
        options = [
            {"text": text, "value": value, "selected": value == "0.95"}
            for text, value in (("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99"))
        ]
        made.append(
            {"name": "quantile", "label": "Quantile", "type": "custom", "query": "p50 : 0.5,p95 : 0.95,p99 : 0.99",
             "options": options, "current": options[1], "hide": 0, "includeAll": False, "multi": False}
        )  # fmt: skip
    return made


def _label_values(name: str, label: str, query: str) -> Json:
    everything = {"text": "All", "value": "$__all", "selected": True}
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE, "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"}, "refresh": 2, "sort": 1, "hide": 0, "regex": "",
        "includeAll": True, "allValue": ".*", "multi": True, "options": [], "current": everything,
    }  # fmt: skip


def _laid_out(page: Page) -> list[Json]:
    made: list[Json] = []
    y = 0
    for row in page.rows:
        made.append(
            {"id": len(made) + 1, "type": "row", "title": row.title, "collapsed": False, "panels": [],
             "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}
        )  # fmt: skip
        y += 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            made.append(_panel(panel, len(made) + 1, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return made


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, chr(ord("A") + index)) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": OPTIONS[panel.kind],
    }


def instant(panel: Panel) -> bool:
    """Whether the panel shows one moment, and its queries are asked for that alone."""
    return panel.kind in {"stat", "bargauge", "table"}


def _target(panel: Panel, query: Query, ref: str) -> Json:
    at_once = instant(panel)
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": query.promql,
        "legendFormat": query.legend or "__auto",
        "instant": at_once,
        "range": not at_once,
        "exemplar": query.exemplars,
        "format": {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series"),
        "editorMode": "code",
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": panel.low, "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.steps]
    made: Json = {
        "unit": panel.unit,
        "min": 0,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [],
        "custom": {},
    }
    if all(query.leaves_out_zeros for query in panel.queries):
        made["noValue"] = "none in this time"
    if panel.maximum is not None:
        made["max"] = panel.maximum
    if panel.states:
        options = {
            str(value): {"index": index, "text": text, "color": color}
            for index, (value, text, color) in enumerate(panel.states)
        }
        made["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        made["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if panel.stacked else 5, "showPoints": "auto",
            "spanNulls": False, "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
        }  # fmt: skip
    return made


_REDUCED = {"calcs": ["lastNotNull"], "fields": "", "values": False}
OPTIONS: dict[Kind, Json] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _REDUCED, "colorMode": "value", "graphMode": "none", "textMode": "auto",
             "justifyMode": "auto", "orientation": "auto"},
    "bargauge": {"reduceOptions": _REDUCED, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True,
                 "minVizHeight": 16, "minVizWidth": 8, "valueMode": "color"},
    "heatmap": {"calculate": False, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                "yAxis": {"axisPlacement": "left", "unit": "s"}, "tooltip": {"mode": "single", "yHistogram": True},
                "legend": {"show": True}, "exemplars": {"color": "rgba(255,0,255,0.7)"}},
    "state-timeline": {"mergeValues": True, "rowHeight": 0.8, "showValue": "auto", "alignValue": "left",
                       "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                       "tooltip": {"mode": "single", "sort": "none"}},
    "table": {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": [], "fields": ""}},
}  # fmt: skip
