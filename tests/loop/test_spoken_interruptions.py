"""Callers with real voices over real answers: a cough, a "yeah", a "stop", a hesitation, a number in groups.

Speech is made by the embedded voices, and recognised by PocketSphinx through the gateway.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import pytest
from processes import Stack, embedded_stack
from spoken_calls import RATE_HZ, SpokenCall, spoken, spoken_call

from voice_clients.audio_file import read_recording
from voice_clients.events import EventKind

STORY = Path(__file__).parents[2] / "services/speech-worker/tests/audio/tell-me-a-long-story.wav"
GROUPS = ("my phone number is four one five", "five five five", "two six seven one")
HESITATION = ("I would like to", "know what time it is")
NUMBER_WORD_ERRORS = 0.4
"""As in test_real_speech.py: a demo recogniser hears a demo voice."""
pytestmark = [pytest.mark.edge, pytest.mark.speech, pytest.mark.timeout(150)]


def cough(milliseconds: int = 600) -> bytes:
    """A burst of noise with the resonances of a throat (700, 1200 and 2600 Hz), dying away: s16le mono."""
    dice = np.random.default_rng(2)
    times_s = np.arange(RATE_HZ * milliseconds // 1000) / RATE_HZ
    spectrum = np.fft.rfft(dice.normal(size=len(times_s)))
    frequencies_hz = np.fft.rfftfreq(len(times_s), 1 / RATE_HZ)
    resonance = sum(
        1 / (1 + ((frequencies_hz - centre) / width) ** 2) for centre, width in ((700, 75), (1200, 100), (2600, 150))
    )
    throat = np.fft.irfft(spectrum * resonance, len(times_s))
    envelope = np.minimum(1.0, times_s / 0.01) * np.exp(-times_s / 0.12)
    burst = throat * envelope
    return bytes((burst / np.abs(burst).max() * 9_000).astype("<i2").tobytes())


@dataclass(frozen=True)
class Heard:
    """What is left of one call."""

    finals: list[str]
    kinds: list[EventKind]
    flushes: int
    after_s: float = 0.0
    """Seconds of the first answer that were heard after the caller spoke over it."""


async def over_the_story(gateway: str, sound: bytes) -> Heard:
    """Ask for a long story, make a sound two seconds into it, and listen for four seconds more."""
    async with spoken_call(gateway) as caller:
        await caller.say(read_recording(STORY, sample_rate_hz=RATE_HZ).pcm)
        await caller.until(EventKind.SPEAKING)
        await caller.hear(2.0)
        before_s = caller.heard_s
        await caller.say(sound)
        await caller.hear(4.0)
        return left_of(caller, caller.heard_s - before_s)


async def in_parts(gateway: str, parts: list[bytes], pause_s: float) -> Heard:
    """Say something with pauses in it, and wait until it is answered."""
    async with spoken_call(gateway) as caller:
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(pause_s)
            await caller.say(part)
        await caller.until(EventKind.SPEAKING)
        return left_of(caller)


def left_of(caller: SpokenCall, after_s: float = 0.0) -> Heard:
    return Heard(caller.finals(), caller.kinds(), caller.flushes(), after_s)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # A recogniser that shares its cores with other tests is late; what is tried here is what its words do.
    patient = {
        "INTERRUPTION_COMMIT_MS": "3000",
        "INTERRUPTION_DOUBTFUL_COMMIT_MS": "3000",
        "INTERRUPTION_RESUME_AFTER_MS": "3000",
    }
    with embedded_stack(**patient) as running:
        yield running


@pytest.fixture(scope="module")
def calls(stack: Stack) -> dict[str, Heard]:
    """All the calls, several at once in one gateway."""
    gateway, speech = stack.gateway.address, stack.speech.address
    said = {text: spoken(speech, text) for text in (*GROUPS, *HESITATION, "stop", "yeah")}

    async def together() -> dict[str, Heard]:
        heard: dict[str, Heard] = {}
        # The embedded recogniser takes two streams a core, and a stream that ends takes a moment.
        for names in (("cough", "stop", "number"), ("yeah", "hesitation")):
            async with asyncio.TaskGroup() as tasks:
                running = {name: tasks.create_task(plans[name](), name=name) for name in names}
            heard |= {name: task.result() for name, task in running.items()}
        return heard

    plans = {
        "cough": lambda: over_the_story(gateway, cough()),
        "stop": lambda: over_the_story(gateway, said["stop"]),
        "yeah": lambda: over_the_story(gateway, said["yeah"]),
        "number": lambda: in_parts(gateway, [said[text] for text in GROUPS], 1.0),
        "hesitation": lambda: in_parts(gateway, [said[text] for text in HESITATION], 0.8),
    }
    return asyncio.run(together())


def test_an_answer_goes_on_after_a_cough(calls: dict[str, Heard]) -> None:
    """The detector mostly knows it for what it is; where it does not, the answer pauses and goes on."""
    heard = calls["cough"]
    assert heard.finals == ["tell me a long story"]
    assert EventKind.END_OF_TURN not in heard.kinds
    assert heard.after_s >= 4.0


def test_an_answer_pauses_for_a_spoken_yeah_and_goes_on(calls: dict[str, Heard]) -> None:
    heard = calls["yeah"]
    assert heard.flushes == 1
    assert heard.finals == ["tell me a long story"]
    assert EventKind.END_OF_TURN not in heard.kinds
    assert heard.after_s >= 4.0


def test_a_spoken_stop_stops_an_answer(calls: dict[str, Heard]) -> None:
    heard = calls["stop"]
    assert EventKind.END_OF_TURN in heard.kinds
    assert heard.flushes >= 1
    assert heard.after_s < 4.0, "the story is much longer"


def test_a_number_that_is_said_in_groups_is_one_turn(calls: dict[str, Heard]) -> None:
    (number,) = calls["number"].finals
    assert jiwer.wer(" ".join(GROUPS), number) <= NUMBER_WORD_ERRORS, number


def test_a_hesitation_in_mid_sentence_is_not_cut_in_on(calls: dict[str, Heard]) -> None:
    assert calls["hesitation"].finals == ["i would like to know what time it is"]
