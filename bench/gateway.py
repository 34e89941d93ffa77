"""The gateway against the scriptable fakes: added latency, CPU, memory, barge-in. `make bench` runs it.

Usage: python -m bench.gateway [--calls 1,10,25,50] [--turns 4] [--chunk-ms 20] [--json FILE]

Set-up: the gateway is one process on core 0; fakes and callers share one process on core 1. Callers speak recorded
questions. The fakes answer with ASR final 300 ms after the end of speech, first token after 120 ms, then 10 ms a token,
first TTS chunk after 80 ms.

added = (last speech sent -> first audio received) - (the fakes' own logged waits of that turn).
A run is marked invalid when the p99 of this process's own loop lag is above 5 ms: then it measures itself.
"""

import argparse
import asyncio
import dataclasses
import gc
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvloop

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.accounts import Accounts
from bench.callers import Caller, CallRecord, Turn, utterances
from bench.table import ms, percentile, show
from voice_fakes import FakesOptions, RunningFakes, parse_script, serving_fakes

SPEECH = Path(__file__).parents[1] / "services/speech-worker/tests/audio"
LOGS = Path("out/bench-logs")
LAG_PERIOD_S = 0.01
MAX_VALID_LAG_MS = 5.0
READY_TIMEOUT_S = 60.0
REPLIES = [
    # Replies of 9 s. The first sentence of the first three ends at token 20; the last has no mark before its end.
    "Today the air near the coast is mild and clear with a light wind from the west until evening. That is all I know.",
    "The next train to the coast leaves from platform four in about an hour and stops in eight towns. That is all.",
    "You should bring a warm coat and good shoes because the path on the cliff is wet after rain. That is all I know.",
    "There is a long road that runs beside the river past the old mill and over the bridge into the valley of trees.",
]
NO_BREAK = 3
UPSTREAM = ("llm_closed", "llm_finished", "tts_cancelled", "tts_late")


@dataclass(slots=True)
class Run:
    """One run's figures."""

    mode: str
    calls: int
    ok: int = 0
    added_ms: list[float] = field(default_factory=list)
    first_turn_added_ms: list[float] = field(default_factory=list)
    response_ms: list[float] = field(default_factory=list)
    no_break_response_ms: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    cpu_s_per_call_minute: float = 0.0
    core_share: float = 0.0
    rss_idle_mb: float = 0.0
    rss_per_call_mb: float = 0.0
    lag_p99_ms: float = 0.0
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class BargeIns:
    """What interruptions did."""

    kind: str
    calls: int
    flush_ms: list[float] = field(default_factory=list)
    last_frame_ms: list[float] = field(default_factory=list)
    heard_ms: list[float] = field(default_factory=list)
    upstream: dict[str, int] = field(default_factory=dict)
    lead_ms: int = 0
    lag_p99_ms: float = 0.0
    errors: list[str] = field(default_factory=list)


class LagMeter:
    """How late this process's own loop runs its timers."""

    def __init__(self) -> None:
        self.lags_ms: list[float] = []

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + LAG_PERIOD_S
            await asyncio.sleep(LAG_PERIOD_S)
            self.lags_ms.append((time.monotonic() - due) * 1000)


@asynccontextmanager
async def gateway(
    fakes: RunningFakes, *, passthrough: bool, core: int | None
) -> AsyncIterator[tuple[str, psutil.Process]]:
    """A gateway process on core 0; gives its address."""
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
    }
    log = LOGS / ("passthrough.log" if passthrough else "gateway.log")
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=environ, stdout=out, stderr=asyncio.subprocess.STDOUT
        )
    watched = psutil.Process(process.pid)
    if core is not None:
        watched.cpu_affinity([core])
    try:
        yield await _ready(log, process), watched
    finally:
        process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _ready(log: Path, process: asyncio.subprocess.Process) -> str:
    until = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < until and process.returncode is None:
        for line in (await asyncio.to_thread(log.read_text)).splitlines():
            if '"ready"' in line:
                entry = json.loads(line)
                return str(entry.get("address") or f"127.0.0.1:{entry['port']}")
        await asyncio.sleep(0.05)
    raise RuntimeError(f"the gateway did not start:\n{(await asyncio.to_thread(log.read_text))[-2000:]}")


