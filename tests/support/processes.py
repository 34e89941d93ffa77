"""Services as real processes, for tests that look at the whole product from outside."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
READY_S = 40.0
STOP_S = 15.0


class Service:
    """A running service that has told where it listens."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", ready: dict[str, Any], lines: list[str]) -> None:
        self.name = name
        self.process = process
        self.ready = ready
        self.lines = lines

    @property
    def address(self) -> str:
        """host:port that it told."""
        return str(self.ready.get("address") or f"127.0.0.1:{self.ready['port']}")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of one kind."""
        entries = (_parsed(line) for line in list(self.lines))
        return [entry for entry in entries if entry.get("event") == name]


@contextmanager
def service(name: str, *command: str, entering: Sequence[str] = (), **environ: str) -> Iterator[Service]:
    """Start one service, and end it by SIGTERM; fails when it does not become ready or does not end well. `entering`
    goes before the command, and becomes it.
    """
    process = subprocess.Popen(
        [*entering, str(BIN / command[0]), *command[1:]],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    ready: queue.Queue[dict[str, Any] | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, lines, ready), daemon=True)
    reader.start()
    try:
        told = ready.get(timeout=READY_S)
        assert told is not None, f"{name} did not start:\n" + "".join(lines[-20:])
        yield Service(name, process, told, lines)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S) == 0, f"{name} ended with {process.returncode}:\n" + "".join(lines[-20:])
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(STOP_S)
        reader.join(STOP_S)


def _read(process: "subprocess.Popen[str]", lines: list[str], ready: "queue.Queue[dict[str, Any] | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if (entry := _parsed(line)).get("event") == "ready":
            ready.put(entry)
    ready.put(None)
    process.stdout.close()


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return entry if isinstance(entry, dict) else {}


@dataclass(frozen=True)
class Stack:
    """A gateway and what is behind it."""

    gateway: Service
    speech: Service
    llm: Service


@contextmanager
def embedded_stack(**environ: str) -> Iterator[Stack]:
    """Speech worker, responder and gateway, as `make demo` starts them; `environ` is for the gateway."""
    with ExitStack() as stack:
        speech = stack.enter_context(service("speech-worker", "speech-worker", SPEECH_LISTEN_ADDRESS="127.0.0.1:0"))
        llm = stack.enter_context(service("responder", "offline-responder", RESPONDER_LISTEN_ADDRESS="127.0.0.1:0"))
        gateway = stack.enter_context(gateway_for(speech.address, f"http://{llm.address}/v1", **environ))
        yield Stack(gateway, speech, llm)


@contextmanager
def gateway_for(
    riva: str, llm_base_url: str, *, entering: Sequence[str] = (), host: str = "127.0.0.1", **environ: str
) -> Iterator[Service]:
    """A gateway process for these backends."""
    with service(
        "gateway",
        "voice-gateway",
        entering=entering,
        RIVA_URI=riva,
        LLM_BASE_URL=llm_base_url,
        GATEWAY_LISTEN_ADDRESS=f"{host}:0",
        METRICS_LISTEN_ADDRESS="127.0.0.1:0",
        **environ,
    ) as gateway:
        yield gateway
