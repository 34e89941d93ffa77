"""A cluster under test, by kubectl and helm: whatever KUBECONFIG names."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "voice-workflow"
DEPLOYMENT = "voice-gateway-gateway"
CONFIG_MAP = "voice-gateway-config"
SELECTOR = "app=voice-gateway"
POLL_S = 0.5


class ClusterError(AssertionError):
    """kubectl or helm refused, or what was waited for did not come."""


def run(*command: str, stdin: str | None = None, timeout_s: float = 120, check: bool = True) -> str:
    """Standard output of a command. Raises ClusterError with what it said, unless `check` is off."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and done.returncode:
        raise ClusterError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def image(name: str) -> tuple[str, str]:
    """Repository and tag of one of our images, as VOICE_TEST_IMAGES names them: "localhost/%:dev"."""
    pattern = os.environ.get("VOICE_TEST_IMAGES", "localhost/%:dev")
    repository, _, tag = pattern.replace("%", name).rpartition(":")
    return repository, tag


def eventually(look: Callable[[], Any], *, within_s: float, what: str) -> Any:
    """The first thing that `look` gives which counts as true. Raises ClusterError after `within_s`."""
    until = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        if time.monotonic() > until:
            raise ClusterError(f"{what} did not come within {within_s:g} s")
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace, which the tests made."""

    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 120, check: bool = True) -> str:
        """Run kubectl in it."""
        return run("kubectl", "-n", self.name, *arguments, stdin=stdin, timeout_s=timeout_s, check=check)

    def helm(self, *arguments: str, timeout_s: float = 300) -> str:
        """Run helm in it."""
        return run("helm", "-n", self.name, *arguments, timeout_s=timeout_s)

    def get(self, kind: str, name: str = "", selector: str = "") -> Any:
        """An object, or a list of them."""
        wanted = [name] if name else ["-l", selector] if selector else []
        return json.loads(self.kubectl("get", kind, *wanted, "-o", "json"))

    def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def install(self, values: dict[str, Any], *, timeout_s: float = 180) -> float:
        """Install or upgrade the release; seconds until it was ready."""
        began_s = time.monotonic()
        with _file(values) as path:
            command = ("upgrade", "--install", "voice-gateway", str(CHART), "-f", path, "--wait")
            self.helm(*command, "--timeout", f"{timeout_s:.0f}s", timeout_s=timeout_s + 30)
        return time.monotonic() - began_s

    def pods(self, selector: str = SELECTOR) -> list[Any]:
        """Pods that have an address and are not on their way out."""
        found = self.get("pods", selector=selector)["items"]
        return [
            pod
            for pod in found
            if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("podIP") and _ready(pod)
        ]

    def metric(self, pod: str, name: str) -> float:
        """A gauge or counter of a gateway pod; all its labels added up."""
        text = self.kubectl("get", "--raw", f"/api/v1/namespaces/{self.name}/pods/{pod}:8080/proxy/metrics")
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return sum(float(value) for key, _, value in lines if key.partition("{")[0] == name)

    def working_set_mib(self, pod: str) -> float:
        """A pod's memory as the kubelet counts it against its request, and as `kubectl top` shows it: without pages of
        files that can be read again.
        """
        node = self.get("pod", pod)["spec"]["nodeName"]
        summary = json.loads(self.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        mine = {"name": pod, "namespace": self.name}
        (found,) = [each for each in summary["pods"] if mine.items() <= each["podRef"].items()]
        return float(found["memory"]["workingSetBytes"]) / 2**20

    def events(self, reason: str) -> list[str]:
        """Messages of Events with that reason."""
        return [event["message"] for event in self.get("events")["items"] if event.get("reason") == reason]


def _ready(pod: Any) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@contextmanager
def _file(values: dict[str, Any]) -> Iterator[str]:
    import tempfile  # noqa: PLC0415

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        yield file.name


@contextmanager
def namespace(prefix: str, *, level: str = "restricted") -> Iterator[Namespace]:
    """A namespace with a level of Pod Security, gone afterwards."""
    name = f"{prefix}-{os.urandom(3).hex()}"
    labels = {"pod-security.kubernetes.io/enforce": level, "voice-workflow.test": "true"}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    run("kubectl", "apply", "-f", "-", stdin=yaml.safe_dump(manifest))
    try:
        yield Namespace(name)
    finally:
        run("kubectl", "delete", "namespace", name, "--wait=false", check=False)


def missing() -> str:
    """What keeps tests from a cluster; empty where nothing does."""
    for tool in ("kubectl", "helm"):
        if shutil.which(tool) is None:
            return f"{tool} is not on PATH"
    answer = run("kubectl", "get", "--raw", "/readyz", check=False, timeout_s=30)
    return "" if answer.strip() == "ok" else f"kubectl reaches no cluster: {answer.strip()}"


RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod_spec(name: str, of: str, command: Sequence[str], **more: Any) -> dict[str, Any]:
    """A pod's spec with one container of one of our images."""
    repository, tag = image(of)
    container = {
        "name": name,
        "image": f"{repository}:{tag}",
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": RESTRICTED,
        **more.pop("container", {}),
    }
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, *more.pop("mounts", ())]
    volumes = [{"name": "tmp", "emptyDir": {}}, *more.pop("volumes", ())]
    return {"containers": [{**container, "volumeMounts": mounts}], "volumes": volumes, **more}