async def measure(mode: str, calls: int, turns: int, *, chunk_ms: int, gateway_core: int | None) -> Run:
    """One run: `calls` callers at once."""
    run = Run(mode, calls)
    script = parse_script(json.dumps({"llm": {"replies": REPLIES}}))
    speech = utterances(SPEECH, chunk_ms)
    async with (
        serving_fakes(script, FakesOptions()) as fakes,
        gateway(fakes, passthrough=mode == "passthrough", core=gateway_core) as (target, process),
    ):
        # One call first: lazy imports and connections are paid before anything is measured.
        await Caller(10_000, target, speech, turns=1).run()
        run.rss_idle_mb = process.memory_info().rss / 2**20
        meter = LagMeter()
        metering = asyncio.create_task(meter.run())
        callers = [Caller(number, target, speech, turns=turns) for number in range(calls)]
        cpu_before, began_s = _cpu_s(process), time.monotonic()
        tasks = [asyncio.create_task(_staggered(caller, index, calls)) for index, caller in enumerate(callers)]
        peak = 0.0
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=0.5)
            peak = max(peak, process.memory_info().rss / 2**20)
        records = [task.result() for task in tasks]
        cpu_s, seconds = _cpu_s(process) - cpu_before, time.monotonic() - began_s
        metering.cancel()
        _account(run, records, fakes)
        run.cpu_s_per_call_minute = cpu_s / max(1e-9, sum(record.seconds for record in records) / 60)
        run.core_share = cpu_s / seconds
        run.rss_per_call_mb = (peak - run.rss_idle_mb) / calls
        run.lag_p99_ms = percentile(meter.lags_ms, 0.99)
    return run


async def _staggered(caller: Caller, index: int, calls: int) -> CallRecord:
    await asyncio.sleep(index * min(0.2, 5.0 / calls))
    return await caller.run()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _account(run: Run, records: list[CallRecord], fakes: RunningFakes) -> None:
    accounts = Accounts(list(fakes.log))
    for record in records:
        if record.error:
            run.errors.append(record.error)
        else:
            run.ok += 1
        for turn in record.turns:
            if turn.first_audio_ms is None:
                continue
            response_ms = turn.first_audio_ms - turn.speech_end_ms
            waits = accounts.waits(record.call_id, turn.speech_end_ms, turn.first_audio_ms)
            if waits is None:
                continue
            (run.first_turn_added_ms if turn.index == 0 else run.added_ms).append(response_ms - waits.total_ms)
            if turn.index:
                (run.no_break_response_ms if waits.reply == NO_BREAK else run.response_ms).append(response_ms)
            for name in ("asr_ms", "llm_ms", "tts_ms"):
                run.stages.setdefault(name, []).append(getattr(waits, name))


async def measure_barge_ins(kind: str, calls: int, *, gateway_core: int | None) -> BargeIns:
    """Callers that speak over every answer, while the language model still writes it."""
    result = BargeIns(kind, calls)
    long = " ".join(f"This is sentence number {number} of a long and patient answer." for number in range(40))
    script = parse_script(json.dumps({"llm": {"replies": [long], "token_interval_ms": 30}}))
    speech = utterances(SPEECH, 20)
    async with (
        serving_fakes(script, FakesOptions()) as fakes,
        gateway(fakes, passthrough=False, core=gateway_core) as (target, _),
    ):
        meter = LagMeter()
        metering = asyncio.create_task(meter.run())
        callers = [
            Caller(number, target, speech, turns=5, interrupt_after_ms=1500, legacy=kind == "legacy")
            for number in range(calls)
        ]
        records = await asyncio.gather(*(_staggered(caller, index, calls) for index, caller in enumerate(callers)))
        metering.cancel()
        result.lag_p99_ms = percentile(meter.lags_ms, 0.99)
        accounts = Accounts(list(fakes.log))
    for record in records:
        result.lead_ms = record.lead_ms or result.lead_ms
        if record.error:
            result.errors.append(record.error)
        for turn, following in itertools.pairwise(record.turns):
            _account_barge_in(result, record, turn, following, accounts)
    return result


def _account_barge_in(result: BargeIns, record: CallRecord, turn: Turn, following: Turn, accounts: Accounts) -> None:
    onset_ms = following.speech_start_ms
    if turn.last_audio_ms is None or turn.ended_ms is None:
        return
    result.last_frame_ms.append(turn.last_audio_ms - onset_ms)
    if turn.flush_ms is not None:
        result.flush_ms.append(turn.flush_ms - onset_ms)
    result.heard_ms.append(turn.heard_after_onset_samples / 16)
    if record.call_id:
        counts = accounts.after_interruption(record.call_id, turn.speech_end_ms, turn.ended_ms, following.speech_end_ms)
        for name, count in counts.items():
            result.upstream[name] = result.upstream.get(name, 0) + count


