"""Deciding about resuming, on paper: silence, when and where to dial, what the next connection is told."""

import socket
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_clients.channel import Address, addresses_of, choose_addresses
from voice_clients.events import AnswerAudio, Cause, Checkpoint, Ended, Event, EventKind, GoAway, Transcript
from voice_clients.resumption import BACKOFF_S, CallMemory, Redial, Silence, is_lost

MS = 1_000_000


class NoJitter(Random):
    """Waits are as long as they can be."""

    def random(self) -> float:
        return 0.0


def redial(resume_for_s: float = 30.0, last: str | None = "a") -> Redial[str]:
    return Redial(100.0, resume_for_s, last, NoJitter())


def checkpoint(at_ms: int, token: bytes, through: int, turn: int = 0) -> Checkpoint:
    return Checkpoint(at_ms * MS, turn, token, through, 60_000)


# ---- silence --------------------------------------------------------------------------------------------------------


def test_nothing_for_a_second_and_a_half_is_silence() -> None:
    silence = Silence()
    silence.heard(10.0)
    assert silence.look(10.0) == pytest.approx(1.5)
    silence.heard(10.9)
    assert silence.look(11.5) == pytest.approx(0.9)
    assert silence.look(12.4) is None


def test_a_process_that_was_held_up_looks_again_before_it_calls_it_silence() -> None:
    silence = Silence()
    silence.heard(10.0)
    silence.look(10.0)
    assert silence.look(15.0) == pytest.approx(0.3), "what came in these seconds may be waiting to be read"
    assert silence.look(15.3) is None


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=30))
def test_who_is_heard_every_half_second_is_never_silent(gaps_s: list[float]) -> None:
    silence, now_s = Silence(), 0.0
    silence.heard(now_s)
    look_s = now_s + (silence.look(now_s) or 0.0)
    for gap_s in gaps_s:
        now_s += gap_s
        while look_s <= now_s:
            wait_s = silence.look(look_s)
            assert wait_s is not None
            look_s += wait_s
        silence.heard(now_s)


# ---- when and where to dial -----------------------------------------------------------------------------------------


def test_the_next_address_is_dialled_at_once_and_then_with_growing_waits() -> None:
    plan, now_s, found = redial(), 100.0, []
    while (step := plan.next(now_s, ["a", "b", "c"])) is not None:
        found.append(step)
        now_s += step[0] + 0.5
    assert [place for _, place in found[:5]] == ["b", "c", "a", "b", "c"]
    assert [wait_s for wait_s, _ in found[: len(BACKOFF_S) + 1]] == [*BACKOFF_S, BACKOFF_S[-1]]
    assert 127 < now_s < 130, "as long as it may take, and no longer"


def test_a_gateway_that_is_full_is_left_alone_for_as_long_as_it_says() -> None:
    plan = redial()
    assert plan.next(100.0, ["a", "b"]) == (0.0, "b")
    plan.refused("b", 100.0, 5_000)
    assert plan.next(100.0, ["a", "b"]) == (BACKOFF_S[1], "a")
    assert plan.next(100.2, ["a", "b"]) == (BACKOFF_S[2], "a"), "the other is not to be asked yet"
    plan.refused("a", 100.4, 9_000)
    step = plan.next(100.4, ["a", "b"])
    assert step is not None
    assert (round(step[0], 3), step[1]) == (4.6, "b")


def test_time_is_up_and_nowhere_to_dial() -> None:
    assert redial(resume_for_s=0.0).next(100.0, ["a"]) is None
    assert redial().next(100.0, []) is None
    assert redial().next(130.0, ["a"]) is None


def test_addresses_may_change_while_it_is_tried() -> None:
    plan = redial(last="gone")
    assert plan.next(100.0, ["a", "b"]) == (0.0, "a")
    assert plan.next(100.0, ["b"]) == (BACKOFF_S[1], "b")


@given(st.integers(0, 2**32))
def test_jitter_only_shortens(seed: int) -> None:
    plan = Redial(0.0, 30.0, "a", Random(seed))
    for longest_s in BACKOFF_S:
        step = plan.next(0.0, ["a"])
        assert step is not None
        assert 0.7 * longest_s <= step[0] <= longest_s


