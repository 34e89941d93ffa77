"""Engine processes: a crash ends one stream, and another process takes the place."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from speech_harness import question

from speech_worker.application.ports import AsrStream
from speech_worker.domain.errors import EngineFailed, EngineUnusable
from speech_worker.engines import wire
from speech_worker.engines.blocked_words import blocked
from speech_worker.engines.child import Child, ChildPool, ChildSpec
from speech_worker.engines.espeak import language_code
from speech_worker.engines.pocketsphinx import PocketsphinxEngine

pytestmark = [pytest.mark.edge, pytest.mark.speech]

SPEECH = question("what-time-is-it")
DEADLINE_S = 20.0
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


async def hear(stream: AsrStream) -> str:
    for start in range(0, len(SPEECH), 3_200):
        await stream.accept(SPEECH[start : start + 3_200])
    return (await stream.finish()).text


async def test_a_crash_ends_its_stream_only_and_the_place_is_filled_again() -> None:
    engine = PocketsphinxEngine(max_streams=2, model_dir=None)
    try:
        await engine.load()
        unlucky = await engine.open(language_code="en-US")
        lucky = await engine.open(language_code="en-US")
        await unlucky.accept(SPEECH[:6_400])
        os.kill(unlucky._child.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed, match="stopped in the middle of the request"):
            await hear(unlucky)
        await unlucky.close()
        assert await hear(lucky) == "what time is it"
        child = await engine._pool.take_within(DEADLINE_S)
        assert child is not None
        engine._pool.give_back(child)
        replaced = await engine.open(language_code="en-US")
        assert await hear(replaced) == "what time is it"
        await replaced.close()
        await lucky.close()
    finally:
        await engine.unload()


async def test_an_abandoned_answer_is_not_given_to_the_next_stream() -> None:
    engine = PocketsphinxEngine(max_streams=1, model_dir=None)
    try:
        await engine.load()
        stream = await engine.open(language_code="en-US")
        task = asyncio.create_task(stream.accept(SPEECH * 3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await stream.close()
        child = await engine._pool.take_within(DEADLINE_S)
        assert child is not None
        engine._pool.give_back(child)
        again = await engine.open(language_code="en-US")
        assert await hear(again) == "what time is it"
        await again.close()
    finally:
        await engine.unload()


async def test_the_process_that_makes_them_is_replaced_too() -> None:
    pool = ChildPool(ChildSpec("speech_worker.engines.espeak", {}, 1))
    await pool.start()
    try:
        first = pool.take()
        assert first is not None
        assert pool._zygote is not None
        pool._zygote.kill()
        await pool._zygote.wait()
        first.kill()
        pool.give_back(first)
        second = await pool.take_within(DEADLINE_S)
        assert second is not None
        await second.send(wire.SPEAK, b'{"text": "hello", "voice": "en-us+klatt5"}')
        assert (await second.receive(deadline_s=DEADLINE_S))[0] in (wire.WORDS, wire.AUDIO)
        pool.give_back(second)
    finally:
        await pool.stop()


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """As process 1 of a container does. Linux; elsewhere orphans go to the system's own process 1."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0)


async def test_process_1_collects_the_copies_of_a_maker_that_died() -> None:
    pool = ChildPool(ChildSpec("speech_worker.engines.espeak", {}, 1))
    with adopting_orphans():
        await pool.start()
        try:
            orphan = pool.take()
            assert orphan is not None
            assert pool._zygote is not None
            pool._zygote.kill()
            await pool._zygote.wait()
            if sys.platform == "linux":
                ended = asyncio.to_thread(os.waitid, os.P_PID, orphan.pid, os.WEXITED | os.WNOWAIT)
                assert await asyncio.wait_for(ended, DEADLINE_S) is not None
            orphan.kill()
            pool.give_back(orphan)
            assert not psutil.pid_exists(orphan.pid)
        finally:
            await pool.stop()


async def test_an_engine_that_cannot_be_prepared_says_why() -> None:
    pool = ChildPool(ChildSpec("speech_worker.engines.pocketsphinx", {"model_dir": "/no/model"}, 1))
    with pytest.raises(EngineUnusable, match="SPEECH_ASR_MODEL_DIR is /no/model"):
        await pool.start()
    await pool.stop()


async def test_a_silent_process_is_given_up_after_the_deadline() -> None:
    pool = ChildPool(ChildSpec("speech_worker.engines.espeak", {}, 1))
    await pool.start()
    try:
        child = pool.take()
        assert isinstance(child, Child)
        with pytest.raises(EngineFailed, match="did not answer in time"):
            await child.receive(deadline_s=0.01)
        assert not child.alive
        pool.give_back(child)
        again = await pool.take_within(DEADLINE_S)
        assert again is not None
        assert again.pid != child.pid
    finally:
        await pool.stop()


def test_words_that_nobody_said_are_blocked_and_innocent_ones_are_not() -> None:
    assert all(map(blocked, ("shit", "shitty", "fucking", "motherfuckers", "bitch(2)", "cocks")))
    assert not any(
        map(blocked, ("shiitake", "shitake", "cocktail", "dickens", "scunthorpe", "title", "assassin", "class"))
    )


@pytest.mark.parametrize(
    ("name", "code"), [("en-us", "en-US"), ("de", "de-DE"), ("pt-br", "pt-BR"), ("en-gb", "en-GB"), ("en", "en-GB")]
)
def test_languages_have_a_region(name: str, code: str) -> None:
    assert language_code(name) == code
