"""Sounds over an answer that are no interruption: a cough, a throat that is cleared, "mhm". What became of the answer.

The answer is ducked, perhaps paused, and is to go on at its word. `silence` is what the caller does not hear: from the
flush to the next audio of the same answer.
"""

import asyncio
import random
from dataclasses import dataclass, field

from bench.lines import RawLine
from bench.phone import CallFailedError, Phone, Said
from bench.processes import Served
from bench.scripted import Studio, Utterance
from bench.table import ms, percentile, show
from bench.timeline import Timeline
from voice_clients.events import EventKind, PlaybackAction
from voice_fakes import Script
from voice_fakes.script import build_script

CHUNK_MS = 20
SETTLE_S = 2.5
RESUMED_WITHIN_MS = 1000.0
QUESTION = "please tell me something about the sea"
SOUNDS_MS = (140, 260, 400, 520)
"""Voice without words, of such lengths: a cough takes 300 to 500 ms."""
BACKCHANNELS = ("mhm", "okay", "yeah right", "uh huh")


@dataclass(slots=True)
class Kind:
    """One row."""

    name: str
    sounds: int = 0
    ducked: int = 0
    paused: int = 0
    silence_ms: list[float] = field(default_factory=list)
    """Of the pauses that ended."""
    lost: int = 0
    """The answer was given up."""

    @property
    def resumed(self) -> int:
        """Answers that went on within a second, or were never paused."""
        quick = sum(silence <= RESUMED_WITHIN_MS for silence in self.silence_ms)
        return self.sounds - self.paused - self.lost + quick


@dataclass(slots=True)
class FalseInterruptions:
    """The table."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class Sounds:
    """What the callers say. Blocking: makes files."""

    def __init__(self, studio: Studio) -> None:
        self.question = studio.say(QUESTION)
        self.over: list[tuple[str, Utterance]] = [
            (f"voice of {length} ms", studio.sound(f"cough of {length} ms", length)) for length in SOUNDS_MS
        ]
        self.over += [(f'"{text}"', studio.say(text)) for text in BACKCHANNELS]

    def script(self) -> Script:
        """Fakes that hear them, and an answer that lasts for all of them."""
        long = " ".join(f"This is sentence number {number} of a long and patient answer." for number in range(60))
        recordings = [self.question.recording, *(sound.recording for _, sound in self.over)]
        return build_script({"asr": {"recordings": recordings}, "llm": {"replies": [long], "token_interval_ms": 2}})


class Listener:
    """A caller who makes each sound once over one answer."""

    def __init__(self, number: int, target: str, sounds: Sounds) -> None:
        self.timeline = Timeline()
        self.made: list[tuple[str, Said]] = []
        self.error = ""
        self._sounds = sounds
        self._random = random.Random(number)
        self._phone = Phone(
            target, RawLine.dial, name=f"listener-{number}", chunk_ms=CHUNK_MS, on_event=self.timeline.event
        )

    async def run(self) -> None:
        """Hold the call; a failure is noted."""
        order = list(self._sounds.over)
        self._random.shuffle(order)
        try:
            async with self._phone:
                await asyncio.sleep(self._random.uniform(0.2, 1.0))
                for name, sound in order:
                    await self._hear_an_answer()
                    said = await self._phone.say(sound.chunks(CHUNK_MS))
                    self.made.append((name, said))
                    await asyncio.sleep(SETTLE_S)
        except (CallFailedError, OSError, TimeoutError) as error:
            self.error = f"{type(error).__name__}: {error}"

    async def _hear_an_answer(self) -> None:
        """Ask, unless an answer plays still."""
        ended = max((at_ms for at_ms, _ in self.timeline.ends()), default=0.0)
        began = self.timeline.audio(ended)
        if not began:
            said = await self._phone.say(self._sounds.question.chunks(CHUNK_MS))
            await self._phone.until(lambda: bool(self.timeline.audio(said.end_ms)), "an answer", 10.0)
        await asyncio.sleep(self._random.uniform(1.0, 1.3))


async def measure(served: Served, sounds: Sounds, calls: int) -> FalseInterruptions:
    """One run; `served` is connected to fakes that play `sounds.script()`."""
    listeners = [Listener(number, served.target, sounds) for number in range(calls)]
    await asyncio.gather(*(listener.run() for listener in listeners))
    result = FalseInterruptions({name: Kind(name) for name, _ in sounds.over})
    for listener in listeners:
        if listener.error:
            result.errors.append(listener.error)
        for name, said in listener.made:
            _account(result.kinds[name], listener.timeline, said)
    return result


def _account(kind: Kind, timeline: Timeline, said: Said) -> None:
    kind.sounds += 1
    until_ms = said.end_ms + SETTLE_S * 1000
    kind.ducked += timeline.ducked(said.start_ms, until_ms) is not None
    if timeline.count(EventKind.END_OF_TURN, said.start_ms, until_ms):
        kind.lost += 1
        return
    paused_ms = timeline.first(PlaybackAction.FLUSH, said.start_ms, until_ms)
    if paused_ms is None:
        return
    kind.paused += 1
    if again := timeline.audio(paused_ms, until_ms):
        kind.silence_ms.append(again[0][0] - paused_ms)


def show_result(result: FalseInterruptions) -> None:
    """Print the table."""
    head = ["sound over an answer", "made", "ducked", "paused", "silence p50", "p95", "answer lost", "resumed in 1 s"]
    rows = [
        [
            kind.name, str(kind.sounds), str(kind.ducked), str(kind.paused), ms(percentile(kind.silence_ms, 0.5)),
            ms(percentile(kind.silence_ms, 0.95)), str(kind.lost), f"{kind.resumed}/{kind.sounds}",
        ]
        for kind in result.kinds.values()
    ]  # fmt: skip
    show("False interruptions (ms)", head, rows)
    made = sum(kind.sounds for kind in result.kinds.values())
    resumed = sum(kind.resumed for kind in result.kinds.values())
    if made:
        print(f"\nwent on within a second: {resumed} of {made}, {100 * resumed / made:.1f} %")
    for error in sorted(set(result.errors)):
        print(f"error: {error} ({result.errors.count(error)}x)")
