"""What every Dockerfile holds to, by reading it."""

import json
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = {"voice-gateway": "voice-gateway", "speech-worker": "voice-speech-worker", "fakes": "voice-fakes"}
LABELS = ("title", "description", "version", "revision", "source", "created", "licenses", "base.name")
UNINSTALLED = {"grpcio-tools", "setuptools", "websockets"}  # asked for by nvidia-riva-client, loaded by nobody


@dataclass
class Stage:
    """One FROM and what follows; `steps` are (instruction, rest), continuation lines joined."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.steps if name == instruction]


def stages_of(folder: str) -> list[Stage]:
    text = (ROOT / "services" / folder / "Dockerfile").read_text("utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    found: list[Stage] = []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        elif instruction and found:
            found[-1].steps.append((instruction, rest.strip()))
    return found


every_image = pytest.mark.parametrize("folder", IMAGES)


def test_these_are_all_the_dockerfiles() -> None:
    assert {path.parent.name for path in ROOT.glob("services/*/Dockerfile")} == set(IMAGES)


@every_image
def test_the_base_is_an_argument_and_nothing_else_is_pulled(folder: str) -> None:
    stages = stages_of(folder)
    assert [stage.base for stage in stages] == ["${PYTHON_IMAGE}", "system", "system"]
    assert stages[-1].name == ""
    text = (ROOT / "services" / folder / "Dockerfile").read_text("utf-8")
    assert "\nARG PYTHON_IMAGE=python:3.11-slim\n" in text
    assert "# syntax" not in text, "a frontend would be pulled"
    for copied in re.findall(r"--from=(\S+)", text):
        assert copied in {stage.name for stage in stages}


@every_image
def test_nothing_comes_from_an_address(folder: str) -> None:
    for stage in stages_of(folder):
        assert not stage.all("ADD"), "COPY says what it does"
        for instruction, rest in stage.steps:
            if instruction != "HEALTHCHECK":
                assert "://" not in rest, rest
            assert not re.search(r"\b(curl|wget|git clone)\b", rest), rest


@every_image
def test_packages_are_hash_checked_and_none_is_compiled(folder: str) -> None:
    for stage in stages_of(folder):
        for command in stage.all("RUN"):
            assert "pip" not in shlex.split(command), "only scripts/image_packages.sh installs"
    script = (ROOT / "scripts/image_packages.sh").read_text("utf-8")
    joined = re.sub(r"\\\n", " ", script)
    installs = [line for line in joined.splitlines() if " -r " in line or '"${files[@]}"' in line]
    assert len(installs) >= 2
    for line in installs:
        if "install" in line:
            assert "--require-hashes" in line, line
            assert "--only-binary :all:" in line, line
    assert "--offline" in joined
    assert "--no-index" in joined


@every_image
def test_the_last_stage_only_copies_and_runs_as_1000(folder: str) -> None:
    final = stages_of(folder)[-1]
    assert not final.all("RUN"), "what a builder needs would stay in the image"
    assert final.all("USER") == ["1000:1000"]
    order = [instruction for instruction, _ in final.steps]
    assert order.index("USER") > max(index for index, name in enumerate(order) if name == "COPY")
    environment = " ".join(final.all("ENV"))
    for needed in ("PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONSAFEPATH=1", "HOME=/tmp"):
        assert needed in environment
    assert not re.search(r"(KEY|TOKEN|PASSWORD|SECRET)=", environment)


@every_image
def test_it_runs_without_a_shell_and_is_asked_without_one(folder: str) -> None:
    final = stages_of(folder)[-1]
    for instruction in ("ENTRYPOINT", "CMD"):
        for command in final.all(instruction):
            assert isinstance(json.loads(command), list)
    assert final.all("ENTRYPOINT") or final.all("CMD")
    (check,) = final.all("HEALTHCHECK")
    asked = json.loads(check.partition("CMD ")[2])
    assert asked[:3] == ["python", "-m", "servicekit.probe"]
    assert "--timeout=" in check
    assert final.all("EXPOSE")


@every_image
def test_it_says_what_it_is(folder: str) -> None:
    final = stages_of(folder)[-1]
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', " ".join(final.all("LABEL"))))
    assert sorted(labels) == sorted(LABELS)
    assert labels["title"] == IMAGES[folder]
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == "${VERSION}"
    assert any(rest.startswith("--from=build /usr/share/sbom/") for rest in final.all("COPY"))
    assert any(f"finish {IMAGES[folder]}" in rest for rest in stages_of(folder)[1].all("RUN"))


def project(folder: str) -> dict[str, object]:
    content = tomllib.loads((ROOT / "services" / folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert isinstance(content, dict)
    return content


def normal(requirement: str) -> str:
    """The name of a requirement without version, extras and marker."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", requirement)[0]).lower()


@every_image
def test_what_the_packages_need_is_pinned_and_copied(folder: str) -> None:
    build = stages_of(folder)[1]
    (pins,) = [rest.split()[2:] for rest in build.all("RUN") if " pins " in rest]
    (own,) = [rest.split()[2:] for rest in build.all("RUN") if " own " in rest]
    text = "".join((ROOT / file).read_text("utf-8") for file in pins)
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", text, flags=re.MULTILINE))
    names = {str(project(name)["name"]) for name in own}
    for name in own:
        needs = project(name)["dependencies"]
        assert isinstance(needs, list)
        missing = {normal(each) for each in needs} - pinned - names
        assert not missing, f"{name} needs {missing}"
        assert f"services/{name}/ services/{name}/" in build.all("COPY")
    assert not pinned & UNINSTALLED
    copied = {word for rest in build.all("COPY") for word in rest.split()}
    assert set(pins) <= copied


@every_image
def test_what_is_copied_is_there_and_not_ignored(folder: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored, "the context is a list of what is wanted, not of what is not"
    wanted = [line[1:] for line in ignored if line.startswith("!")]
    for stage in stages_of(folder):
        for rest in stage.all("COPY"):
            if rest.startswith("--from"):
                continue
            for source in rest.split()[:-1]:
                path = ROOT / source
                assert path.exists(), source
                relative = path.relative_to(ROOT)
                kept = relative.parts[0] in wanted or any(relative.match(pattern) for pattern in wanted)
                assert kept, source
    assert "services/*/tests" in ignored


def test_no_gpl_engine_is_in_an_image() -> None:
    """docs/reference/licenses say so; the pins hold it for Python, this for Debian's packages."""
    for folder in IMAGES:
        text = (ROOT / "services" / folder / "Dockerfile").read_text("utf-8")
        assert "espeak" not in text
