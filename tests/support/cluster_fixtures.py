"""Fixtures of the tests that need a cluster."""

from collections.abc import Iterator

import pytest

from bench import kube, outages
from bench.outages import Killer, Power
from bench.product import Product, installed

POLICIES = "VOICE_TEST_NETWORK_POLICIES"
"""1 where the cluster has an engine that enforces NetworkPolicies: the API server cannot tell."""


@pytest.fixture
def power() -> Power:
    """Tests that ask for it run where VOICE_TEST_NODE_DOWN names a command."""
    return Power()


@pytest.fixture
def killer(reachable: None) -> Iterator[Killer]:
    """Kills gateways by SIGKILL."""
    with outages.killer() as made:
        yield made


@pytest.fixture(scope="session")
def policy_engine(reachable: None) -> None:
    """Tests that ask for it run where VOICE_TEST_NETWORK_POLICIES is 1."""


@pytest.fixture(scope="session")
def reachable() -> None:
    """Fails where there is no cluster: it was said that there is one."""
    assert not (problem := kube.missing()), problem


@pytest.fixture(scope="session")
def product(reachable: None) -> Iterator[Product]:
    """Two gateway pods over the fakes."""
    with installed("voice-test") as product:
        yield product
