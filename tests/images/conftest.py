"""Building images takes minutes, a builder and a base image, so it runs only where it is asked for; else it is reported as
deselected."""

import os

import pytest

ASKED = "VOICE_TESTS_IMAGES"
FIXTURE = "images"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what builds unless the environment asks for it."""
    if os.environ.get(ASKED) == "1":
        return
    builds = [item for item in items if FIXTURE in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=builds)
    items[:] = [item for item in items if item not in builds]
