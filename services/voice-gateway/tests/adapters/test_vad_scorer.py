"""The thread that scores for all calls: batches, fairness to a call that is alone, and what happens when it can't."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from voice_gateway.adapters import vad_scorer
from voice_gateway.adapters.energy_gate import FRAME_MS
from voice_gateway.adapters.silero_vad import SileroVad
from voice_gateway.adapters.vad_scorer import MAX_WAITING, THREAD_NAME, Scored, VadScorer

RATE_HZ = 16_000
STATE = np.zeros((2, 128), np.float32)


class Model:
    """Scores the first sample of each frame. Can be held and broken."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.threads: set[str] = set()
        self.running = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: Exception | None = None

    def run(
        self, windows: NDArray[np.float32], states: NDArray[np.float32], rate_hz: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.running.set()
        assert self.go_on.wait(10)
        self.threads.add(threading.current_thread().name)
        self.sizes.append((len(windows), rate_hz))
        if self.error is not None:
            raise self.error
        return windows[:, 0], states + 1


class Counts:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.unscored: Counter[str] = Counter()
        self.counted = asyncio.Event()

    def vad_batch(self, frames: int) -> None:
        self.batches.append(frames)
        self.counted.set()

    def vad_unscored(self, reason: str) -> None:
        self.unscored[reason] += 1


@asynccontextmanager
async def running(model: Model, counts: Counts, *, deadline_ms: float = 20_000) -> AsyncIterator[VadScorer]:
    async with vad_scorer.scoring(model, counts, deadline_ms=deadline_ms) as scorer:
        try:
            yield scorer
        finally:
            model.go_on.set()


def pcm(value: int, samples: int = 576) -> bytes:
    return np.full(samples, value, "<i2").tobytes()


async def ask(scorer: VadScorer, value: int = 0, *, asker: int = 0, rate_hz: int = RATE_HZ) -> Scored | None:
    samples = 576 if rate_hz == RATE_HZ else 288
    answer = scorer.ask(pcm(value, samples), 1.0, rate_hz, STATE, asker)
    return None if answer is None else await answer


async def in_time(ready: threading.Event) -> None:
    assert await asyncio.to_thread(ready.wait, 10)


async def test_what_calls_ask_in_one_turn_of_the_loop_is_one_batch() -> None:
    model, counts = Model(), Counts()
    async with running(model, counts) as scorer:
        answers = await asyncio.gather(*(ask(scorer, 8_192 * at, asker=at) for at in range(4)))
    assert [answer.score for answer in answers if answer is not None] == [0, 0.25, 0.5, 0.75]
    assert all(answer is not None and (answer.state == 1).all() for answer in answers)
    assert counts.batches == [4]
    assert model.threads == {THREAD_NAME}


async def test_what_is_asked_while_a_batch_runs_makes_the_next_one() -> None:
    model, counts = Model(), Counts()
    async with running(model, counts) as scorer:
        model.go_on.clear()
        first = asyncio.create_task(ask(scorer, asker=1))
        await in_time(model.running)
        later = [asyncio.create_task(ask(scorer, asker=at)) for at in range(2, 5)]
        await asyncio.sleep(0)
        model.go_on.set()
        await asyncio.gather(first, *later)
    assert counts.batches == [1, 3]


async def test_rates_are_scored_apart_and_answers_keep_their_places() -> None:
    model, counts = Model(), Counts()
    async with running(model, counts) as scorer:
        asked = [(8_192, 8_000), (16_384, 16_000), (24_576, 8_000)]
        answers = await asyncio.gather(*(ask(scorer, value, rate_hz=rate) for value, rate in asked))
    assert [answer.score for answer in answers if answer is not None] == [0.25, 0.5, 0.75]
    assert sorted(model.sizes) == [(1, 16_000), (2, 8_000)]


async def test_a_gain_is_applied_and_bounded() -> None:
    async with running(Model(), Counts()) as scorer:
        answers = [scorer.ask(pcm(8_192), gain, RATE_HZ, STATE, 0) for gain in (2.0, 32.0)]
        scores = [scored.score for answer in answers if answer is not None and (scored := await answer) is not None]
    assert scores == [0.5, 1.0]


async def test_a_run_that_fails_leaves_its_frames_to_the_gate() -> None:
    model, counts = Model(), Counts()
    async with running(model, counts) as scorer:
        model.error = RuntimeError("no")
        answers = await asyncio.gather(ask(scorer, asker=1), ask(scorer, asker=2))
        assert [*answers] == [None, None]
        model.error = None
        assert await ask(scorer) is not None
    assert counts.unscored == {"failed": 2}


async def test_a_thread_that_falls_behind_keeps_nobody_waiting() -> None:
    model, counts = Model(), Counts()
    async with running(model, counts, deadline_ms=20) as scorer:
        model.go_on.clear()
        assert await ask(scorer, asker=1) is None, "given up at the deadline"
        assert await ask(scorer, asker=2) is None, "nobody asks while it is behind"
        assert counts.unscored == {"behind": 2}
        model.go_on.set()
        await counts.counted.wait()
        assert scorer.ask(pcm(0), 1.0, RATE_HZ, STATE, 3) is not None, "it is asked again"


async def test_more_than_may_wait_is_left_to_the_gate() -> None:
    model, counts = Model(), Counts()
    async with running(model, counts) as scorer:
        asked = [scorer.ask(pcm(0), 1.0, RATE_HZ, STATE, at) for at in range(MAX_WAITING + 3)]
        assert sum(answer is None for answer in asked) == 3
        assert counts.unscored == {"full": 3}
        await asyncio.gather(*(answer for answer in asked if answer is not None))
    assert counts.batches == [MAX_WAITING]


async def test_a_cancelled_call_is_not_scored_and_disturbs_nobody() -> None:
    model, counts = Model(), Counts()
    async with running(model, counts) as scorer:
        gone, stays = (asyncio.create_task(ask(scorer, asker=at)) for at in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays is not None
        model.running.clear()
        model.go_on.clear()
        on_its_way = asyncio.create_task(ask(scorer, asker=3))
        await in_time(model.running)
        on_its_way.cancel()
        model.go_on.set()
        assert await ask(scorer, asker=4) is not None
    assert gone.cancelled()
    assert on_its_way.cancelled()
    assert counts.batches == [1, 1, 1]


async def test_the_thread_ends_with_its_context_and_who_waits_is_answered() -> None:
    model, counts = Model(), Counts()
    async with vad_scorer.scoring(model, counts, deadline_ms=20_000) as scorer:
        model.go_on.clear()
        waiting = asyncio.create_task(ask(scorer))
        await in_time(model.running)
        asyncio.get_running_loop().call_soon(model.go_on.set)
    assert await waiting is None
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


async def test_without_scores_the_gate_alone_decides() -> None:
    """A loud sound after silence is taken for speech, and silence is not."""
    model, counts = Model(), Counts()
    model.error = RuntimeError("no")
    silence = bytes(2 * RATE_HZ * FRAME_MS // 1000)
    sound = np.tile(np.repeat(np.array([9_000, -9_000], "<i2"), 8), 20).tobytes()
    async with running(model, counts) as scorer:
        detector = SileroVad(RATE_HZ, scorer)
        before = [await detector.is_speech(silence) for _ in range(60)]
        during = [await detector.is_speech(sound) for _ in range(10)]
        after = [await detector.is_speech(silence) for _ in range(10)]
    assert not any(before)
    assert all(during)
    assert not any(after)
    assert counts.unscored["failed"] > 0


async def test_a_frame_that_needs_no_score_does_not_suspend() -> None:
    async with running(Model(), Counts()) as scorer:
        detector = SileroVad(RATE_HZ, scorer)
        judging = detector.is_speech(bytes(640))
        with pytest.raises(StopIteration) as done:
            judging.send(None)
        assert done.value.value is False
