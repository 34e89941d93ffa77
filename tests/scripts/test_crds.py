"""scripts/test_crds.sh makes what is missing, takes away what it made, and says what keeps it from that."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from script_cluster import ORDINARY

SCRIPT = Path(__file__).parents[2] / "scripts/test_crds.sh"
MODULES = re.findall(r"^(\S+@v\S+) (h1:\S+) (\S+)$", SCRIPT.read_text(), re.MULTILINE)
KINDS = dict(re.findall(r"^(\w+\.[\w.-]+) (\S+\.yaml)$", SCRIPT.read_text(), re.MULTILINE))
NVIDIA = {kind for kind in KINDS if kind.endswith(".nvidia.com")}
PROJECTS = {
    "networking": "gateway-api",
    "keda": "keda",
    "coreos": "prometheus-operator",
    "cert-manager": "cert-manager",
}
"""Part of a kind's name, and of the module that describes it."""

KUBECTL = """
import json, pathlib, sys
state = pathlib.Path("{state}")
known = json.loads(state.read_text())
match sys.argv[1:]:
    case ["get", "crd", *options, "-o", "name"]:
        wanted = [kind for kind, mine in known.items() if mine or "-l" not in options]
        print("".join(f"customresourcedefinition.apiextensions.k8s.io/{{kind}}\\n" for kind in wanted), end="")
    case ["get", kind, "--all-namespaces", "-o", "name"]:
        print("an-object\\n" if kind == "{used}" else "", end="")
    case ["label", "--local", *files, label, "-o", "json"]:
        print("\\n".join(str(pathlib.Path(file).resolve(strict=True).name) for file in files[1::2]))
    case ["apply", "--server-side", "-f", "-"]:
        files = sys.stdin.read().split()
        known |= {{kind: True for kind, file in {kinds}.items() if file in files}}
    case ["wait", "--for=condition=Established", "--timeout=30s", *names]:
        sys.exit(not {{name.removeprefix("crd/") for name in names}} <= set(known))
    case ["delete", "crd", kind]:
        del known[kind]
    case unexpected:
        sys.exit(f"not expected: {{unexpected}}")
if "--server-side" in sys.argv or "delete" in sys.argv:
    state.write_text(json.dumps(known))
"""
GO = """
import json, sys
match sys.argv[1:]:
    case ["env", "GOPROXY"]:
        print("https://proxy.example.com")
    case ["mod", "download", "-json", module]:
        answer = {answers}[module]
        print(json.dumps(answer | {{"Dir": "{folder}/" + module}}, indent="\\t"))
        sys.exit("Error" in answer)
"""


class Machine:
    """With a cluster that knows some kinds, each made by the script or not, and with Go or without."""

    def __init__(self, folder: Path, known: dict[str, bool] | None = None, *, go: bool = True) -> None:
        self.known = known or {}
        self.answers = {module: {"Sum": digest} for module, digest, _ in MODULES}
        self.used = ""
        self.environ = {"KUBECONFIG": "a-file"}
        self._folder, self._go = folder, go
        for module, _, path in MODULES:
            (folder / module / path).mkdir(parents=True)
        self.operator = folder / "operator"
        (self.operator / "config/crd/bases").mkdir(parents=True)
        for kind, file in KINDS.items():
            (self._folder_of(kind) / file).touch()

    def _folder_of(self, kind: str) -> Path:
        if kind in NVIDIA:
            return self.operator / "config/crd/bases"
        (project,) = (project for part, project in PROJECTS.items() if part in kind)
        place: Path
        (place,) = (self._folder / module / path for module, _, path in MODULES if f"/{project}" in module)
        return place

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The script. What the cluster knows afterwards is in `known`."""
        tools, state = self._folder / "bin", self._folder / "known.json"
        shutil.rmtree(tools, ignore_errors=True)
        tools.mkdir()
        state.write_text(json.dumps(self.known))
        for name in (*ORDINARY, "sleep"):
            (tools / name).symlink_to(str(shutil.which(name)))
        scripts = {"kubectl": KUBECTL.format(state=state, used=self.used, kinds=KINDS)}
        if self._go:
            scripts["go"] = GO.format(answers=self.answers, folder=self._folder)
        for name, text in scripts.items():
            (tools / name).write_text(f"#!{sys.executable}{text}")
            (tools / name).chmod(0o755)
        done = subprocess.run(
            [str(SCRIPT), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={"PATH": str(tools), "GOROOT": str(self._folder), **self.environ},
        )
        self.known = json.loads(state.read_text())
        return done


def test_what_is_missing_is_made_and_taken_away(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"scaledobjects.keda.sh": False})
    done = machine.run()
    assert done.returncode == 0, done.stderr
    made = set(KINDS) - NVIDIA - {"scaledobjects.keda.sh"}
    assert machine.known == {"scaledobjects.keda.sh": False, **dict.fromkeys(made, True)}
    assert set(machine.run("list").stdout.split()) == set(machine.known)
    assert machine.run("remove").returncode == 0
    assert machine.known == {"scaledobjects.keda.sh": False}


def test_the_nim_operators_kinds_come_from_a_checkout(tmp_path: Path) -> None:
    machine = Machine(tmp_path, dict.fromkeys(set(KINDS) - NVIDIA, False))
    machine.environ["VOICE_TEST_NIM_OPERATOR"] = str(machine.operator)
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert {kind for kind, mine in machine.known.items() if mine} == NVIDIA
    assert set(done.stdout.split()) >= NVIDIA


def test_where_all_is_there_go_is_not_asked(tmp_path: Path) -> None:
    machine = Machine(tmp_path, dict.fromkeys(KINDS, False), go=False)
    assert machine.run().returncode == 0
    assert machine.known == dict.fromkeys(KINDS, False)


def test_a_kind_in_use_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.run()
    machine.used = "scaledobjects.keda.sh"
    done = machine.run("remove")
    assert machine.known == {"scaledobjects.keda.sh": True}
    assert "there are objects of it" in done.stderr


def test_without_go_it_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path, go=False)
    done = machine.run()
    assert (done.returncode, machine.known) == (2, {})
    assert "Go is needed" in done.stderr


def test_a_proxy_that_refuses_is_quoted(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.answers[MODULES[1][0]] = {"Error": "403 Forbidden"}
    done = machine.run()
    assert (done.returncode, machine.known) == (2, {})
    assert re.search(r"keda.* did not come .*proxy\.example\.com.*403 Forbidden", done.stderr)


def test_a_module_that_is_not_what_it_was_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.answers[MODULES[0][0]] = {"Sum": "h1:another"}
    done = machine.run()
    assert (done.returncode, machine.known) == (2, {})
    assert "is not what it was" in done.stderr


def test_no_cluster_is_guessed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.environ.clear()
    done = machine.run()
    assert (done.returncode, machine.known) == (2, {})
    assert "Set KUBECONFIG" in done.stderr
