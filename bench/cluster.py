"""What the product does on a cluster: how soon it is there, what an edit takes, what a deploy and a crash cost callers.

Usage: VOICE_TEST_IMAGES='localhost/%:dev' python -m bench.cluster [install|edit|calls|upgrade|kill|power]...

The cluster is the one that KUBECONFIG names; the images are on its nodes. Fakes stand behind the gateway and callers in
a pod of their own, so that figures are the gateway's and the cluster's. They compare; they are no capacity. power needs
VOICE_TEST_NODE_DOWN and VOICE_TEST_NODE_UP, commands that take a node's power away and give it back.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import kube, outages
from bench.product import VALUES, Product, installed, merged
from bench.table import ms, percentile, show

USERS = 20
INSTALLS = 3
EDITS = 6
SYNC_S = 150.0
LOOK_S = 0.2
RELOADS = "voice_gateway_config_reloads_total"
CALLS = ("--ramp", "5", "--turns", "0", "--think-time", "0.5-1.5")
KILLS = 3
FAILURES = 3
SETTLE_S = 12.0
"""All callers have called by then."""


def install(product: Product) -> None:
    """From `helm install` to Ready, images there."""
    seconds = []
    for _ in range(INSTALLS):
        product.namespace.helm("uninstall", "voice-gateway", "--wait")
        kube.eventually(lambda: not _objects(product), within_s=90, what="the end of the old pods")
        seconds.append(product.install())
    print(f"\nhelm install to two Ready pods, s: {_row(seconds)} ({INSTALLS} times; readiness is asked after 5 s)")


def _objects(product: Product) -> Any:
    return product.namespace.get("pods", selector=kube.SELECTOR)["items"]


def edit(product: Product) -> None:
    """From an edited ConfigMap to its effect in both pods, the kubelet's part included."""
    pods = [pod["metadata"]["name"] for pod in product.namespace.pods()]
    seconds = []
    for number in range(EDITS):
        before = {pod: product.namespace.metric(pod, RELOADS) for pod in pods}
        patch = json.dumps({"data": {"LLM_MAX_TOKENS": str(200 + number)}})
        product.namespace.kubectl("patch", "configmap", kube.CONFIG_MAP, "--type=merge", "-p", patch)
        began_s = time.monotonic()
        for pod in pods:
            _until_more(product, pod, before[pod])
            seconds.append(time.monotonic() - began_s)
    print(f"\nConfigMap edit to effect, s: {_row(seconds)} ({EDITS} edits, 2 pods, the kubelet's sync included)")


def _until_more(product: Product, pod: str, reloads: float) -> None:
    until_s = time.monotonic() + SYNC_S
    while product.namespace.metric(pod, RELOADS) <= reloads:
        if time.monotonic() > until_s:
            raise kube.ClusterError("an edit had no effect")
        time.sleep(LOOK_S)


def calls(product: Product) -> None:
    """CPU and memory of one pod within its limits, idle and with calls."""
    rows = []
    product.forget(patient=False)
    product.namespace.install(merged(VALUES, {"gateway": {"replicas": 1, "maxCalls": 100}}))
    kube.eventually(lambda: len(product.namespace.pods()) == 1, within_s=90, what="a single pod")
    (pod,) = product.namespace.pods()
    name = pod["metadata"]["name"]
    rows.append(["0", *_used(product, name), "-", "-", "-"])
    for users in (USERS, 30, 40):
        with product.load(*CALLS, "--users", str(users), "--duration", "40") as load:
            row = [str(users), *_used(product, name)]
            report = load.report(within_s=120)
        response, turns = report["response_ms"], report["turns"]
        answered = f"{turns['answered']} of {turns['spoken']}"
        rows.append([*row, answered, f"{response['p50']:.0f}", f"{response['p95']:.0f}"])
    titles = ["calls", "CPU, m", "memory, MiB", "RSS, MiB", "turns", "response p50", "p95 ms"]
    show("One pod, limits 500m and 512Mi", titles, rows)
    product.install()


def _used(product: Product, pod: str) -> tuple[str, str, str]:
    """Its CPU in thousandths of a core, over 20 s, and its memory in MiB: as the kubelet counts it, and RSS."""
    time.sleep(SETTLE_S)
    before_s, began_s = product.namespace.metric(pod, "process_cpu_seconds_total"), time.monotonic()
    time.sleep(20.0)
    cpu = (product.namespace.metric(pod, "process_cpu_seconds_total") - before_s) / (time.monotonic() - began_s)
    rss_mib = product.namespace.metric(pod, "process_resident_memory_bytes") / 2**20
    return f"{1000 * cpu:.0f}", f"{product.namespace.working_set_mib(pod):.0f}", f"{rss_mib:.0f}"


