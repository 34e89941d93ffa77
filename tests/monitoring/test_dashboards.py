"""Dashboards are fresh, and hold together as Grafana needs it; no Grafana is asked."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from monitoring.check import metrics_of
from monitoring.generate import CHART, PAGES, written
from monitoring.grafana import COLUMNS, Panel, Query, to_json
from monitoring.plots import Series, page_svg
from monitoring.queries import quantile
from voice_gateway.adapters.prometheus import PrometheusTelemetry

UNITS = {"short", "s", "ms", "bytes", "percentunit"}
"""Ids that Grafana knows."""
BUILTIN = {"__rate_interval"}
FILES = sorted((CHART / "dashboards").glob("*.json"))


def panels(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in page["panels"] if panel["type"] != "row"]


def test_the_files_are_what_the_pages_make(tmp_path: Path) -> None:
    fresh = {path.name: path.read_text() for path in written(tmp_path)}
    assert {path.name: path.read_text() for path in FILES} == fresh, "run scripts/generate_docs.sh"


def test_each_page_has_an_id_of_its_own() -> None:
    assert len({page.uid for page in PAGES}) == len({page.title for page in PAGES}) == len(PAGES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestEachPage:
    def test_panels_have_numbers_of_their_own_and_do_not_overlap(self, path: Path) -> None:
        page = json.loads(path.read_text())
        assert len({panel["id"] for panel in page["panels"]}) == len(page["panels"])
        for panel in page["panels"]:
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS, panel["title"]
        for one, other in combinations((panel["gridPos"] for panel in page["panels"]), 2):
            apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            assert apart_x or apart_y

    def test_every_variable_in_a_query_is_defined(self, path: Path) -> None:
        page = json.loads(path.read_text())
        defined = {variable["name"] for variable in page["templating"]["list"]} | BUILTIN
        used = set(re.findall(r"\$\{?(\w+)", json.dumps([page["panels"], page["annotations"], page["templating"]])))
        assert used - {"__all"} <= defined

    def test_every_panel_says_what_to_do_and_has_a_unit_that_grafana_knows(self, path: Path) -> None:
        for panel in panels(json.loads(path.read_text())):
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs) > 0

    def test_thresholds_rise(self, path: Path) -> None:
        for panel in panels(json.loads(path.read_text())):
            first, *steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
            assert first is None, panel["title"]
            assert steps == sorted(steps), panel["title"]

    def test_every_series_is_filtered_by_namespace(self, path: Path) -> None:
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                for metric in metrics_of(target["expr"]):
                    assert not re.search(metric + r"(?!\w|\{namespace=~)", target["expr"]), target["expr"]


def test_a_selector_takes_more_matchers() -> None:
    query = Query('rate(a{{le="1.0"}}[5m]) / b{{}} + c<<>>')
    assert query.promql == (
        'rate(a{namespace=~"$namespace",pod=~"$pod",le="1.0"}[5m]) / b{namespace=~"$namespace",pod=~"$pod"} '
        '+ c{namespace=~"$namespace"}'
    )
    assert "sum by (le, pod)" in quantile("0.5", "a", by="pod")


def test_what_is_too_wide_goes_below() -> None:
    page = PAGES[0]
    for panel in to_json(page)["panels"]:
        assert panel["gridPos"]["x"] >= 0
    assert max(panel["gridPos"]["y"] for panel in to_json(page)["panels"]) > 1


def test_a_plot_has_every_panel_and_tells_what_was_empty() -> None:
    page = PAGES[1]
    line = Series("<b>", ((0.0, 0.5), (1.0, 0.7)))
    bucket = Series("1.0", ((0.0, 1.0), (1.0, 2.0)))
    drawn = {panel.title: [bucket] if panel.kind == "heatmap" else [line] for panel in page.panels()}
    first: Panel = page.panels()[-1]
    drawn[first.title] = []
    picture = page_svg(page, drawn, 2.0)
    assert all(panel.title in picture for panel in page.panels())
    assert picture.count("nothing in this run") == 1
    assert "<b>" not in picture
    assert "&lt;b&gt;" in picture


LEGEND = 8
"""Names that a panel of usual size has room for."""


@pytest.mark.parametrize(
    ("title", "query"),
    [
        (panel.title, query)
        for page in PAGES
        for panel in page.panels()
        for query in panel.queries
        if panel.kind == "timeseries" and not query.leaves_out_zeros
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_legend_is_not_full_of_counters_that_stand_at_zero(title: str, query: Query) -> None:
    """All their values are there from the start, so that rate() sees the first event."""
    registry = CollectorRegistry()
    PrometheusTelemetry(registry)
    shown = re.findall(r"\{\{(\w+)\}\}", query.legend)
    for metric in metrics_of(query.promql):
        samples = [sample for family in registry.collect() for sample in family.samples if sample.name == metric]
        names = {tuple(sample.labels.get(label, "") for label in shown) for sample in samples}
        assert len(names) <= LEGEND, f"{title}: use happening()"


def test_a_panel_of_rare_events_says_so_where_nothing_happened() -> None:
    errors = next(panel for page in PAGES for panel in to_json(page)["panels"] if panel["title"] == "Errors")
    assert errors["fieldConfig"]["defaults"]["noValue"] == "none in this time"
    assert errors["targets"][0]["expr"].endswith(" > 0")
