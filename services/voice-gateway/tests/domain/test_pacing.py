"""The playout clock: never too far ahead, never twice, honest about what was heard."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.pacing import PlayoutClock

RATE_HZ = 16_000
FRAME = 640
FRAME_MS = 40


def ms(samples: int) -> float:
    return samples * 1000 / RATE_HZ


def test_the_first_audio_goes_at_once_and_the_lead_is_filled() -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=200)
    sent = 0
    while clock.due_ms(FRAME, 1_000) <= 1_000:
        clock.on_sent(FRAME, 1_000)
        sent += 1
    assert sent == 5
    assert clock.due_ms(FRAME, 1_000) == 1_040


def test_an_underrun_moves_the_rest() -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=200)
    clock.on_sent(FRAME, 0)
    assert clock.played(1_000) == FRAME
    clock.on_sent(FRAME, 1_000)
    assert clock.played(1_000) == FRAME
    assert clock.played(1_020) == FRAME + 320
    assert clock.end_ms(1_000) == 1_040


def test_a_piece_longer_than_the_lead_follows_without_a_gap() -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=20)
    clock.on_sent(FRAME, 0)
    assert clock.due_ms(FRAME, 0) == FRAME_MS


def test_before_anything_is_sent_nothing_is_heard() -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=200)
    clock.on_ack(5_000, 10)
    assert clock.played(9_000) == 0
    assert clock.unacknowledged_ms(9_000) == 0
    clock.on_sent(FRAME, 9_000)
    assert clock.played(9_010) == 160, "an early word of the client does not count"


def test_what_the_client_says_replaces_the_guess() -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=1_000)
    clock.on_sent(16_000, 0)
    assert clock.played(500) == 8_000
    clock.on_ack(4_000, 500)
    assert clock.played(500) == 4_000
    assert clock.played(600) == 5_600


def test_a_client_that_says_the_same_again_has_played_no_more() -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=1_000)
    clock.on_sent(16_000, 0)
    for now in (100, 200, 300, 400):
        clock.on_ack(1_600, now)
    assert clock.played(400) == 1_600
    assert clock.unacknowledged_ms(5_100) == 5_000, "and its acknowledgements have stalled since the first"


def test_a_client_cannot_have_played_what_it_has_not_got() -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=1_000)
    clock.on_sent(1_600, 0)
    clock.on_ack(99_999, 50)
    assert clock.acked == 1_600


@pytest.mark.parametrize(
    ("acked", "now_ms", "owed_ms"), [(0, 3_000, 3_000), (16_000, 3_000, 2_000), (32_000, 9_000, 0)]
)
def test_how_long_acknowledgements_are_owed(acked: int, now_ms: int, owed_ms: int) -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=2_000)
    clock.on_sent(32_000, 0)
    if acked:
        clock.on_ack(acked, 1_000)
    assert clock.unacknowledged_ms(now_ms) == owed_ms


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 400)),
        st.tuples(st.just("send"), st.integers(1, 640)),
        st.tuples(st.just("ack"), st.integers(0, 20_000)),
    ),
    max_size=80,
)


@given(STEPS, st.sampled_from([60, 200]))
@settings(max_examples=300, deadline=None)
def test_never_more_than_the_lead_ahead(steps: list[tuple[str, int]], lead_ms: int) -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms)
    now = 0.0
    for kind, amount in steps:
        match kind:
            case "wait":
                now += amount
            case "send":
                due_ms = clock.due_ms(amount, now)
                if due_ms <= now:
                    clock.on_sent(amount, now)
                    assert clock.end_ms(now) - now <= lead_ms + 0.001
            case _:
                clock.on_ack(amount, now)
        assert 0 <= clock.played(now) <= clock.sent
        assert clock.acked <= clock.sent
        assert clock.unacknowledged_ms(now) >= 0


@given(st.lists(st.integers(1, 900), max_size=30))
def test_by_the_clock_alone_the_caller_hears_ever_more(waits: list[int]) -> None:
    clock = PlayoutClock(RATE_HZ, lead_ms=200)
    now, heard = 0.0, 0
    for wait in waits:
        if clock.due_ms(FRAME, now) <= now:
            clock.on_sent(FRAME, now)
        now += wait
        assert clock.played(now) >= heard
        heard = clock.played(now)
