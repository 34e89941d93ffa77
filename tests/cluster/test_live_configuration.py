"""An edited ConfigMap counts without a restart; one that is wrong counts for nothing and says so."""

import json
from typing import Any

import pytest

from bench import kube
from bench.product import Product

pytestmark = [pytest.mark.timeout(300)]

SYNC_S = 150.0
"""A stock kubelet takes up to 90 s to change a mounted ConfigMap."""


def edit(product: Product, **data: str) -> None:
    """As `kubectl edit` does."""
    patch = json.dumps({"data": data})
    product.namespace.kubectl("patch", "configmap", kube.CONFIG_MAP, "--type=merge", "-p", patch)


def restarts(product: Product) -> list[tuple[str, int]]:
    """Names and restarts of the pods: what must not change."""
    return sorted(
        (pod["metadata"]["name"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in product.namespace.pods()
    )


def asked_with(product: Product) -> set[Any]:
    """What the language model was asked with, lately."""
    return {request.get("max_tokens") for request in product.requests()[-3:]}


def test_an_edit_counts_for_a_call_that_runs(product: Product) -> None:
    product.install()
    before = restarts(product)
    product.forget()
    with product.load("--users", "1", "--duration", f"{SYNC_S:.0f}", "--turns", "0"):
        product.until_calls(1)
        edit(product, LLM_MAX_TOKENS="77")
        kube.eventually(lambda: asked_with(product) == {77}, within_s=SYNC_S, what="the new LLM_MAX_TOKENS")
    kube.eventually(lambda: product.calls() == 0, within_s=10, what="the end of the call")
    assert restarts(product) == before
    assert len(product.conversations()) == 1


def test_a_wrong_edit_is_refused_and_told(product: Product) -> None:
    product.install()
    before = restarts(product)
    edit(product, LLM_TEMPERATURE="hot")
    counted = "voice_gateway_config_ok"
    kube.eventually(
        lambda: all(product.namespace.metric(name, counted) == 0 for name, _ in before),
        within_s=SYNC_S,
        what="a refusal by both pods",
    )
    messages = kube.eventually(
        lambda: product.namespace.events("ConfigRefused"), within_s=30, what="an Event about the refusal"
    )
    assert any("LLM_TEMPERATURE" in message for message in messages)
    assert restarts(product) == before
    edit(product, LLM_TEMPERATURE="0.5")
    kube.eventually(
        lambda: all(product.namespace.metric(name, counted) == 1 for name, _ in before),
        within_s=SYNC_S,
        what="the good configuration",
    )


def test_an_upgrade_of_the_configuration_alone_restarts_nothing(product: Product) -> None:
    product.install()
    before = restarts(product)
    product.install(config={"llm": {"maxTokens": "88"}})
    assert restarts(product) == before
    data = product.namespace.get("configmap", kube.CONFIG_MAP)["data"]
    assert data["LLM_MAX_TOKENS"] == "88"
