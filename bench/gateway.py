"""Added latency, CPU and memory of the gateway against the scriptable fakes, beside a pass-through gateway.

Usage: python -m bench.gateway [--calls 1,10,50,100] [--turns 4] [--chunk-ms 20] [--word-delay-ms 200] [--library]
       [--modes passthrough,serial,gateway] [--json FILE]

Set-up: the gateway is one process on core 0; fakes and callers share one process on core 1. Callers speak recorded
questions. The fakes answer with ASR final 300 ms after the end of speech, first token after 120 ms, then 10 ms a token,
first TTS chunk after 80 ms.

The fake recogniser hears the words in the sound and shows each 200 ms after it was said (Riva's low-latency profile
decodes chunks of 160 ms). `serial` is a gateway that begins no answer early; `traced` one that exports all its traces.

response = last speech sent -> first audio received. added = response less the fakes' own logged waits, where they ran
one after the other; where an answer was begun early, what lies between them and after the last of them.
A row is marked invalid when the p99 of this process's own loop lag is above 5 ms: then it measures itself. `full` says
which core had no room, and what of the gateway's own core others used. `ok` are calls without any error; `ended well`
those that came to their end, errors or not.
"""

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.accounts import Accounts
from bench.callers import Caller, CallRecord
from bench.collector import collecting
from bench.lines import Dial, LibraryLine, RawLine
from bench.processes import Conditions, counted, gateway, settle_in, watching
from bench.recordings import SPEECH, known, utterances
from bench.table import ms, percentile, show
from voice_fakes import FakesOptions, RunningFakes, serving_fakes
from voice_fakes.script import build_script

REPLIES = [
    # Replies of 9 s. The first sentence of the first three ends at token 20; the last has no mark before its end.
    "Today the air near the coast is mild and clear with a light wind from the west until evening. That is all I know.",
    "The next train to the coast leaves from platform four in about an hour and stops in eight towns. That is all.",
    "You should bring a warm coat and good shoes because the path on the cliff is wet after rain. That is all I know.",
    "There is a long road that runs beside the river past the old mill and over the bridge into the valley of trees.",
]
NO_BREAK = 3
DIALS: dict[str, Dial] = {"frames": RawLine.dial, "library": LibraryLine.dial}
"""How callers are connected; see bench/lines.py."""


@dataclass(slots=True)
class Run:
    """One row: what is varied, and what came of it."""

    mode: str
    calls: int
    chunk_ms: int
    line: str
    ok: int = 0
    """Calls without any error."""
    ended: int = 0
    """Calls that came to their end in order; errors that the caller was told of did not end them."""
    added_ms: list[float] = field(default_factory=list)
    first_turn_added_ms: list[float] = field(default_factory=list)
    response_ms: list[float] = field(default_factory=list)
    early: dict[str, float] = field(default_factory=dict)
    """Answers begun early, by outcome, as the gateway counts them."""
    no_break_response_ms: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    cpu_s_per_call_minute: float = 0.0
    rss_idle_mb: float = 0.0
    rss_per_call_mb: float = 0.0
    late_frames: int = 0
    conditions: Conditions = field(default_factory=Conditions)
    errors: list[str] = field(default_factory=list)


async def measure(
    mode: str, calls: int, turns: int, *, chunk_ms: int = 20, line: str = "frames", word_delay_ms: float = 200.0
) -> Run:
    """One run: `calls` callers at once."""
    run = Run(mode, calls, chunk_ms, line)
    asr = {"recordings": known(SPEECH), "word_delay_ms": word_delay_ms}
    script = build_script({"asr": asr, "llm": {"replies": REPLIES}})
    speech = utterances(SPEECH, chunk_ms)
    dial = DIALS[line]
    async with (
        serving_fakes(script, FakesOptions()) as fakes,
        _settings_of(mode) as settings,
        gateway(fakes, passthrough=mode == "passthrough", settings=settings) as served,
    ):
        target, process = served.target, served.process
        # One call first: lazy imports and connections are paid before anything is measured.
        await Caller(10_000, target, speech, turns=1, chunk_ms=chunk_ms, dial=dial).run()
        run.rss_idle_mb = peak = process.memory_info().rss / 2**20
        callers = [Caller(number, target, speech, turns=turns, chunk_ms=chunk_ms, dial=dial) for number in range(calls)]
        async with watching(process) as run.conditions:
            tasks = [asyncio.create_task(_staggered(caller, index, calls)) for index, caller in enumerate(callers)]
            while not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=0.5)
                peak = max(peak, process.memory_info().rss / 2**20)
        if mode != "passthrough":
            run.early = await counted(served, "voice_gateway_speculation_total")
        records = [task.result() for task in tasks]
        _account(run, records, fakes)
        run.cpu_s_per_call_minute = run.conditions.gateway_cpu_s / (sum(record.seconds for record in records) / 60)
        run.rss_per_call_mb = (peak - run.rss_idle_mb) / calls
    return run


