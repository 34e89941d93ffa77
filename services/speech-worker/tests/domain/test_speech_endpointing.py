"""Edges of utterances: Riva's windows and thresholds, counted in frames of 20 ms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_worker.domain.endpointing import Edge, Endpointer, EndpointingRule
from speech_worker.domain.errors import InvalidRequest

FRAME = 320


def endpointer(rule: EndpointingRule | None = None, *, longest_utterance_ms: int = 30_000) -> Endpointer:
    return Endpointer(
        rule or EndpointingRule(), frame_samples=FRAME, sample_rate_hz=16_000, longest_utterance_ms=longest_utterance_ms
    )


def edges(frames: str, subject: Endpointer) -> list[tuple[int, Edge]]:
    """`#` is a frame of speech, `.` one of silence. Gives (frame number from 1, edge)."""
    found = ((number, subject.frame(speech=frame == "#")) for number, frame in enumerate(frames, start=1))
    return [(number, edge) for number, edge in found if edge]


def test_a_fifth_of_the_start_window_begins_an_utterance() -> None:
    assert edges("..........###", endpointer()) == [(13, Edge.STARTED)]


def test_two_clicks_do_not() -> None:
    assert edges("#............#..............#", endpointer()) == []


def test_the_stop_window_ends_it() -> None:
    assert edges("###" + "#" * 20 + "." * 60, endpointer()) == [(3, Edge.STARTED), (23 + 40, Edge.ENDED)]


def test_a_pause_shorter_than_the_stop_window_does_not_end_it() -> None:
    assert edges("###" + "." * 39 + "##" + "." * 30, endpointer()) == [(3, Edge.STARTED)]


def test_the_first_pass_comes_before_the_end_and_again_after_more_speech() -> None:
    rule = EndpointingRule(stop_history_ms=800, stop_history_eou_ms=240)
    assert edges("###" + "." * 12 + "##" + "." * 50, endpointer(rule)) == [
        (3, Edge.STARTED), (15, Edge.LIKELY_END), (29, Edge.LIKELY_END), (57, Edge.ENDED),
    ]  # fmt: skip


def test_an_utterance_without_a_pause_ends_at_the_longest_length() -> None:
    subject = endpointer(longest_utterance_ms=1_000)
    assert edges("#" * 53, subject) == [(3, Edge.STARTED), (53, Edge.ENDED)]


def test_after_a_reset_a_new_utterance_may_start() -> None:
    subject = endpointer()
    assert edges("###", subject) == [(3, Edge.STARTED)]
    subject.reset()
    assert not subject.in_utterance
    assert edges("###", subject) == [(3, Edge.STARTED)]


@given(
    st.lists(st.booleans(), max_size=400),
    st.integers(1, 600),
    st.integers(1, 900),
    st.integers(0, 899),
    st.floats(0.05, 1.0),
    st.floats(0.05, 1.0),
)
def test_edges_alternate_and_the_first_pass_is_inside(  # noqa: PLR0917 - hypothesis fills them by position
    frames: list[bool], start_ms: int, stop_ms: int, eou_ms: int, start_share: float, stop_share: float
) -> None:
    rule = EndpointingRule(
        start_history_ms=start_ms, stop_history_ms=stop_ms, stop_history_eou_ms=min(eou_ms, stop_ms - 1),
        start_threshold=start_share, stop_threshold=stop_share,
    )  # fmt: skip
    subject = endpointer(rule, longest_utterance_ms=2_000)
    inside = False
    length = 0
    for speech in frames:
        edge = subject.frame(speech=speech)
        length = length + 1 if inside else 0
        if edge is Edge.STARTED:
            assert not inside
            assert speech
            inside, length = True, 0
        elif edge is Edge.ENDED:
            assert inside
            inside = False
        elif edge is Edge.LIKELY_END:
            assert inside
        assert subject.in_utterance == inside
        assert length <= 100


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"stop_history_ms": 0}, "endpointing_config.stop_history is 0: 1 to 20000 ms are allowed."),
        ({"start_history_ms": 30_000}, "endpointing_config.start_history is 30000: 1 to 20000 ms are allowed."),
        ({"start_threshold": 0.0}, "endpointing_config.start_threshold is 0: more than 0 and at most 1 is allowed."),
        ({"stop_threshold": 1.5}, "endpointing_config.stop_threshold is 1.5: more than 0 and at most 1 is allowed."),
        (
            {"stop_history_eou_ms": 800},
            "endpointing_config.stop_history_eou is 800: it must be less than stop_history (800).",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(values: dict[str, int], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        EndpointingRule(**values)
    assert str(refused.value) == sentence
