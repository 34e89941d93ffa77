"""Calls live on while pods come and go: each caller is answered once for each thing that it said."""

from typing import Any

import pytest

from bench import kube
from bench.outages import Killer, Power, restarts, until_back
from bench.product import Product

pytestmark = [pytest.mark.timeout(420)]

USERS = 20
SIGKILLED = 128 + 9
CALL = ("--users", str(USERS), "--ramp", "5", "--turns", "0", "--think-time", "0.5-1.5")


def check(product: Product, report: Any, *, resumed_at_least: int) -> None:
    """Nobody lost a call or a turn, and no turn was answered twice."""
    calls, turns = report["calls"], report["turns"]
    assert calls["ended_well"] == calls["dialled"] == USERS, report
    assert turns["answered"] == turns["spoken"] > USERS, report
    resumes = report["resumes"]
    assert resumes["count"] >= resumed_at_least, report
    assert resumes["calls_lost"] == resumes["turns_lost"] == resumes["turns_duplicated"] == 0, report
    histories = product.conversations()
    assert len(histories) == USERS
    for said in histories.values():
        assert len(set(said)) == len(said)
    assert sum(len(said) for said in histories.values()) == turns["spoken"], histories


def causes(report: Any) -> set[str]:
    """Why calls were resumed."""
    return {str(cause["cause"]) for cause in report["resumes"]["by_cause"] if cause["gap_ms"]["count"]}


@pytest.fixture(autouse=True)
def _fresh(product: Product) -> None:
    product.install()
    product.forget()


def test_a_rolling_upgrade_and_its_rollback(product: Product) -> None:
    before = {pod["metadata"]["name"] for pod in product.namespace.pods()}
    with product.load(*CALL, "--duration", "48") as load:
        product.until_calls(USERS)
        product.install(gateway={"podAnnotations": {"voice-workflow.test/release": "next"}})
        product.namespace.helm("rollback", "voice-gateway", "--wait", "--timeout", "180s")
        after = {pod["metadata"]["name"] for pod in product.namespace.pods()}
        report = load.report(within_s=180)
    assert not before & after
    check(product, report, resumed_at_least=USERS)


def test_a_gateway_that_is_killed(product: Product, killer: Killer) -> None:
    """Nobody is asked to move: every caller finds a connection that is reset."""
    with product.load(*CALL, "--duration", "18") as load:
        product.until_calls(USERS)
        victim = product.namespace.pods()[0]
        killer.kill(victim)
        report = load.report(within_s=120)
    check(product, report, resumed_at_least=1)
    assert causes(report) == {"RESET"}
    until_back(product.namespace, victim)
    after = product.namespace.get("pod", victim["metadata"]["name"])
    assert restarts(after) == restarts(victim) + 1, "it is the same pod"
    # The kubelet clears dead containers away every minute. If it does so just while the next one is created, it takes
    # that for the dead one to keep, and forgets how the one before it ended.
    ended = after["status"]["containerStatuses"][0]["lastState"].get("terminated", {"exitCode": SIGKILLED})
    assert ended["exitCode"] == SIGKILLED


def test_a_node_that_is_drained(product: Product) -> None:
    node = product.other_node()
    with product.load(*CALL, "--duration", "24") as load:
        product.until_calls(USERS)
        try:
            kube.run(
                *("kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"),
                *("--pod-selector", kube.SELECTOR),
                timeout_s=150,
            )
        finally:
            kube.run("kubectl", "uncordon", node)
        check(product, load.report(within_s=120), resumed_at_least=1)


def test_a_node_whose_power_fails(product: Product, power: Power) -> None:
    node = product.other_node()
    with product.load(*CALL, "--duration", "24") as load:
        product.until_calls(USERS)
        try:
            power.off(node)
            report = load.report(within_s=150)
        finally:
            power.on(node)
    check(product, report, resumed_at_least=1)
    assert "GO_AWAY" not in causes(report)
