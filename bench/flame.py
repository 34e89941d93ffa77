"""What the gateway computes at N calls: a flame graph and its top ten, by py-spy while fakes and callers run.

Usage: python -m bench.flame [--calls 50] [--seconds 30] [--out out/profile]

Writes OUT.folded (one stack a line, as other viewers read it) and OUT.svg. Set-up as in bench.gateway: the gateway has
core 0, fakes and callers core 1. py-spy has to be allowed to look into the gateway: root, or CAP_SYS_PTRACE, or
kernel.yama.ptrace_scope 0.

A sample is the stack that holds the interpreter's lock, RATE_HZ times a second; the process is stopped for a moment
each time (without, stacks are torn: callers and callees that never met). C code is counted to the Python function that
called it. What C code does without the lock is not seen: the model of voice activity, system calls, grpc's polling.
Where `lock` is far above `cores`, the process was stopped for most of the time, by py-spy or by others on the machine.
"""

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.callers import Caller
from bench.gateway import REPLIES
from bench.processes import cpu_s, gateway, settle_in
from bench.recordings import SPEECH, known, utterances
from bench.table import show
from voice_fakes import FakesOptions, serving_fakes
from voice_fakes.script import build_script

RATE_HZ = 50
WARM_S = 6.0
"""All callers have called by then, and most have spoken."""
CHUNK_MS = 20
WIDTH_PX, BAR_PX, LEAST_PX = 1200, 16, 0.8
TOP = 10


@dataclass(slots=True)
class Frame:
    """A function in the stack of those above it. Counts are samples."""

    name: str
    total: int = 0
    own: int = 0
    below: dict[str, "Frame"] = field(default_factory=dict)


def stacks(text: str) -> dict[tuple[str, ...], int]:
    """From folded lines: outermost first. Paths are shortened to what tells them apart."""
    found: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if stack:
            short = [_short(frame) for frame in frames]
            found[tuple(name for name, before in zip(short, ["", *short], strict=False) if name != before)] += int(
                count
            )
    return dict(found)


def _short(frame: str) -> str:
    if frame.startswith("thread ("):
        return frame.partition("): ")[2] or "a thread"
    name, _, where = frame.partition(" (")
    where = re.sub(r":\d+$", "", where.rstrip(")"))
    where = re.sub(r"^.*/(?:site-packages|src|lib/python[\d.]+)/", "", where)
    return f"{name} ({where.removeprefix('voice_gateway/')})"


def tree(found: dict[tuple[str, ...], int]) -> Frame:
    """All stacks in one."""
    root = Frame("all")
    for stack, count in found.items():
        root.total += count
        at = root
        for name in stack:
            at = at.below.setdefault(name, Frame(name))
            at.total += count
        at.own += count
    return root


def top(found: dict[tuple[str, ...], int]) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Functions and their share: by their own time, and with all that they call."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for stack, count in found.items():
        own[stack[-1]] += count
        for name in set(stack):
            total[name] += count
    samples = sum(found.values()) or 1
    return (
        [(name, count / samples) for name, count in own.most_common(TOP)],
        [(name, count / samples) for name, count in total.most_common()],
    )


def flame_svg(root: Frame, title: str) -> str:
    """The flame graph: width is share of the samples, below each function what it calls. Names are in tool tips."""
    bars = [
        f'<rect x="{x:.1f}" y="{30 + depth * BAR_PX}" width="{width:.1f}" height="{BAR_PX - 1}" '
        f'fill="{_color(frame.name)}"><title>{escape(frame.name)}: {100 * frame.total / root.total:.1f} %, '
        f"itself {100 * frame.own / root.total:.1f} %</title></rect>"
        + _label(frame.name, x, 30 + depth * BAR_PX, width)
        for frame, x, width, depth in _places(root, 0.0, float(WIDTH_PX), 0)
    ]
    depth = max((depth for *_, depth in _places(root, 0.0, float(WIDTH_PX), 0)), default=0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {40 + (depth + 1) * BAR_PX}" '
        'font-family="monospace" font-size="10"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="6" y="18" font-size="13">{escape(title)}</text>\n' + "\n".join(bars) + "\n</svg>\n"
    )


def _places(frame: Frame, x: float, width: float, depth: int) -> Iterable[tuple[Frame, float, float, int]]:
    yield frame, x, width, depth
    for each in sorted(frame.below.values(), key=lambda below: -below.total):
        wide = width * each.total / frame.total
        if wide >= LEAST_PX:
            yield from _places(each, x, wide, depth + 1)
        x += wide


def _label(name: str, x: float, y: float, width: float) -> str:
    fits = int(width / 6.2) - 1
    return f'<text x="{x + 2:.1f}" y="{y + 11:.0f}">{escape(name[:fits])}</text>' if fits > 3 else ""


OURS = "#f2a154"


def _color(name: str) -> str:
    """Ours orange, the rest grey."""
    if re.search(r"\((domain|application|adapters|server)\b", name):
        return OURS
    return "#d0d3d8"


async def record(calls: int, seconds: float, out: Path) -> float:
    """Calls until py-spy has what it wants; gives the cores that the gateway used. Raises RuntimeError if it fails."""
    asr = {"recordings": known(SPEECH), "word_delay_ms": 200.0}
    script = build_script({"asr": asr, "llm": {"replies": REPLIES}})
    speech = utterances(SPEECH, CHUNK_MS)
    async with serving_fakes(script, FakesOptions()) as fakes, gateway(fakes) as served:
        callers = [
            asyncio.create_task(_again(number, served.target, speech), name=f"caller-{number}")
            for number in range(calls)
        ]
        await asyncio.sleep(WARM_S)
        command = ["py-spy", "record", "--pid", str(served.process.pid), "--duration", f"{seconds:.0f}", "--rate",
                   str(RATE_HZ), "--format", "raw", "--gil", "--threads", "--output", str(out)]  # fmt: skip
        spy = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        before_s, began_s = cpu_s(served.process), time.monotonic()
        told, _ = await spy.communicate()
        cores = (cpu_s(served.process) - before_s) / (time.monotonic() - began_s)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        if spy.returncode:
            raise RuntimeError(f"py-spy failed: {told.decode(errors='replace')[-500:]}")
    return cores


async def _again(number: int, target: str, speech: list[list[bytes]]) -> None:
    await asyncio.sleep(number * 0.08)
    while True:
        await Caller(number, target, speech, turns=3, chunk_ms=CHUNK_MS).run()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("out/profile"))
    options = parser.parse_args()
    settle_in()
    folded = options.out.with_suffix(".folded")
    folded.parent.mkdir(parents=True, exist_ok=True)
    cores = asyncio.run(record(options.calls, options.seconds, folded))
    found = stacks(folded.read_text())
    samples = sum(found.values())
    lock = samples / RATE_HZ / options.seconds
    title = f"voice-gateway, {options.calls} calls: {samples} samples, {cores:.2f} cores, lock held {100 * lock:.0f} %"
    options.out.with_suffix(".svg").write_text(flame_svg(tree(found), title))
    own, total = top(found)
    show("Share of the samples, itself", ["%", "function"], [[f"{100 * part:.1f}", name] for name, part in own])
    rows = [[f"{100 * part:.1f}", name] for name, part in total if _color(name) == OURS][:TOP]
    show("With all that it calls, functions of the gateway", ["%", "function"], rows)
    print(f"\n{title}\n{options.out.with_suffix('.svg')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
