"""Who may call."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.testing import run_virtual
from voice_gateway.application.admission import AT_CAPACITY_RETRY_MS, DRAINING_RETRY_MS, HANDOVER_S, Admission
from voice_gateway.domain.errors import AtCapacity, Draining


def test_a_full_process_refuses_until_a_place_is_free() -> None:
    admission = Admission(1)
    with admission.place():
        assert admission.running == 1
        with pytest.raises(AtCapacity, match="All 1 places") as caught, admission.place():
            pass
        assert caught.value.retry_after_ms == AT_CAPACITY_RETRY_MS
        assert admission.running == 1
    with admission.place():
        assert admission.running == 1


def test_a_place_is_given_back_whatever_happens() -> None:
    admission = Admission(1)
    with pytest.raises(ValueError, match="inside"), admission.place():
        raise ValueError("inside")
    assert admission.running == 0


def test_a_draining_process_keeps_its_calls_and_takes_none() -> None:
    admission = Admission(5)
    with admission.place():
        admission.drain()
        assert admission.draining
        with pytest.raises(Draining) as caught, admission.place():
            pass
        assert caught.value.retry_after_ms == DRAINING_RETRY_MS
        assert admission.running == 1


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_never_more_than_there_is_room_for(arrivals: list[bool], max_calls: int) -> None:
    admission = Admission(max_calls)
    held = []
    for arrives in arrivals:
        if arrives:
            place = admission.place()
            try:
                place.__enter__()
                held.append(place)
            except AtCapacity:
                assert len(held) == max_calls
        elif held:
            held.pop().__exit__(None, None, None)
        assert admission.running == len(held) <= max_calls


# ---- a call that comes back to a full process -----------------------------------------------------------------------


class Stream:
    """One that holds a place until it is asked to leave, which takes it a moment."""

    def __init__(self, admission: Admission) -> None:
        self._asked = asyncio.Event()
        self._admission = admission
        self.task = asyncio.create_task(self._hold(), name="stream")

    async def _hold(self) -> None:
        with self._admission.place():
            await self._asked.wait()
            await asyncio.sleep(0.1)

    async def leave(self) -> bool:
        """It will."""
        self._asked.set()
        return True


async def nobody() -> bool:
    """There is no such call."""
    return False


def test_a_call_that_comes_back_gets_its_place_and_nobody_else_does() -> None:
    async def scenario() -> None:
        admission = Admission(1)
        older = Stream(admission)
        await asyncio.sleep(0)
        most, newcomers = 0, 0

        async def others() -> None:
            nonlocal most, newcomers
            while True:
                most = max(most, admission.running)
                with pytest.raises(AtCapacity), admission.place():
                    newcomers += 1
                await asyncio.sleep(0.001)

        trying = asyncio.create_task(others(), name="others")
        async with admission.handed_over(older.leave):
            assert older.task.done()
            assert admission.running == 1
            await asyncio.sleep(0.1)
        trying.cancel()
        await asyncio.gather(trying, return_exceptions=True)
        assert (most, newcomers) == (1, 0)
        with admission.place():
            assert admission.running == 1

    run_virtual(scenario())


@pytest.mark.parametrize("full", [True, False])
def test_who_comes_back_to_no_call_gets_no_place(full: bool) -> None:
    async def scenario() -> None:
        admission = Admission(1)
        async with AsyncExitStack() as stack:
            if full:
                stack.enter_context(admission.place())
            with pytest.raises(AtCapacity):
                await stack.enter_async_context(admission.handed_over(nobody))
            assert admission.running == full
        with admission.place():
            assert admission.running == 1

    run_virtual(scenario())


def test_the_wait_for_a_place_ends() -> None:
    async def scenario() -> None:
        admission = Admission(1)
        loop = asyncio.get_running_loop()

        async def says_so() -> bool:
            return True

        async def never() -> bool:
            await asyncio.Event().wait()
            return True

        with admission.place():
            for leave in (says_so, never):
                began = loop.time()
                with pytest.raises(AtCapacity):
                    await admission.handed_over(leave).__aenter__()
                assert loop.time() - began == pytest.approx(HANDOVER_S)
        with admission.place():
            pass

    run_virtual(scenario())


def test_a_drain_ends_the_wait() -> None:
    async def scenario() -> None:
        admission = Admission(1)
        older = Stream(admission)
        await asyncio.sleep(0)
        waiting = asyncio.create_task(admission.handed_over(older.leave).__aenter__(), name="waiting")
        await asyncio.sleep(0.05)
        admission.drain()
        with pytest.raises(Draining):
            await waiting
        await older.task
        assert admission.running == 0

    run_virtual(scenario())


def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        admission = Admission(1)
        older = Stream(admission)
        await asyncio.sleep(0)
        waiting = asyncio.create_task(admission.handed_over(older.leave).__aenter__(), name="waiting")
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await older.task
        with admission.place():
            assert admission.running == 1

    run_virtual(scenario())


@given(
    st.lists(st.sampled_from(["arrives", "leaves", "comes back", "comes to nothing"]), max_size=30), st.integers(1, 3)
)
def test_whoever_comes_back_there_are_never_too_many(happens: list[str], max_calls: int) -> None:
    async def scenario() -> None:
        admission = Admission(max_calls)
        streams: list[Stream] = []
        left: list[Stream] = []
        coming: list[asyncio.Task[None]] = []

        async def come_back(leave: Callable[[], Awaitable[bool]]) -> None:
            async with admission.handed_over(leave):
                await asyncio.sleep(0.5)

        for what in happens:
            await asyncio.sleep(0.03)
            match what:
                case "arrives":
                    streams.append(Stream(admission))
                case "leaves" if streams:
                    left.append(streams.pop(0))
                    await left[-1].leave()
                case "comes back" if streams:
                    coming.append(asyncio.create_task(come_back(streams[-1].leave)))
                case _:
                    coming.append(asyncio.create_task(come_back(nobody)))
            assert admission.running <= max_calls
        for stream in streams:
            await stream.leave()
        ends = await asyncio.gather(*(stream.task for stream in (*streams, *left)), *coming, return_exceptions=True)
        assert all(end is None or isinstance(end, AtCapacity) for end in ends)
        assert admission.running == 0
        with admission.place():
            pass

    run_virtual(scenario())