FOUR, SIX = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("found", "targets"),
    [
        ([(FOUR, "10.0.0.1"), (FOUR, "10.0.0.2"), (FOUR, "10.0.0.1")], ["10.0.0.1:50051", "10.0.0.2:50051"]),
        ([(FOUR, "10.0.0.1"), (SIX, "fd00::1")], ["dns:///pods:50051"]),
        ([(SIX, "fd00::1"), (SIX, "fd00::2")], ["[fd00::1]:50051", "[fd00::2]:50051"]),
        ([(FOUR, "10.0.0.1"), (FOUR, "10.0.0.2"), (SIX, "fd00::1")], ["10.0.0.1:50051", "10.0.0.2:50051"]),
        ([], ["dns:///pods:50051"]),
    ],
)
def test_a_name_may_stand_for_several_gateways(found: list[tuple[int, str]], targets: list[str]) -> None:
    chosen = choose_addresses("dns:///pods:50051", "pods", 50051, found)
    assert [address.target for address in chosen] == targets
    assert {address.name for address in chosen} == ({"pods"} if len(targets) > 1 else {""}), "TLS checks the name"


async def test_what_is_no_name_is_dialled_as_it_is() -> None:
    for target in ("127.0.0.1:1", "localhost:50051", "unix:/run/gateway.sock", "no-such-host.invalid:50051"):
        assert await addresses_of(target) == [Address(target)]


# ---- what the next connection is told -------------------------------------------------------------------------------


def test_the_newest_token_and_the_newest_position_are_told() -> None:
    memory = CallMemory.of(16_000)
    memory.audio.add(bytes(2 * 16_000))
    memory.received(checkpoint(100, b"one", 1_000))
    memory.received(checkpoint(200, b"", 9_000))
    memory.played = (3, 4_800)
    request = memory.request(Cause.SILENCE, 1_700 * MS)
    assert (request.token, request.first_sample, request.through_sample) == (b"one", 9_000, 16_000)
    assert (request.played_generation, request.played_samples) == (3, 4_800)
    assert (request.cause, request.gap_ms) == (Cause.SILENCE, 1_500)


def test_a_go_away_brings_its_checkpoint() -> None:
    memory = CallMemory.of(16_000)
    memory.audio.add(bytes(2 * 800))
    memory.received(GoAway(MS, "", 100, checkpoint(1, b"last", 320)))
    assert (memory.token, memory.audio.first) == (b"last", 320)


def test_an_answer_that_a_token_knows_to_be_over_is_played_to_its_end() -> None:
    memory = CallMemory.of(16_000)
    kept = [memory.answer_is_kept]
    for event in (
        Event(1 * MS, 1, EventKind.PROCESSING),
        checkpoint(2, b"commit", 0),
        AnswerAudio(3 * MS, 1, 1, 0, bytes(640)),
        Event(4 * MS, 1, EventKind.END_OF_TURN),  # no token knows that yet: the answer would be said again
        checkpoint(5, b"", 100),
        checkpoint(6, b"ended", 100),
    ):
        memory.received(event)
        kept.append(memory.answer_is_kept)
    assert kept == [True, False, False, False, False, False, True]


def test_gap_and_silence_are_told_apart() -> None:
    memory = CallMemory.of(16_000)
    memory.received(Event(1_000 * MS, 1, EventKind.SPEAKING))
    memory.received(AnswerAudio(1_100 * MS, 1, 1, 0, bytes(640)))
    memory.received(checkpoint(1_300, b"t", 0))
    made = memory.resumed(Cause.RESET, 1_720 * MS, attempts=1, address="b")
    assert (made.gap_ms, made.attempts, made.address) == (420.0, 1, "b")
    memory.received(checkpoint(1_730, b"t2", 0))
    memory.received(AnswerAudio(1_900 * MS, 1, 2, 0, bytes(640)))
    memory.received(AnswerAudio(1_950 * MS, 1, 2, 320, bytes(640)))
    assert made.silence_ms == 800.0


def test_nobody_waits_for_a_voice_where_no_answer_is_under_way() -> None:
    memory = CallMemory.of(16_000)
    memory.received(Event(1_000 * MS, 1, EventKind.LISTENING))
    made = memory.resumed(Cause.RESET, 1_500 * MS, attempts=1, address="b")
    memory.received(Transcript(9_000 * MS, 1, 0, "hello", final=True))
    assert made.silence_ms is None


@pytest.mark.parametrize(
    ("code", "lost"),
    [("UNAVAILABLE", True), ("INTERNAL", True), ("CANCELLED", True), ("UNKNOWN", True), ("OK", False)]
    + [(code, False) for code in ("INVALID_ARGUMENT", "ABORTED", "OUT_OF_RANGE", "UNAUTHENTICATED")],
)
def test_what_a_dying_gateway_leaves_is_a_loss_and_an_answer_is_not(code: str, lost: bool) -> None:
    assert is_lost(Ended(0, code, None)) is lost
