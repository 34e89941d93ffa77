"""What `voice load` finds over the fakes, and what the gateway's process does meanwhile: memory, tasks, CPU.

Usage: python -m bench.load [--scenario heavy] [--out out/load] [-- options of voice load]

The gateway has core 0; fakes and callers (a process of their own) share core 1. The process is looked at every
`LOOK_S`. The slope of its memory is a line fitted by least squares after the first `WARM_SHARE` of the run; the drift
of the response time compares the first and the last third of the turns.
"""

import argparse
import asyncio
import json
import os
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression
from typing import Any

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.gateway import REPLIES
from bench.processes import Served, gateway, gateway_core, settle_in
from bench.table import percentile, show
from voice_fakes import FakesOptions, serving_fakes
from voice_fakes.script import build_script

LOOK_S = 15.0
WARM_SHARE = 0.1
"""The first calls fill caches and pools."""
SETTLE_S = 1.0
"""The gateway counts its tasks twice a second."""

IDLE_S = 10.0
"""After the last call, before tasks are counted."""


@dataclass(frozen=True, slots=True)
class Look:
    """The gateway's process at one moment."""

    at_s: float
    rss_mb: float
    cpu_s: float
    tasks: int
    active: int
    files: int


def look(served: Served, began_s: float) -> Look:
    """Look at the process, and ask its metrics."""
    url = f"http://127.0.0.1:{served.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    values = {name: value for name, _, value in (line.rpartition(" ") for line in lines) if name}
    times = served.process.cpu_times()
    return Look(
        at_s=time.monotonic() - began_s,
        rss_mb=served.process.memory_info().rss / 2**20,
        cpu_s=times.user + times.system,
        tasks=int(float(values["voice_gateway_tasks"])),
        active=int(float(values["voice_gateway_active_streams"])),
        files=served.process.num_fds(),
    )


async def measure(options: argparse.Namespace) -> tuple[list[Look], dict[str, Any]]:
    """Run the load; what the process did, and the load's own report."""
    script = build_script({"llm": {"replies": list(REPLIES), "log_tokens": False}})
    began_s = time.monotonic()
    async with serving_fakes(script, FakesOptions()) as fakes, gateway(fakes) as served:
        await asyncio.sleep(SETTLE_S)
        looks = [await asyncio.to_thread(look, served, began_s)]
        command = ["-m", "voice_clients", "load", served.target, "--scenario", options.scenario, "--quiet", "--report"]
        load = await asyncio.create_subprocess_exec(sys.executable, *command, str(options.out), *options.more)
        if gateway_core() is not None:
            os.sched_setaffinity(load.pid, {1})
        while load.returncode is None:
            try:
                async with asyncio.timeout(LOOK_S):
                    await load.wait()
            except TimeoutError:
                looks.append(await asyncio.to_thread(look, served, began_s))
        await asyncio.sleep(IDLE_S)
        looks.append(await asyncio.to_thread(look, served, began_s))
    return looks, json.loads((options.out / "report.json").read_text())


def drift(responses: list[list[float]]) -> list[list[str]]:
    """Response times of each third of the run."""
    ordered = [each for _, each in sorted(responses)]
    third = max(1, len(ordered) // 3)
    parts = {"first third": ordered[:third], "middle": ordered[third:-third], "last third": ordered[-third:]}
    return [
        [name, str(len(part)), *(f"{percentile(part, share):.0f}" for share in (0.5, 0.95, 0.99))]
        for name, part in parts.items()
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="heavy")
    parser.add_argument("--out", type=Path, default=Path("out/load"))
    parser.add_argument("more", nargs="*", help="for voice load, after --")
    options = parser.parse_args()
    settle_in()
    looks, report = asyncio.run(measure(options))
    run, calls, turns, response = report["run"], report["calls"], report["turns"], report["response_ms"]
    verdict = "valid" if report["valid"] else f"NOT valid: {report['invalid_because']}"
    print(f"\n{run['scenario']['name']}, {run['scenario']['users']} users, {run['duration_s']:.0f} s: {verdict}")
    print(f"calls {calls}\nturns {turns}\nresponse ms {response}\nbarge-in ms {report['barge_in_ms']}")
    print(f"generator {report['generator']}")
    show("Response by time, ms", ["", "turns", "p50", "p95", "p99"], drift(report["series"]["responses_ms"]))
    busy = [each for each in looks[1:-1] if each.at_s >= WARM_SHARE * looks[-1].at_s] or looks
    rows = [
        [name, *(f"{getattr(each, field):.0f}" for each in (looks[0], busy[0], busy[-1], looks[-1]))]
        for name, field in (("RSS, MB", "rss_mb"), ("tasks", "tasks"), ("open files", "files"), ("calls", "active"))
    ]
    show("The gateway's process", ["", "before", "warm", "at the end", "idle again"], rows)
    rss = [each.rss_mb for each in busy]
    slope = linear_regression([each.at_s / 3600 for each in busy], rss).slope if len(busy) > 2 else float("nan")
    cores = (busy[-1].cpu_s - busy[0].cpu_s) / max(1e-9, busy[-1].at_s - busy[0].at_s)
    print(f"\nRSS {min(rss):.0f} to {max(rss):.0f} MB, slope {slope:+.1f} MB an hour; {cores:.2f} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
