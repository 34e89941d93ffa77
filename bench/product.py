"""The product on a cluster: gateway pods by the chart, fakes behind them, callers in a pod of their own."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench import kube
from bench.kube import Namespace

HANG_UP_S = 15.0
TURNS = 2_000
"""Transcripts of the fake recogniser, each another: a turn that was answered twice, or lost, shows in the history."""

LATE_MS = 2_000
"""What a caller says is one piece to the fake recogniser although some of it is so late. It goes by its own clock, and
a container that starts beside it may hold up a small machine for half a second: one question would be two. The gateway
asks for the end of what was said, so nobody waits that long."""

SAID = re.compile(r"question (\d+)")
"""The number comes early: where the final result is late, a turn goes by the words that there are."""

REPLIES = (
    "It is noon in all of this country. The sun stands as high as it will today. Ask me again in an hour.",
    "Seven times six is forty two. That is what it always was. It will be the same tomorrow.",
)
FAKES = ("--riva", "0.0.0.0:50051", "--llm", "0.0.0.0:8000", "--control", "0.0.0.0:8001")
VALUES: dict[str, Any] = {
    "gateway": {
        "replicas": 2,
        "image": {"repository": kube.image("voice-gateway")[0], "tag": kube.image("voice-gateway")[1]},
        "env": {"RIVA_URI": "fakes:50051", "LLM_BASE_URL": "http://fakes:8000/v1"},
    },
    "config": {"llm": {"model": "meta/llama-3.1-8b-instruct"}},
}


@dataclass(frozen=True, slots=True)
class Product:
    """An installed release with fakes behind it, and a pod to call from."""

    namespace: Namespace

    def requests(self) -> list[Any]:
        """What the language model was asked, oldest first."""
        fetch = _FETCH.format(url="http://fakes:8001/log?source=llm&event=request")
        log = self.namespace.kubectl("exec", "callers", "--", "python", "-c", fetch)
        return [json.loads(line) for line in log.splitlines() if line]

    def conversations(self) -> dict[str, list[str]]:
        """By call, the questions' numbers that the callers had asked when the language model was asked last."""
        return {
            request["call_id"]: SAID.findall(" ".join(text for role, text in request["conversation"] if role == "user"))
            for request in self.requests()
        }

    def forget(self, *, patient: bool = True) -> None:
        """Begin the fakes' log, and their transcripts, anew. `patient`: see LATE_MS; it makes answers later."""
        self._control("POST", "reset")
        if patient:
            self._control("PATCH", "script", {"asr": {"final_after_speech_end_ms": LATE_MS}})

    def _control(self, method: str, page: str, document: Any = None) -> None:
        send = _SEND.format(url=f"http://fakes:8001/{page}", method=method, data=json.dumps(document).encode())
        self.namespace.kubectl("exec", "callers", "--", "python", "-c", send)

    def calls(self) -> float:
        """How many callers are talking."""
        pods = self.namespace.pods()
        return sum(self.namespace.metric(pod["metadata"]["name"], "voice_gateway_active_streams") for pod in pods)

    def until_calls(self, number: int) -> None:
        """Wait until so many callers are talking."""
        kube.eventually(lambda: self.calls() >= number, within_s=60, what=f"call number {number}")

    def other_node(self) -> str:
        """A node with a gateway, and neither the fakes nor the callers."""
        (ours,) = {pod["spec"]["nodeName"] for pod in self.namespace.pods("app in (fakes, callers)")}
        if nodes := [node for node in self._nodes() if node != ours]:
            return nodes[0]
        # They all fled to one node before.
        self.namespace.kubectl("rollout", "restart", f"deployment/{kube.DEPLOYMENT}")
        self.namespace.kubectl("rollout", "status", f"deployment/{kube.DEPLOYMENT}", "--timeout=120s")
        return next(node for node in self._nodes() if node != ours)

    def _nodes(self) -> list[str]:
        return [str(pod["spec"]["nodeName"]) for pod in self.namespace.pods()]

    @contextmanager
    def load(self, *options: str) -> Iterator["Load"]:
        """Callers, who have hung up at its end: calls left over would be counted by what comes next."""
        load = Load(self.namespace, options)
        try:
            yield load
        finally:
            load.stop()

    def install(self, **changes: Any) -> float:
        """Install or upgrade with VALUES and these; seconds until ready."""
        return self.namespace.install(merged(VALUES, changes))


class Load:
    """`voice load` in the callers' pod."""

    def __init__(self, namespace: Namespace, options: tuple[str, ...]) -> None:
        self._namespace = namespace
        command = ["kubectl", "-n", namespace.name, "exec", "callers", "--", "voice", "load"]
        target = f"{kube.DEPLOYMENT}:50051"
        self._process = subprocess.Popen(
            [*command, target, "--json", "--quiet", "--max-lag-ms", "5000", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def report(self, *, within_s: float) -> Any:
        """Its report, once all callers have hung up."""
        out, err = self._process.communicate(timeout=within_s)
        assert out.strip(), err
        return json.loads(out)

    def stop(self) -> None:
        """End it if it still runs. Ending kubectl would leave the callers in their pod, talking on."""
        if self._process.poll() is not None:
            return
        try:
            self._namespace.kubectl("exec", "callers", "--", "python", "-c", _HANG_UP)
            self._process.communicate(timeout=HANG_UP_S)
        finally:
            self._process.kill()
            self._process.wait()


_FETCH = "import urllib.request as r; print(r.urlopen({url!r}, timeout=10).read().decode())"
_HANG_UP = """
import os, pathlib, signal
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    if b"\\0load\\0" in path.read_bytes():
        os.kill(int(path.parent.name), signal.SIGINT)
"""
"""The image has no pkill."""

_SEND = """
import urllib.request as r
r.urlopen(r.Request({url!r}, data={data!r}, method={method!r}), timeout=10).read()
"""


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, folder by folder."""
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _beside(labels: dict[str, str]) -> dict[str, Any]:
    """On the node of those pods: another node may then fail without them."""
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _fakes() -> list[dict[str, Any]]:
    script = {
        "asr": {"transcripts": [f"question {number} is one of mine" for number in range(1, TURNS + 1)]},
        "llm": {"replies": list(REPLIES), "log_tokens": False, "log_messages": True},
    }
    labels = {"app": "fakes"}
    command = ["voice-fakes", *FAKES, "--script", "/script/script.json"]
    volumes = [{"name": "script", "configMap": {"name": "fakes"}}]
    mounts = [{"name": "script", "mountPath": "/script"}]
    spec = kube.pod_spec("fakes", "voice-fakes", command, volumes=volumes, mounts=mounts)
    ports = {"riva": 50051, "llm": 8000, "control": 8001}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "fakes"},
            "data": {"script.json": json.dumps(script)},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "fakes"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "fakes"},
            "spec": {"selector": labels, "ports": [{"name": name, "port": port} for name, port in ports.items()]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "callers", "labels": {"app": "callers"}},
            "spec": kube.pod_spec(
                "callers", "voice-fakes", ["python", "-c", "import signal; signal.pause()"], affinity=_beside(labels)
            ),
        },
    ]


@contextmanager
def installed(prefix: str) -> Iterator[Product]:
    """A namespace with fakes, a pod to call from, and two gateway pods; gone afterwards."""
    with kube.namespace(prefix) as namespace:
        namespace.apply(*_fakes())
        namespace.kubectl("wait", "--for=condition=Ready", "pod/callers", "--timeout=120s")
        namespace.kubectl("rollout", "status", "deployment/fakes", "--timeout=120s")
        namespace.install(VALUES)
        yield Product(namespace)
