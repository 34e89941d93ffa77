"""A replayed call as a timeline: lanes of spans and marks for a picture, rows for a table, a summary of each turn.

Nothing here knows what an event means beyond `RULES`: an event or action that has no line there is a mark in the lane
"other", and a phase is whatever the machine says it is. So a new event shows at once, and gets its place by one line.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, Literal

from voice_gateway.domain.actions import ReportTurn
from voice_gateway.domain.personal import HARMLESS
from voice_gateway.domain.recording import Head, Outcome, Words
from voice_gateway.domain.replay import Replay, Step

LANES = ("caller", "transcript", "phase", "answer", "ASR", "LLM", "TTS", "events", "other")
"""From top to bottom."""

MAX_VALUE_CHARACTERS = 400
"""Of one value in a detail: a system prompt or a long answer is cut."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What an event or action does in a lane. `by` names the fields that tell spans that overlap apart."""

    lane: str
    does: Literal["begin", "end", "mark", "nothing"]
    kind: str = ""
    """Of the span or mark: how it looks. Of an end: what the span becomes, if it becomes something."""
    by: tuple[str, ...] = ()
    only: str = ""
    """Begin only where a span of this lane is open: "open"; or where none is: "closed"."""


RULES: dict[str, tuple[Rule, ...]] = {
    "Speech.started": (Rule("caller", "begin", "tentative"),),
    "Speech.confirmed": (Rule("caller", "begin", "speech"),),
    "Speech.continued": (Rule("caller", "begin", "speech"),),
    "Speech.paused": (Rule("caller", "begin", "pause"),),
    "Speech.misfire": (Rule("caller", "end", "misfire"),),
    "Speech.ended": (Rule("caller", "end"),),
    "ResetSpeech": (Rule("caller", "end"),),
    "TextTurn": (Rule("transcript", "mark", "typed"),),
    "AsrResult": (Rule("transcript", "mark", "interim"),),
    "AsrResult.final": (Rule("transcript", "mark", "final"),),
    "OpenAsr": (Rule("ASR", "begin", "request", ("utterance",)),),
    "FlushAsr": (Rule("ASR", "mark", "sent"),),
    "FinalizeAsr": (Rule("ASR", "mark", "finalize"),),
    "CloseAsr": (Rule("ASR", "end", "", ("utterance",)),),
    "AsrEnded": (Rule("ASR", "end", "", ("utterance",)),),
    "StartReply.speculative": (Rule("LLM", "begin", "speculative", ("turn", "revision")),),
    "StartReply": (Rule("LLM", "begin", "request", ("turn", "revision")),),
    "AdoptReply": (Rule("LLM", "begin", "request", ("turn", "revision"), only="open"), Rule("LLM", "mark", "adopted")),
    "CountSpeculation.wasted": (Rule("LLM", "mark", "wasted"),),
    "TurnScored": (Rule("ASR", "mark", "scored"),),
    "KeyPressed": (Rule("transcript", "mark", "typed"),),
    "CountResumed": (Rule("answer", "mark", "resumed"),),
    "ReplyStarted": (Rule("LLM", "mark", "first_token"),),
    "ReplyTextDone": (Rule("LLM", "end", "", ("turn", "revision")),),
    "PhraseCut": (Rule("TTS", "begin", "request", ("turn", "revision", "index")),),
    "PhraseAudio": (Rule("TTS", "end", "", ("turn", "revision", "index")),),
    "SpeakRequest": (Rule("events", "mark", "asked"),),
    "SpeakVerbatim": (Rule("answer", "begin", "waiting"),),
    "AudioReady": (Rule("answer", "begin", "ready"),),
    "PlaybackStarted": (Rule("answer", "begin", "playing"),),
    "SendPlayback.duck": (Rule("answer", "begin", "ducked", only="open"),),
    "SendPlayback.pause": (Rule("answer", "begin", "paused", only="open"),),
    "PauseReply": (Rule("answer", "begin", "paused", only="open"),),
    "SendPlayback.resume": (Rule("answer", "begin", "playing", only="open"),),
    "ResumeReply": (Rule("answer", "begin", "playing", only="open"),),
    "SendPlayback.flush": (Rule("answer", "mark", "flush"),),
    "ReplyEnded": (Rule("answer", "end"), Rule("LLM", "end"), Rule("TTS", "end")),
    "CancelReply": (
        Rule("answer", "end"),
        Rule("answer", "mark", "cut"),
        Rule("LLM", "end", "cancelled"),
        Rule("TTS", "end", "cancelled"),
    ),
    "ReplyTrouble": (Rule("events", "mark", "error"),),
    "CallFailed": (Rule("events", "mark", "error"),),
    "SendEvent.error": (Rule("events", "mark", "error"),),
    "EndCall": (Rule("events", "mark", "end"),),
    "Retuned": (Rule("events", "mark", "retune"),),
    "DrainRequested": (Rule("events", "mark", "drain"),),
    "SendGoAway": (Rule("events", "mark", "drain"),),
    "Asked": (Rule("events", "mark", "asked"),),
    "InputClosed": (Rule("events", "mark", "closed"),),
    "CallStarted": (Rule("events", "mark", "started"),),
    "CallResumed": (Rule("events", "mark", "started"),),
    "MoveCall": (Rule("events", "mark", "drain"),),
    "RememberNoForceEou": (Rule("events", "mark", "learnt"),),
    "CountStale": (Rule("events", "mark", "stale"),),
} | {
    name: (Rule("", "nothing"),)
    for name in (
        *("Tick", "Played", "SendEvent", "SendTranscript", "ReleaseAudio", "ReportTurn"),
        *("AwaitSilence", "ScoreTurn", "CountSpeculation"),
    )
}
"""By class name; "Name.value" is looked for first, where value is that of one of its enums or the name of a flag that
is set. "nothing": it shows in the table only. A name that no version of the machine knows does no harm.
"""


