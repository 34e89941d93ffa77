"""What needs a Prometheus or helm can be left out on machines that have none; it is reported as deselected.

Prometheus is a package of the system, so its absence is an error until the environment says otherwise. helm is not:
where it is absent its tests are left out, and scripts/test.sh says so. So are the tests with lost packets where no
network namespace can be made (bench/network.py): that needs root and iproute2. Building images takes minutes, a builder
and a base image: only where VOICE_TESTS_IMAGES is 1. What needs a cluster, and power over its nodes, is run by
`make test-cluster` (scripts/test_cluster.sh).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from charts import helm_installed
from cluster_fixtures import POLICIES, killer, policy_engine, power, product, reachable
from script_cluster import ScriptCluster

from bench import network
from bench.outages import NODE_DOWN
from monitoring.prometheus import INSTALL, installed

WITHOUT_PROMETHEUS = "VOICE_TESTS_WITHOUT_PROMETHEUS"
WITH_IMAGES = "VOICE_TESTS_IMAGES"
WITH_CLUSTER = "VOICE_TESTS_CLUSTER"

__all__ = ["killer", "policy_engine", "power", "product", "reachable"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect by the fixtures below."""
    absent = set()
    if os.environ.get(WITHOUT_PROMETHEUS) == "1":
        absent.add("prometheus_installed")
    if not helm_installed():
        absent.add("real_helm")
    if any("lossy_network" in getattr(item, "fixturenames", ()) for item in items) and not network.possible():
        absent.add("lossy_network")
    if os.environ.get(WITH_IMAGES) != "1":
        absent.add("images")  # of tests/images/test_built_images.py
    if os.environ.get(WITH_CLUSTER) != "1":
        absent.add("reachable")  # a cluster, of tests/cluster
    if NODE_DOWN not in os.environ:
        absent.add("power")
    if os.environ.get(POLICIES) != "1":
        absent.add("policy_engine")
    without = [item for item in items if absent & set(getattr(item, "fixturenames", ()))]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


@pytest.fixture
def prometheus_installed() -> None:
    """Fails with what to install."""
    assert installed(), f"{INSTALL} To leave these tests out: {WITHOUT_PROMETHEUS}=1."


@pytest.fixture
def real_helm() -> None:
    """Marks what renders the chart."""


@pytest.fixture
def lossy_network() -> Iterator[network.Network]:
    """Two network namespaces, and between them a line that can lose packets."""
    with network.network() as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path) -> ScriptCluster:
    """Stand-ins for kubectl and helm, and a PATH of them for the cluster's scripts."""
    return ScriptCluster(tmp_path)
