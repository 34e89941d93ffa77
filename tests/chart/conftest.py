"""Where helm is absent, what needs it is reported as deselected; scripts/test.sh says so."""

import pytest
from charts import helm_installed

WITHOUT_HELM = {"test_generated"}
"""Modules that need none."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs helm."""
    if helm_installed():
        return
    here = __file__.rpartition("/")[0]
    without = [item for item in items if str(item.path).startswith(here) and item.path.stem not in WITHOUT_HELM]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]
