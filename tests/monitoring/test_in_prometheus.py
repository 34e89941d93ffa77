"""Every query of every dashboard and every rule, in a real Prometheus that watches two gateways and a speech worker."""

from pathlib import Path

import pytest

from monitoring.check import check

pytestmark = [pytest.mark.edge, pytest.mark.timeout(180)]
SECONDS = 24.0


@pytest.mark.usefixtures("prometheus_installed")
async def test_every_panel_shows_something_and_every_rule_is_evaluated(tmp_path: Path) -> None:
    verdict = await check(SECONDS, tmp_path)
    assert verdict.failures == []
    assert verdict.queries > 80
    assert verdict.rules > 30