ASKING = frozenset({"StartReply", "AdoptReply", "SpeakVerbatim"})
"""What the machine does when a turn is over; an answer that was begun early is adopted then."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted."""

    start_ms: int
    end_ms: int
    kind: str
    label: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened."""

    at_ms: int
    kind: str
    label: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of the picture."""

    name: str
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that has ended, in ms of call time."""

    number: int
    rule: str
    """What ended the caller's turn."""
    outcome: str
    speech_end_ms: int
    reported_ms: int
    response_ms: int | None
    """From the end of the caller's speech to the first audio of the answer."""
    stages: tuple[tuple[str, int, int], ...]
    """Name, start and end, in ms from the end of the caller's speech."""


@dataclass(frozen=True, slots=True)
class Row:
    """One event in the table."""

    line: int
    at_ms: int
    phase: str
    """After the event."""
    changed: bool
    """Whether the event changed the phase."""
    event: str
    detail: str
    actions: tuple[tuple[str, str], ...]
    """Name and detail of each."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """All there is to show of a call."""

    head: Head
    outcome: Outcome | None
    begin_ms: int
    end_ms: int
    lanes: tuple[Lane, ...]
    turns: tuple[Turn, ...]
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def timeline(
    replayed: Replay,
    *,
    from_ms: int | None = None,
    to_ms: int | None = None,
    rules: Mapping[str, tuple[Rule, ...]] = RULES,
) -> Timeline:
    """The timeline of a replay, or of the part of it between two moments."""
    steps = replayed.steps
    head = replayed.recording.head
    drawing = _Drawing(head.words, rules)
    for step in steps:
        drawing.take(step)
    begin = steps[0].now if steps else 0
    end = max(steps[-1].now, begin + 1) if steps else begin + 1
    drawing.finish(end)
    first, last = (begin if from_ms is None else from_ms), (end if to_ms is None else to_ms)
    return Timeline(
        head=head,
        outcome=replayed.recording.outcome,
        begin_ms=first,
        end_ms=max(last, first + 1),
        lanes=tuple(drawing.lanes(first, last)),
        turns=tuple(turn for turn in drawing.turns if turn.reported_ms >= first and turn.speech_end_ms <= last),
        rows=tuple(_row(step, head.words) for step in steps if first <= step.now <= last),
        problems=replayed.problems,
        notes=replayed.notes,
    )


# ---- drawing --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    start_ms: int
    kind: str
    label: str = ""
    detail: str = ""


@dataclass(slots=True)
class _Drawing:
    """Follows a call and draws its lanes."""

    words: Words
    rules: Mapping[str, tuple[Rule, ...]]
    turns: list[Turn] = field(default_factory=list)
    _spans: dict[str, list[Span]] = field(default_factory=dict)
    _marks: dict[str, list[Mark]] = field(default_factory=dict)
    _open: dict[tuple[str, tuple[Any, ...]], _Open] = field(default_factory=dict)
    _asked_ms: dict[int, int] = field(default_factory=dict)
    """When each turn was over, and its answer was asked for or adopted."""

    def take(self, step: Step) -> None:
        """The next step."""
        if ("phase", ()) not in self._open:
            self._begin("phase", (), _Open(step.now, step.before.value))
        self._apply(step.event, _place(step))
        for action in step.actions:
            self._apply(action, step.now)
            if isinstance(action, ReportTurn):
                self._report(action, step.now)
        if step.phase is not step.before:
            phase = step.phase.value
            self._begin("phase", (), _Open(step.now, phase, phase, f"after {type(step.event).__name__}"))

    def finish(self, end_ms: int) -> None:
        """What is open lasts to the end."""
        for lane, key in list(self._open):
            self._end(lane, key, end_ms)

    def lanes(self, first_ms: int, last_ms: int) -> Iterator[Lane]:
        """The lanes, clipped."""
        names = [*LANES, *sorted((self._spans.keys() | self._marks.keys()) - set(LANES))]
        for name in names:
            spans = [
                Span(max(s.start_ms, first_ms), min(s.end_ms, last_ms), s.kind, s.label, s.detail)
                for s in self._spans.get(name, [])
                if s.end_ms > first_ms and s.start_ms < last_ms
            ]
            marks = [mark for mark in self._marks.get(name, []) if first_ms <= mark.at_ms <= last_ms]
            if spans or marks or name != "other":
                yield Lane(name, tuple(sorted(spans, key=lambda s: (s.start_ms, s.end_ms))), tuple(marks))

    def _apply(self, thing: object, at_ms: int) -> None:
        name = type(thing).__name__
        if name in ASKING and not getattr(thing, "speculative", False):
            self._asked_ms.setdefault(getattr(thing, "turn", 0), at_ms)
        rules = next((self.rules[key] for key in _keys(thing) if key in self.rules), (Rule("other", "mark", "other"),))
        detail = f"{name} {described(thing, self.words)}".strip()
        for rule in rules:
            key = tuple(getattr(thing, part, None) for part in rule.by)
            match rule.does:
                case "begin":
                    if rule.only != "open" or (rule.lane, key) in self._open:
                        # A duck to 0 dB takes ducking back.
                        kind = "playing" if rule.kind == "ducked" and not getattr(thing, "gain_db", -1) else rule.kind
                        self._begin(
                            rule.lane,
                            key,
                            _Open(at_ms, kind, getattr(thing, "text", "") and label(thing, self.words), detail),
                        )
                case "end":
                    every = [open_key for lane, open_key in self._open if lane == rule.lane]
                    for open_key in [key] if rule.by else every:
                        self._end(rule.lane, open_key, at_ms, rule.kind, detail)
                case "mark":
                    mark = Mark(at_ms, rule.kind, label(thing, self.words) or name, detail)
                    self._marks.setdefault(rule.lane, []).append(mark)
                case "nothing":
                    pass

    def _begin(self, lane: str, key: tuple[Any, ...], begun: _Open) -> None:
        open_one = self._open.get((lane, key))
        if open_one is not None and open_one.kind == begun.kind:
            open_one.detail = "\n".join(part for part in (open_one.detail, begun.detail) if part)
            return
        self._end(lane, key, begun.start_ms)
        self._open[lane, key] = begun

    def _end(self, lane: str, key: tuple[Any, ...], at_ms: int, kind: str = "", detail: str = "") -> None:
        opened = self._open.pop((lane, key), None)
        if opened is None:
            return
        details = "\n".join(part for part in (opened.detail, detail) if part)
        end_ms = max(at_ms, opened.start_ms)
        span = Span(opened.start_ms, end_ms, kind or opened.kind, opened.label, details)
        if end_ms > opened.start_ms or lane != "phase":
            self._spans.setdefault(lane, []).append(span)

    def _report(self, action: ReportTurn, at_ms: int) -> None:
        report = action.report
        stages = tuple((stage.name, round(stage.start_ms), round(stage.end_ms)) for stage in report.stages)
        endpoint, heard = report.stage("endpoint"), report.stage("first_audio_sent")
        asked_ms = self._asked_ms.get(report.turn, at_ms)
        speech_end_ms = asked_ms - (round(endpoint.end_ms) if endpoint is not None else 0)
        response_ms = round(heard.end_ms) if heard is not None else None
        self.turns.append(
            Turn(report.turn, report.endpoint_rule, report.outcome, speech_end_ms, at_ms, response_ms, stages)
        )


def _place(step: Step) -> int:
    """Where an event lies: speech began and ended when its samples arrived, some time before it was known."""
    at_ms = getattr(step.event, "at_ms", None)
    return min(max(0, at_ms), step.now) if isinstance(at_ms, int) else step.now


def _keys(thing: object) -> Iterator[str]:
    """Names under which `RULES` may have it, the most special first."""
    name = type(thing).__name__
    for value in _values(thing):
        if isinstance(value, Enum):
            yield f"{name}.{value.value}"
    for item in fields(thing):  # type: ignore[arg-type] # events and actions are dataclasses
        if getattr(thing, item.name) is True:
            yield f"{name}.{item.name}"
    yield name


def _values(thing: Any) -> Iterable[object]:
    return (getattr(thing, item.name) for item in fields(thing))


# ---- words ----------------------------------------------------------------------------------------------------------


def label(thing: Any, words: Words) -> str:
    """A few words for `thing`: its text, or what it is about."""
    for name in ("text", "reason", "stage", "what"):
        value = getattr(thing, name, None)
        if isinstance(value, str) and value:
            return shown(f"{type(thing).__name__}.{name}", value, words)
    for value in _values(thing):
        if isinstance(value, Enum):
            return str(value.value)
    return ""


def shown(place: str, text: str, words: Words) -> str:
    """A text as it may be shown: of a redacted one, only how many words it has."""
    if words is Words.FULL or place in HARMLESS or not _is_redacted(text):
        return text
    count = len(text.split())
    return f"({count} word{'' if count == 1 else 's'})" if count else ""


def _is_redacted(text: str) -> bool:
    """Redaction leaves x and spaces; what the machine itself has written is none of that."""
    return not set(text) - {"x", " "}


def described(thing: Any, words: Words) -> str:
    """The fields of an event or action that are not as they are by default."""
    parts = []
    for item in fields(thing):
        value = getattr(thing, item.name)
        if value != item.default:
            parts.append(_part(f"{type(thing).__name__}.{item.name}", item.name, value, words))
    return " ".join(part for part in parts if part)


def _part(place: str, name: str, value: Any, words: Words) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return name if value else f"not {name}"
    if isinstance(value, str):
        text = shown(place, value, words)
        return f"{name}={_clipped(text)}" if text.startswith("(") or place in HARMLESS else f'{name}="{_clipped(text)}"'
    if isinstance(value, tuple | list):
        items = [_item(place, entry, words) for entry in value]
        return f"{name}=[{_clipped(', '.join(items))}]"
    if is_dataclass(value) and not isinstance(value, type):
        inner = described(value, words)
        return f"{name}({inner})" if inner else ""
    return f"{name}={value}"


def _item(place: str, value: Any, words: Words) -> str:
    if isinstance(value, str):
        return shown(place, value, words)
    if is_dataclass(value) and not isinstance(value, type):
        return described(value, words)
    return str(value)


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[: MAX_VALUE_CHARACTERS - 1]}…"


def counted(rows: Iterable[Row]) -> dict[str, int]:
    """How often each event happened, the most frequent first."""
    return dict(Counter(row.event for row in rows).most_common())


def _row(step: Step, words: Words) -> Row:
    return Row(
        line=step.line,
        at_ms=step.now,
        phase=step.phase.value,
        changed=step.phase is not step.before,
        event=type(step.event).__name__,
        detail=described(step.event, words),
        actions=tuple((type(action).__name__, described(action, words)) for action in step.actions),
    )
