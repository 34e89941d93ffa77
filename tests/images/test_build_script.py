"""scripts/build_gateway.sh: what it would run, and what it refuses, with stand-ins for the builders."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "sed", "head", "git", "date", "awk", "dirname", "env")
EPOCH = "1700000000"


class Desk:
    """A PATH with the usual tools and some builders, each of which writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (self.bin / tool).symlink_to(found)

    def add(self, builder: str, *, body: str = "") -> None:
        script = self.bin / builder
        script.write_text(f'#!/usr/bin/env bash\necho "{builder} $*" >>"{self.calls}"\n{body}\n')
        script.chmod(0o755)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(ROOT / "scripts/build_gateway.sh"), *arguments],
            env={"PATH": str(self.bin), "SOURCE_DATE_EPOCH": EPOCH, "HOME": os.environ.get("HOME", "/")},
            capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip

    def called(self, verb: str) -> Sequence[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if f" {verb} " in line]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_no_builder_is_said_with_what_to_do(desk: Desk) -> None:
    result = desk.run()
    assert result.returncode == 1
    assert "neither docker (with a daemon that answers), podman nor buildah is here" in result.stderr
    assert "apt-get install buildah" in result.stderr


def test_docker_without_a_daemon_is_passed_over_and_refused_by_name(desk: Desk) -> None:
    desk.add("docker", body="exit 1")
    desk.add("buildah")
    assert desk.run("--dry-run").stdout.startswith("builder buildah,")
    result = desk.run("--with", "docker")
    assert result.returncode == 1
    assert "its daemon does not answer" in result.stderr


def test_a_dry_run_says_all_and_runs_nothing(desk: Desk) -> None:
    desk.add("buildah")
    result = desk.run("--dry-run", "--registry", "registry.example.com/team/", "--tag", "1.2", "--push")
    assert result.returncode == 0, result.stderr
    assert desk.called("build") == desk.called("push") == []
    for image in ("voice-gateway", "voice-speech-worker", "voice-fakes"):
        assert f"--tag registry.example.com/team/{image}:1.2 ." in result.stdout
        assert f"+ buildah push registry.example.com/team/{image}:1.2\n" in result.stdout
    assert result.stdout.endswith("nothing was built: --dry-run\n")


@pytest.mark.parametrize("builder", ["docker", "podman", "buildah"])
def test_it_builds_what_was_named_with_what_was_said(desk: Desk, builder: str) -> None:
    desk.add(builder, body="case $* in *Size*) echo 1000000 ;; *) echo sha256:0 ;; esac")
    result = desk.run(
        "--base-image", "registry.example.com/python:3.12", "--source", "https://example.com/voice", "gateway", "--",
        "--network", "host",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (call,) = desk.called("build")
    assert call.startswith(f"{builder} build --file services/voice-gateway/Dockerfile ")
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    for part in (
        f"--build-arg VERSION={version[1]} ",
        "--build-arg PYTHON_IMAGE=registry.example.com/python:3.12 ",
        "--build-arg SOURCE=https://example.com/voice ",
        "--build-arg CREATED=2023-11-14T22:13:20Z ",
        f"--build-arg SOURCE_DATE_EPOCH={EPOCH} ",
        f"--tag localhost/voice-gateway:{version[1]} --network host .",
    ):
        assert part in call, part
    assert ("--format docker" in call) == (f"--timestamp {EPOCH}" in call) == (builder != "docker")
    assert desk.called("push") == []
    assert result.stdout.splitlines()[-1].startswith(f"localhost/voice-gateway:{version[1]}  ")
    assert result.stdout.splitlines()[-1].endswith("  sha256:0")


@pytest.mark.parametrize(
    ("builder", "build", "push"),
    [
        ("docker", "docker buildx build", "--push"),
        ("podman", "--manifest registry.example.com/voice-fakes:1", "podman manifest push --all"),
        ("buildah", "--manifest registry.example.com/voice-fakes:1", "buildah manifest push --all"),
    ],
)
def test_several_platforms_are_one_image_in_the_registry(desk: Desk, builder: str, build: str, push: str) -> None:
    desk.add(builder)
    result = desk.run(
        "--dry-run", "--platform", "linux/amd64,linux/arm64", "--registry", "registry.example.com", "--push", "--tag",
        "1", "fakes",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert build in result.stdout
    assert push in result.stdout
    assert "--platform linux/amd64" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--push"], "--push needs --registry"),
        (["--platform", "linux/amd64,linux/arm64"], "only a registry holds such an image"),
        (["--with", "kaniko"], "--with is 'kaniko'; allowed are docker, podman and buildah."),
        (["--with", "podman"], "there is no podman here"),
        (["--tag"], "--tag needs a value"),
        (["riva"], "'riva' is no image and no option"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(desk: Desk, arguments: list[str], sentence: str) -> None:
    desk.add("buildah")
    result = desk.run(*arguments)
    assert result.returncode in (1, 2)
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert desk.called("build") == []


def test_a_build_that_fails_ends_the_script(desk: Desk) -> None:
    desk.add("buildah", body="exit 3")
    result = desk.run("--registry", "registry.example.com", "--push")
    assert result.returncode == 3
    assert len(desk.called("build")) == 1
    assert desk.called("push") == []
