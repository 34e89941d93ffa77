"""Traces of calls: what took how long, and as part of what.

A call's trace begins with a short span. Under it lies one span for each turn, and under that the recognition of
each utterance, the endpointing, each request to the language model, each synthesised phrase, and the playback. A turn
is told as it ends, all at once and after the fact, so that nothing of a trace waits for the end of the call and nothing
is spent while a caller waits. Only ids are made beforehand: requests carry them to the backends.

Nothing is looked up in a context of the task: each call holds its own trace, and its spans know their turn. So spans of
one call can't get into another's.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from voice_gateway.application.ports import NO_SPAN, Clock, Fact, Span
from voice_gateway.domain.errors import BackendError
from voice_gateway.domain.report import TurnReport

MAX_UNCLAIMED = 32
"""Recognitions that wait to be known as part of a turn; a turn of more stretches of speech shows the last of them."""

MAX_PARTS = 64
"""Parts that wait for their turn to end; more are told before it."""

STRAY_MS = 10_000
"""What was over this long before the caller fell silent is no part of the turn: words that were an echo, or an answer
begun early for speech that came to nothing."""


class Op(StrEnum):
    """What a span stands for."""

    TURN = "turn"
    ASR = "asr"
    ENDPOINT = "endpoint"
    LLM = "llm"
    TTS = "tts"
    PLAYBACK = "playback"


@dataclass(frozen=True, slots=True)
class SpanIds:
    """A span that will be told, as its children and its backend know it."""

    span_id: str
    """16 hexadecimal digits; empty where nothing is recorded."""
    headers: tuple[tuple[str, str], ...] = ()
    """What a request inside of it carries: W3C Trace Context, lower-case names."""


@dataclass(frozen=True, slots=True)
class Words:
    """Something said: personal."""

    heard: bool
    """What went in; else what came out."""
    role: str
    text: str


@dataclass(slots=True)
class ToldSpan:
    """A span that is over. Times are those of the process's clock, in ms."""

    op: Op
    span_id: str
    parent_id: str
    """Empty: the start of the call."""
    start_ms: float
    end_ms: float
    facts: Mapping[str, Fact] = field(default_factory=dict)
    error: str = ""
    """A stable reason, or empty."""
    words: tuple[Words, ...] = ()


class CallTrace(Protocol):
    """The trace of one call. Calls are cheap and never fail."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits; empty where the call is not recorded."""
        ...

    @property
    def span_id(self) -> str:
        """Of the call's start: 16 hexadecimal digits, or empty."""
        ...

    def ids(self) -> SpanIds:
        """Ids of a span that will be told, or headers alone where the call is not recorded."""
        ...

    def resumes(self, call_id: str) -> None:
        """The call is one that began elsewhere, under this id. Told before anything else is."""
        ...

    def begun(self, **facts: Fact) -> None:
        """The start of the call is over."""
        ...

    def tell(self, span: ToldSpan) -> None:
        """A span is over. A parent may be told before or after its children."""
        ...

    def ended(self, status: str) -> None:
        """The call is over; `status` is "ok", "cancelled" or an error's reason in lower case."""
        ...


class Tracer(Protocol):
    """Makes the traces of calls."""

    def call_started(self, call_id: str, headers: Iterable[tuple[str, str]]) -> CallTrace:
        """A call was admitted; `headers` are what came with it, from a stranger."""
        ...


class NoTrace:
    """The trace of a call while tracing is off."""

    trace_id = ""
    span_id = ""
    _ids = SpanIds("")

    def ids(self) -> SpanIds:
        """Empty."""
        return self._ids

    def resumes(self, call_id: str) -> None:
        """Nothing."""

    def begun(self, **facts: Fact) -> None:
        """Nothing."""

    def tell(self, span: ToldSpan) -> None:
        """Nothing."""

    def ended(self, status: str) -> None:
        """Nothing."""


NO_TRACE = NoTrace()


class NoTracer:
    """Tracing that is off."""

    def call_started(self, call_id: str, headers: Iterable[tuple[str, str]]) -> CallTrace:  # noqa: ARG002 - as the port has it
        """Nothing."""
        return NO_TRACE


# ---- a call's spans -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Turn:
    """A turn whose span is not told yet, or was."""

    number: int
    ids: SpanIds
    done: list["_LiveSpan"] = field(default_factory=list)
    """Children that ended before it."""
    told: bool = False


