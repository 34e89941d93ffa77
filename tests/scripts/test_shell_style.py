"""All shell scripts pass shellcheck, and those for a Mac keep to bash 3.2."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("scripts/*.sh"), *ROOT.glob("scripts/lib/*.sh"), ROOT / ".ci/run"])
CLUSTER_SCRIPTS = [path for path in SCRIPTS if path.parent.name == "lib" or 'source "$here/lib/' in path.read_text()]
# Of bash 4 and later: associative arrays, name references, case conversion, mapfile, wait -n, |&, ${x@Q}, %(time)T.
LATER_BASH = re.compile(
    r"declare -[A-Zn]|local -[An]\b|\$\{\w+(\[[^]]*\])?(\^|,)|\bmapfile\b|\breadarray\b|wait -n"
    r"|\|&|&>>|\$\{[^}]*@[QEPAa]\}|printf '%\(|coproc"
)
# Of GNU tools, and unknown to macOS: timeout, sed -i without a suffix, readlink -f, date -d, base64 -w, grep -P.
GNU_ONLY = re.compile(
    r"(?<!-)\btimeout [0-9$]|\bsed -i |readlink -f|date -d|base64 -w|grep -\w*P\b|\bxargs -r\b|\btac\b"
)


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run(
        [str(shellcheck), "--external-sources", "--source-path=SCRIPTDIR", *map(str, SCRIPTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", CLUSTER_SCRIPTS, ids=lambda path: path.name)
def test_it_keeps_to_what_a_mac_has(script: Path) -> None:
    lines = [line for line in script.read_text().splitlines() if not line.lstrip().startswith("#")]
    for pattern in (LATER_BASH, GNU_ONLY):
        assert [line for line in lines if pattern.search(line)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_it_stops_at_the_first_error(script: Path) -> None:
    text = script.read_text()
    assert "set -euo pipefail" in text or "# Sourced after" in text or "# Sourced by" in text
