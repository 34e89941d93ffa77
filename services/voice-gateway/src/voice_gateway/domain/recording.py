"""A call's journal as a file: JSON lines, from the head to the outcome.

    {"journal": 2, "call_id": ..., "started_at": ..., "words": ..., ..., "opening": state before the first event}
    [now, event]                            one line an event, as domain/journal.py writes them
    {"cut": reason, "at_ms": now}           where the journal goes on without the rest
    {"outcome": ..., "phase": ..., ...}     how the call ended and where the machine then stood; always the last line

Lines are written as things happen, so a process that dies leaves all but the last moments: what is there can be read.
"""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import MalformedDataError, decode, encode
from voice_gateway.domain.events import Event
from voice_gateway.domain.journal import DEFAULT_CAPACITY, VERSION, Journal, parsed
from voice_gateway.domain.personal import redacted
from voice_gateway.domain.turn import TurnMachine


class Words(StrEnum):
    """What a recording holds in place of what was said."""

    REDACTED = "redacted"
    """Lengths of words."""
    FULL = "full"
    """The words: the file is personal."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a recording says of itself. A journal that was kept in memory says nothing, and holds words."""

    call_id: str = ""
    started_at: str = ""
    """ISO 8601, UTC: the moment that call time is counted from, to the millisecond."""
    gateway: str = ""
    """Version of the gateway that wrote it."""
    config_revision: str = ""
    words: Words = Words.FULL


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended, and where the machine stood then: what a replay must come to."""

    status: str
    """"ok", "cancelled", "internal", or an error's reason in lower case."""
    phase: str
    turn: int
    generation: int

    @classmethod
    def of(cls, machine: TurnMachine, status: str) -> "Outcome":
        """The present of `machine`."""
        return cls(status, machine.phase.value, machine.state.turn, machine.state.generation)


@dataclass(frozen=True, slots=True)
class Damage:
    """Where reading stopped."""

    line: int
    """Counted from 1."""
    why: str
    unread: int = 0
    """Lines after it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A journal as it was read from a file, as far as it could be read."""

    head: Head
    journal: Journal
    lines: tuple[int, ...] = ()
    """The line of each entry."""
    cut: str = ""
    """Why the journal goes on without the rest; empty where it is whole."""
    outcome: Outcome | None = None
    damage: Damage | None = None


# ---- writing --------------------------------------------------------------------------------------------------------


def head_line(head: Head, opening: dict[str, object]) -> str:
    """The first line. `opening` is the encoded CallState that the call begins with."""
    if head.words is Words.REDACTED:
        state: CallState = decode(CallState, opening)
        opening = encode(redacted(state))
    said = {name: value for name, value in encode(head).items() if name != "_"}
    return _line({"journal": VERSION, **said, "opening": opening})


def entry_line(now: int, event: Event, words: Words) -> str:
    """The line of one event."""
    return _line([now, encode(redacted(event) if words is Words.REDACTED else event)])


def cut_line(reason: str, now: int) -> str:
    """The line after which events are missing."""
    return _line({"cut": reason, "at_ms": now})


def outcome_line(outcome: Outcome) -> str:
    """The last line."""
    return _line(
        {
            "outcome": outcome.status,
            "phase": outcome.phase,
            "turn": outcome.turn,
            "generation": outcome.generation,
        }
    )


def _line(document: object) -> str:
    # Characters that are not ASCII are escaped: a line cut anywhere by a crash is still good UTF-8.
    return json.dumps(document, separators=(",", ":"))


# ---- reading --------------------------------------------------------------------------------------------------------


def read(lines: Iterable[str]) -> Recording:
    """Read a recording, up to the first line that cannot be read. Raises MalformedDataError where even the first line
    is none of ours, other versions included.
    """
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    head, opening = _head(numbered[0][1] if numbered else "")
    entries: deque[tuple[int, Event]] = deque()
    places: list[int] = []
    cut, outcome, damage = "", None, None
    for position, (number, line) in enumerate(numbered[1:], start=2):
        try:
            document = parsed(line)
            if isinstance(document, list):
                now, event = decode(tuple[int, Event], document)
                if outcome is not None or cut:
                    raise MalformedDataError("an event follows the end")
                entries.append((now, event))
                places.append(number)
            elif isinstance(document, dict) and "cut" in document:
                cut = _text(document, "cut")
            else:
                outcome = _outcome(document)
        except MalformedDataError as error:
            damage = Damage(number, str(error), len(numbered) - position)
            break
    journal = Journal(opening, max(DEFAULT_CAPACITY, len(entries)), entries)
    return Recording(head, journal, tuple(places), cut, outcome, damage)


def _head(line: str) -> tuple[Head, dict[str, object]]:
    document = parsed(line) if line else None
    if not isinstance(document, dict) or "journal" not in document:
        raise MalformedDataError("the first line is not the head of a journal")
    if document["journal"] != VERSION:
        raise MalformedDataError(f"journal version {document['journal']!r} is not {VERSION}, the one that can be read")
    try:
        words = Words(document.get("words", Words.FULL))
    except ValueError as error:
        raise MalformedDataError(str(error)) from error
    said = {name: _text(document, name) for name in ("call_id", "started_at", "gateway", "config_revision")}
    opening = document.get("opening")
    decode(CallState, opening)
    return Head(**said, words=words), opening  # type: ignore[return-value] # decode has looked at it


def _outcome(document: object) -> Outcome:
    if not isinstance(document, dict) or "outcome" not in document:
        raise MalformedDataError("a line is neither an event nor the outcome")
    numbers = [document.get(name, 0) for name in ("turn", "generation")]
    if not all(isinstance(number, int) for number in numbers):
        raise MalformedDataError("turn and generation of the outcome are not whole numbers")
    return Outcome(_text(document, "outcome"), _text(document, "phase"), numbers[0], numbers[1])


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise MalformedDataError(f"{name} is {value!r}, which is not a text")
    return value
