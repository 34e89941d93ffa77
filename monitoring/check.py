"""Run every query of every dashboard, and every rule, in a real Prometheus that watches real calls.

Usage: python -m monitoring.check [--seconds 24] [--plots FOLDER]

Fails where Prometheus refuses a query or a rule, where a panel stays empty that should not, or where a query names a
metric that no process exports. Needs Debian's package `prometheus` (its service need not run).
"""

import argparse
import asyncio
import math
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from monitoring.generate import CHART, PAGES
from monitoring.grafana import REVISION_CHANGES, Query
from monitoring.plots import plot_pages
from monitoring.prometheus import INSTALL, SCRAPE_S, Prometheus, PrometheusError, installed, prometheus
from monitoring.traffic import Scene, play, scene

RULES = sorted((CHART / "rules").glob("*.yaml"))
VARIABLES = {"$namespace": ".*", "$pod": ".*", "$quantile": "0.95", "$__rate_interval": "10s"}
LAST_SCRAPES_S = 2.5 * SCRAPE_S
FIRST_WORDS_S = 3.0


@dataclass(slots=True)
class Verdict:
    """What came of all queries."""

    queries: int = 0
    rules: int = 0
    alerts: list[str] = field(default_factory=list)
    """Names of those that were pending or fired during the run."""
    failures: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    """Panels without a value that are allowed to be."""
    traced: int = 0
    """Exemplars of the response time."""


def substituted(promql: str) -> str:
    """The query as Grafana sends it, for all pods."""
    for name, value in VARIABLES.items():
        promql = promql.replace(name, value)
    return promql


def has_value(series: list[dict[str, Any]]) -> bool:
    """Whether a range holds any number."""
    return any(not math.isnan(float(value)) for each in series for _, value in each["values"])


async def check(seconds: float, folder: Path, *, callers: int = 3, plots: Path | None = None) -> Verdict:
    """One run of so many seconds. Raises PrometheusError where Prometheus does not start."""
    verdict = Verdict()
    async with scene(folder) as running, prometheus(folder, running.targets, RULES) as server:
        begin_s = time.time()
        await play(running, seconds, callers=callers)
        hung_up_s = time.time()
        await asyncio.sleep(LAST_SCRAPES_S)
        end_s = time.time()
        await _targets(server, running, verdict)
        for page in PAGES:
            for panel in page.panels():
                for query in panel.queries:
                    await _query(server, query, f"{page.title} / {panel.title}", (begin_s, end_s), verdict)
        await _query(server, REVISION_CHANGES, "annotation", (begin_s, end_s), verdict)
        await _rules(server, verdict, begin_s, end_s)
        found = await server.exemplars("voice_gateway_e2e_latency_seconds_bucket", begin_s, end_s)
        verdict.traced = sum(len(series["exemplars"]) for series in found)
        if plots is not None:
            await plot_pages(server, PAGES, begin_s + FIRST_WORDS_S, hung_up_s - SCRAPE_S, plots)
    if not running.calls:
        verdict.failures.append("no call ended")
    return verdict


async def _targets(server: Prometheus, running: Scene, verdict: Verdict) -> None:
    missing = {target.pod for target in running.targets} - set(await server.healthy_targets())
    verdict.failures += [f"{pod} was not scraped" for pod in sorted(missing)]


async def _query(server: Prometheus, query: Query, where: str, span: tuple[float, float], verdict: Verdict) -> None:
    verdict.queries += 1
    expr = substituted(query.promql)
    try:
        series = await server.query_range(expr, *span, SCRAPE_S)
        await server.query(expr)
    except PrometheusError as error:
        verdict.failures.append(f"{where}: {error}: {expr}")
        return
    for metric in sorted(metrics_of(expr)):
        if not query.may_be_empty and not await server.query_range(f"count({metric})", *span, SCRAPE_S):
            verdict.failures.append(f"{where}: nothing exports {metric}")
    if has_value(series):
        return
    if query.may_be_empty:
        verdict.empty.append(f"{where}: {query.legend}")
    else:
        verdict.failures.append(f"{where}: no value: {expr}")


def metrics_of(expr: str) -> set[str]:
    """The metrics of ours, or of a process, that an expression names; recorded series have a colon and are none."""
    return set(re.findall(r"(?<![\w:])(?:voice_gateway|speech_worker|process)_\w+(?!\w|:)", expr))


async def _rules(server: Prometheus, verdict: Verdict, begin_s: float, end_s: float) -> None:
    for rule in await server.rules():
        verdict.rules += 1
        if rule["health"] != "ok":
            verdict.failures.append(f"rule {rule['name']}: {rule.get('lastError') or rule['health']}")
    series = await server.query_range("sum by (alertname) (ALERTS)", begin_s, end_s, SCRAPE_S)
    verdict.alerts = sorted(each["metric"]["alertname"] for each in series)


def show(verdict: Verdict) -> None:
    """Print it."""
    print(f"{verdict.queries} queries and {verdict.rules} rules executed; {verdict.traced} exemplars of response time")
    print(f"alerts pending or firing during the run: {', '.join(verdict.alerts) or 'none'}")
    for line in verdict.empty:
        print(f"empty, as may be: {line}")
    for line in verdict.failures:
        print(f"FAILED {line}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=24.0)
    parser.add_argument("--callers", type=int, default=3)
    parser.add_argument("--plots", type=Path, help="draw the panels of the run as SVG into this folder")
    options = parser.parse_args()
    if not installed():
        print(INSTALL, file=sys.stderr)
        return 2
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        verdict = asyncio.run(check(options.seconds, Path(folder), callers=options.callers, plots=options.plots))
    show(verdict)
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())
