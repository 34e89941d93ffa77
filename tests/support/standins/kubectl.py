"""Stands in for kubectl."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from standins import state as cluster


def without_globals(argv: list[str]) -> list[str]:
    """The words after --context and --namespace."""
    words = list(argv)
    while words and words[0] in {"--context", "--namespace"}:
        words = words[2:]
    return words


def config(words: list[str], state: dict[str, Any]) -> None:
    """`kubectl config ...`."""
    if words[0] == "get-contexts":
        print("\n".join(state["contexts"]))
    elif words[0] == "current-context":
        if not state["current"]:
            cluster.fail("error: current-context is not set")
        print(state["current"])
    else:
        print("https://cluster.test:6443", end="")


def get(words: list[str], state: dict[str, Any]) -> None:
    """`kubectl get ...`."""
    if words[0] == "--raw":
        raw(words[1], state)
        return
    kind, output = words[0], cluster.value(words, "-o", "--output")
    name = words[1] if len(words) > 1 and not words[1].startswith("-") else ""
    if kind == "configmap":
        live = state["configmap"]
        if live is not None and output == "json":
            print(json.dumps({"kind": "ConfigMap", "data": live}))
        elif live is not None:
            print(state["configmap_version"], end="")
    elif kind == "pods":
        print(state["pods"], end="")
    elif kind == "deployments":
        print("deployment.apps/voice-gateway-gateway")
    elif kind == "nodes":
        print(state["gpus"] if "gpu" in output else "\n".join(f"node/{node}" for node in state["nodes"]))
    elif kind == "node":
        print("\n".join(f"node/{node}" for node in state["nodes"] if node == name))
    elif f"{kind}/{name}" in state["objects"]:
        print(f"{kind}/{name}")


def raw(path: str, state: dict[str, Any]) -> None:
    """`kubectl get --raw PATH`."""
    if path == "/version":
        if not state["answers"]:
            cluster.fail("Unable to connect to the server: dial tcp: i/o timeout")
        print("{}")
    elif cluster.now() < state["triton_ready_at"]:
        cluster.fail("Error from server (ServiceUnavailable): the server is currently unable to handle the request")


def apply(words: list[str], given: str, state: dict[str, Any]) -> None:
    """Every document becomes an object of the state."""
    for document in cluster.documents(given):
        name = f"{document['kind'].lower()}/{document['metadata']['name']}"
        state["objects"].append(name)
        print(f"{name} {'serverside-applied' if '--server-side' in words else 'created'}")
    cluster.write(state)


def forward(state: dict[str, Any]) -> None:
    """Says what it forwards, and lasts until it is ended, or as the test wants."""
    print("Forwarding from 127.0.0.1:40404 -> 50051", flush=True)
    if state["forward_ends"]:
        cluster.fail("error: lost connection to pod")
    signal.pause()


def main(argv: list[str]) -> None:
    """One call."""
    words = without_globals(argv)
    reads_input = "-" in words
    given = sys.stdin.read() if reads_input else ""
    cluster.note("kubectl", argv, given)
    state = cluster.read()
    match words[0]:
        case "config":
            config(words[1:], state)
        case "get":
            get(words[1:], state)
        case "apply":
            apply(words, given, state)
        case "create":
            [document] = cluster.documents(Path(cluster.value(words, "-f", "--filename")).read_text())
            print(json.dumps(document))
        case "port-forward":
            forward(state)
        case "logs":
            print("Downloading rmir_asr_parakeet")
        case "rollout" if state["rollout_fails"]:
            cluster.fail("error: timed out waiting for the condition")


if __name__ == "__main__":
    main(sys.argv[1:])
