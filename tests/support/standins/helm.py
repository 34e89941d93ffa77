"""Stands in for helm: renders one ConfigMap of the values that it is given."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from standins import state as cluster

NAMED = {"llm.temperature": "LLM_TEMPERATURE", "llm.model": "LLM_MODEL", "llm.systemPrompt": "LLM_SYSTEM_PROMPT"}
DEFAULTS = {
    "LLM_MODEL": "meta/llama-3.1-8b-instruct",
    "LLM_TEMPERATURE": "0.5",
    "LLM_SYSTEM_PROMPT": "Be brief.\nBe kind.",
}


def settings(argv: list[str], given: str, state: dict[str, Any]) -> dict[str, str]:
    """Settings of the ConfigMap: the chart's, the last release's, of files, of --set: later ones win, as in Helm."""
    found = dict(DEFAULTS)
    if "--reset-then-reuse-values" in argv:
        found.update(state["release_values"])
    options = list(pairwise(argv))
    for file in [value for word, value in options if word in {"--values", "-f"}]:
        for document in cluster.documents(given if file == "-" else Path(file).read_text()):
            found.update(flat(document.get("config") or {}))
    for word, assignment in options:
        path, _, value = assignment.partition("=")
        if word in {"--set", "--set-string"} and path.startswith("config."):
            found[key_of(path.removeprefix("config."))] = value
    return found


def key_of(path: str) -> str:
    """The key of the ConfigMap for a path below `config`."""
    return NAMED.get(path, path.removeprefix("extra."))


def flat(config: dict[str, Any]) -> dict[str, str]:
    """Keys of the ConfigMap for the tree below `config`."""
    return {key_of(f"{group}.{name}"): str(value) for group, tree in config.items() for name, value in tree.items()}


def manifest(found: dict[str, str]) -> str:
    """As Helm prints it: several documents with their sources."""
    data = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in found.items())
    return (
        "---\n# Source: voice-workflow/templates/other.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n"
        '  name: other\ndata:\n  LLM_TEMPERATURE: "9"\n'
        "---\n# Source: voice-workflow/templates/config.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n"
        f"  name: voice-gateway-config\ndata:\n{data}"
        "---\n# Source: voice-workflow/templates/service.yaml\napiVersion: v1\nkind: Service\nmetadata:\n  name: x\n"
    )


def upgrade(argv: list[str], given: str, state: dict[str, Any]) -> None:
    """`helm upgrade --install`, dry or not."""
    found = settings(argv, given, state)
    text = "" if state["own_configmap"] else manifest(found)
    if "--dry-run=server" in argv:
        print(json.dumps({"name": "voice-gateway", "manifest": text}))
        return
    if state["helm_fails"]:
        cluster.fail("Error: UPGRADE FAILED: context deadline exceeded")
    state.update(release_values=found, release=text, configmap=found)
    cluster.write(state)
    print("Release has been upgraded. Happy Helming!")


def main(argv: list[str]) -> None:
    """One call."""
    words = list(argv)
    while words and words[0] in {"--kube-context", "--namespace"}:
        words = words[2:]
    given = sys.stdin.read() if "-" in words else ""
    cluster.note("helm", argv, given)
    state = cluster.read()
    match words[0]:
        case "version":
            print(state["helm_version"], end="")
        case "upgrade":
            upgrade(words, given, state)
        case "get" | "status" if not state["release"]:
            cluster.fail("Error: release: not found")
        case "get":
            print(state["release"])


if __name__ == "__main__":
    main(sys.argv[1:])
