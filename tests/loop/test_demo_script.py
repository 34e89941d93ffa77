"""`make demo` as a person runs it: what it shows, and that it leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.edge, pytest.mark.speech]


def start(tmp_path: Path, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(ROOT / "scripts/demo.sh"), *arguments],
        env={**os.environ, "STACK_LOGS": str(tmp_path / "logs"), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_behind(session: int) -> list[str]:
    """Processes of the demo's session that still live."""
    found: list[str] = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or [str(process.pid)]))
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def test_the_demo_shows_the_turn_and_ends_clean(tmp_path: Path) -> None:
    demo = start(tmp_path)
    out, _ = demo.communicate(timeout=58)
    assert demo.returncode == 0, out
    assert "you: what time is it" in out
    assert re.search(r"assistant: It is .+\.", out)
    assert "latency of turn 1" in out
    assert "first audio sent" in out
    assert "out/answer.wav" in out
    assert left_behind(demo.pid) == []


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "what" in line and "..." in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert left_behind(demo.pid) == []


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["/nowhere/question.wav"], {}, "There is no file"),
        ([], {"ASR_SAMPLE_RATE": "fast"}, "ASR_SAMPLE_RATE"),
    ],
)
def test_errors_say_why_and_leave_no_process(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], says: str
) -> None:
    demo = start(tmp_path, *arguments, **environ)
    out, _ = demo.communicate(timeout=50)
    assert demo.returncode not in (0, None)
    assert says in out
    until = time.monotonic() + 5
    while left_behind(demo.pid) and time.monotonic() < until:
        os.sched_yield()
    assert left_behind(demo.pid) == []