class _LiveSpan(Span):
    """A span that is written down."""

    def __init__(self, spans: "CallSpans", op: Op, turn: _Turn | None, facts: dict[str, Fact]) -> None:
        self.op = op
        self.ids = spans.trace.ids()
        self.turn = turn
        self.start_ms = spans.now_ms()
        self.ended_ms = 0.0
        """0 while it lasts."""
        self.facts = facts
        self.error = ""
        self.words: list[Words] = []
        self._spans = spans

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """W3C Trace Context."""
        return self.ids.headers

    @property
    def recorded(self) -> bool:
        """Yes."""
        return True

    def note(self, **facts: Fact) -> None:
        """Keep facts."""
        self.facts.update(facts)

    def count(self, **numbers: int) -> None:
        """Add up."""
        for name, number in numbers.items():
            earlier = self.facts.get(name, 0)
            self.facts[name] = number + (earlier if isinstance(earlier, int) else 0)

    def mark(self, name: str) -> None:
        """Keep when something first happened."""
        if name not in self.facts:
            self.facts[name] = round(self._spans.now_ms() - self.start_ms, 1)

    def say(self, role: str, text: str, *, heard: bool = False) -> None:
        """Keep words, if that is switched on."""
        if self._spans.personal and text:
            self.words.append(Words(heard, role, text))

    def fail(self, reason: str) -> None:
        """It failed."""
        self.error = reason

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError):
            self.facts["cancelled"] = True
        elif isinstance(error, BackendError):
            self.error = error.reason
        elif error is not None:
            self.error = type(error).__name__
        self.ended_ms = self._spans.now_ms()
        self._spans.span_ended(self)


class _PassingSpan(Span):
    """A span of a call that is not recorded: backends are told so."""

    def __init__(self, headers: tuple[tuple[str, str], ...]) -> None:
        self._headers = headers

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """W3C Trace Context that says "not sampled"."""
        return self._headers


