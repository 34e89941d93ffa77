"""`voice say` over a line that loses packets: all of them, for a while or for good, or some.

Nothing is reset: the caller has to notice by hearing nothing, and so does the gateway. The story is told by a gateway
behind the line; its neighbour, and what both need, are on the caller's side of it.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import Service, gateway_for
from story_tellers import ASKED, Say, StoryTellers, story_tellers

from bench.network import BEHIND, FAR, Network

pytestmark = [pytest.mark.edge, pytest.mark.timeout(150)]

NOTICED_S = 45.0
"""gRPC gives up when nothing of what it sent was acknowledged for 10 s, or when a ping of keepalive was not: 40 s."""


@dataclass
class Neighbours:
    """Gateways with one file of keys, the first behind the line."""

    far: Service
    near: Service
    backends: StoryTellers
    network: Network

    def say(self, *gateways: Service, out: Path) -> Say:
        """A caller on the near side."""
        hosts = {id(self.far): FAR, id(self.near): "127.0.0.1"}
        addresses = [f"{hosts[id(gateway)]}:{gateway.ready['port']}" for gateway in gateways]
        return Say(addresses, out, "--timings", "off", entering=self.network.near.entering)

    def answered(self) -> list[int]:
        """Turns that the gateways count as answered."""
        ended = [entry for gateway in (self.far, self.near) for entry in gateway.events("turn_ended")]
        return sorted(entry["turn"] for entry in ended if entry["outcome"] == "answered")

    def complaints(self) -> list[str]:
        """What the gateways hold for a fault of their own."""
        return [line for gateway in (self.far, self.near) for line in gateway.lines if '"level": "error"' in line]


@pytest.fixture
def neighbours(lossy_network: Network, tmp_path: Path) -> Iterator[Neighbours]:
    near, far = lossy_network.near.entering, lossy_network.far.entering
    with ExitStack() as stack:
        # 0.0.0.0: of a namespace in which nobody else is.
        fakes = story_tellers(tmp_path, host="0.0.0.0", entering=near)
        tellers = stack.enter_context(fakes)
        keys = str(tellers.keys)
        yield Neighbours(
            stack.enter_context(gateway_for(*tellers.backends(BEHIND), entering=far, host=FAR, RESUME_KEYS_FILE=keys)),
            stack.enter_context(gateway_for(*tellers.backends(), entering=near, RESUME_KEYS_FILE=keys)),
            tellers,
            lossy_network,
        )


def wait_for(service: Service, event: str) -> dict[str, object]:
    """The first log line of that kind."""
    until = time.monotonic() + NOTICED_S
    while not (found := service.events(event)):
        assert time.monotonic() < until, f"no {event} in {service.lines[-5:]}"
        time.sleep(0.05)
    return found[0]


def test_a_line_that_swallows_everything_is_left_for_the_neighbour(neighbours: Neighbours, tmp_path: Path) -> None:
    with neighbours.say(neighbours.far, neighbours.near, out=tmp_path / "answer.wav") as say:
        say.until("assistant:")
        neighbours.network.line.weather.down = True
        out = say.rest()
    assert out.count("resuming ...") == out.count("(silence)") == 1
    assert out.count("you: tell me a story") == 1, out
    assert neighbours.backends.last_conversation() == ASKED
    # Nothing ever comes through again. What the gateway behind the line sends is not acknowledged: so it notices.
    assert wait_for(neighbours.far, "call_ended")["status"] == "cancelled"
    assert neighbours.answered() == [1, 2]
    assert neighbours.complaints() == []


def test_a_call_comes_back_to_the_gateway_whose_line_was_down(neighbours: Neighbours, tmp_path: Path) -> None:
    with neighbours.say(neighbours.far, out=tmp_path / "answer.wav") as say:
        say.until("assistant:")
        neighbours.network.line.weather.down = True
        say.until("resuming ...")
        time.sleep(1.0)  # some attempts to connect come to nothing
        assert neighbours.far.events("call_ended") == [], "the old half of the call has not noticed"
        neighbours.network.line.weather.down = False
        out = say.rest()
    assert out.count("(silence)") == 1
    assert out.count("you: tell me a story") == 1, out
    assert neighbours.backends.last_conversation() == ASKED
    ended = neighbours.far.events("call_ended")
    assert len(ended) == 2
    # A last packet of the old connection may have come first, or its successor.
    assert {entry["status"] for entry in ended} <= {"ok", "cancelled"}
    assert neighbours.answered() == [1, 2]
    assert neighbours.complaints() == []


def test_a_line_that_is_only_bad_is_kept(neighbours: Neighbours, tmp_path: Path) -> None:
    weather = neighbours.network.line.weather
    weather.loss, weather.delay_s = 0.05, 0.1
    with neighbours.say(neighbours.far, neighbours.near, out=tmp_path / "answer.wav") as say:
        out = say.rest()
    assert neighbours.network.line.lost > 20
    assert "resuming" not in out
    assert neighbours.backends.last_conversation() == ASKED
    assert neighbours.answered() == [1, 2]
