"""What callers notice of an interruption, from the onset of their speech: python -m bench.barge_in [--calls 1,10]

Callers speak over every answer, 1.5 s after it became audible, while the language model still writes it: five times a
call. All times are at the caller and from the onset of speech (see bench/scripted.py), which its device sends up to
20 ms later: `duck` the command to play more quietly, `pause` the flush, `silent` the last audible 20 ms played, `last
frame` the last audio of the interrupted answer; `after the pause` is the last frame less the flush, negative where
none came after it. `LLM closed` and the like are what the backends saw of the interrupted answers; `late` are
requests for speech of an answer that began more than 50 ms after its end.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import uvloop

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.accounts import Accounts
from bench.lines import RawLine
from bench.phone import CallFailedError, Phone, Said
from bench.processes import Conditions, gateway, settle_in, watching
from bench.scripted import LEAD_MS, Studio, Utterance
from bench.table import ms, percentile, show
from bench.timeline import Timeline
from voice_clients.events import EventKind, PlaybackAction
from voice_fakes import FakesOptions, serving_fakes
from voice_fakes.script import build_script

CHUNK_MS = 20
INTERRUPTIONS = 5
HEARD_FOR_S = 1.5
SETTLE_S = 0.6
TEXTS = (
    "what is the weather like today", "tell me something about the sea", "and how long does the train take",
    "thank you that is quite enough", "please tell me what time it is", "I would like to know more about it",
)  # fmt: skip
UPSTREAM = ("llm_closed", "llm_finished", "tts_cancelled", "tts_late")


@dataclass(slots=True)
class Result:
    """One row; ms from onset."""

    client: str
    calls: int
    interruptions: int = 0
    duck_ms: list[float] = field(default_factory=list)
    pause_ms: list[float] = field(default_factory=list)
    silent_ms: list[float] = field(default_factory=list)
    last_frame_ms: list[float] = field(default_factory=list)
    after_pause_ms: list[float] = field(default_factory=list)
    upstream: dict[str, int] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    errors: list[str] = field(default_factory=list)


class Interrupter:
    """A caller who speaks over every answer."""

    def __init__(self, number: int, target: str, speech: list[Utterance], *, legacy: bool) -> None:
        self.timeline = Timeline()
        self.said: list[Said] = []
        self.error = ""
        self._number = number
        self._speech = speech
        self._random = random.Random(number)
        self.phone = Phone(
            target, RawLine.dial, name=f"interrupter-{number}", chunk_ms=CHUNK_MS, legacy=legacy,
            on_event=self.timeline.event, on_played=self.timeline.play,
        )  # fmt: skip

    async def run(self) -> None:
        """Hold the call; a failure is noted."""
        try:
            async with self.phone:
                await asyncio.sleep(self._random.uniform(0.2, 1.0))
                for turn in range(INTERRUPTIONS + 1):
                    utterance = self._speech[(self._number + turn) % len(self._speech)]
                    said = await self.phone.say(utterance.chunks(CHUNK_MS))
                    self.said.append(said)
                    # Audio after the flush of the interruption, and not the last of the answer before.
                    await self.phone.until(lambda since=said.end_ms: bool(self.timeline.audio(since)), "an answer")  # type: ignore[misc]
                    await asyncio.sleep(HEARD_FOR_S + self._random.uniform(0, 0.1))
        except (CallFailedError, OSError, TimeoutError) as error:
            self.error = f"{type(error).__name__}: {error}"


async def measure(client: str, calls: int) -> Result:
    """One run."""
    result = Result(client, calls)
    studio = Studio()
    speech = [studio.say(text) for text in TEXTS]
    long = " ".join(f"This is sentence number {number} of a long and patient answer." for number in range(40))
    script = build_script(
        {
            "asr": {"recordings": [utterance.recording for utterance in speech], "final_after_speech_end_ms": 300},
            "llm": {"replies": [long], "token_interval_ms": 30},
        }
    )
    async with serving_fakes(script, FakesOptions()) as fakes, gateway(fakes) as served:
        callers = [Interrupter(number, served.target, speech, legacy=client == "legacy") for number in range(calls)]
        async with watching(served.process) as result.conditions:
            await asyncio.gather(*(caller.run() for caller in callers))
        accounts = Accounts(list(fakes.log))
    for caller in callers:
        if caller.error:
            result.errors.append(caller.error)
        for before, said in pairwise(caller.said):
            _account(result, caller, before, said, accounts)
    return result


def _account(result: Result, caller: Interrupter, before: Said, said: Said, accounts: Accounts) -> None:
    onset, timeline = said.start_ms + LEAD_MS, caller.timeline
    # The next answer can't begin before the utterance has ended.
    ended = timeline.first(EventKind.END_OF_TURN, onset, said.end_ms + SETTLE_S * 1000)
    frames = timeline.audio(before.end_ms, said.end_ms)
    played_ms, _ = timeline.heard_between(onset, said.end_ms)
    if ended is None or not frames:
        result.errors.append("an answer was not interrupted")
        return
    result.interruptions += 1
    result.last_frame_ms.append(frames[-1][0] - onset)
    if played_ms:
        result.silent_ms.append(played_ms[-1] - onset)
    if (duck := timeline.ducked(onset, said.end_ms)) is not None:
        result.duck_ms.append(duck - onset)
    if (pause := timeline.first(PlaybackAction.FLUSH, onset, said.end_ms)) is not None:
        result.pause_ms.append(pause - onset)
        result.after_pause_ms.append(frames[-1][0] - pause)
    if caller.phone.call_id:
        counts = accounts.after_interruption(caller.phone.call_id, before.end_ms, ended, said.end_ms)
        for name, count in counts.items():
            result.upstream[name] = result.upstream.get(name, 0) + count


def show_results(results: list[Result]) -> None:
    """Print the table."""
    head = ["client", "calls", "interruptions", "duck p50", "p95", "pause p50", "p95", "silent p50", "p95",
            "last frame p50", "p95", "after the pause p95", "LLM closed", "LLM finished", "TTS cancelled", "TTS late",
            "lag p99 ms", "valid"]  # fmt: skip
    rows = []
    for result in results:
        spans = [
            ms(percentile(values, share))
            for values in (result.duck_ms, result.pause_ms, result.silent_ms, result.last_frame_ms)
            for share in (0.5, 0.95)
        ]
        rows.append(
            [
                result.client, str(result.calls), str(result.interruptions), *spans,
                ms(percentile(result.after_pause_ms, 0.95)),
                *(str(result.upstream.get(name, "-")) for name in UPSTREAM),
                f"{result.conditions.lag_p99_ms:.1f}", "yes" if result.conditions.valid else "NO",
            ]
        )  # fmt: skip
    show("Barge-in (ms from onset)", head, rows)
    for result in results:
        for error in sorted(set(result.errors)):
            print(f"error, {result.client} at {result.calls} calls ({result.errors.count(error)}x): {error}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=lambda text: [int(part) for part in text.split(",")], default=[1, 10])
    parser.add_argument("--clients", type=lambda text: text.split(","), default=["flushing", "legacy"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settle_in()

    async def every() -> list[Result]:
        return [await measure(client, calls) for client in options.clients for calls in options.calls]

    results = uvloop.run(every())
    show_results(results)
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(result) for result in results], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
