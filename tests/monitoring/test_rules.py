"""Alerts fire when they should and are silent when they should be, and each leads to a section of the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.check import RULES, metrics_of
from monitoring.generate import CHART
from voice_gateway.adapters.prometheus import PrometheusTelemetry

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNBOOK = ROOT / "docs/runbook.md"
CASES: dict[str, Any] = yaml.safe_load((HERE / "alert_cases.yaml").read_text())


def alerts() -> list[dict[str, Any]]:
    rules = [yaml.safe_load(path.read_text()) for path in RULES]
    return [rule for each in rules for group in each["groups"] for rule in group["rules"] if "alert" in rule]


def sections() -> set[str]:
    return set(re.findall(r"^### (\w+)$", RUNBOOK.read_text(), flags=re.MULTILINE))


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    assert {alert["alert"] for alert in alerts()} == sections()


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"] + alert["labels"].get("window", ""))
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"].endswith(".")
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOK
    assert anchor == alert["alert"].lower()


def test_every_alert_fires_in_a_case() -> None:
    """And is silent in all others: a case names every alert that fires."""
    named = {" ".join([alert["alert"], *alert["labels"].get("window", "").split()]) for alert in alerts()}
    assert {name for case in CASES["cases"] for name in case["fires"]} == named


def test_rules_name_metrics_of_the_gateway_that_there_are() -> None:
    ours = {doc.name for doc in PrometheusTelemetry().docs}
    text = "\n".join(path.read_text() for path in (CHART / "rules").glob("*.yaml"))
    named = {re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics_of(text) if name.startswith("voice_gateway")}
    assert named - ours == set()


@pytest.mark.usefixtures("prometheus_installed")
def test_prometheus_accepts_the_rules() -> None:
    result = promtool("check", "rules", "--lint-fatal", *map(str, RULES))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.usefixtures("prometheus_installed")
def test_exactly_the_alerts_fire_that_the_cases_name(tmp_path: Path) -> None:
    cases = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": "1m",
        "tests": [promtool_case(case) for case in CASES["cases"]],
    }
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(cases))
    result = promtool("test", "rules", str(tmp_path / "cases.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr


def promtool_case(case: dict[str, Any]) -> dict[str, Any]:
    series = {**CASES["healthy"], **case.get("series", {})}
    expected = []
    for fires in case["fires"]:
        alert, _, window = fires.partition(" ")
        labels = f'alertname="{alert}"' + (f',window="{window}"' if window else "")
        expected.append({"labels": f"{{{labels}}}", "value": 1})
    return {
        "name": case["name"],
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname, window) (ALERTS{alertstate="firing"})',
                "eval_time": case["at"],
                "exp_samples": expected,
            }
        ],
    }


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=50)
