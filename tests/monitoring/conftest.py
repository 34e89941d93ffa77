"""What needs a Prometheus can be left out on machines that have none; it is reported as deselected."""

import os

import pytest

from monitoring.prometheus import INSTALL, installed

WITHOUT = "VOICE_TESTS_WITHOUT_PROMETHEUS"
FIXTURE = "prometheus_installed"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs it where the environment says so."""
    if os.environ.get(WITHOUT) != "1":
        return
    without = [item for item in items if FIXTURE in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


@pytest.fixture
def prometheus_installed() -> None:
    """Fails with what to install."""
    assert installed(), f"{INSTALL} To leave these tests out: {WITHOUT}=1."
