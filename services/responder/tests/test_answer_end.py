"""Tokens, stop sequences, limits and the pace."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline_responder.application.completion import Pace, paced
from offline_responder.domain.tokens import end_answer, split_tokens


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(split_tokens(text)) == text


@given(
    st.text(min_size=1), st.integers(min_value=1, max_value=50), st.lists(st.text(min_size=1, max_size=3), max_size=4)
)
def test_an_answer_is_a_beginning_without_a_stop_sequence(text: str, max_tokens: int, stop: list[str]) -> None:
    answer = end_answer(text, stop=stop, max_tokens=max_tokens)
    assert text.startswith(answer.text)
    assert len(answer.tokens) <= max_tokens
    assert not any(sequence in answer.text for sequence in stop)
    assert answer.finish_reason == "stop" or len(answer.tokens) == max_tokens


def test_which_end_comes_first_decides() -> None:
    assert end_answer("one two three", stop=[" three"], max_tokens=2).finish_reason == "stop"
    assert end_answer("one two three", stop=[" three"], max_tokens=1).finish_reason == "length"
    assert end_answer("one two", stop=[], max_tokens=2).finish_reason == "stop"


class ManualClock:
    """Time moves only by waiting, and `late_s` more each time, as on a busy machine."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.time_s = 100.0
        self.late_s = late_s

    def now_s(self) -> float:
        return self.time_s

    async def sleep_until(self, moment_s: float) -> None:
        self.time_s = moment_s + self.late_s
        await asyncio.sleep(0)


@pytest.mark.parametrize("late_s", [0.0, 0.003])
async def test_lateness_does_not_add_up(late_s: float) -> None:
    clock = ManualClock(late_s)
    times_s = [clock.time_s async for _ in paced(["a"] * 100, Pace(first_token_ms=30, token_interval_ms=10), clock)]
    assert times_s[0] == pytest.approx(100.030 + late_s)
    assert times_s[-1] == pytest.approx(101.020 + late_s)
