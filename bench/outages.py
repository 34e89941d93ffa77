"""How gateways are lost on a cluster: a process that is killed, a node whose power fails."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench import kube

NODE_DOWN, NODE_UP = "VOICE_TEST_NODE_DOWN", "VOICE_TEST_NODE_UP"
"""Commands that take a node's power away, and give it back; the node's name follows. Without them, no node loses it."""

KILLED_S = 60.0
BACK_S = 90.0
"""Kubernetes waits before it starts a container again that has ended more than once: 10 s, 20 s, ..."""


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


@dataclass(frozen=True, slots=True)
class Killer:
    """Ends a gateway's process by SIGKILL. Neither it nor Kubernetes is told before, as by `kubectl delete --force`,
    which asks the process to stop. A pod with the node's process ids does it: the same user may signal the process.
    """

    namespace: kube.Namespace

    def kill(self, victim: Any) -> None:
        """Kill the gateway in a pod, whose container then starts again. Raises ClusterError where there is none."""
        name = f"kill-{os.urandom(3).hex()}"
        command = ["python", "-c", _KILL, victim["metadata"]["uid"]]
        where = {"nodeName": victim["spec"]["nodeName"], "hostPID": True, "restartPolicy": "Never"}
        spec = kube.pod_spec("kill", "voice-fakes", command, automountServiceAccountToken=False, **where)
        self.namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        phase = kube.eventually(lambda: self._end_of(name), within_s=KILLED_S, what="the kill")
        if phase != "Succeeded":
            raise kube.ClusterError(f"the kill {phase}: {self.namespace.kubectl('logs', name, check=False)}")

    def _end_of(self, name: str) -> str:
        phase = str(self.namespace.get("pod", name)["status"]["phase"])
        return phase if phase in {"Succeeded", "Failed"} else ""


_KILL = """
import os, pathlib, signal, sys
of_pod = {sys.argv[1].encode(), sys.argv[1].replace("-", "_").encode()}  # as either driver names control groups
killed = 0
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        groups, command = (process / "cgroup").read_bytes(), (process / "cmdline").read_bytes()
    except OSError:
        continue  # it has ended
    if any(name in groups for name in of_pod) and b"/voice-gateway" in command:
        os.kill(int(process.name), signal.SIGKILL)
        killed += 1
sys.exit(None if killed else "no process of the gateway is seen in that pod")
"""


@contextmanager
def killer() -> Iterator[Killer]:
    """In a namespace of its own, which allows what it needs; gone afterwards."""
    with kube.namespace("voice-kill", level="privileged") as namespace:
        yield Killer(namespace)


def restarts(pod: Any) -> int:
    """How often its container was started again."""
    return sum(int(status["restartCount"]) for status in pod["status"].get("containerStatuses", ()))


def until_back(namespace: kube.Namespace, victim: Any) -> None:
    """Wait until a killed gateway takes calls again, in the pod where it was."""
    name, before = victim["metadata"]["name"], restarts(victim)

    def back() -> bool:
        return any(pod["metadata"]["name"] == name and restarts(pod) > before for pod in namespace.pods())

    kube.eventually(back, within_s=BACK_S, what="the killed gateway")
