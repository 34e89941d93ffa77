"""scripts/port_forward.sh and smoke.sh, with pods that come and go."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from script_cluster import ROOT, ScriptCluster

pytestmark = pytest.mark.edge

LIMIT_S = 20
ONE = "gw-a True \n"
TWO_FIRST_LEAVES = "gw-a False 2026-01-01T00:00:00Z\ngw-b True \n"


class Forward:
    """A running port_forward.sh and what it has said."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        self.process.stdout.close()

    def until(self, words: str, times: int = 1) -> None:
        """Wait until it has said this so often."""
        with self._changed:
            said = self._changed.wait_for(lambda: sum(words in line for line in self.lines) >= times, LIMIT_S)
        assert said, "".join(self.lines)

    def end(self, sent: signal.Signals) -> int:
        """End it as a person or a system would."""
        self.process.send_signal(sent)
        status = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return status


@contextmanager
def forwarding(cluster: ScriptCluster, *words: str) -> Iterator[Forward]:
    process = subprocess.Popen(
        [str(ROOT / "scripts/port_forward.sh"), "--context", "test", *words],
        env=cluster.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    forward = Forward(process)
    try:
        yield forward
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(LIMIT_S)


def left_behind(session: int) -> list[str]:
    """Stand-ins of the script's session that still live."""
    found: list[str] = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or []))
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return [line for line in found if "port-forward" in line]


@pytest.fixture
def real_time(cluster: ScriptCluster) -> ScriptCluster:
    """The script looks again after a real moment, a short one."""
    cluster.add("sleep", "exec /bin/sleep 0.2\n")
    return cluster


def test_it_listens_on_loopback_and_ends_by_a_signal(real_time: ScriptCluster) -> None:
    real_time.set(pods=ONE)
    with forwarding(real_time, "--port", "50099") as forward:
        forward.until("Forwarding from")
        assert forward.end(signal.SIGINT) == 130
        assert left_behind(forward.process.pid) == []
    [call] = [call for call in real_time.calls("kubectl") if call.verb == "port-forward"]
    assert call.argv[4:] == ["port-forward", "--address", "127.0.0.1", "pod/gw-a", "50099:50051"]
    assert "WARNING" not in "".join(forward.lines)


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1,0.0.0.0", "127.evil.test"])
def test_another_address_is_warned_of(real_time: ScriptCluster, address: str) -> None:
    real_time.set(pods=ONE)
    with forwarding(real_time, "--address", address) as forward:
        forward.until("Forwarding from")
        assert forward.end(signal.SIGTERM) == 143
    assert f"WARNING: {address.rpartition(',')[2]} is not loopback" in "".join(forward.lines)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost,::1,127.0.0.2"])
def test_a_dry_run_forwards_nothing_and_says_so_without_a_pod(cluster: ScriptCluster, address: str) -> None:
    words = ("--context", "test", "--address", address, "--dry-run")
    done = cluster.run("port_forward.sh", *words)
    assert "pod/POD 50051:50051" in done.out
    assert "no pod of the gateway is ready now; it would wait for one" in done.err
    assert "WARNING" not in done.err
    cluster.set(pods=ONE)
    assert "pod/gw-a 50051:50051" in cluster.run("port_forward.sh", *words).out


def test_it_moves_to_another_pod_when_its_own_is_gone(real_time: ScriptCluster) -> None:
    real_time.set(pods=ONE)
    with forwarding(real_time) as forward:
        forward.until("-> gw-a:50051")
        forward.until("Forwarding from")
        real_time.set(pods="gw-b True \n")
        forward.until("-> gw-b:50051")
        assert forward.end(signal.SIGTERM) == 143
        assert left_behind(forward.process.pid) == []


def test_a_pod_that_drains_keeps_its_port_for_a_while(real_time: ScriptCluster) -> None:
    real_time.set(pods=ONE)
    with forwarding(real_time) as forward:
        forward.until("Forwarding from")
        real_time.set(pods=TWO_FIRST_LEAVES)
        looked = len(real_time.calls("kubectl"))
        forward.until("-> gw-b:50051")
        looks = [call for call in real_time.calls("kubectl")[looked:] if call.verb == "get"]
        assert len(looks) >= 8
        assert forward.end(signal.SIGTERM) == 143


