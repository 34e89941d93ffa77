"""A folder with stand-ins for each test."""

from pathlib import Path

import pytest
from script_cluster import ScriptCluster


@pytest.fixture
def cluster(tmp_path: Path) -> ScriptCluster:
    return ScriptCluster(tmp_path)
