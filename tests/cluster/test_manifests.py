"""An API server accepts what the chart renders and what k8s/infra holds, where Pod Security is enforced."""

from collections.abc import Iterator

import pytest
from processes import ROOT

from bench import kube
from bench.kube import Namespace

pytestmark = [pytest.mark.timeout(120)]

NEEDS_CRDS = ("ha", "grpcroute")
"""Shapes with objects of the Prometheus operator and the Gateway API, which a cluster need not have."""

SHAPES = sorted(
    path.name.removesuffix("-values.yaml")
    for path in (kube.CHART / "ci").glob("*-values.yaml")
    if not path.name.startswith(NEEDS_CRDS)
)
INFRA = sorted(path.name for path in (ROOT / "k8s/infra").glob("*.yaml") if path.name != "riva-values.yaml")


@pytest.fixture(scope="module")
def namespace(reachable: None) -> Iterator[Namespace]:
    with kube.namespace("voice-manifests") as namespace:
        yield namespace


@pytest.mark.parametrize("shape", SHAPES)
def test_the_chart(namespace: Namespace, shape: str) -> None:
    values = kube.CHART / "ci" / f"{shape}-values.yaml"
    rendered = namespace.helm("template", "voice-gateway", str(kube.CHART), "-f", str(values))
    said = namespace.kubectl("apply", "--dry-run=server", "-f", "-", stdin=rendered)
    assert "deployment.apps/voice-gateway-gateway created" in said
    assert "would violate PodSecurity" not in said


@pytest.mark.parametrize("name", INFRA)
def test_infrastructure(namespace: Namespace, name: str) -> None:
    text = (ROOT / "k8s/infra" / name).read_text().replace("namespace: voice-workflow", f"namespace: {namespace.name}")
    assert "(server dry run)" in namespace.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