def test_without_a_pod_it_waits_for_one(real_time: ScriptCluster) -> None:
    with forwarding(real_time) as forward:
        forward.until("no pod of the gateway is ready")
        real_time.set(pods=ONE)
        forward.until("Forwarding from")
        assert forward.end(signal.SIGTERM) == 143


def test_a_forward_that_never_lasts_ends_with_a_sentence(real_time: ScriptCluster) -> None:
    real_time.set(pods=ONE, forward_ends=True)
    done = real_time.run("port_forward.sh", "--context", "test")
    assert done.status == 1
    assert "kubectl port-forward ends at once each time" in done.err
    assert len([call for call in real_time.calls("kubectl") if call.verb == "port-forward"]) == 5


VOICE = """echo "$*" >>"$STANDIN_DIR/voice-calls"
case $1 in
  check) echo "all is well"; exit ${CHECK_STATUS:-0} ;;
  talk) read -r line; echo "you: $line"; echo "assistant: ${TEXT_ANSWER-It is 42.}" ;;
  say) echo "assistant: It is noon."; while [ "$1" != --out ]; do shift; done; head -c ${SOUND:-4000} /dev/zero >"$2" ;;
esac
"""


@pytest.fixture
def smoking(real_time: ScriptCluster) -> ScriptCluster:
    """A client that answers, and time that passes."""
    real_time.add("voice", VOICE)
    real_time.environ["VOICE"] = str(real_time.bin / "voice")
    real_time.add("sleep", 'exec /bin/sleep "$1"\n')
    return real_time


def test_smoke_asks_health_text_and_speech_through_a_forward_of_its_own(smoking: ScriptCluster) -> None:
    smoking.set(pods=ONE)
    done = smoking.run("smoke.sh", "--context", "test", "--", "--tls")
    assert done.status == 0, done.err
    calls = (smoking.folder / "voice-calls").read_text().splitlines()
    assert [line.split()[0] for line in calls] == ["check", "talk", "say"]
    assert all("--target 127.0.0.1:40404 --tls" in line for line in calls)
    assert '"What is seven times six?" -> "It is 42."' in done.err
    assert smoking.left_files() == ["voice-calls"]


@pytest.mark.parametrize(
    ("environ", "failed"),
    [
        ({"CHECK_STATUS": "1"}, "health and backends"),
        ({"TEXT_ANSWER": ""}, "a call in text"),
        ({"SOUND": "44"}, "a spoken call"),
    ],
)
def test_smoke_fails_where_one_of_them_does(smoking: ScriptCluster, environ: dict[str, str], failed: str) -> None:
    done = smoking.run("smoke.sh", "--address", "127.0.0.1:1", **environ)
    assert done.status == 1
    assert f"{failed}: FAILED" in done.err
    assert done.err.count("FAILED") == 1
    assert smoking.calls() == []


@pytest.mark.parametrize(("hears", "status"), [("", 143), ("trap '' TERM; ", 137)])
def test_smoke_does_not_wait_for_ever(smoking: ScriptCluster, hears: str, status: int) -> None:
    smoking.add("voice", f'[ "$1" != check ] || {{ {hears}exec /bin/sleep 600; }}\n')
    done = smoking.run("smoke.sh", "--address", "127.0.0.1:1", "--timeout", "1")
    assert done.status == 1
    assert f"health and backends: FAILED (status {status})" in done.err


def test_smoke_without_a_client_says_how_to_get_one(cluster: ScriptCluster) -> None:
    done = cluster.run("smoke.sh", "--address", "127.0.0.1:1", VOICE="/nowhere/voice")
    assert done.status == 1
    assert "run `make setup`, or name one with VOICE=" in done.err


def test_smoke_without_a_pod_says_so(smoking: ScriptCluster) -> None:
    done = smoking.run("smoke.sh", "--context", "test")
    assert done.status == 1
    assert "no pod of the gateway is ready" in done.err
