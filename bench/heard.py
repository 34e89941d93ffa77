"""How well the gateway knows what its callers heard: its history against the sound that really left the loudspeaker.

Usage: python -m bench.heard [--calls 10] [--interruptions 3] [--jitter-ms 0,100,200,400] [--json FILE]

Callers speak over every answer at a random moment. Their loudspeakers are at the far end of a line with 0 to N ms of
random delay in either direction, and keep a log of what they played. The fake voice says in its own sound which word
it is at, so the words that had ended are read from that log alone. The error of an interruption is the number of words
that the next request to the language model has too many (+) or too few (-).
"""

import argparse
import asyncio
import json
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import servicekit.grpc_engine  # noqa: F401 - before anything imports grpc
from bench.processes import LOGS, gateway
from bench.recordings import RATE_HZ, SPEECH, utterances
from bench.table import percentile, show
from voice_clients.caller import LEGACY, MODERN, Call, CallConfig, connect
from voice_clients.events import Ended
from voice_clients.pacing import Pacer
from voice_clients.testing.distant import DistantListener
from voice_fakes import EventLog, FakesOptions, Script, serving_fakes
from voice_fakes.log import Event
from voice_fakes.script import build_script
from voice_fakes.truth import SpokenWords

CHUNK_MS = 20
ANSWER_TIMEOUT_S = 30.0
HEARD_FOR_S = (0.6, 3.0)  # of an answer, before the caller speaks over it
GAP_S = 0.45  # without sound between two answers: at least 0.5 s, of endpointing and of the fakes' own waits
REPLIES, WORDS_PER_REPLY, WORDS_PER_SENTENCE = 400, 45, 9
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    jitter_ms: float
    acks: bool
    calls: int = 10
    interruptions: int = 3


@dataclass(slots=True)
class Result:
    """`errors` in words, one for each interruption: what the history had more (+) or less (-) than was heard, in the
    next request. `last_errors`: the same in the last request of the call where that is a later one, when every
    acknowledgement had come.
    """

    setting: Setting
    errors: list[int] = field(default_factory=list)
    last_errors: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def replies() -> list[str]:
    """Answers of 20 s. No word occurs twice in all of them, so that a word tells the answer it is from."""
    order = random.Random(7)
    seen: set[str] = set()
    texts = []
    for _ in range(REPLIES):
        words: list[str] = []
        while len(words) < WORDS_PER_REPLY:
            word = "".join(order.choices(SYLLABLES, k=order.choice((2, 3, 3, 4))))
            if word not in seen:
                seen.add(word)
                words.append(word)
        sentences = [words[at : at + WORDS_PER_SENTENCE] for at in range(0, len(words), WORDS_PER_SENTENCE)]
        texts.append(" ".join(" ".join(sentence).capitalize() + "." for sentence in sentences))
    return texts


def script() -> Script:
    """The fakes, with marks in the voice and the messages in the log."""
    return build_script(
        {
            "tts": {"marks": True},
            "llm": {"replies": replies(), "log_messages": True, "log_tokens": False},
            "asr": {"first_interim_ms": 200},
        }
    )


