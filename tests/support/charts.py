"""Renders the chart with the real helm, as objects."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/voice-workflow"
RELEASE = "voice-gateway"
NAMESPACE = "voice-workflow"
HELM_S = 50

Object = dict[str, Any]


def helm_installed() -> bool:
    return shutil.which("helm") is not None


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False, timeout=HELM_S)


@cache
def rendered_text(release: str, *arguments: str) -> str:
    """What `helm template` prints. Raises AssertionError with what it complains of."""
    result = helm("template", release, str(CHART), "-n", NAMESPACE, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def shape(name: str) -> tuple[str, ...]:
    """Arguments for one of ci/."""
    return ("-f", str(CHART / f"ci/{name}-values.yaml"))


def given(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Arguments for dotted values; a dot within a key is written as `\\.`."""
    return tuple(part for key, value in values.items() for part in ("--set-json", f"{key}={json.dumps(value)}"))


def objects(*arguments: str, release: str = RELEASE) -> list[Object]:
    """All objects of a rendering."""
    return [item for item in yaml.safe_load_all(rendered_text(release, *arguments)) if item]


def one(kind: str, name: str, *arguments: str, release: str = RELEASE) -> Object:
    """The object of this kind and name."""
    found = [
        item
        for item in objects(*arguments, release=release)
        if item["kind"] == kind and item["metadata"]["name"] == name
    ]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def deployment(*arguments: str) -> Object:
    """The gateway's."""
    return one("Deployment", "voice-gateway-gateway", *arguments)


def container(*arguments: str) -> Object:
    """The gateway's."""
    (only,) = deployment(*arguments)["spec"]["template"]["spec"]["containers"]
    return dict(only)


def env(*arguments: str) -> dict[str, str]:
    """Plain variables of the gateway's container."""
    return {item["name"]: item["value"] for item in container(*arguments)["env"] if "value" in item}


def refusal(values: Mapping[str, Any]) -> str:
    """What helm complains of. Raises AssertionError where it renders."""
    return _refusal(given(values))


@cache
def _refusal(arguments: tuple[str, ...]) -> str:
    result = helm("template", RELEASE, str(CHART), "-n", NAMESPACE, *arguments)
    assert result.returncode != 0, "it renders"
    return result.stderr