class CallSpans:
    """The spans of one call, put under their turns.

    Which turn an utterance belongs to is known late: a recognition begins before its turn has begun, and it may turn
    out to be a cough. So recognitions wait here until a turn ends that has used them.
    """

    def __init__(self, trace: CallTrace, clock: Clock, *, call_id: str, personal: bool = False) -> None:
        self.trace = trace
        self.call_id = call_id
        self.personal = personal
        self.now_ms = clock.ms
        self.started_ms = clock.ms()
        self._turns: dict[int, _Turn] = {}
        self._unclaimed: dict[int, _LiveSpan] = {}
        """By the number of the utterance, oldest first."""
        self._passing = NO_SPAN
        if not trace.trace_id and (headers := trace.ids().headers):
            self._passing = _PassingSpan(headers)

    @property
    def trace_id(self) -> str:
        """Of the call, for exemplars: 32 hexadecimal digits, or empty where it is not recorded."""
        return self.trace.trace_id

    @property
    def recorded(self) -> bool:
        """Whether anything is written down."""
        return bool(self.trace.trace_id)

    def fields(self, turn: int) -> dict[str, object]:
        """What log lines of a turn carry."""
        if not self.recorded:
            return {"turn": turn}
        return {"turn": turn, "span_id": self._turn(turn).ids.span_id}

    # ---- while it lasts ---------------------------------------------------------------------------------------------

    def span(self, op: Op, turn: int, **facts: Fact) -> Span:
        """A part of a turn, from now until its context is left."""
        if not self.recorded:
            return self._passing
        return _LiveSpan(self, op, self._turn(turn), facts)

    def recognition(self, utterance: int, **facts: Fact) -> Span:
        """The recognition of an utterance, from now until its context is left."""
        if not self.recorded:
            return self._passing
        if len(self._unclaimed) >= MAX_UNCLAIMED:
            self._release(self._unclaimed.pop(next(iter(self._unclaimed))), None)
        span = self._unclaimed[utterance] = _LiveSpan(self, Op.ASR, None, {"utterance": utterance, **facts})
        return span

    def _turn(self, number: int) -> _Turn:
        if (turn := self._turns.get(number)) is None:
            turn = self._turns[number] = _Turn(number, self.trace.ids())
        return turn

    def span_ended(self, span: _LiveSpan) -> None:
        """A span's context was left: it waits for its turn, unless that was told already."""
        if span.turn is not None:
            if span.turn.told or len(span.turn.done) >= MAX_PARTS:
                self._tell(span, span.turn.ids.span_id)
            else:
                span.turn.done.append(span)
        elif self._unclaimed.get(_utterance(span)) is not span:
            self._tell(span, "")
        elif not span.facts.get("words") and not span.error:
            # A cough, or a door: no turn will want it.
            del self._unclaimed[_utterance(span)]
            self._tell(span, "")

    # ---- when a turn ends -------------------------------------------------------------------------------------------

    def turn_ended(self, report: TurnReport, pending: Collection[int] = ()) -> str:
        """A turn is over: tell it, and its parts that are over too. The utterances `pending` belong to the next one.
        Gives the id of the turn's span, or "".
        """
        if not self.recorded:
            return ""
        turn = self._turn(report.turn)
        del self._turns[report.turn]
        for utterance in [number for number in self._unclaimed if number not in pending]:
            self._release(self._unclaimed.pop(utterance), turn)
        zero_ms = self.started_ms + report.speech_end_ms
        derived = self._derived(report, turn, zero_ms)
        for span in [span for span in turn.done if span.ended_ms < zero_ms - STRAY_MS]:
            turn.done.remove(span)
            self._tell(span, "")
        parts = [span.start_ms for span in turn.done] + [span.start_ms for span in derived]
        failed = next((span.error for span in turn.done if span.error), "") or "turn_failed"
        facts: dict[str, Fact] = {
            "number": report.turn,
            "outcome": report.outcome,
            "rule": report.endpoint_rule,
        }
        if (sent := report.stage("first_audio_sent")) is not None:
            facts["response_ms"] = sent.end_ms
        if (played := report.stage("first_audio_played")) is not None:
            facts["played_ms"] = played.end_ms
        if report.interruption_ms is not None:
            facts["interruption_ms"] = report.interruption_ms
        turn.told = True
        error = failed if report.outcome == "failed" else ""
        start_ms = min([zero_ms, *parts])
        self.trace.tell(ToldSpan(Op.TURN, turn.ids.span_id, "", start_ms, self.now_ms(), facts, error))
        for told in derived:
            self.trace.tell(told)
        for span in turn.done:
            self._tell(span, turn.ids.span_id)
        turn.done = []
        return turn.ids.span_id

    def _derived(self, report: TurnReport, turn: _Turn, zero_ms: float) -> list[ToldSpan]:
        """Parts that nobody measured but the machine."""
        parts: tuple[tuple[Op, str, dict[str, Fact]], ...] = (
            (Op.ENDPOINT, "endpoint", {"rule": report.endpoint_rule}),
            (Op.PLAYBACK, "answer", {"heard_samples": report.heard_samples} if report.heard_samples else {}),
        )
        return [
            ToldSpan(
                op, self.trace.ids().span_id, turn.ids.span_id, zero_ms + stage.start_ms, zero_ms + stage.end_ms, facts
            )
            for op, name, facts in parts
            if (stage := report.stage(name)) is not None
        ]

    def close(self) -> None:
        """The call is over: what belongs to no turn is told as part of the call."""
        for span in self._unclaimed.values():
            self._release(span, None)
        for turn in self._turns.values():
            for span in turn.done:
                self._tell(span, "")
        self._unclaimed, self._turns = {}, {}

    def _release(self, span: _LiveSpan, turn: _Turn | None) -> None:
        """The recognition belongs to `turn`, or to none; if it goes on, it is told when it ends."""
        span.turn = turn
        if not span.ended_ms:
            return
        if turn is None:
            self._tell(span, "")
        else:
            turn.done.append(span)

    def _tell(self, span: _LiveSpan, parent_id: str) -> None:
        end_ms = span.ended_ms or self.now_ms()
        self.trace.tell(
            ToldSpan(
                span.op, span.ids.span_id, parent_id, span.start_ms, end_ms, span.facts, span.error, tuple(span.words)
            )
        )


def _utterance(span: _LiveSpan) -> int:
    number = span.facts.get("utterance", 0)
    return number if isinstance(number, int) else 0