class Interrupter:
    """A caller who speaks over every answer."""

    def __init__(self, number: int, target: str, setting: Setting, speech: list[list[bytes]]) -> None:
        self.listener: DistantListener | None = None
        self._config = CallConfig(sample_rate_hz=RATE_HZ, capabilities=MODERN if setting.acks else LEGACY)
        self._number = number
        self._setting = setting
        self._target = target
        self._speech = speech
        self._random = random.Random(number)

    async def run(self) -> None:
        """Hold the call. Raises CallError where it fails, TimeoutError where no answer comes."""
        setting = self._setting
        async with connect(self._target, self._config) as call, asyncio.TaskGroup() as tasks:
            self.listener = DistantListener(
                call, RATE_HZ, jitter_ms=setting.jitter_ms, seed=self._number, acks=setting.acks
            )
            background = [
                tasks.create_task(self.listener.run(), name="listener"),
                tasks.create_task(self._read(call, self.listener), name="reader"),
            ]
            await self._talk(call, self.listener)
            for task in background:
                task.cancel()

    async def _read(self, call: Call, listener: DistantListener) -> None:
        async for event in call:
            if isinstance(event, Ended):
                event.raise_for_error()
            listener.take(event)

    async def _talk(self, call: Call, listener: DistantListener) -> None:
        pacer = Pacer(RATE_HZ)
        silence = bytes(len(self._speech[0][0]))
        await self._say(call, pacer, [silence] * self._random.randint(5, 50))
        for turn in range(self._setting.interruptions + 1):
            before = len(listener.log)
            await self._say(call, pacer, self._speech[(self._number + turn) % len(self._speech)])
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                while not _answer_began(listener, before):
                    await self._say(call, pacer, [silence])
            if turn < self._setting.interruptions:
                heard_for_s = self._random.uniform(*HEARD_FOR_S)
                await self._say(call, pacer, [silence] * int(heard_for_s * 1000 / CHUNK_MS))

    @staticmethod
    async def _say(call: Call, pacer: Pacer, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            await pacer.recorded(len(chunk) // 2)
            await call.send_audio(chunk)


def _answer_began(listener: DistantListener, before: int) -> bool:
    """Whether another answer is heard than the one that was heard when `before` parts had been played."""
    times = [part.at_s for part in listener.log[max(0, before - 1) :]]
    if before == 0:
        return bool(times)
    return any(after - earlier > GAP_S for earlier, after in pairwise(times))


def words_of(text: str) -> list[str]:
    """Lower case, without marks."""
    return re.findall(r"[a-z]+", text.lower())


def compare(log: EventLog, played: Sequence[bytes], result: Result) -> None:
    """Fill in the errors: for each answer, what the request after it holds of it against what was heard of it."""
    truth, texts = SpokenWords(log), replies()
    heard = {word for audio in played for text in truth.ended(audio) for word in words_of(text)}
    requests: dict[str, list[Event]] = {}
    for event in log.events("llm", "request"):
        requests.setdefault(event.fields["call_id"], []).append(event)
    for call_id, asked in requests.items():
        for before, after in pairwise(asked):
            users = _users(after)
            settled = [event for event in asked if _users(event) == users][
                -1
            ]  # an early guess may have been taken back
            answer = words_of(texts[before.fields["reply"]])
            really = [word in heard for word in answer]
            kept, last = (_kept(request, answer) for request in (settled, asked[-1]))
            if any(flags != sorted(flags, reverse=True) for flags in (really, kept, last)):
                result.problems.append(f"{call_id}: words were left out: heard {sum(really)}, kept {sum(kept)}")
            if any(really) or any(kept):
                result.errors.append(sum(kept) - sum(really))
                if settled is not asked[-1]:
                    result.last_errors.append(sum(last) - sum(really))


def _kept(request: Event, answer: list[str]) -> list[bool]:
    """For each word of an answer, whether the request's history holds it."""
    said = {word for role, text in request.fields["conversation"] if role == "assistant" for word in words_of(text)}
    return [word in said for word in answer]


def _users(request: Event) -> int:
    return sum(role == "user" for role, _ in request.fields["conversation"])


async def measure(setting: Setting) -> Result:
    """Run one setting against a gateway of its own."""
    result = Result(setting)
    speech = utterances(SPEECH, CHUNK_MS)
    LOGS.mkdir(parents=True, exist_ok=True)
    async with (
        serving_fakes(script(), FakesOptions()) as fakes,
        gateway(fakes) as served,
    ):
        callers = [Interrupter(number, served.target, setting, speech) for number in range(setting.calls)]
        ends = await asyncio.gather(*(caller.run() for caller in callers), return_exceptions=True)
        result.problems += [f"{type(end).__name__}: {end}" for end in ends if isinstance(end, BaseException)]
        played = [caller.listener.played_audio() for caller in callers if caller.listener is not None]
        compare(fakes.log, played, result)
    return result


def row(result: Result) -> list[str]:
    """The setting, and the size of the errors."""
    sizes = [abs(error) for error in result.errors]
    signed = sum(result.errors) / len(result.errors) if result.errors else float("nan")
    return [
        f"{result.setting.jitter_ms:.0f}",
        "acknowledges" if result.setting.acks else "first contract",
        str(len(sizes)),
        f"{sum(sizes) / len(sizes):.2f}" if sizes else "-",
        f"{signed:+.2f}",
        f"{percentile(sizes, 0.95):.0f}",
        str(max(sizes, default=0)),
        f"{sum(size <= 1 for size in sizes) * 100 / len(sizes):.0f} %" if sizes else "-",
        str(max(map(abs, result.last_errors), default=0)),
        str(len(result.problems)),
    ]


HEAD = ["jitter ms", "client", "interruptions", "mean", "signed", "p95", "max", "within 1", "max later", "problems"]


def main() -> int:
    """Run all settings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--interruptions", type=int, default=3, help="in each call")
    parser.add_argument("--jitter-ms", default="0,100,200,400")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = [
        asyncio.run(measure(Setting(float(jitter), acks, arguments.calls, arguments.interruptions)))
        for acks in (True, False)
        for jitter in arguments.jitter_ms.split(",")
    ]
    show("Words in the history against words heard, at an interruption", HEAD, [row(result) for result in results])
    for result in results:
        for problem in result.problems:
            print(f"problem at {result.setting}: {problem}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
