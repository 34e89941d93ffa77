"""Calls that come back to the process that holds them still, and tokens that are used twice."""

import asyncio

import pytest
from gateway_phones import Pods
from gateway_resumed import ANSWERS, GAP_S, phoned, token_of

from servicekit.testing import run_virtual
from voice_gateway.application.messages import (
    CheckpointOut,
    Hello,
    Inbound,
    ResumeIn,
)
from voice_gateway.domain.errors import AtCapacity, Draining
from voice_gateway.testing.world import RESUMABLE, FakeTransport


def test_a_call_that_comes_back_to_the_same_process_ends_the_old_one_there() -> None:
    """The old connection is half dead: nobody has noticed."""

    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS, count=1)
        async with phoned(pods) as phone:
            await phone.say("tell me a story")
            await phone.until_heard(3)
            old, phone.call = phone.call, None
            assert old is not None
            await phone.connect(cause="silence")
            await asyncio.sleep(0.05)
            assert old.done()
            assert old.exception() is None
            (call,) = pods.held()
            await phone.until_ended(1)
            assert call.machine.state.history[-1].text == ANSWERS["tell me a story"]
            assert pods.telemetry.counts["resume_silence_ok"] == 1

    run_virtual(scenario(), limit_s=60)


class SlowToEnd(FakeTransport):
    """A connection that holds its call up for so long when it is left."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def receive(self) -> Inbound | None:
        """The next message."""
        try:
            return await super().receive()
        finally:
            await asyncio.sleep(self._seconds)


async def come_back_while_the_old_call_ends(
    pods: Pods, *, after_s: float
) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
    """A call in a process that holds it already, and the old half, whose connection takes `after_s` to end."""
    runner, old = pods.runners[0], SlowToEnd(after_s)
    ending = asyncio.create_task(runner.run(Hello(capabilities=RESUMABLE), old, call_id="a"), name="old")
    await asyncio.sleep(1)
    token = next(item.message.token for item in old.received if isinstance(item.message, CheckpointOut))
    hello = Hello(capabilities=RESUMABLE, resume=ResumeIn(token, cause="silence"))
    coming = asyncio.create_task(runner.run(hello, FakeTransport(), call_id="b"), name="new")
    await asyncio.sleep(0.1)
    return coming, ending


def test_a_call_that_comes_back_as_its_process_begins_to_stop_is_sent_on() -> None:
    """It was let in, and not yet among the calls that are told."""

    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS, count=1)
        coming, ending = await come_back_while_the_old_call_ends(pods, after_s=1)
        await pods.runners[0].drain(deadline_ms=25_000, resumable_ms=10_000)
        with pytest.raises(Draining):
            await coming
        await ending
        assert not pods.held()

    run_virtual(scenario(), limit_s=60)


def test_a_call_whose_old_half_does_not_end_may_try_again() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS, count=1)
        coming, ending = await come_back_while_the_old_call_ends(pods, after_s=5)
        with pytest.raises(AtCapacity, match="still ending") as refused:
            await coming
        assert refused.value.retryable
        await ending
        assert not pods.held()

    run_virtual(scenario(), limit_s=60)


def test_a_call_is_ended_for_the_one_that_comes_back_to_it_and_for_nobody_else() -> None:
    """As a full gateway asks, before it knows whether it has a place."""

    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        runner = pods.runners[0]
        transport = FakeTransport()
        hello = Hello(sample_rate_hz=16_000, capabilities=RESUMABLE)
        held = asyncio.create_task(runner.run(hello, transport, call_id="a", principal="anna"))
        await asyncio.sleep(1)
        token = next(item.message.token for item in transport.received if isinstance(item.message, CheckpointOut))
        mine = Hello(resume=ResumeIn(token))
        for other, principal in (
            (mine, "ben"),
            (mine, ""),
            (Hello(), "anna"),
            (Hello(resume=ResumeIn(b"nonsense")), "anna"),
            (Hello(resume=ResumeIn(await token_of(pods, principal="anna", call_id="b"))), "anna"),
            (Hello(resume=ResumeIn(token), sample_rate_hz=8_000), "anna"),
        ):
            assert not await runner.supersede(other, principal=principal)
            assert not await pods.runners[1].supersede(mine, principal="anna")
            await asyncio.sleep(0.1)
            assert not held.done()
        of_same_name = Hello(resume=ResumeIn(await token_of(Pods(list(ANSWERS), ANSWERS), principal="ben")))
        assert not await runner.supersede(of_same_name, principal="ben")
        assert runner.running == 1
        assert await runner.supersede(mine, principal="anna")
        await asyncio.sleep(0.01)
        assert held.done()
        assert held.exception() is None
        assert not await runner.supersede(mine, principal="anna")
        assert not [name for name in pods.telemetry.counts if name.startswith("resume_")], "nothing is resumed yet"

    run_virtual(scenario(), limit_s=60)


def test_a_gateway_that_stops_ends_no_call_for_one_that_comes_back() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS, count=1)
        async with phoned(pods) as phone:
            await phone.say("tell me a story")
            await phone.until_heard(3)
            await pods.runners[0].drain(deadline_ms=25_000, resumable_ms=10_000)
            back = Hello(resume=ResumeIn(phone.kept.token))
            assert not await pods.runners[0].supersede(back, principal="")
            assert pods.held()

    run_virtual(scenario(), limit_s=60)


def test_a_token_that_is_used_twice_makes_two_calls_of_one_in_two_processes() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        async with phoned(pods) as phone:
            await phone.say("what time is it")
            await phone.until_ended(1)
            hello = Hello(capabilities=RESUMABLE, resume=ResumeIn(phone.kept.token))
            fork = asyncio.create_task(pods.runners[1].run(hello, FakeTransport(), call_id="b"))
            await asyncio.sleep(0.1)
            one, two = pods.held()
            assert one is not two
            assert one.call_id == two.call_id
            assert one.machine.state.history == two.machine.state.history
            fork.cancel()
            await asyncio.gather(fork, return_exceptions=True)

    run_virtual(scenario(), limit_s=60)


def test_one_who_has_nothing_more_to_say_gets_the_rest_of_the_answer_and_the_end() -> None:
    async def scenario() -> None:
        pods = Pods(list(ANSWERS), ANSWERS)
        async with phoned(pods) as phone:
            await phone.say("tell me a story")
            await phone.half_close()
            await phone.until_heard(6)
            await phone.lose()
            await asyncio.sleep(GAP_S)
            await phone.connect()
            assert phone.call is not None
            await phone.call
            assert phone.heard()[-2:] == ["The", "end."]
            assert set(phone.seen.ended) == {1}

    run_virtual(scenario(), limit_s=60)
