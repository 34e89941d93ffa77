"""A worker as its own process, ended at the end whatever happens; and what became of processes."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

START_DEADLINE_S = 40.0


@dataclass
class WorkerProcess:
    process: "subprocess.Popen[str]"
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def family(self) -> list[psutil.Process]:
        """The engine processes, however deep."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def worker_process(*flags: str) -> Iterator[WorkerProcess]:
    """Started with a free port; entered when its ready line has come."""
    command = [sys.executable, "-m", "speech_worker", "--listen-address", "127.0.0.1:0", *flags]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SPEECH_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    watchdog = threading.Timer(START_DEADLINE_S, process.kill)
    watchdog.start()
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        watchdog.cancel()
        ready = json.loads(line) if line else {}
        assert ready.get("event") == "ready", f"{line}{process.stderr.read()}"
        yield WorkerProcess(process, ready["port"])
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def all_gone(processes: list[psutil.Process], *, within_s: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