def show_runs(runs: list[Run]) -> None:
    """Print the latency and cost table."""
    head = ["mode", "calls", "ok", "response p50", "added p50", "added p95", "1st turn p50", "no-break response p50",
            "CPU-s/call-min", "cores", "RSS idle MB", "MB/call", "lag p99 ms", "valid"]  # fmt: skip
    rows = [
        [
            run.mode, str(run.calls), f"{run.ok}/{run.calls}", ms(percentile(run.response_ms, 0.5)),
            f"{percentile(run.added_ms, 0.5):.1f}", f"{percentile(run.added_ms, 0.95):.1f}",
            f"{percentile(run.first_turn_added_ms, 0.5):.1f}", ms(percentile(run.no_break_response_ms, 0.5)),
            f"{run.cpu_s_per_call_minute:.2f}", f"{run.core_share:.2f}", f"{run.rss_idle_mb:.0f}",
            f"{run.rss_per_call_mb:.2f}", f"{run.lag_p99_ms:.1f}",
            "yes" if run.lag_p99_ms <= MAX_VALID_LAG_MS else "NO",
        ]
        for run in runs
    ]  # fmt: skip
    show("Latency and cost (ms unless said otherwise)", head, rows)
    ratios = []
    for run in runs:
        control = next((other for other in runs if other.mode == "passthrough" and other.calls == run.calls), None)
        if run.mode == "gateway" and control is not None and control.cpu_s_per_call_minute:
            ratios.append(f"{run.calls} calls: {run.cpu_s_per_call_minute / control.cpu_s_per_call_minute:.2f}x")
    print("\nCPU against pass-through, same run: " + "; ".join(ratios))
    for run in runs:
        for error in sorted(set(run.errors)):
            print(f"error in {run.mode} at {run.calls} calls ({run.errors.count(error)}x): {error}")


def show_barge_ins(results: list[BargeIns]) -> None:
    """Print the barge-in table."""
    head = ["client", "calls", "interruptions", "onset to flush p50", "p95", "onset to last frame p50", "p95",
            "heard after onset p50", "p95", "lead", "LLM closed", "LLM finished", "TTS cancelled", "TTS late",
            "lag p99 ms"]  # fmt: skip
    rows = [
        [
            result.kind, str(result.calls), str(len(result.last_frame_ms)),
            ms(percentile(result.flush_ms, 0.5)), ms(percentile(result.flush_ms, 0.95)),
            ms(percentile(result.last_frame_ms, 0.5)), ms(percentile(result.last_frame_ms, 0.95)),
            ms(percentile(result.heard_ms, 0.5)), ms(percentile(result.heard_ms, 0.95)), str(result.lead_ms),
            *(str(result.upstream.get(name, "-")) for name in UPSTREAM),
            f"{result.lag_p99_ms:.1f}",
        ]
        for result in results
    ]  # fmt: skip
    show("Barge-in (ms)", head, rows)
    for result in results:
        for error in sorted(set(result.errors)):
            print(f"error in barge-in {result.kind} at {result.calls} calls: {error}")


async def main_async(options: argparse.Namespace) -> int:
    cores = os.cpu_count() or 1
    gateway_core = 0 if cores > 1 else None
    if cores > 1:
        psutil.Process().cpu_affinity([1])
    gc.collect()
    gc.freeze()
    runs: list[Run] = []
    for calls in options.calls:
        for mode in ("passthrough", "gateway"):
            run = await measure(mode, calls, options.turns, chunk_ms=options.chunk_ms, gateway_core=gateway_core)
            runs.append(run)
            print(f"done: {mode} {calls}", file=sys.stderr)
    barge_ins: list[BargeIns] = []
    for kind in ("modern", "legacy"):
        barge_ins += [
            await measure_barge_ins(kind, calls, gateway_core=gateway_core) for calls in options.barge_in_calls
        ]
    print(f"\ncallers send chunks of {options.chunk_ms} ms")
    show_runs(runs)
    show_barge_ins(barge_ins)
    if options.json:
        everything: dict[str, Any] = {
            "runs": [dataclasses.asdict(run) for run in runs],
            "barge_ins": [dataclasses.asdict(result) for result in barge_ins],
        }
        options.json.write_text(json.dumps(everything, indent=1))
    return 0


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=_counts, default=[1, 10, 25, 50])
    parser.add_argument("--barge-in-calls", type=_counts, default=[1, 10])
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--chunk-ms", type=int, default=20, help="audio per message of a caller")
    parser.add_argument("--json", type=Path)
    return uvloop.run(main_async(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
