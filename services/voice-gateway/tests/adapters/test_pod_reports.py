"""What the cluster is told of a pod, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from servicekit.testing import run_virtual
from voice_gateway.adapters.kubernetes_api import PodEvent, RequestFailed
from voice_gateway.adapters.pod_reports import DELETION_COST, MAX_EVENTS, PodReports


class Api:
    """Notes requests; `answers` are taken one by one, and the rest do well."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.costs: list[tuple[float, str]] = []
        self.events: list[tuple[float, str, str, str]] = []
        self.made = 0
        self.slow_s = 0.0

    async def annotate(self, annotations: dict[str, str]) -> None:
        self.costs.append((self._now_s(), annotations[DELETION_COST]))
        await self._answer()

    def named(self) -> str:
        self.made += 1
        return f"event-{self.made}"

    async def post(self, event: PodEvent, *, name: str, at: datetime) -> None:
        self.events.append((self._now_s(), name, event.kind, event.reason))
        await self._answer()

    async def _answer(self) -> None:
        await asyncio.sleep(self.slow_s)
        if status := self.answers.pop(0) if self.answers else 0:
            raise RequestFailed(f"HTTP {status}", status=status)

    @staticmethod
    def _now_s() -> float:
        return round(asyncio.get_running_loop().time(), 3)


class World:
    """Reports over an API, and a number of calls."""

    def __init__(self, *answers: int) -> None:
        self.api = Api(*answers)
        self.calls = 0
        self.results: list[tuple[str, str]] = []
        self.reports = PodReports(
            self.api, deletion_cost=True, events=True, on_result=lambda *result: self.results.append(result)
        )

    def play(self, scene: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            running = asyncio.create_task(self.reports.run(lambda: self.calls))
            try:
                await scene()
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running

        run_virtual(whole())


def test_the_cost_is_told_at_once_and_then_on_change_every_ten_seconds_at_most() -> None:
    world = World()

    async def scene() -> None:
        await asyncio.sleep(20.5)
        world.calls = 1
        await asyncio.sleep(2)
        for calls in (2, 3, 4):
            world.calls = calls
            await asyncio.sleep(1)
        await asyncio.sleep(60)

    world.play(scene)
    assert world.api.costs == [(0, "0"), (21, "1"), (31, "4")]
    assert world.api.events == []


def test_a_failing_api_server_is_asked_less_and_less() -> None:
    world = World(500, 409, 401, 0, 500)

    async def scene() -> None:
        await asyncio.sleep(199.5)
        world.calls = 1
        await asyncio.sleep(60)

    world.play(scene)
    assert [at_s for at_s, _ in world.api.costs] == [0, 20, 60, 140, 200, 220]
    assert world.results.count(("deletion_cost", "failed")) == 4


def test_what_is_forbidden_is_asked_once_and_the_other_goes_on() -> None:
    world = World(403)

    async def scene() -> None:
        await asyncio.sleep(1)
        world.calls = 5
        world.reports.event("Warning", "ConfigRefused", "no")
        await asyncio.sleep(100)

    world.play(scene)
    assert world.api.costs == [(0, "0")]
    assert world.api.events == [(1, "event-1", "Warning", "ConfigRefused")]
    assert world.results == [("deletion_cost", "forbidden"), ("event", "ok")]
    assert world.reports.state == {"deletion_cost": False, "events": True}


def test_events_that_are_forbidden_are_given_up() -> None:
    world = World(0, 403)

    async def scene() -> None:
        world.reports.event("Normal", "ConfigApplied", "one")
        world.reports.event("Normal", "ConfigApplied", "two")
        await asyncio.sleep(30)
        world.reports.event("Normal", "ConfigApplied", "three")
        await asyncio.sleep(30)

    world.play(scene)
    assert len(world.api.events) == 1
    assert world.reports.state == {"deletion_cost": True, "events": False}


def test_an_event_is_tried_again_by_the_same_name_and_then_dropped() -> None:
    world = World(0, 500, 500, 0, *[500] * 4)

    async def scene() -> None:
        world.reports.event("Normal", "ConfigApplied", "one")
        await asyncio.sleep(10)
        world.reports.event("Normal", "ConfigApplied", "two")
        await asyncio.sleep(30)

    world.play(scene)
    assert [(at_s, name) for at_s, name, _, _ in world.api.events] == [
        (0, "event-1"), (1, "event-1"), (3, "event-1"),
        (10, "event-2"), (11, "event-2"), (13, "event-2"), (17, "event-2"),
    ]  # fmt: skip
    assert [result for what, result in world.results if what == "event"] == [
        "failed", "failed", "ok", *["failed"] * 4, "dropped",
    ]  # fmt: skip


def test_the_oldest_of_too_many_events_is_dropped() -> None:
    world = World()
    world.api.slow_s = 1

    async def scene() -> None:
        await asyncio.sleep(2)
        for number in range(MAX_EVENTS + 3):
            world.reports.event("Normal", "ConfigApplied", str(number))
        await asyncio.sleep(60)

    world.play(scene)
    assert [name for _, name, _, _ in world.api.events] == [f"event-{n}" for n in range(4, MAX_EVENTS + 4)]
    assert world.results.count(("event", "dropped")) == 3
