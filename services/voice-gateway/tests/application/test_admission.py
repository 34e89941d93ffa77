"""Who may call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_gateway.application.admission import AT_CAPACITY_RETRY_MS, DRAINING_RETRY_MS, Admission
from voice_gateway.domain.errors import AtCapacity, Draining


def test_a_full_process_refuses_until_a_place_is_free() -> None:
    admission = Admission(1)
    with admission.place():
        assert admission.running == 1
        with pytest.raises(AtCapacity, match="All 1 places") as caught, admission.place():
            pass
        assert caught.value.retry_after_ms == AT_CAPACITY_RETRY_MS
        assert admission.running == 1
    with admission.place():
        assert admission.running == 1


def test_a_place_is_given_back_whatever_happens() -> None:
    admission = Admission(1)
    with pytest.raises(ValueError, match="inside"), admission.place():
        raise ValueError("inside")
    assert admission.running == 0


def test_a_draining_process_keeps_its_calls_and_takes_none() -> None:
    admission = Admission(5)
    with admission.place():
        admission.drain()
        assert admission.draining
        with pytest.raises(Draining) as caught, admission.place():
            pass
        assert caught.value.retry_after_ms == DRAINING_RETRY_MS
        assert admission.running == 1


@given(st.lists(st.booleans()), st.integers(1, 5))
def test_never_more_than_there_is_room_for(arrivals: list[bool], max_calls: int) -> None:
    admission = Admission(max_calls)
    held = []
    for arrives in arrivals:
        if arrives:
            place = admission.place()
            try:
                place.__enter__()
                held.append(place)
            except AtCapacity:
                assert len(held) == max_calls
        elif held:
            held.pop().__exit__(None, None, None)
        assert admission.running == len(held) <= max_calls
