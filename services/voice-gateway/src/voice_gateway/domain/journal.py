"""What happened to a call, written down so that it can be run again.

A journal holds the state that the call began with and every (now, event) since. The machine decides on nothing else,
so replaying a journal gives the same actions. Redacted, it holds numbers in place of words and replays to the same
decisions, since the machine decides on counts (`words`, `characters`), never on text. Which texts are words is said in
domain/personal.py; how a call is kept in a file, in domain/recording.py.

One journal is one JSON document a line: a head, then an entry an event. Version 2.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from voice_gateway.domain.actions import Action
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import MalformedDataError, decode, encode
from voice_gateway.domain.events import Event
from voice_gateway.domain.personal import redacted
from voice_gateway.domain.turn import TurnMachine

VERSION = 2

DEFAULT_CAPACITY = 4096
"""Events kept of one call: about ten minutes of busy conversation, some 400 kB."""


@dataclass(slots=True)
class Journal:
    """The last events of one call. When it is full, the oldest events are applied to the opening state and dropped."""

    opening: dict[str, object]
    """Encoded CallState before the first entry."""
    capacity: int = DEFAULT_CAPACITY
    entries: deque[tuple[int, Event]] = field(default_factory=deque)

    @classmethod
    def of(cls, machine: TurnMachine, *, capacity: int = DEFAULT_CAPACITY) -> "Journal":
        """A journal that begins with the machine as it is now."""
        return cls(encode(machine.state), capacity)

    def record(self, now: int, event: Event) -> None:
        """Add one event that was handled at `now` (ms of call time)."""
        if len(self.entries) >= self.capacity:
            self._advance(max(1, self.capacity // 4))
        self.entries.append((now, event))

    def _advance(self, count: int) -> None:
        machine = TurnMachine(state=decode(CallState, self.opening))
        for _ in range(count):
            now, event = self.entries.popleft()
            machine.handle(event, now=now)
        self.opening = encode(machine.state)

    def replay(self) -> Iterator[tuple[int, Event, list[Action]]]:
        """Run the journal through a new machine."""
        machine = TurnMachine(state=decode(CallState, self.opening))
        for now, event in self.entries:
            yield now, event, machine.handle(event, now=now)

    def redacted(self) -> "Journal":
        """The same journal without anything that was said."""
        state: CallState = decode(CallState, self.opening)
        return Journal(
            encode(redacted(state)),
            self.capacity,
            deque((now, redacted(event)) for now, event in self.entries),
        )

    def lines(self) -> Iterator[str]:
        """The journal as JSON lines."""
        yield json.dumps({"journal": VERSION, "opening": self.opening}, ensure_ascii=False)
        for now, event in self.entries:
            yield json.dumps([now, encode(event)], ensure_ascii=False)

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> "Journal":
        """Read what `lines` wrote. Raises MalformedDataError for anything else, other versions included."""
        documents = [parsed(line) for line in lines if line.strip()]
        head = documents[0] if documents else None
        if not isinstance(head, dict) or head.get("journal") != VERSION:
            found = head.get("journal") if isinstance(head, dict) else None
            raise MalformedDataError(f"journal version {found!r} is not {VERSION}, the one that can be read")
        entries: deque[tuple[int, Event]] = deque()
        for document in documents[1:]:
            now, event = decode(tuple[int, Event], document)
            entries.append((now, event))
        decode(CallState, head.get("opening"))
        return cls(head["opening"], max(DEFAULT_CAPACITY, len(entries)), entries)


def parsed(line: str) -> object:
    """The document in one line. Raises MalformedDataError."""
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise MalformedDataError(f"a line is not JSON: {getattr(error, 'msg', 'it is nested too deep')}") from error


# ---- snapshots ------------------------------------------------------------------------------------------------------


def snapshot(machine: TurnMachine) -> str:
    """The call as one JSON document, to be taken up again by `restore`."""
    return json.dumps({"call": VERSION, "state": encode(machine.state)}, ensure_ascii=False)


def restore(document: str) -> TurnMachine:
    """The machine that `snapshot` wrote. Raises MalformedDataError for anything else."""
    whole = parsed(document)
    if not isinstance(whole, dict) or whole.get("call") != VERSION:
        found = whole.get("call") if isinstance(whole, dict) else None
        raise MalformedDataError(f"snapshot version {found!r} is not {VERSION}, the one that can be read")
    return TurnMachine(state=decode(CallState, whole.get("state")))
