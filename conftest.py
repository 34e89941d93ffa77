"""For all tests: properties are not timed, and what waits is begun first."""

import pytest
from hypothesis import settings

# A busy machine takes longer than Hypothesis' 200 ms for an example that is well.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

REAL_TIME = ("edge", "speech")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in real time come first: they wait more than they compute, and what only computes fills up the workers at
    the end.
    """
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in REAL_TIME))
