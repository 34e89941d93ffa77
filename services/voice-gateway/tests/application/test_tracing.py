"""Where spans are put that end early, late, or for nothing."""

from voice_gateway.application.ports import Fact
from voice_gateway.application.tracing import MAX_PARTS, MAX_UNCLAIMED, NO_TRACE, CallSpans, Op, SpanIds, ToldSpan
from voice_gateway.domain.report import Stage, TurnReport


class KeptTrace:
    """Keeps what is told. Ids are counted."""

    trace_id = "t" * 32
    span_id = "call"

    def __init__(self) -> None:
        self.told: list[ToldSpan] = []
        self.given = 0

    def ids(self) -> SpanIds:
        """The next."""
        self.given += 1
        return SpanIds(str(self.given))

    def resumes(self, call_id: str) -> None:
        """Nothing."""

    def begun(self, **facts: Fact) -> None:
        """Nothing."""

    def tell(self, span: ToldSpan) -> None:
        """Keep."""
        self.told.append(span)

    def ended(self, status: str) -> None:
        """Nothing."""

    def of(self, op: Op) -> list[ToldSpan]:
        """Spans of one kind."""
        return [span for span in self.told if span.op is op]


class HandClock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_000.0

    def ms(self) -> float:
        """Now."""
        return self.now_ms


def report(turn: int = 1, speech_end_ms: int = 500) -> TurnReport:
    return TurnReport(turn, "complete", "answered", (Stage("endpoint", 0, 300),), speech_end_ms=speech_end_ms)


def made() -> tuple[CallSpans, KeptTrace, HandClock]:
    trace, clock = KeptTrace(), HandClock()
    return CallSpans(trace, clock, call_id="call-1"), trace, clock


def test_a_recognition_that_ends_after_its_turn_is_told_then_and_belongs_to_it() -> None:
    spans, trace, clock = made()
    with spans.recognition(1) as span:
        span.count(words=2)
        turn_id = spans.turn_ended(report())
        assert trace.of(Op.ASR) == []
        clock.now_ms = 9_000
    (told,) = trace.of(Op.ASR)
    assert (told.parent_id, told.end_ms) == (turn_id, 9_000)


def test_a_recognition_of_the_next_turn_waits_for_it() -> None:
    spans, trace, _ = made()
    with spans.recognition(7) as span:
        span.count(words=2)
    spans.turn_ended(report(1), pending=[7])
    assert trace.of(Op.ASR) == []
    second = spans.turn_ended(report(2))
    assert [span.parent_id for span in trace.of(Op.ASR)] == [second]


def test_a_request_that_ends_after_its_turn_belongs_to_it() -> None:
    spans, trace, _ = made()
    with spans.span(Op.TTS, 1):
        turn_id = spans.turn_ended(report())
    assert [span.parent_id for span in trace.of(Op.TTS)] == [turn_id]


def test_what_was_over_long_before_the_turn_is_no_part_of_it() -> None:
    spans, trace, clock = made()
    with spans.span(Op.LLM, 1):
        clock.now_ms += 100
    clock.now_ms += 60_000
    spans.turn_ended(report(speech_end_ms=60_000))
    assert [span.parent_id for span in trace.of(Op.LLM)] == [""]
    assert trace.of(Op.TURN)[0].start_ms == 61_000


def test_what_no_turn_wanted_is_told_when_the_call_ends() -> None:
    spans, trace, _ = made()
    with spans.recognition(1) as span:
        span.count(words=2)
    with spans.span(Op.LLM, 1):
        pass
    assert trace.told == []
    spans.close()
    assert {(span.op, span.parent_id) for span in trace.told} == {(Op.ASR, ""), (Op.LLM, "")}
    spans.close()
    assert len(trace.told) == 2


def test_what_waits_is_bounded() -> None:
    spans, trace, _ = made()
    for utterance in range(MAX_UNCLAIMED + 5):
        with spans.recognition(utterance) as span:
            span.count(words=1)
    assert len(trace.of(Op.ASR)) == 5
    for _ in range(MAX_PARTS + 3):
        with spans.span(Op.TTS, 1):
            pass
    assert len(trace.of(Op.TTS)) == 3
    turn_id = spans.turn_ended(report())
    assert {span.parent_id for span in trace.of(Op.TTS)} == {turn_id}


def test_nothing_is_kept_while_tracing_is_off() -> None:
    spans = CallSpans(NO_TRACE, HandClock(), call_id="call-1")
    with spans.recognition(1) as asr, spans.span(Op.LLM, 1) as llm:
        assert asr is llm
        assert not llm.recorded
    assert spans.turn_ended(report()) == ""
    assert spans.trace_id == ""
    assert spans.fields(3) == {"turn": 3}
