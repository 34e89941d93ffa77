"""Turn-taking in a scripted set of what people say: turns lost or cut short, sounds that are no interruption, what the
history keeps, and what an answer that is begun early saves.

Usage: python -m bench.turns [--calls 8] [--word-delay-ms 200] [--json FILE]; about two minutes

Callers say the set, half of it each, in an order of their own, and wait for each answer: once to a gateway that begins
answers early and at the same time to one that does not. The fake recogniser hears the words in the sound, so an
utterance that is cut in two comes as two texts. `answered` are utterances that got one answer, to all of their words.
`cut-ins` are utterances during which the gateway took the turn (PROCESSING) or spoke; `asked early` those during which
it asked the language model, which speculation may do. `lost` got no answer, `in parts` more than one or one to a part
of the words. `response` is from the end of the utterance to the first audio of its answer, where it was answered; the
waits of the fakes alone, one after the other, are SERIAL_MS.
"""

import argparse
import asyncio
import dataclasses
import json
import random
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench import false_interruptions, heard
from bench.false_interruptions import FalseInterruptions
from bench.lines import RawLine
from bench.phone import CallFailedError, Phone, Said
from bench.processes import Conditions, Served, counted, gateway, settle_in, watching
from bench.scripted import Studio, Utterance
from bench.table import ms, percentile, show
from bench.timeline import Timeline
from voice_clients.events import EventKind
from voice_fakes import Event as LogEvent
from voice_fakes import FakesOptions, RunningFakes, Script, serving_fakes
from voice_fakes.script import build_script

CHUNK_MS = 20
ANSWER_TIMEOUT_S = 8.0
AFTER_S = 2.5
"""After an answer has ended: what was taken for a turn of its own is answered by then, and is noticed."""
SHARES = 2
"""The set is divided among so many callers."""
REPLY = "Today the air near the coast is mild and clear with a light wind from the west until evening."
"""Its first mark is token 20; it is spoken in 1.4 s."""
SERIAL_MS = 300 + 120 + 19 * 10 + 80
"""The recogniser's final result, the first token, 19 more, and the first sound: without the gateway."""
QUICK = ("short", "sentence")
"""Kinds whose end no rule waits for."""
HEARD = tuple(heard.Setting(200.0, acks, calls=4, interruptions=3) for acks in (True, False))
SET: dict[str, tuple[str, ...]] = {
    "short": ("yes", "no", "stop", "okay then", "yes please"),
    "sentence": (
        "what is the weather like today",
        "please tell me when the next train to the coast leaves and how long it takes to get there",
        "I would like to book a table for four people on Friday evening at eight o'clock",
    ),
    "hesitation": (
        "I would like <300> to book a table",
        "can you tell me <600> when the train leaves",
        "I want to go to <900> the coast tomorrow",
        "it is about <700> my <400> last order and <600> the delivery",
        "well I think <800> we need a room for two nights",
    ),
    "digits": (
        "my number is <500> four one five <700> two two nine",
        "four one five <600> five five five <600> zero one nine two",
        "it is nine <300> nine <300> seven <900> one",
    ),
    "spelling": ("my name is <300> S A <400> R A H", "that is spelled B <300> R <300> O <300> W <300> N"),
    "e-mail": (
        "my e-mail is sarah dot brown <500> at example <400> dot com",
        "write to info <400> at <600> coast dot org",
    ),
}


