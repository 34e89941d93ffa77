"""Edges of speech, to the sample."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_gateway.domain.events import SpeechEdge
from voice_gateway.domain.policy import TurnPolicy
from voice_gateway.domain.speech import Edge, SpeechSegmenter

RATE_HZ = 16_000
FRAME = 320
POLICY = TurnPolicy(onset_ms=100, confirm_ms=200, misfire_ms=240, soft_end_ms=120, endpoint_silence_ms=500)


def run(pattern: str, segmenter: SpeechSegmenter | None = None) -> list[Edge]:
    """Edges of frames of 20 ms; "x" is speech, "." is silence. `x*5` means five of them."""
    ears = segmenter or SpeechSegmenter(RATE_HZ, POLICY)
    edges: list[Edge] = []
    for part in pattern.split():
        kind, _, count = part.partition("*")
        for _ in range(int(count or 1)):
            edge = ears.process(FRAME, kind == "x")
            if edge is not None:
                edges.append(edge)
    return edges


def ms(milliseconds: int) -> int:
    return milliseconds * RATE_HZ // 1000


def test_a_whole_utterance() -> None:
    assert run(".*5 x*40 .*30") == [
        Edge(SpeechEdge.STARTED, ms(100)),
        Edge(SpeechEdge.CONFIRMED, ms(100)),
        Edge(SpeechEdge.PAUSED, ms(900)),
        Edge(SpeechEdge.ENDED, ms(900)),
    ]


@pytest.mark.parametrize(
    ("pattern", "last"),
    [
        ("x*4", None),
        ("x*5", SpeechEdge.STARTED),
        ("x*9", SpeechEdge.STARTED),
        ("x*10", SpeechEdge.CONFIRMED),
        ("x*10 .*5", SpeechEdge.CONFIRMED),
        ("x*10 .*6", SpeechEdge.PAUSED),
        ("x*10 .*24", SpeechEdge.PAUSED),
        ("x*10 .*25", SpeechEdge.ENDED),
        ("x*10 .*6 x", SpeechEdge.CONTINUED),
        ("x*5 .*11", SpeechEdge.STARTED),
        ("x*5 .*12", SpeechEdge.MISFIRE),
    ],
)
def test_each_edge_comes_with_its_frame_and_not_before(pattern: str, last: SpeechEdge | None) -> None:
    edges = run(pattern)
    assert (edges[-1].kind if edges else None) == last


def test_clicks_do_not_add_up() -> None:
    assert run("x . " * 500) == []
    assert run("x*4 .*4 " * 100) == []


def test_a_pause_within_speech_continues_it() -> None:
    edges = run("x*20 .*10 x*20 .*25")
    assert [edge.kind for edge in edges] == [
        SpeechEdge.STARTED,
        SpeechEdge.CONFIRMED,
        SpeechEdge.PAUSED,
        SpeechEdge.CONTINUED,
        SpeechEdge.PAUSED,
        SpeechEdge.ENDED,
    ]
    assert edges[2].sample == ms(400)
    assert edges[3].sample == ms(600)
    assert edges[5].sample == ms(1_000)


def test_what_was_forgotten_starts_anew() -> None:
    ears = SpeechSegmenter(RATE_HZ, POLICY)
    run("x*20 .*6", ears)
    ears.reset()
    assert not ears.active
    assert ears.voiced_end == ms(400)
    assert run("x*5", ears) == [Edge(SpeechEdge.STARTED, ms(520))]


@pytest.mark.parametrize(
    ("pattern", "kind"), [("x*5", SpeechEdge.MISFIRE), ("x*20 .*3", SpeechEdge.ENDED), (".", None)]
)
def test_the_end_of_the_audio_closes_what_is_open(pattern: str, kind: SpeechEdge | None) -> None:
    ears = SpeechSegmenter(RATE_HZ, POLICY)
    run(pattern, ears)
    edge = ears.end()
    assert (edge.kind if edge else None) == kind
    assert ears.end() is None


FOLLOWS: dict[SpeechEdge | None, set[SpeechEdge]] = {
    None: {SpeechEdge.STARTED},
    SpeechEdge.STARTED: {SpeechEdge.CONFIRMED, SpeechEdge.MISFIRE},
    SpeechEdge.CONFIRMED: {SpeechEdge.PAUSED},
    SpeechEdge.PAUSED: {SpeechEdge.CONTINUED, SpeechEdge.ENDED},
    SpeechEdge.CONTINUED: {SpeechEdge.PAUSED},
    SpeechEdge.MISFIRE: {SpeechEdge.STARTED},
    SpeechEdge.ENDED: {SpeechEdge.STARTED},
}


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=60))
@settings(max_examples=200, deadline=None)
def test_edges_come_in_order_and_lie_in_the_past(runs: list[tuple[bool, int]]) -> None:
    ears = SpeechSegmenter(RATE_HZ, POLICY)
    before: Edge | None = None
    for is_speech, count in runs:
        for _ in range(count):
            edge = ears.process(FRAME, is_speech)
            if edge is None:
                continue
            assert edge.kind in FOLLOWS[before.kind if before else None]
            assert edge.sample <= ears.position
            if before is not None and edge.kind is not SpeechEdge.CONFIRMED:
                assert edge.sample >= before.sample
            before = edge
    assert ears.active == (before is not None and before.kind not in (SpeechEdge.ENDED, SpeechEdge.MISFIRE))


def test_speech_that_is_known_late_counts_from_where_it_was() -> None:
    ears = SpeechSegmenter(RATE_HZ, POLICY)
    for _ in range(10):
        assert ears.process(FRAME, is_speech=False) is None
    edges = [ears.process(FRAME, is_speech=True, late_samples=3 * FRAME)]
    while edges[-1] is None:
        edges.append(ears.process(FRAME, is_speech=True))
    assert edges[-1] == Edge(SpeechEdge.STARTED, 7 * FRAME)
    assert len(edges) == POLICY.onset_ms // 20 - 3


def test_late_speech_never_reaches_into_what_was_spoken_before() -> None:
    ears = SpeechSegmenter(RATE_HZ, POLICY)
    for _ in range(10):
        ears.process(FRAME, is_speech=True)
    spoken = ears.voiced_end
    ears.reset()
    ears.process(FRAME, is_speech=False)
    edge = None
    while edge is None:
        edge = ears.process(FRAME, is_speech=True, late_samples=50 * FRAME)
    assert edge == Edge(SpeechEdge.STARTED, spoken)
