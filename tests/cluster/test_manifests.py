"""An API server accepts each field of what the chart renders and k8s/infra holds, where Pod Security is enforced."""

import os
from collections.abc import Iterator

import pytest
import yaml
from processes import ROOT

from bench import kube
from bench.kube import ClusterError, Namespace

pytestmark = [pytest.mark.timeout(120)]

GATEWAY_API = {"grpcroutes.gateway.networking.k8s.io", "backendtlspolicies.gateway.networking.k8s.io"}
PROMETHEUS = {"servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"}
NIM_OPERATOR = {"nimservices.apps.nvidia.com", "nimcaches.apps.nvidia.com"}
NEEDS = {
    "ha": {"certificates.cert-manager.io", "scaledobjects.keda.sh", *PROMETHEUS},
    "grpcroute": GATEWAY_API,
    "nim-operator/llm.yaml": NIM_OPERATOR,
    "nim-operator/speech.yaml": NIM_OPERATOR,
}
"""Kinds that Kubernetes itself lacks, by what uses them."""
KNOWN = set(os.environ.get("VOICE_TEST_KINDS", "").split())
"""Those of them that the cluster knows. scripts/test_cluster.sh asks, and says what is not tested for want of one."""

FILES = {
    "shape": [path.name.removesuffix("-values.yaml") for path in (kube.CHART / "ci").glob("*-values.yaml")],
    "infra": [
        str(path.relative_to(ROOT / "k8s/infra"))
        for path in (ROOT / "k8s/infra").glob("**/*.yaml")
        if path.name != "riva-values.yaml"
    ],
}
SHAPES, INFRA = (sorted(name for name in FILES[of] if NEEDS.get(name, set()) <= KNOWN) for of in ("shape", "infra"))


@pytest.fixture(scope="module")
def namespace(reachable: None) -> Iterator[Namespace]:
    with kube.namespace("voice-manifests") as namespace:
        yield namespace


def applied(namespace: Namespace, text: str) -> str:
    """What the API server says to it, having made nothing. Raises ClusterError, for an unknown field too."""
    return namespace.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)


def chart(namespace: Namespace, shape: str) -> str:
    values = kube.CHART / "ci" / f"{shape}-values.yaml"
    return namespace.helm("template", "voice-gateway", str(kube.CHART), "-f", str(values))


def infra(namespace: Namespace, name: str) -> str:
    text = (ROOT / "k8s/infra" / name).read_text()
    return text.replace("namespace: voice-workflow", f"namespace: {namespace.name}")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_chart(namespace: Namespace, shape: str) -> None:
    rendered = chart(namespace, shape)
    said = applied(namespace, rendered)
    assert "deployment.apps/voice-gateway-gateway created" in said
    assert said.count("(server dry run)") == sum(map(bool, yaml.safe_load_all(rendered)))
    assert "would violate PodSecurity" not in said


@pytest.mark.parametrize("name", INFRA)
def test_infrastructure(namespace: Namespace, name: str) -> None:
    text = infra(namespace, name)
    assert applied(namespace, text).count("(server dry run)") == sum(map(bool, yaml.safe_load_all(text)))


@pytest.mark.parametrize("name", [*SHAPES, *INFRA])
def test_a_field_that_the_schema_lacks_is_refused(namespace: Namespace, name: str) -> None:
    text = chart(namespace, name) if name in SHAPES else infra(namespace, name)
    manifests = [manifest for manifest in yaml.safe_load_all(text) if manifest and "spec" in manifest]
    for manifest in manifests:
        manifest["spec"]["notAField"] = True
    with pytest.raises(ClusterError) as refused:
        applied(namespace, yaml.safe_dump_all(manifests))
    assert str(refused.value).count('unknown field "spec.notAField"') == len(manifests)
