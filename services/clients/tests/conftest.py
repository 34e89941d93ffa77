"""Tests on virtual sound devices can be left out on machines that have none; they are reported as deselected."""

import os
from collections.abc import Iterable

import pytest

SOUND_FIXTURES = {"sound_server", "open_sound_server"}
WITHOUT_SOUND = "VOICE_TESTS_WITHOUT_SOUND"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs a sound server where the environment says so."""
    if os.environ.get(WITHOUT_SOUND) != "1":
        return
    without: Iterable[pytest.Item] = [item for item in items if SOUND_FIXTURES & set(getattr(item, "fixturenames", ()))]
    config.hook.pytest_deselected(items=list(without))
    items[:] = [item for item in items if item not in set(without)]
