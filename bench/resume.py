"""What a caller notices when a call's gateway is gone: python -m bench.resume [--calls 20] [--causes kill,stop]

Callers listen to an answer of some nine seconds, each at another place of it, when their gateway is lost; a second
gateway with the same key takes them all. `kill` is SIGKILL, `drain` SIGTERM, `stop` SIGSTOP: connections stand, nothing
comes. `blackhole` is a line that swallows every packet (bench/network.py; only where this runs as root with iproute2);
`none` is the same conversation undisturbed. Afterwards each caller asks something more.

gap: from the last message of the old connection to the first of the new one. silence: from the last message of the
conversation to the next, both as the client counts them. Words repeated are those of the answer that had begun before
and were begun again; words lost were neither heard to their end nor said again. History: the model's next request
holds exactly what it holds in an undisturbed call.
"""

import argparse
import asyncio
import base64
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.network import BEHIND, FAR, Network, network, possible
from bench.processes import LOGS, Served, counted, gateway, settle_in
from bench.table import ms, percentile, show
from voice_clients.caller import CallConfig
from voice_clients.events import AnswerAudio, CallEvent, Ended, Event, EventKind, Lost, Resumed, Session
from voice_clients.listener import SimulatedListener
from voice_clients.pacing import Pacer
from voice_clients.resuming import ResumingCall, connect_resuming
from voice_fakes import FakesOptions, RunningFakes, serving_fakes
from voice_fakes.script import build_script

RATE_HZ = 16_000
CHUNK = RATE_HZ // 50
MS_PER_CHARACTER = 40
SENTENCES = (
    "Once upon a time there was a harbour on a northern shore.", "It was small, and it was very old.",
    "Every evening the fishermen came home with the tide.", "Nobody there had ever seen a lighthouse.",
    "One night a stranger built one out of driftwood and glass.", "That is the end.",
)  # fmt: skip
STORY = " ".join(SENTENCES)
AND_THEN = "And then?"
BEGIN_WITHIN_S = 5.0
"""Callers begin so far apart, so that they are at different places of the answer when it breaks off."""
LOST_AFTER_S = 6.5
CALL_TIMEOUT_S = 90.0
CAUSES = ("none", "kill", "drain", "stop", "blackhole")
SIGNALS = {"kill": signal.SIGKILL, "drain": signal.SIGTERM, "stop": signal.SIGSTOP}


@dataclass(slots=True)
class Record:
    """What came of one call."""

    question: str
    heard: int = 0
    """Samples of the first answer played when its connection was lost."""
    received_since: int = 0
    """Samples of it that came after that."""
    lost_in_answer: bool = False
    gap_ms: list[float] = field(default_factory=list)
    silence_ms: list[float] = field(default_factory=list)
    ends: Counter[int] = field(default_factory=Counter)
    """END_OF_TURN, by turn."""
    seconds: float = 0.0
    error: str = ""


