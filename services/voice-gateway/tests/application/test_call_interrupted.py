"""What an interruption stops, to the moment."""

import asyncio

import pytest

from servicekit.testing import run_virtual
from voice_gateway.application.messages import AnswerTextOut, AudioOut, ControlIn, EventKind, Hello, TextIn, Wish
from voice_gateway.testing.backends import LlmScript
from voice_gateway.testing.world import ALL_CAPABILITIES, World, is_event

STORY = "Once upon a time, there was a harbour. It was small. Ships came, and ships went away again. The end."


@pytest.mark.parametrize(("token_interval_ms", "step_ms"), [(10, 2), (4, 1), (0, 0)])
def test_nothing_of_an_interrupted_turn_is_sent_or_asked_for_whenever_it_is_interrupted(
    token_interval_ms: int, step_ms: int
) -> None:
    """With a step of 0, the moments are turns of the event loop, and the model is as fast as it."""

    async def scenario(steps: int) -> None:
        world = World(
            llm=LlmScript(
                replies=[STORY, "Yes."], first_token_ms=2 * token_interval_ms, token_interval_ms=token_interval_ms
            )
        )
        async with world.call(Hello(capabilities=ALL_CAPABILITIES)) as caller:
            await caller.send(TextIn("tell me a story"))
            await caller.transport.until_event(EventKind.PROCESSING)
            for _ in range(steps):
                await asyncio.sleep(step_ms / 1000)
            await caller.send(ControlIn(Wish.INTERRUPT))
            await caller.transport.until_event(EventKind.END_OF_TURN)
        received = [item.message for item in caller.transport.received]
        ended = next(at for at, message in enumerate(received) if is_event(message, EventKind.END_OF_TURN))
        assert not [message for message in received[ended:] if isinstance(message, AnswerTextOut | AudioOut)]
        stopped = [at for at, entry in enumerate(world.log.entries) if entry.what == "llm_closed"]
        assert not [entry for entry in world.log.entries[stopped[0] :] if entry.what.endswith("_request")]

    for steps in range(100):
        run_virtual(scenario(steps))
