"""Where audio lies in the call: what is sent again, left out, lost, or put in between."""

from hypothesis import given
from hypothesis import strategies as st

from voice_gateway.application.intake import Intake
from voice_gateway.application.positions import Positions


def positions(*, start: int = 0, given_at: int = 0, client_hz: int = 16_000) -> Positions:
    return Positions(client_hz, 16_000, start, given_at)


def test_audio_in_a_row_lies_in_a_row() -> None:
    places = positions()
    assert [places.take(at, 320, at) for at in (0, 320, 640)] == [0, 0, 0]
    assert (places.next, places.of(500), places.of(10_000)) == (960, 500, 960)


def test_a_client_that_numbers_nothing_is_taken_as_it_comes() -> None:
    places = positions()
    assert [places.take(0, 320, made) for made in (0, 320, 640)] == [0, 0, 0]
    assert (places.next, places.gaps) == (960, 0)


def test_what_the_call_accounts_for_is_left_out() -> None:
    places = positions(start=1_000, given_at=200)
    assert places.take(200, 400, 0) == 400
    assert places.take(600, 600, 0) == 400
    assert places.next == 1_200
    assert places.take(1_200, 100, 200) == 0
    assert (places.of(0), places.of(250)) == (1_000, 1_250)


def test_a_call_that_goes_on_later_than_it_could_begins_there() -> None:
    places = positions(start=5_000, given_at=5_000)
    assert places.take(5_000, 320, 0) == 0
    assert (places.of(0), places.gaps) == (5_000, 0)


def test_what_is_lost_is_noted_and_shifts_what_follows() -> None:
    places = positions()
    places.take(0, 320, 0)
    assert places.take(1_320, 320, 320) == 0
    assert (places.told_gaps(), places.told_gaps()) == (1, 0)
    assert (places.of(100), places.of(320), places.of(420)) == (100, 1_320, 1_420)


def test_silence_that_was_put_in_between_is_none_of_the_clients_audio() -> None:
    places = positions()
    places.take(0, 3_200, 0)
    places.filled(8_000, 3_200)
    places.take(3_200, 3_200, 11_200)
    assert [places.of(sample) for sample in (3_000, 3_200, 7_000, 11_200, 12_000)] == [
        3_000,
        3_200,
        3_200,
        3_200,
        4_000,
    ]
    assert places.next == 6_400


def test_other_rates_are_reckoned_with() -> None:
    places = positions(start=48_000, given_at=48_000, client_hz=48_000)
    places.take(48_000, 9_600, 0)
    assert (places.of(0), places.of(1_600)) == (48_000, 52_800)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(-300, 300), st.booleans()), max_size=30))
def test_positions_never_go_back_and_never_run_ahead(pieces: list[tuple[int, int, bool]]) -> None:
    places, made, at = positions(), 0, 0
    for samples, shift, fill in pieces:
        if fill:
            places.filled(samples, made)
            made += samples
        at = max(1, at + shift)
        made += samples - places.take(at, samples, made)
        at += samples
        shown = [places.of(sample) for sample in range(0, made + 1, 37)]
        assert shown == sorted(shown)
        assert max(shown, default=0) <= places.next


def test_a_piece_that_ends_within_a_sample_is_no_gap() -> None:
    intake = Intake(client_rate_hz=16_000, rate_hz=16_000, frame_samples=1, resampler=None)
    frames = intake.take(b"\1\0\2", 0) + intake.take(b"\0\3\0", 1) + intake.take(b"\4\0", 3)
    assert frames == [b"\1\0", b"\2\0", b"\3\0", b"\4\0"]
    assert intake.positions.gaps == 0
