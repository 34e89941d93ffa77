"""The images themselves, built and looked into. Only where VOICE_TESTS_IMAGES=1 asks: docs/how-to/build-images.md.

VOICE_TESTS_BUILD holds options for scripts/build_gateway.sh, such as --with, --base-image and, after --, the builder's.
VOICE_TESTS_RUN holds options for the builder's `run`.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("voice-gateway", "voice-speech-worker", "voice-fakes")
TAG = "image-test"
BUILD_S = 1500

pytestmark = [pytest.mark.edge, pytest.mark.timeout(BUILD_S + 100)]

Inside = Callable[..., "subprocess.CompletedProcess[str]"]

LOOK = """
import json, os, pathlib, sys, sysconfig
packages = pathlib.Path(sysconfig.get_path("purelib"))
tools = ("gcc", "cc", "g++", "make", "ld", "uv", "git", "curl", "wget")
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(),
    "tools": [t for t in tools for d in os.environ["PATH"].split(":") if os.path.exists(d + "/" + t)],
    "cache": [str(p) for p in pathlib.Path("/").glob("root/.cache/*")] if os.access("/root", os.R_OK) else [],
    "build": os.path.exists("/build"),
    "uncompiled": [
        str(p) for p in packages.rglob("*.py") if not list((p.parent / "__pycache__").glob(p.stem + ".*.pyc"))
    ],
    "writable": [d for d, _, _ in os.walk("/opt") if os.access(d, os.W_OK)],
    "bin": sorted(os.listdir("/opt/voice/bin")),
    "sbom": json.loads(next(pathlib.Path("/usr/share/sbom").glob("*.json")).read_text()),
    "notice": [p.name for p in pathlib.Path("/usr/share/doc").glob("voice-*/NOTICE")],
}))
"""

ENGINES = "import pocketsphinx; from speech_worker.engines.flite import prepare; print(prepare({})[1]['voices'])"


def build_options() -> list[str]:
    return shlex.split(os.environ.get("VOICE_TESTS_BUILD", ""))


@pytest.fixture(scope="session")
def images() -> Iterator[dict[str, Inside]]:
    """By image name: run a command in it, as its own user."""
    built = subprocess.run(
        [str(ROOT / "scripts/build_gateway.sh"), "--tag", TAG, *build_options()],
        check=False, capture_output=True, text=True, timeout=BUILD_S,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    builder = built.stdout.split()[1].rstrip(",")
    containers: list[str] = []
    yield {name: _runner(builder, f"localhost/{name}:{TAG}", containers) for name in NAMES}
    for container in containers:
        subprocess.run([builder, "rm", container], check=True, capture_output=True, timeout=60)


def _runner(builder: str, reference: str, containers: list[str]) -> Inside:
    def inside(*command: str) -> "subprocess.CompletedProcess[str]":
        options = shlex.split(os.environ.get("VOICE_TESTS_RUN", ""))
        if builder == "buildah":
            made = subprocess.run([builder, "from", reference], check=True, capture_output=True, text=True, timeout=60)
            containers.append(made.stdout.strip())
            line = [builder, "run", *options, containers[-1], "--", *command]
        else:
            line = [builder, "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", *options]
            line += ["--entrypoint", command[0], reference, *command[1:]]
        return subprocess.run(line, check=False, capture_output=True, text=True, timeout=120)

    return inside


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_in_it_that_it_does_not_need(images: dict[str, Inside], name: str) -> None:
    result = images[name]("python", "-c", LOOK)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["uid"], found["gid"]) == (1000, 1000)
    assert found["tools"] == found["cache"] == found["uncompiled"] == found["writable"] == []
    assert not found["build"]
    assert found["notice"] == ["NOTICE"]
    own = {"voice-gateway", "speech-worker", "offline-responder", "voice-fakes"}
    assert {each for each in found["bin"] if not each.startswith("python")} <= own
    assert found["sbom"]["metadata"]["component"]["name"] == name
    refs = " ".join(each["bom-ref"] for each in found["sbom"]["components"])
    assert "pkg:pypi/servicekit@" in refs
    assert "pkg:pypi/uv@" not in refs


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("voice-gateway", ["voice-gateway", "--check"]),
        ("voice-speech-worker", ["speech-worker", "--help"]),
        ("voice-speech-worker", ["offline-responder", "--help"]),
        ("voice-speech-worker", ["python", "-c", ENGINES]),
        ("voice-fakes", ["voice-fakes", "--help"]),
    ],
)  # fmt: skip
def test_its_commands_start(images: dict[str, Inside], name: str, command: list[str]) -> None:
    result = images[name](*command)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_its_health_check_says_that_nothing_runs(images: dict[str, Inside], name: str) -> None:
    result = images[name]("python", "-m", "servicekit.probe", "127.0.0.1:9", "--timeout", "1")
    assert result.returncode == 1
    assert "127.0.0.1:9 does not answer" in result.stderr
