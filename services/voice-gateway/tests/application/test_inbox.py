"""The one queue of a call: order, deadlines, its bound, what coalesces."""

import asyncio

from servicekit.testing import run_virtual
from voice_gateway.application.clock import LoopClock
from voice_gateway.application.inbox import CAPACITY, Inbox
from voice_gateway.domain.events import Ask, Asked, AsrResult, Event, InputClosed, Tick


def inbox() -> Inbox:
    return Inbox(LoopClock(), started_ms=LoopClock().ms())


def interim(text: str, *, utterance: int = 1, first_pass: bool = False) -> AsrResult:
    return AsrResult(utterance, text, len(text.split()), False, first_pass)


INTERRUPT, CANCEL = Asked(Ask.INTERRUPT), Asked(Ask.CANCEL)


def test_events_come_in_order_with_the_time_of_their_arrival() -> None:
    async def scenario() -> None:
        queue = inbox()
        await queue.put(INTERRUPT)
        await asyncio.sleep(0.25)
        await queue.put(CANCEL)
        await asyncio.sleep(1)
        assert queue.depth == 2
        assert await queue.next(None) == (0, INTERRUPT)
        assert await queue.next(None) == (250, CANCEL)

    run_virtual(scenario())


def test_a_deadline_comes_before_what_arrived_after_it() -> None:
    async def scenario() -> None:
        queue = inbox()
        await asyncio.sleep(0.3)
        await queue.put(INTERRUPT)
        assert await queue.next(200) == (200, Tick())
        assert await queue.next(300) == (300, Tick()), "a deadline at the same moment comes first, too"
        assert await queue.next(301) == (300, INTERRUPT)

    run_virtual(scenario())


def test_a_deadline_wakes_who_waits() -> None:
    async def scenario() -> None:
        queue = inbox()
        assert await queue.next(500) == (500, Tick())
        assert await queue.next(400) == (500, Tick()), "one that is past already comes at once"
        assert queue.now() == 500

    run_virtual(scenario())


def test_a_deadline_that_moves_is_kept_where_it_moved_to() -> None:
    async def scenario() -> None:
        queue = inbox()
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, lambda: asyncio.ensure_future(queue.put(INTERRUPT)))
        assert await queue.next(500) == (100, INTERRUPT)
        assert await queue.next(2_000) == (2_000, Tick())
        loop.call_later(0.1, lambda: asyncio.ensure_future(queue.put(CANCEL)))
        assert await queue.next(9_000) == (2_100, CANCEL)
        assert await queue.next(2_200) == (2_200, Tick())
        queue.close()

    run_virtual(scenario())


def test_of_interim_results_in_a_row_the_newest_waits() -> None:
    async def scenario() -> None:
        queue = inbox()
        for text in ("what", "what time", "what time is"):
            await queue.put(interim(text))
        assert await queue.next(None) == (0, interim("what time is"))
        assert queue.depth == 0

    run_virtual(scenario())


def test_nothing_else_coalesces() -> None:
    async def scenario() -> None:
        queue = inbox()
        events: list[Event] = [
            interim("a"),
            interim("a b", utterance=2),
            interim("a b c", utterance=2, first_pass=True),
            interim("a b c d", utterance=2),
            AsrResult(2, "a b c d", 4, True),
            interim("e", utterance=2),
            INTERRUPT,
            INTERRUPT,
        ]
        for event in events:
            await queue.put(event)
        assert [(await queue.next(None))[1] for _ in events] == events

    run_virtual(scenario())


def test_a_full_inbox_makes_producers_wait_and_drops_nothing() -> None:
    async def scenario() -> None:
        queue = inbox()

        async def produce(utterance: int) -> None:
            for number in range(CAPACITY):
                await queue.put(AsrResult(utterance, str(number), 1, True))

        producers = [asyncio.create_task(produce(utterance)) for utterance in (1, 2)]
        await asyncio.sleep(1)
        assert queue.depth == CAPACITY
        assert not all(producer.done() for producer in producers)
        got: list[AsrResult] = []
        for _ in range(2 * CAPACITY):
            _, event = await queue.next(None)
            assert isinstance(event, AsrResult)
            got.append(event)
            assert queue.depth <= CAPACITY
        await asyncio.gather(*producers)
        for utterance in (1, 2):
            assert [int(event.text) for event in got if event.utterance == utterance] == list(range(CAPACITY))

    run_virtual(scenario())


def test_a_producer_that_gives_up_leaves_room_for_others() -> None:
    async def scenario() -> None:
        queue = inbox()
        for _ in range(CAPACITY):
            await queue.put(INTERRUPT)
        first, second = (asyncio.create_task(queue.put(CANCEL)) for _ in range(2))
        await asyncio.sleep(0)
        await queue.next(None)
        first.cancel()
        for _ in range(CAPACITY):
            await queue.next(None)
            await asyncio.sleep(0)
        assert second.done()
        assert first.cancelled()

    run_virtual(scenario())


def test_settled_waits_until_all_that_was_put_is_handled() -> None:
    async def scenario() -> None:
        queue = inbox()
        await queue.settled()
        await queue.put(INTERRUPT)
        await queue.put(InputClosed())
        waiting = asyncio.create_task(queue.settled())
        _, event = await queue.next(None)
        queue.handled(event)
        queue.handled(Tick())
        await asyncio.sleep(1)
        assert not waiting.done(), "the second is not handled yet, and a Tick is nobody's event"
        _, event = await queue.next(None)
        await asyncio.sleep(1)
        assert not waiting.done(), "it was taken, but not handled"
        queue.handled(event)
        await waiting

    run_virtual(scenario())


def test_a_closed_inbox_leaves_no_timer() -> None:
    async def scenario() -> None:
        queue = inbox()
        waiting = asyncio.create_task(queue.next(3_600_000))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        queue.close()
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert [timer for timer in timers if not timer.cancelled()] == []

    run_virtual(scenario())
