"""A caller with open speakers: the microphone hears the gateway's own answer, through a room."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Stack, embedded_stack, gateway_for

from voice_clients.audio_file import read_recording
from voice_clients.caller import CallConfig, connect
from voice_clients.echo import Cleaner
from voice_clients.events import Event, EventKind, Playback, PlaybackAction, Transcript
from voice_clients.listener import deliver
from voice_clients.pacing import Pacer
from voice_clients.playback import PlaybackBuffer
from voice_clients.testing.room import EchoPath, Room
from voice_clients.webrtc_audio import EchoCancellation, make_cleaner

QUESTION = Path(__file__).parents[2] / "services/speech-worker/tests/audio/tell-me-a-long-story.wav"
RATE = 16_000
BLOCK = RATE // 50
ANSWER_S = 6.0  # of the answer that has to be heard in one piece
LONGEST_S = 40.0
pytestmark = [pytest.mark.edge, pytest.mark.speech, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with embedded_stack() as running:
        yield running


async def listen(
    target: str, cleaner: Cleaner | None, *, until_s: float = ANSWER_S, then: bytes = b"", to_the_end: bool = False
) -> tuple[float, list[str]]:
    """Ask, and listen in the room; after `until_s` of the answer say `then`. Gives the seconds of answer heard, and
    what the gateway took for the caller. Ends with the first such thing, unless `to_the_end`.
    """
    playback = PlaybackBuffer(RATE)
    room = Room(EchoPath(delay_ms=60, decay_ms=150, gain_db=-8), RATE)
    said = read_recording(QUESTION, sample_rate_hz=RATE).pcm
    heard, disturbed = 0, []
    async with connect(target, CallConfig(sample_rate_hz=RATE)) as call, asyncio.TaskGroup() as tasks:

        async def read() -> None:
            answering = False
            async for event in call:
                deliver(event, playback)
                match event:
                    case Event(kind=EventKind.SPEAKING):
                        answering = True
                    case Playback(action=action) if action is not PlaybackAction.RESUME and answering:
                        disturbed.append(action.name)
                    case Transcript(text=text) if answering and text:
                        disturbed.append(text)
                    case _:
                        pass

        reader = tasks.create_task(read(), name="reader")
        pacer = Pacer(RATE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_S):
                at = 0
                while (heard < until_s * RATE or at < len(said)) and (to_the_end or not disturbed):
                    await pacer.recorded(BLOCK)
                    before = playback.buffered_samples
                    played = playback.take(BLOCK)
                    heard += before - playback.buffered_samples
                    if heard >= until_s * RATE and then:
                        said, then, at = then, b"", 0
                    recorded = room.hear(played, said[at : at + 2 * BLOCK])
                    at += 2 * BLOCK
                    await call.send_audio(recorded if cleaner is None else cleaner.clean(recorded, played))
                    for ack in playback.next_acks():
                        await call.ack(ack.generation, ack.samples)
        reader.cancel()
    return heard / RATE, disturbed


async def test_an_answer_is_not_interrupted_by_its_own_echo(stack: Stack) -> None:
    cleaner = make_cleaner(
        EchoCancellation.ON, noise_suppression=False, microphone_hz=RATE, loudspeaker_hz=RATE, delay_ms=60
    )
    assert isinstance(cleaner, Cleaner)
    heard_s, disturbed = await listen(stack.gateway.address, cleaner)
    assert disturbed == []
    assert heard_s >= ANSWER_S


async def test_a_client_without_echo_cancellation_is_guarded_by_the_sound(stack: Stack) -> None:
    """A comparison in 200 takes the echo for somebody who speaks, so that one pause may be; not one a second."""
    heard_s, disturbed = await listen(stack.gateway.address, None, to_the_end=True)
    assert disturbed.count("FLUSH") <= 1
    assert heard_s >= ANSWER_S


async def test_a_caller_can_speak_over_the_echo(stack: Stack) -> None:
    question = read_recording(QUESTION.with_name("what-is-my-name.wav"), sample_rate_hz=RATE).pcm
    _, disturbed = await listen(stack.gateway.address, None, until_s=3.0, then=question)
    assert disturbed


async def test_without_either_it_is_interrupted_all_the_time(stack: Stack) -> None:
    """What makes the tests above worth something: the same room, and nothing that knows an echo by its sound."""
    riva, llm = stack.speech.address, f"http://{stack.llm.address}/v1"
    with gateway_for(riva, llm, INTERRUPTION_ECHO_SOUND="1") as gateway:
        _, disturbed = await listen(gateway.address, None, to_the_end=True)
    assert disturbed.count("FLUSH") >= 3