@dataclass(slots=True)
class Kind:
    """One row."""

    name: str
    said: int = 0
    answered: int = 0
    in_parts: int = 0
    lost: int = 0
    cut_ins: int = 0
    asked_early: int = 0
    response_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """The table of one gateway."""

    speculation: bool
    kinds: dict[str, Kind]
    outcomes: dict[str, float] = field(default_factory=dict)
    """Of answers begun early, by the gateway's own count."""
    failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """All tables."""

    turns: list[Result]
    false_interruptions: FalseInterruptions
    heard: list[heard.Result]
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance of one caller, and when the next one began."""

    kind: str
    utterance: Utterance
    said: Said
    until_ms: float


class Talker:
    """A caller who says the whole set."""

    def __init__(self, number: int, target: str, speech: list[tuple[str, Utterance]]) -> None:
        self.timeline = Timeline()
        self.spoken: list[Spoken] = []
        self.error = ""
        self._speech = list(speech)
        random.Random(number).shuffle(self._speech)
        self.phone = Phone(
            target, RawLine.dial, name=f"talker-{number}", chunk_ms=CHUNK_MS, on_event=self.timeline.event
        )

    async def run(self) -> None:
        """Hold the call; a failure is noted."""
        begun: list[tuple[str, Utterance, Said]] = []
        try:
            async with self.phone:
                await asyncio.sleep(0.5)
                for kind, utterance in self._speech:
                    said = await self.phone.say(utterance.chunks(CHUNK_MS))
                    begun.append((kind, utterance, said))
                    try:
                        await self.phone.until(
                            lambda since=said.end_ms: self.timeline.count(EventKind.END_OF_TURN, since) > 0,  # type: ignore[misc]
                            "an answer",
                            ANSWER_TIMEOUT_S,
                        )
                    except CallFailedError as error:
                        if "did not come" not in str(error):
                            raise
                    await asyncio.sleep(AFTER_S)
        except (CallFailedError, OSError, TimeoutError) as error:
            self.error = f"{type(error).__name__}: {error}"
        ends = [said.start_ms for _, _, said in begun[1:]] + [float("inf")]
        self.spoken = [Spoken(*item, until_ms) for item, until_ms in zip(begun, ends, strict=True)]


async def measure(calls: int, *, word_delay_ms: float) -> Report:
    """All of it at once, each part with fakes and a gateway of its own: the load is small, and the clock is long."""
    studio = Studio()
    speech = [(kind, studio.say(text)) for kind, texts in SET.items() for text in texts]
    sounds = false_interruptions.Sounds(studio)
    asr = {"recordings": [item.recording for _, item in speech], "word_delay_ms": word_delay_ms}
    script = build_script({"asr": asr, "llm": {"replies": [REPLY]}, "tts": {"ms_per_character": 15}})
    async with AsyncExitStack() as stack:

        async def stand(script: Script, *, speculation: bool = True) -> tuple[RunningFakes, Served]:
            fakes = await stack.enter_async_context(serving_fakes(script, FakesOptions()))
            settings = {"SPECULATION_ENABLED": str(speculation).lower()}
            return fakes, await stack.enter_async_context(gateway(fakes, settings=settings))

        eager, patient = await stand(script), await stand(script, speculation=False)
        _, listened_to = await stand(sounds.script())
        async with watching(listened_to.process) as conditions:
            *turns, false = await asyncio.gather(
                converse(*eager, speech, calls, speculation=True),
                converse(*patient, speech, calls, speculation=False),
                false_interruptions.measure(listened_to, sounds, calls // SHARES),
            )
    return Report(turns, false, [await heard.measure(setting) for setting in HEARD], conditions)


async def converse(
    fakes: RunningFakes, served: Served, speech: list[tuple[str, Utterance]], calls: int, *, speculation: bool
) -> Result:
    """Callers with one gateway."""
    result = Result(speculation, {name: Kind(name) for name in SET})
    talkers = [Talker(number, served.target, speech[number % SHARES :: SHARES]) for number in range(calls)]
    await asyncio.gather(*(talker.run() for talker in talkers))
    result.outcomes = await counted(served, "voice_gateway_speculation_total")
    asked: dict[str, list[LogEvent]] = {}
    for event in fakes.log.events("llm", "request"):
        asked.setdefault(event.fields["call_id"], []).append(event)
    for talker in talkers:
        if talker.error:
            result.errors.append(talker.error)
        for spoken in talker.spoken:
            _account(result, talker, spoken, asked.get(talker.phone.call_id, []))
    return result


def _account(result: Result, talker: Talker, spoken: Spoken, asked: list[LogEvent]) -> None:
    kind, said, timeline = result.kinds[spoken.kind], spoken.said, talker.timeline
    kind.said += 1
    requests = [event for event in asked if said.start_ms <= event.t_ms < spoken.until_ms]
    taken_early = timeline.count(EventKind.PROCESSING, said.start_ms, said.end_ms)
    cut_in = bool(taken_early or timeline.audio(said.start_ms, said.end_ms))
    taken = timeline.count(EventKind.PROCESSING, said.start_ms, spoken.until_ms)
    kind.cut_ins += cut_in
    kind.asked_early += any(event.t_ms < said.end_ms for event in requests)
    heard = words(requests[-1].fields["last_message"]) if requests else []
    if not timeline.audio(said.end_ms, spoken.until_ms):
        kind.lost += 1
        outcome = "no answer"
    elif taken == 1 and heard == words(" ".join(spoken.utterance.words)):
        kind.answered += 1
        outcome = ""
    else:
        kind.in_parts += 1
        outcome = f"{taken} turns, last asked: {' '.join(heard)}"
    if not outcome:
        kind.response_ms.append(timeline.audio(said.end_ms, spoken.until_ms)[0][0] - said.end_ms)
    if cut_in or outcome:
        result.failures.append(f"{spoken.utterance.text!r}: {'cut in; ' if cut_in else ''}{outcome}")


def words(text: str) -> list[str]:
    """Lower case, without marks at the ends of words."""
    return [word.strip(".,;:!?").lower() for word in text.split()]


def show_report(report: Report) -> None:
    """Print the tables."""
    for result in report.turns:
        head = ["kind", "said", "answered", "in parts", "lost", "cut-ins", "asked early", "response p50", "p95"]
        rows = [
            [
                kind.name, str(kind.said), str(kind.answered), str(kind.in_parts), str(kind.lost), str(kind.cut_ins),
                str(kind.asked_early), ms(percentile(kind.response_ms, 0.5)), ms(percentile(kind.response_ms, 0.95)),
            ]
            for kind in result.kinds.values()
        ]  # fmt: skip
        show(f"Turns, speculation {'on' if result.speculation else 'off'} (ms)", head, rows)
        _show_speculation(result)
        for text in sorted(set(result.failures)):
            print(f"- {text} ({result.failures.count(text)}x)")
        for error in sorted(set(result.errors)):
            print(f"error: {error}")
    false_interruptions.show_result(report.false_interruptions)
    show("Words in the history against words heard", heard.HEAD, [heard.row(result) for result in report.heard])
    valid = "valid" if report.conditions.valid else "NOT valid"
    print(f"\nloop lag p99 {report.conditions.lag_p99_ms:.1f} ms: {valid}")


def _show_speculation(result: Result) -> None:
    quick = [wait for name in QUICK for wait in result.kinds[name].response_ms]
    print(
        f"\nresponse to {' and '.join(QUICK)}: p50 {ms(percentile(quick, 0.5))} ms, p95 {ms(percentile(quick, 0.95))} "
        f"ms; the fakes' own waits in a row: {SERIAL_MS} ms"
    )
    begun = result.outcomes.get("started", 0)
    if begun:
        shares = ", ".join(
            f"{name} {100 * result.outcomes.get(name, 0) / begun:.0f} %" for name in ("adopted", "wasted")
        )
        print(f"answers begun early: {begun:.0f}; {shares}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--word-delay-ms", type=float, default=200.0, help="from a word's end to the interim with it")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settle_in()
    report = uvloop.run(measure(options.calls, word_delay_ms=options.word_delay_ms))
    show_report(report)
    if options.json:
        options.json.write_text(json.dumps(dataclasses.asdict(report), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
