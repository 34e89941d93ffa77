"""The only writer: messages at once, audio paced, nothing of a generation that was cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.clock import LoopClock
from voice_gateway.application.downlink import MAX_MESSAGES, Downlink
from voice_gateway.application.messages import AnswerTextOut, AudioOut, EventKind, EventOut, PongOut
from voice_gateway.domain.errors import SlowConsumer
from voice_gateway.domain.events import Event, PlaybackStarted
from voice_gateway.testing.world import FakeTransport

RATE_HZ = 16_000


class Line:
    """A downlink to a caller, and what the machine was told."""

    def __init__(self, *, lead_ms: int = 200, buffer_ms: int = 1_000) -> None:
        self.transport = FakeTransport()
        self.told: list[Event] = []
        self.downlink = Downlink(
            self.transport,
            LoopClock(),
            self._tell,
            sample_rate_hz=RATE_HZ,
            frame_ms=40,
            lead_ms=lead_ms,
            buffer_ms=buffer_ms,
        )

    async def _tell(self, event: Event) -> None:
        self.told.append(event)

    def audio(self) -> list[AudioOut]:
        return [item.message for item in self.transport.received if isinstance(item.message, AudioOut)]

    def audio_ms(self) -> float:
        return sum(len(piece.pcm) for piece in self.audio()) / 32

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Line"]:
        task = asyncio.create_task(self.downlink.run())
        try:
            yield self
        finally:
            self.downlink.close()
            await task


def sound(milliseconds: int) -> bytes:
    return b"\x07\x00" * (milliseconds * 16)


def test_audio_waits_for_its_release() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            await line.downlink.feed(1, sound(100))
            await asyncio.sleep(5)
            assert line.audio() == []
            line.downlink.release(1)
            await line.downlink.played_out(1)
            assert line.audio_ms() == 100
            assert line.told == [PlaybackStarted(1)]

    run_virtual(scenario())


def test_audio_is_paced_and_no_more_than_the_lead_ahead() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            line.downlink.release(1)
            await line.downlink.feed(1, sound(1_000))
            started = asyncio.get_running_loop().time()
            for elapsed_ms in (10, 90, 310, 500):
                await asyncio.sleep(started + elapsed_ms / 1000 - asyncio.get_running_loop().time())
                assert elapsed_ms <= line.audio_ms() <= elapsed_ms + 200
                assert line.downlink.heard_samples() == elapsed_ms * 16
            await line.downlink.played_out(1)
            assert asyncio.get_running_loop().time() - started == pytest.approx(1.0)

    run_virtual(scenario())


def test_the_first_audio_does_not_wait_for_a_whole_frame() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            line.downlink.release(1)
            await line.downlink.feed(1, sound(10))
            await asyncio.sleep(0)
            assert line.audio_ms() == 10
            await line.downlink.feed(1, sound(1_000))
            await line.downlink.played_out(1)
            lengths = [len(piece.pcm) // 32 for piece in line.audio()]
            assert lengths == [10, *[40] * 25]

    run_virtual(scenario())


def test_audio_that_comes_as_fast_as_it_plays_is_sent_as_it_comes() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            line.downlink.release(1)
            for _ in range(50):
                await line.downlink.feed(1, sound(10))
                await asyncio.sleep(0.010)
                assert not line.downlink.depths()[1]
            assert line.audio_ms() == 500

    run_virtual(scenario())


def test_a_cut_takes_effect_with_the_next_write() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            line.downlink.release(1)
            await line.downlink.feed(1, sound(900))
            await asyncio.sleep(0.1)
            before = line.audio_ms()
            line.downlink.cut(1)
            line.downlink.post(PongOut(1))
            await asyncio.sleep(1)
            assert line.audio_ms() == before
            assert line.downlink.heard_samples() == 0
            await line.downlink.feed(1, sound(500))
            assert line.audio_ms() == before, "what an old answer still feeds is dropped"
            await line.downlink.played_out(1)

    run_virtual(scenario())


def test_a_cut_drops_the_text_of_its_turn_that_waits_and_nothing_else() -> None:
    async def scenario() -> None:
        line = Line()
        line.downlink.post(EventOut(1, EventKind.PROCESSING))
        line.downlink.post(AnswerTextOut(1, "Once"))
        line.downlink.post(AnswerTextOut(1, " upon"))
        line.downlink.post(PongOut(3))
        line.downlink.cut(1)
        line.downlink.post(AnswerTextOut(2, "Yes."))
        async with line.running():
            await asyncio.sleep(0.1)
        assert [item.message for item in line.transport.received] == [
            EventOut(1, EventKind.PROCESSING),
            PongOut(3),
            AnswerTextOut(2, "Yes."),
        ]

    run_virtual(scenario())


def test_text_that_waits_is_joined() -> None:
    async def scenario() -> None:
        line = Line()
        for piece in ("Once", " upon", " a time"):
            line.downlink.post(AnswerTextOut(1, piece))
        async with line.running():
            await asyncio.sleep(0.1)
        assert [item.message for item in line.transport.received] == [AnswerTextOut(1, "Once upon a time")]

    run_virtual(scenario())


def test_the_buffer_is_bounded_and_whoever_feeds_it_waits() -> None:
    async def scenario() -> None:
        async with Line(buffer_ms=400).running() as line:
            line.downlink.begin(1, 1)

            async def feed() -> None:
                for _ in range(20):
                    await line.downlink.feed(1, sound(100))

            feeding = asyncio.create_task(feed())
            await asyncio.sleep(5)
            assert not feeding.done()
            line.downlink.release(1)
            await feeding
            await line.downlink.played_out(1)
            assert line.audio_ms() == 2_000
            assert [piece.first_sample for piece in line.audio()] == list(range(0, 32_000, 640))

    run_virtual(scenario())


def test_whoever_feeds_a_generation_that_is_cut_goes_on() -> None:
    async def scenario() -> None:
        async with Line(buffer_ms=100).running() as line:
            line.downlink.begin(1, 1)
            await line.downlink.feed(1, sound(200))
            waiting = [
                asyncio.create_task(line.downlink.feed(1, sound(200))),
                asyncio.create_task(line.downlink.room_for(1, 50)),
                asyncio.create_task(line.downlink.played_out(1)),
            ]
            await asyncio.sleep(1)
            assert not any(task.done() for task in waiting)
            line.downlink.begin(2, 2)
            await asyncio.gather(*waiting)
            assert not line.downlink.is_current(1)
            assert line.downlink.is_current(2)

    run_virtual(scenario())


def test_a_held_answer_is_sent_when_it_is_let_go() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            line.downlink.release(1)
            line.downlink.hold(True)
            await line.downlink.feed(1, sound(300))
            line.downlink.post(PongOut(1))
            await asyncio.sleep(3)
            assert line.audio() == []
            assert line.transport.received, "messages are not held"
            line.downlink.hold(False)
            await line.downlink.played_out(1)
            assert line.audio_ms() == 300

    run_virtual(scenario())


def test_how_long_a_write_is_blocked_is_known() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.transport.flowing.clear()
            line.downlink.post(PongOut(1))
            await asyncio.sleep(3)
            assert line.downlink.blocked_ms() == 3_000
            line.transport.flowing.set()
            await asyncio.sleep(1)
            assert line.downlink.blocked_ms() == 0

    run_virtual(scenario())


def test_only_so_many_messages_wait() -> None:
    async def scenario() -> None:
        line = Line()
        for number in range(MAX_MESSAGES):
            line.downlink.post(PongOut(number))
        with pytest.raises(SlowConsumer):
            line.downlink.post(PongOut(0))

    run_virtual(scenario())


def test_closing_writes_the_messages_that_wait_and_no_audio() -> None:
    async def scenario() -> None:
        line = Line()
        async with line.running():
            line.downlink.begin(1, 1)
            line.downlink.release(1)
            await line.downlink.feed(1, sound(900))
            line.downlink.post(PongOut(1))
        assert [item.message for item in line.transport.received] == [PongOut(1)]

    run_virtual(scenario())


def test_an_empty_answer_is_over_at_once() -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            await line.downlink.played_out(1)
            assert asyncio.get_running_loop().time() == 0

    run_virtual(scenario())


@pytest.mark.parametrize("samples", [1, 639, 641, 1_000])
def test_the_last_piece_may_be_shorter_than_a_frame(samples: int) -> None:
    async def scenario() -> None:
        async with Line().running() as line:
            line.downlink.begin(1, 1)
            line.downlink.release(1)
            await line.downlink.feed(1, b"\x07\x00" * samples)
            await line.downlink.played_out(1)
            assert sum(len(piece.pcm) // 2 for piece in line.audio()) == samples

    run_virtual(scenario())
