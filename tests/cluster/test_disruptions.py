"""The PodDisruptionBudget with one pod."""

import pytest

from bench import kube
from bench.product import VALUES, Product, merged

pytestmark = [pytest.mark.timeout(240)]

REFUSED = "Cannot evict pod as it would violate the pod's disruption budget"


def test_one_pod_holds_its_node(product: Product) -> None:
    product.namespace.install(merged(VALUES, {"gateway": {"replicas": 1}}))
    kube.eventually(lambda: len(product.namespace.pods()) == 1, within_s=60, what="a single pod")
    node = product.namespace.pods()[0]["spec"]["nodeName"]
    drain = ("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=8s")
    try:
        said = kube.run(*drain, "--pod-selector", kube.SELECTOR, check=False, timeout_s=60)
    finally:
        kube.run("kubectl", "uncordon", node)
        product.install()
    assert REFUSED in said