class Caller:
    """Asks for the story, listens, and asks for more."""

    def __init__(self, number: int, call: ResumingCall) -> None:
        self.record = Record(f"Tell me a story, I am caller {number}.")
        self._call = call
        self._listener = SimulatedListener(call, RATE_HZ)

    async def run(self) -> None:
        """To the end of the call; an error is noted."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S), asyncio.TaskGroup() as tasks:
                speaking = tasks.create_task(self._microphone(), name="microphone")
                listening = tasks.create_task(self._listener.run(), name="listener")
                async for event in self._call:
                    await self._take(event)
                speaking.cancel()
                listening.cancel()
        except* Exception as group:  # noqa: BLE001 - what ends a call is a result here
            self.record.error = self.record.error or repr(group.exceptions[0])
        self.record.seconds = time.monotonic() - began_s
        for item in self._call.resumptions:
            self.record.gap_ms.append(item.gap_ms)
            if item.silence_ms is not None:
                self.record.silence_ms.append(item.silence_ms)

    async def _microphone(self) -> None:
        pacer = Pacer(RATE_HZ)
        while True:
            await pacer.recorded(CHUNK)
            await self._call.send_audio(bytes(2 * CHUNK))

    async def _take(self, event: CallEvent) -> None:
        record = self.record
        if isinstance(event, Lost):
            played = self._listener.playback.played  # of the one answer there has been, unless that is over
            record.lost_in_answer = not record.ends[1] and played.samples > 0
            record.heard = played.samples
        self._listener.take(event)
        match event:
            case Session(resumed=False):
                await self._call.send_text(record.question)
            case Lost():
                self._call.note_played(played.generation, played.samples)
            case Resumed():
                record.received_since = 0
            case AnswerAudio(turn=1, pcm=pcm):
                record.received_since += len(pcm) // 2
            case Event(kind=EventKind.END_OF_TURN, turn=turn):
                record.ends[turn] += 1
                if turn == 1 and record.ends[1] == 1:
                    await self._call.send_text(AND_THEN)
                elif turn == 2:
                    await self._call.half_close()
            case Event(kind=EventKind.ERROR, message=message):
                record.error = record.error or message
            case Ended(error=error) if error is not None:
                record.error = record.error or str(error)
            case _:
                pass


@dataclass(slots=True)
class Words:
    """Where the words of the answer lie, in samples, as the voice speaks it."""

    spans: list[tuple[int, int]]
    length: int

    @classmethod
    def of(cls, phrases: list[str]) -> "Words":
        """Of phrases that are spoken at so much a character."""
        spans, at = [], 0.0
        for phrase in phrases:
            begin = 0
            for word in phrase.split(" "):
                spans.append((at + begin, at + begin + len(word)))
                begin += len(word) + 1
            at += len(phrase)
        unit = RATE_HZ * MS_PER_CHARACTER // 1000
        return cls([(round(first * unit), round(last * unit)) for first, last in spans], round(at * unit))

    def repeated(self, record: Record) -> int:
        """Words begun twice."""
        again = self.length - record.received_since
        return sum(again <= first < record.heard for first, _ in self.spans)

    def lost(self, record: Record) -> int:
        """Words that were not heard to their end, nor said again."""
        again = self.length - record.received_since
        return sum(record.heard < last <= again for _, last in self.spans)


@dataclass(slots=True)
class Outcome:
    """One row."""

    cause: str
    records: list[Record]
    wrong_histories: int
    words: Words
    checkpoints_per_minute: float = float("nan")
    bytes_each: float = float("nan")


@asynccontextmanager
async def two_gateways(
    fakes: RunningFakes, cause: str, keys: Path, net: Network | None
) -> AsyncIterator[tuple[Served, Served]]:
    """The one that is lost, and the other one."""
    common = {"RESUME_KEYS_FILE": str(keys), "DRAIN_RESUMABLE_SECONDS": "0.2"}
    async with AsyncExitStack() as stack:
        if cause == "blackhole" and net is not None:
            behind = {
                "GATEWAY_LISTEN_ADDRESS": f"{FAR}:0",
                "RIVA_URI": f"{BEHIND}:{fakes.riva_port}",
                "LLM_BASE_URL": f"http://{BEHIND}:{fakes.llm_port}/v1",
            }
            first = await stack.enter_async_context(
                gateway(fakes, settings={**common, **behind}, entering=net.far.entering)
            )
        else:
            first = await stack.enter_async_context(gateway(fakes, settings=common))
        yield first, await stack.enter_async_context(gateway(fakes, settings=common))
        if first.process.is_running():  # one that stands still ends by nothing else
            first.process.kill()


async def lose(cause: str, first: Served, net: Network | None) -> None:
    """Have the first gateway be gone, after a while."""
    await asyncio.sleep(LOST_AFTER_S)
    if cause == "blackhole" and net is not None:
        net.line.weather.down = True
    elif cause in SIGNALS:
        first.process.send_signal(SIGNALS[cause])


async def measure(cause: str, calls: int, net: Network | None) -> Outcome:
    """One row."""
    if net is not None:
        net.line.weather.down = False
    parts = {
        "llm": {"replies": [STORY], "log_messages": True, "log_tokens": False},
        "tts": {"ms_per_character": MS_PER_CHARACTER},
    }
    host = "0.0.0.0" if net is not None else "127.0.0.1"  # in a namespace that nobody else is in
    options = FakesOptions(riva=f"{host}:0", llm=f"{host}:0")
    folder = Path(tempfile.mkdtemp(dir=LOGS))
    keys = folder / "keys"
    keys.write_text(f"k1:{base64.b64encode(random.randbytes(32)).decode()}\n")
    async with (
        serving_fakes(build_script(parts), options) as fakes,
        two_gateways(fakes, cause, keys, net) as (first, second),
    ):
        records = [Record("")] * calls

        async def call(number: int) -> None:
            await asyncio.sleep(BEGIN_WITHIN_S * number / calls)
            async with connect_resuming([first.target, second.target], CallConfig(sample_rate_hz=RATE_HZ)) as made:
                caller = Caller(number, made)
                records[number] = caller.record
                await caller.run()

        async with asyncio.TaskGroup() as tasks:
            losing = tasks.create_task(lose(cause, first, net), name="lose")
            for number in range(calls):
                tasks.create_task(call(number), name=f"caller-{number}")
        await losing
        outcome = Outcome(cause, records, 0, words_spoken(fakes))
        outcome.wrong_histories = sum(history(fakes, record) != expected(record) for record in records)
        if cause == "none":
            minutes = sum(record.seconds for record in records) / 60
            made = (await counted(first, "voice_gateway_checkpoints_total"))[""]
            size = (await counted(first, "voice_gateway_checkpoint_bytes_sum"))[""]
            outcome.checkpoints_per_minute, outcome.bytes_each = made / minutes, size / made
        return outcome


def words_spoken(fakes: RunningFakes) -> Words:
    """Of the story, by the phrases that the voice was asked for in an answer of its own."""
    asked = [event.fields["text"] for event in fakes.log.events() if (event.source, event.name) == ("tts", "request")]
    phrases: list[str] = []
    rest = STORY
    while rest:
        phrase = next(text for text in sorted(set(asked), key=len, reverse=True) if rest.startswith(text))
        phrases.append(phrase)
        rest = rest[len(phrase) :].lstrip()
    return Words.of(phrases)


def history(fakes: RunningFakes, record: Record) -> list[tuple[str, str]]:
    """What the model was asked last in the call, without the system prompt."""
    found: list[tuple[str, str]] = []
    for event in fakes.log.events():
        said = [(role, text) for role, text in event.fields.get("conversation", ()) if role != "system"]
        if said and said[0] == ("user", record.question):
            found = said
    return found


def expected(record: Record) -> list[tuple[str, str]]:
    """Of an undisturbed call."""
    return [("user", record.question), ("assistant", STORY), ("user", AND_THEN)]


def row(outcome: Outcome) -> list[str]:
    """For the table."""
    records, words = outcome.records, outcome.words
    resumed = [record for record in records if record.gap_ms]
    in_answer = [record for record in resumed if record.lost_in_answer]
    gaps = [gap for record in resumed for gap in record.gap_ms]
    silences = [silence for record in in_answer for silence in record.silence_ms]
    repeated = [words.repeated(record) for record in in_answer]
    return [
        outcome.cause,
        f"{len(resumed)} of {len(records)}",
        str(sum(len(record.gap_ms) for record in records)),
        " / ".join(ms(value) for value in (percentile(gaps, 0.5), percentile(gaps, 0.95), max(gaps, default=0.0))),
        " / ".join(ms(percentile(silences, share)) for share in (0.5, 0.95, 1.0)),
        f"{sum(repeated) / len(repeated):.1f} / {max(repeated)}" if repeated else "-",
        str(sum(words.lost(record) for record in in_answer)),
        str(sum(not record.ends[turn] for record in records for turn in (1, 2))),
        str(sum(max(0, record.ends[turn] - 1) for record in records for turn in (1, 2))),
        f"{len(records) - outcome.wrong_histories} of {len(records)}",
        str(sum(bool(record.error) for record in records)),
    ]


HEAD = (
    "cause", "resumed", "times", "gap ms p50 / p95 / max", "silence ms p50 / p95 / max", "words repeated mean / max",
    "words lost", "turns lost", "turns twice", "histories equal", "errors",
)  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--causes", default=",".join(CAUSES))
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    causes: list[str] = options.causes.split(",")
    settle_in()
    with ExitStack() as stack:
        net = stack.enter_context(network()) if possible() else None
        if net is not None:
            net.near.enter()
        elif "blackhole" in causes:
            print("blackhole: not measured here, it needs root and iproute2")
            causes.remove("blackhole")
        outcomes = [asyncio.run(measure(cause, options.calls, net)) for cause in causes]
    show("A gateway is lost in the middle of an answer", HEAD, [row(outcome) for outcome in outcomes])
    for outcome in outcomes:
        for error, count in Counter(record.error for record in outcome.records if record.error).items():
            print(f"{outcome.cause}: {count} times {error}")
        if outcome.cause == "none":
            print(
                f"\n{outcome.checkpoints_per_minute:.0f} checkpoints a call-minute, {outcome.bytes_each:.0f} bytes each"
            )
    if options.json is not None:
        options.json.write_text(json.dumps(_document(outcomes)))
    return 0


def _document(outcomes: list[Outcome]) -> Mapping[str, object]:
    return {
        outcome.cause: {
            **dict(zip(HEAD[1:], row(outcome)[1:], strict=True)),
            "gap_ms": [gap for record in outcome.records for gap in record.gap_ms],
            "silence_ms": [silence for record in outcome.records for silence in record.silence_ms],
        }
        for outcome in outcomes
    }


if __name__ == "__main__":
    sys.exit(main())
