"""`voice say` against two gateway processes of which one is killed, frozen or told to go."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Service, gateway_for
from story_tellers import ASKED, Say, StoryTellers, story_tellers

pytestmark = [pytest.mark.edge, pytest.mark.timeout(150), pytest.mark.xdist_group("loop")]


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