def upgrade(product: Product) -> None:
    """A rolling upgrade of both pods under calls."""
    product.forget()
    with product.load(*CALLS, "--users", str(USERS), "--duration", "75") as load:
        time.sleep(SETTLE_S)
        seconds = product.install(gateway={"podAnnotations": {"voice-workflow.test/release": str(time.time())}})
        report = load.report(within_s=150)
    _tell(f"a rolling upgrade, which took {seconds:.0f} s", product, report)


def kill(product: Product) -> None:
    """Gateways killed by SIGKILL, one after the other, under calls."""
    product.forget()
    with product.load(*CALLS, "--users", str(USERS), "--duration", "75") as load, outages.killer() as killer:
        time.sleep(SETTLE_S)
        for number in range(KILLS):
            # In turns: a container that is killed again and again is started again later and later.
            victims = sorted(product.namespace.pods(), key=lambda pod: str(pod["metadata"]["name"]))
            victim = victims[number % len(victims)]
            killer.kill(victim)
            outages.until_back(product.namespace, victim)
            time.sleep(4.0)
        report = load.report(within_s=150)
    _tell(f"{KILLS} gateways killed", product, report)


def power(product: Product) -> None:
    """A node with a gateway loses its power under calls, and gets it back when they are over."""
    for number in range(FAILURES):
        node = product.other_node()
        victims = [pod for pod in product.namespace.pods() if pod["spec"]["nodeName"] == node]
        product.forget()
        with product.load(*CALLS, "--users", str(USERS), "--duration", "30") as load:
            time.sleep(SETTLE_S)
            try:
                outages.Power().off(node)
                report = load.report(within_s=150)
            finally:
                outages.Power().on(node)
        _tell(f"a node without power, {number + 1} of {FAILURES}", product, report)
        for victim in victims:  # until then Kubernetes may still believe that it never went
            outages.until_back(product.namespace, victim)


def _tell(what: str, product: Product, report: Any) -> None:
    counts, turns, resumes = report["calls"], report["turns"], report["resumes"]
    histories = product.conversations()
    twice = sum(len(said) - len(set(said)) for said in histories.values())
    missing = turns["spoken"] - sum(len(set(said)) for said in histories.values())
    print(
        f"\n{what}, {USERS} calls: {counts['ended_well']} of {counts['dialled']} ended well, {resumes['count']} resumed"
    )
    print(
        f"turns: {turns['answered']} of {turns['spoken']} answered; in the histories {twice} twice, {missing} missing"
    )
    rows = [
        [
            cause["cause"].lower(),
            str(cause["gap_ms"]["count"]),
            *(ms(cause[kind][key]) for kind in ("gap_ms", "silence_ms") for key in ("p50", "p95", "max")),
            *(f"{cause['dials'][key]:g}" for key in ("mean", "max")),
        ]
        for cause in resumes["by_cause"]
    ]
    show(
        "Gaps of resumed calls, ms: of everything, and of the conversation; dials until it went on",
        ["cause", "resumes", "gap p50", "p95", "max", "silence p50", "p95", "max", "dials mean", "max"],
        rows,
    )


def _row(values: list[float]) -> str:
    return f"p50 {percentile(values, 0.5):.1f}, least {min(values):.1f}, most {max(values):.1f}"


PARTS: dict[str, Callable[[Product], None]] = {
    part.__name__: part for part in (install, edit, calls, upgrade, kill, power)
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    options = parser.parse_args()
    unpowered = outages.NODE_DOWN not in os.environ or outages.NODE_UP not in os.environ
    parts = options.parts or [name for name in PARTS if name != "power" or not unpowered]
    if unpowered and "power" in parts:
        print(f"bench.cluster: power needs {outages.NODE_DOWN} and {outages.NODE_UP}", file=sys.stderr)
        return 2
    if problem := kube.missing():
        print(f"bench.cluster: {problem}", file=sys.stderr)
        return 2
    with installed("voice-bench") as product:
        for name in parts:
            PARTS[name](product)
    return 0


if __name__ == "__main__":
    sys.exit(main())
