"""The loop whose clock jumps."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.testing import VirtualTimeError, free_port, run_virtual


def test_hours_pass_at_once() -> None:
    async def sleepy() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(sleepy()) == pytest.approx(3600)


@given(st.lists(st.floats(0, 1000), max_size=20))
def test_timers_fire_in_order_at_their_time(delays_s: list[float]) -> None:
    async def main() -> list[float]:
        fired: list[float] = []
        loop = asyncio.get_running_loop()

        async def one(delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            assert loop.time() == pytest.approx(delay_s, abs=1e-6)
            fired.append(delay_s)

        async with asyncio.TaskGroup() as tasks:
            for delay_s in delays_s:
                tasks.create_task(one(delay_s))
        return fired

    assert run_virtual(main()) == sorted(delays_s)


def test_time_stands_still_while_something_is_ready() -> None:
    async def busy() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(busy()) == 0


def test_timeouts_work() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()

    run_virtual(main())


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def waits_forever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waits_forever(), name="the culprit")

    with pytest.raises(VirtualTimeError, match=r"the culprit in .*waits_forever line \d+"):
        run_virtual(main())


def test_what_never_ends_is_stopped() -> None:
    async def ticking() -> None:
        for second in itertools.count(1):
            await asyncio.sleep(second)

    with pytest.raises(VirtualTimeError, match="still running after 60 s"):
        run_virtual(ticking(), limit_s=60)


def test_a_task_left_running_is_an_error() -> None:
    kept: list[asyncio.Task[None]] = []

    async def main() -> None:
        kept.append(asyncio.create_task(asyncio.sleep(10), name="forgotten"))

    with pytest.raises(VirtualTimeError, match="left running: forgotten"):
        run_virtual(main())


def test_a_failure_that_nobody_saw_is_an_error() -> None:
    async def fails() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(1)
        del task

    with pytest.raises(VirtualTimeError, match="unseen"):
        run_virtual(main())


def test_work_for_threads_is_done_inline() -> None:
    async def main() -> tuple[int, str]:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(sum, [1, 2]), "done"

    assert run_virtual(main()) == (3, "done")


def test_a_free_port_is_a_port() -> None:
    assert 1024 <= free_port() <= 65535