@asynccontextmanager
async def _settings_of(mode: str) -> AsyncIterator[dict[str, str]]:
    if mode == "traced":
        async with collecting() as endpoint:
            yield {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "always_on"}
    else:
        yield {"SPECULATION_ENABLED": "false"} if mode == "serial" else {}


async def _staggered(caller: Caller, index: int, calls: int) -> CallRecord:
    await asyncio.sleep(index * min(0.2, 5.0 / calls))
    return await caller.run()


def _account(run: Run, records: list[CallRecord], fakes: RunningFakes) -> None:
    accounts = Accounts(list(fakes.log))
    for record in records:
        run.late_frames += record.late_frames
        run.ended += record.ended
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
            (run.first_turn_added_ms if turn.index == 0 else run.added_ms).append(waits.added_ms)
            if turn.index:
                (run.no_break_response_ms if waits.reply == NO_BREAK else run.response_ms).append(response_ms)
            for name in ("asr_ms", "llm_ms", "tts_ms"):
                run.stages.setdefault(name, []).append(getattr(waits, name))


def _share(early: dict[str, float]) -> str:
    begun = early.get("started", 0)
    return f"{100 * early.get('adopted', 0) / begun:.0f} %" if begun else "-"


def show_runs(runs: list[Run]) -> None:
    """Print the latency and cost table."""
    head = ["mode", "calls", "chunk", "callers", "ok", "ended well", "response p50", "p95", "begun early", "adopted",
            "added p50", "added p95", "1st turn p50",
            "no-break response p50", "late frames", "CPU-s/call-min", "cores", "RSS idle MB", "MB/call",
            "generator cores", "others' cores", "lag p99 ms", "valid", "full"]  # fmt: skip
    rows = [
        [
            run.mode, str(run.calls), str(run.chunk_ms), run.line, f"{run.ok}/{run.calls}", f"{run.ended}/{run.calls}",
            ms(percentile(run.response_ms, 0.5)), ms(percentile(run.response_ms, 0.95)),
            f"{run.early.get('started', 0):.0f}", _share(run.early),
            f"{percentile(run.added_ms, 0.5):.1f}", f"{percentile(run.added_ms, 0.95):.1f}",
            f"{percentile(run.first_turn_added_ms, 0.5):.1f}", ms(percentile(run.no_break_response_ms, 0.5)),
            str(run.late_frames), f"{run.cpu_s_per_call_minute:.2f}", f"{run.conditions.gateway_cores:.2f}",
            f"{run.rss_idle_mb:.0f}", f"{run.rss_per_call_mb:.2f}", f"{run.conditions.generator_cores:.2f}",
            f"{run.conditions.foreign_cores:.2f}", f"{run.conditions.lag_p99_ms:.1f}",
            "yes" if run.conditions.valid else "NO", run.conditions.bottleneck,
        ]
        for run in runs
    ]  # fmt: skip
    show("Latency and cost (ms unless said otherwise)", head, rows)
    ratios = []
    for run in runs:
        control = next(
            (
                other
                for other in runs
                if (other.mode, other.calls, other.chunk_ms, other.line)
                == ("passthrough", run.calls, run.chunk_ms, run.line)
            ),
            None,
        )
        if run.mode != "passthrough" and control is not None and control.cpu_s_per_call_minute:
            ratio = run.cpu_s_per_call_minute / control.cpu_s_per_call_minute
            ratios.append(f"{run.mode} at {run.calls} calls ({run.chunk_ms} ms, {run.line}): {ratio:.2f}x")
    print("\nCPU against pass-through, same run: " + "; ".join(ratios))
    for run in runs:
        for error in sorted(set(run.errors)):
            print(f"error in {run.mode} at {run.calls} calls ({run.errors.count(error)}x): {error}")


async def main_async(options: argparse.Namespace) -> list[Run]:
    """Every row that was asked for."""
    lines = ["frames", "library"] if options.library else ["frames"]
    runs: list[Run] = []
    for calls in options.calls:
        for chunk_ms in options.chunk_ms:
            for line in lines:
                for mode in options.modes:
                    run = await measure(
                        mode, calls, options.turns, chunk_ms=chunk_ms, line=line, word_delay_ms=options.word_delay_ms
                    )
                    runs.append(run)
                    print(f"done: {mode} {calls} {chunk_ms} ms {line}", file=sys.stderr)
    return runs


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=_counts, default=[1, 10, 50, 100])
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--chunk-ms", type=_counts, default=[20], help="audio per message of a caller, a row for each")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=["passthrough", "serial", "gateway"])
    parser.add_argument("--word-delay-ms", type=float, default=200.0, help="from a word's end to the interim with it")
    parser.add_argument("--library", action="store_true", help="each row again with callers on the caller library")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settle_in()
    runs = uvloop.run(main_async(options))
    show_runs(runs)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(run) for run in runs], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
