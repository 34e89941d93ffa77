"""`voice say`, and callers who type, against two gateway processes of which one is killed, frozen or told to go."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Service, gateway_for
from story_tellers import ASKED, Say, StoryTellers, story_tellers

from voice_clients.events import Event, EventKind
from voice_clients.resuming import connect_resuming

pytestmark = [pytest.mark.edge, pytest.mark.timeout(150)]


@dataclass
class Two:
    """Gateways with one file of keys."""

    gateways: list[Service]
    backends: StoryTellers


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as stack:
        tellers = stack.enter_context(story_tellers(tmp_path))
        environ = {"RESUME_KEYS_FILE": str(tellers.keys), "DRAIN_RESUMABLE_SECONDS": "0.2"}
        gateways = [stack.enter_context(gateway_for(*tellers.backends(), **environ)) for _ in range(2)]
        yield Two(gateways, tellers)


@pytest.mark.parametrize(
    ("how", "cause"), [(signal.SIGKILL, "reset"), (signal.SIGSTOP, "silence"), (signal.SIGTERM, "go away")]
)
def test_say_repeats_nothing_and_the_history_holds_the_turn_once(
    two: Two, tmp_path: Path, how: signal.Signals, cause: str
) -> None:
    first = two.gateways[0].process
    addresses = [gateway.address for gateway in two.gateways]
    try:
        with Say(addresses, tmp_path / "answer.wav", "--timings", "off") as say:
            say.until("assistant:")  # some four seconds of it follow
            first.send_signal(how)
            out = say.rest()
    finally:
        if how == signal.SIGSTOP:
            first.kill()
            first.send_signal(signal.SIGCONT)
            first.wait()
    assert out.count("resuming ...") == 1
    assert f"({cause})" in out
    assert out.count("you: tell me a story") == 1
    assert two.backends.last_conversation() == ASKED


async def test_what_was_typed_is_asked_once(two: Two) -> None:
    addresses = [gateway.address for gateway in two.gateways]
    async with asyncio.timeout(60), connect_resuming(addresses) as call:
        await call.send_text("tell me a story")
        async for event in call:
            match event:
                case Event(kind=EventKind.SPEAKING) if not call.resumptions:
                    two.gateways[0].process.kill()
                case Event(kind=EventKind.END_OF_TURN, turn=1):
                    await call.send_text("thank you")
                case Event(kind=EventKind.END_OF_TURN):
                    await call.half_close()
                case _:
                    pass
    assert len(call.resumptions) == 1
    assert two.backends.last_conversation() == ASKED
