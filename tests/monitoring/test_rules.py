"""Alerts fire when they should and are silent when they should be, and each leads to a section of the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.check import RULES, metrics_of
from monitoring.queries import NO_ERRORS
from voice_gateway.adapters.prometheus import CALL_ENDS, PrometheusTelemetry
from voice_gateway.adapters.rpc_status import all_errors
from voice_gateway.domain.errors import BadRequest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNBOOK = ROOT / "docs/runbook.md"
RULES_TEXT = "\n".join(path.read_text() for path in RULES)
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
    named = {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in metrics_of(RULES_TEXT) if name.startswith("voice_gateway")
    }
    assert named - ours == set()


def test_the_objective_and_the_dashboard_leave_out_the_same_ends_of_calls() -> None:
    """And only ends that there are: faults of clients, and what other alerts are for."""
    left_out = set(re.findall(r'failed:ratio.*?status!~"([^"]*)"', RULES_TEXT, flags=re.DOTALL))
    assert left_out == {NO_ERRORS}
    faults_of_clients = {BadRequest.reason.lower(), *(error.reason.lower() for error in all_errors(BadRequest))}
    assert faults_of_clients < set(NO_ERRORS.split("|")) < set(CALL_ENDS)
    assert not set(NO_ERRORS.split("|")) & {"internal", "backend_failed", "slow_consumer", "draining"}


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
