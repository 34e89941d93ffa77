"""Every query of every dashboard and every rule, in a real Prometheus that watches two gateways and a speech worker."""

from pathlib import Path

import pytest

from monitoring.check import check, has_value, metrics_of, substituted

SECONDS = 24.0


@pytest.mark.edge
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("prometheus_installed")
async def test_every_panel_shows_something_and_every_rule_is_evaluated(tmp_path: Path) -> None:
    verdict = await check(SECONDS, tmp_path)
    assert verdict.failures == []
    assert verdict.queries > 80
    assert verdict.rules > 30
    assert verdict.traced > 0, "exemplars lead from a slow turn to its trace"


def test_not_a_number_is_no_value() -> None:
    assert not has_value([{"values": [[1.0, "NaN"], [2.0, "NaN"]]}])
    assert has_value([{"values": [[1.0, "NaN"]]}, {"values": [[2.0, "0"]]}])


def test_recorded_series_are_no_metrics_of_a_process() -> None:
    expr = "namespace:voice_gateway_calls_failed:ratio_rate5m + rate(voice_gateway_turns_total[5m]) * process_open_fds"
    assert metrics_of(expr) == {"voice_gateway_turns_total", "process_open_fds"}


def test_no_variable_of_a_query_is_left() -> None:
    assert "$" not in substituted('histogram_quantile($quantile, rate(a{pod=~"$pod"}[$__rate_interval]))')
