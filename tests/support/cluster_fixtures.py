"""Fixtures of the tests that need a cluster."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench import kube
from bench.product import Product, installed

NODE_DOWN, NODE_UP = "VOICE_TEST_NODE_DOWN", "VOICE_TEST_NODE_UP"
"""Commands that take a node's power away, and give it back; the node's name follows. Without them, no node loses it."""

POLICIES = "VOICE_TEST_NETWORK_POLICIES"
"""1 where the cluster has an engine that enforces NetworkPolicies: the API server cannot tell."""


@dataclass(frozen=True, slots=True)
class Power:
    """Over the nodes."""

    def off(self, node: str) -> None:
        """As if the node's power failed."""
        kube.run(*shlex.split(os.environ[NODE_DOWN]), node, timeout_s=60)

    def on(self, node: str) -> None:
        """It comes back."""
        kube.run(*shlex.split(os.environ[NODE_UP]), node, timeout_s=180)
        ready = ("kubectl", "wait", "--for=condition=Ready", f"node/{node}", "--timeout=120s")
        kube.run(*ready, timeout_s=150)


@pytest.fixture
def power() -> Power:
    """Tests that ask for it run where VOICE_TEST_NODE_DOWN names a command."""
    return Power()


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
