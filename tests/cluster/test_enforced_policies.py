"""Network policies of the chart where they are enforced: who gets in, what the gateway reaches, and calls go on."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from bench import kube
from bench.kube import Namespace
from bench.product import Product, installed

pytestmark = [pytest.mark.timeout(240)]

CONNECT = """
import socket, sys
for port in sys.argv[2:]:
    try:
        socket.create_connection((sys.argv[1], int(port)), timeout=3).close()
        print("open")
    except OSError:
        print("shut")
"""
STRANGER_PORT = 9999
ENGINE_S = 60.0
"""Within this an engine has heard of a policy."""


def labelled(app: str) -> dict[str, Any]:
    """A peer of a policy: pods with this label."""
    return {"podSelector": {"matchLabels": {"app": app}}}


POLICY = {
    "enabled": True,
    "callers": [labelled("callers")],
    "scrapers": [labelled("scraper")],
    "egress": {
        "enabled": True,
        "rules": [{"to": [labelled("fakes")], "ports": [{"port": port, "protocol": "TCP"} for port in (50051, 8000)]}],
    },
}


@dataclass(frozen=True, slots=True)
class Policed:
    """Gateways behind the policy above, and pods that are no callers of theirs."""

    product: Product

    @property
    def namespace(self) -> Namespace:
        return self.product.namespace

    def doors(self, pod: str, address: str, *ports: int) -> list[str]:
        """Of each port at the address, from a pod: open or shut."""
        command = ("exec", pod, "--", "python", "-c", CONNECT, address, *map(str, ports))
        return self.namespace.kubectl(*command).split()

    def keeps_out(self, address: str) -> bool:
        """Whether a stranger may not call there."""
        return self.doors("stranger", address, 50051) == ["shut"]

    def address(self, pod: str) -> str:
        """Of a pod by its name."""
        return str(self.namespace.get("pod", pod)["status"]["podIP"])


@pytest.fixture(scope="module")
def policed(policy_engine: None) -> Iterator[Policed]:
    with installed("voice-policies") as product:
        for app in ("stranger", "scraper"):
            command = ["python", "-m", "http.server", str(STRANGER_PORT), "--directory", "/tmp"]
            labels = {"name": app, "labels": {"app": app}}
            spec = kube.pod_spec(app, "voice-fakes", command)
            product.namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": labels, "spec": spec})
        product.namespace.kubectl("wait", "--for=condition=Ready", "pod/stranger", "pod/scraper", "--timeout=60s")
        product.install(networkPolicy=POLICY)
        policed = Policed(product)
        for pod in product.namespace.pods():
            address = pod["status"]["podIP"]
            kube.eventually(partial(policed.keeps_out, address), within_s=ENGINE_S, what=f"a policy before {address}")
        yield policed


def test_callers_and_scrapers_get_in_by_their_own_door(policed: Policed) -> None:
    for pod in policed.namespace.pods():
        address = pod["status"]["podIP"]
        assert policed.doors("callers", address, 50051, 8080) == ["open", "shut"]
        assert policed.doors("scraper", address, 50051, 8080) == ["shut", "open"]
        assert policed.doors("stranger", address, 50051, 8080) == ["shut", "shut"]


def test_the_gateway_reaches_what_it_needs_and_nothing_else(policed: Policed) -> None:
    (gateway, *_) = (pod["metadata"]["name"] for pod in policed.namespace.pods())
    assert policed.doors(gateway, "fakes", 50051, 8000, 8001) == ["open", "open", "shut"]
    assert policed.doors(gateway, "kubernetes.default.svc", 443) == ["open"]
    assert policed.doors(gateway, policed.address("stranger"), STRANGER_PORT) == ["shut"]
    assert policed.doors("callers", policed.address("stranger"), STRANGER_PORT) == ["open"]


def test_calls_are_answered_and_probes_succeed_behind_the_policy(policed: Policed) -> None:
    with policed.product.load("--users", "4", "--duration", "20") as load:
        policed.product.until_calls(4)
        report = load.report(within_s=90)
    assert report["turns"]["answered"] > 0
    assert report["turns"]["failed"] == report["turns"]["lost"] == report["calls"]["broken"] == 0
    pods = policed.namespace.pods()
    assert len(pods) == 2
    assert {each["restartCount"] for pod in pods for each in pod["status"]["containerStatuses"]} == {0}
    # Written by the gateway itself, at the API server.
    assert all("controller.kubernetes.io/pod-deletion-cost" in pod["metadata"]["annotations"] for pod in pods)
