"""Scripts run as real processes, with a PATH of stand-ins and the few ordinary tools that the scripts may use."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SUPPORT = Path(__file__).parent
# What macOS has too. Anything else that a script calls is missing here, and the test fails.
ORDINARY = [
    "awk",
    "base64",
    "basename",
    "bash",
    "cat",
    "cut",
    "dirname",
    "env",
    "grep",
    "head",
    "kill",
    "mktemp",
    "paste",
    "rm",
    "sed",
    "seq",
    "tail",
    "tr",
    "wc",
]
CHANGING = {
    "apply",
    "create",
    "delete",
    "patch",
    "edit",
    "replace",
    "scale",
    "upgrade",
    "uninstall",
    "install",
    "label",
}

UNTOUCHED = {
    "contexts": ["test", "prod"],
    "current": "prod",
    "answers": True,
    "nodes": ["node001", "node002"],
    "gpus": "1",
    "objects": [],
    "pods": "",
    "configmap": None,
    "configmap_version": "7",
    "release": "",
    "release_values": {},
    "own_configmap": False,
    "helm_version": "v3.19.5",
    "helm_fails": False,
    "rollout_fails": False,
    "triton_ready_at": 0,
    "forward_ends": False,
}


@dataclass(frozen=True)
class Call:
    """One call of a stand-in."""

    tool: str
    argv: list[str]
    stdin: str

    @property
    def verb(self) -> str:
        """The word that says what is done."""
        words = list(self.argv)
        while words and words[0] in {"--context", "--kube-context", "--namespace"}:
            words = words[2:]
        return words[0]

    @property
    def changes(self) -> bool:
        """Whether it changes the cluster."""
        return self.verb in CHANGING and not any(word.startswith("--dry-run") for word in self.argv)


@dataclass(frozen=True)
class Done:
    """A script that has ended."""

    status: int
    out: str
    err: str


@dataclass
class ScriptCluster:
    """The folder of one test: stand-ins, their state, and what was called."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.chart = self.bin / "chart.tgz"
        self.chart.touch()
        for name in ORDINARY:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        for name in ("kubectl", "helm"):
            self.add(name, f'exec {sys.executable} -m standins.{name} "$@"\n')
        (self.bin / "python3").symlink_to(sys.executable)
        self.add("date", 'cat "$STANDIN_DIR/clock" 2>/dev/null || echo 0\n')
        # Twenty times as fast as asked, so that an hour and a half are eighteen steps of fifteen seconds.
        self.add("sleep", 'echo $(($(date) + 20 * ${1%%.*})) >"$STANDIN_DIR/clock"\n')
        self.set(**UNTOUCHED)

    def add(self, name: str, body: str) -> None:
        """A program on the PATH, in the words of a shell."""
        program = self.bin / name
        program.unlink(missing_ok=True)
        program.write_text("#!/bin/bash\n" + body)
        program.chmod(0o755)

    def set(self, **changes: Any) -> None:
        """Change the state."""
        state = self.folder / "state.json"
        now = json.loads(state.read_text()) if state.exists() else {}
        state.write_text(json.dumps({**now, **changes}))

    def env(self, **environ: str) -> dict[str, str]:
        """What a script sees of the environment."""
        return {
            "PATH": str(self.bin),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "STANDIN_DIR": str(self.folder),
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path]),
            **self.environ,
            **environ,
        }

    def run(self, script: str, *arguments: str, **environ: str) -> Done:
        """Run one script to its end, without a terminal."""
        done = subprocess.run(
            [str(ROOT / "scripts" / script), *arguments],
            env=self.env(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def calls(self, tool: str = "") -> list[Call]:
        """What was called, in order."""
        log = self.folder / "calls.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        found = [Call(**json.loads(line)) for line in lines]
        return [call for call in found if tool in ("", call.tool)]

    def changes(self) -> list[Call]:
        """Calls that change the cluster."""
        return [call for call in self.calls() if call.changes]

    def left_files(self) -> list[str]:
        """Names in the temporary folder that are not the test's own."""
        own = {"bin", "state.json", "calls.jsonl", "clock"}
        return sorted(path.name for path in self.folder.iterdir() if path.name not in own)
