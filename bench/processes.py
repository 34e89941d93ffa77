"""The processes of a measurement: the gateway on core 0, fakes and callers on core 1, and whether they had them."""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from bench.table import percentile
from voice_fakes import RunningFakes

LOGS = Path("out/bench-logs")
LAG_PERIOD_S = 0.01
MAX_VALID_LAG_MS = 5.0
FULL = 0.9
"""Share of a core from which on work waits in line."""
READY_TIMEOUT_S = 60.0


def settle_in() -> None:
    """Move this process to core 1, and keep its start-up objects out of the garbage collector's way."""
    LOGS.mkdir(parents=True, exist_ok=True)
    if gateway_core() is not None:
        psutil.Process().cpu_affinity([1])
    gc.collect()
    gc.freeze()


def gateway_core() -> int | None:
    """The core of the gateway's own; None on a machine with one."""
    return 0 if (os.cpu_count() or 1) > 1 else None


class Served(NamedTuple):
    """A gateway that runs."""

    target: str
    process: psutil.Process
    metrics_port: int
    """0 where it has none."""
    log: Path
    """What it says, in JSON lines."""


_numbers = count()


@asynccontextmanager
async def gateway(
    fakes: RunningFakes,
    *,
    passthrough: bool = False,
    settings: Mapping[str, str] | None = None,
    entering: Sequence[str] = (),
) -> AsyncIterator[Served]:
    """A gateway process on its core. `settings` are laid over the benchmark's own; `entering` goes before the command,
    and becomes it. It may have ended when the context is left.
    """
    module = "bench.passthrough_server" if passthrough else "voice_gateway"
    environ = {
        **os.environ,
        "GRPC_ENABLE_FORK_SUPPORT": "0",
        "RIVA_URI": f"127.0.0.1:{fakes.riva_port}",
        "LLM_BASE_URL": f"http://127.0.0.1:{fakes.llm_port}/v1",
        "GATEWAY_LISTEN_ADDRESS": "127.0.0.1:0",
        "METRICS_LISTEN_ADDRESS": "127.0.0.1:0",
        "MAX_CALLS": "1000",
        "LOG_LEVEL": "warning" if passthrough else "info",
        **(settings or {}),
    }
    log = LOGS / f"{'passthrough' if passthrough else 'gateway'}-{next(_numbers)}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *entering, sys.executable, "-m", module, env=environ, stdout=out, stderr=asyncio.subprocess.STDOUT
        )
    watched = psutil.Process(process.pid)
    if (core := gateway_core()) is not None:
        watched.cpu_affinity([core])
    try:
        ready = await _ready(log, process)
        host = environ["GATEWAY_LISTEN_ADDRESS"].rpartition(":")[0]
        target = str(ready.get("address") or f"{host}:{ready['port']}")
        yield Served(target, watched, int(ready.get("metrics_port", 0)), log)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _ready(log: Path, process: asyncio.subprocess.Process) -> dict[str, Any]:
    until = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < until and process.returncode is None:
        for line in (await asyncio.to_thread(log.read_text)).splitlines():
            if '"ready"' in line:
                entry: dict[str, Any] = json.loads(line)
                return entry
        await asyncio.sleep(0.05)
    raise RuntimeError(f"the gateway did not start:\n{(await asyncio.to_thread(log.read_text))[-2000:]}")


@dataclass(slots=True)
class Conditions:
    """What a measurement ran under."""

    lag_p99_ms: float = 0.0
    """How late this process's own loop ran its timers."""
    generator_cores: float = 0.0
    """CPU of this process: fakes and callers."""
    gateway_cores: float = 0.0
    gateway_cpu_s: float = 0.0
    foreign_cores: float = 0.0
    """CPU that others used on these cores, by the machine's own count."""
    busy: tuple[float, ...] = ()
    """How busy each of the two cores was: first the gateway's, then that of fakes and callers."""

    @property
    def bottleneck(self) -> str:
        """What was full, if anything, and through whom."""
        full = [busy >= FULL for busy in self.busy]
        if full and full[0]:
            others = self.busy[0] - self.gateway_cores
            return f"the gateway's core, {100 * others:.0f} % of it used by others"
        return "the core of fakes and callers" if any(full) or not self.valid else "none"

    @property
    def valid(self) -> bool:
        """Whether the gateway was measured, and not this process."""
        return self.lag_p99_ms <= MAX_VALID_LAG_MS


@dataclass(slots=True)
class _Lags:
    values_ms: list[float] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            due = time.monotonic() + LAG_PERIOD_S
            await asyncio.sleep(LAG_PERIOD_S)
            self.values_ms.append((time.monotonic() - due) * 1000)


@asynccontextmanager
async def watching(gateway_process: psutil.Process) -> AsyncIterator[Conditions]:
    """Fills in the conditions when the block is left."""
    conditions, lags = Conditions(), _Lags()
    own = psutil.Process()
    began_s, began, busy_before = time.monotonic(), (cpu_s(gateway_process), cpu_s(own)), _busy_s()
    metering = asyncio.create_task(lags.run(), name="bench-lag")
    try:
        yield conditions
    finally:
        metering.cancel()
        seconds = time.monotonic() - began_s
        conditions.gateway_cpu_s = cpu_s(gateway_process) - began[0]
        own_s = cpu_s(own) - began[1]
        conditions.busy = tuple((now - before) / seconds for now, before in zip(_busy_s(), busy_before, strict=True))
        conditions.lag_p99_ms = percentile(lags.values_ms, 0.99)
        conditions.gateway_cores = conditions.gateway_cpu_s / seconds
        conditions.generator_cores = own_s / seconds
        conditions.foreign_cores = max(
            0.0, sum(conditions.busy) - conditions.generator_cores - conditions.gateway_cores
        )


async def counted(served: Served, metric: str) -> dict[str, float]:
    """A counter of the gateway's by the value of its one label, "" where it has none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.metrics_port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        page = (await reader.read()).decode()
    writer.close()
    found: dict[str, float] = {}
    for line in page.splitlines():
        if line.startswith(metric + " "):
            found[""] = float(line.removeprefix(metric))
        elif line.startswith(metric + "{"):
            label, value = line.removeprefix(metric + "{").split("} ")
            found[label.split('"')[1]] = float(value)
    return found


def cpu_s(process: psutil.Process) -> float:
    """CPU time that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _busy_s() -> list[float]:
    """CPU time that all have used on each of the first two cores."""
    cores = psutil.cpu_times(percpu=True)[:2]
    return [sum(core) - core.idle - getattr(core, "iowait", 0.0) - getattr(core, "guest", 0.0) for core in cores]
