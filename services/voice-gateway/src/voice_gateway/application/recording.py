"""A call's journal, kept in memory and given to whatever keeps it longer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from voice_gateway.application.ports import JournalOpening, JournalSink, JournalWriter
from voice_gateway.application.resumption import CallMoved
from voice_gateway.domain.call_state import CallState
from voice_gateway.domain.codec import encode
from voice_gateway.domain.errors import GatewayError
from voice_gateway.domain.events import Event
from voice_gateway.domain.journal import Journal
from voice_gateway.domain.recording import Outcome
from voice_gateway.domain.turn import TurnMachine


class NoJournals:
    """The JournalSink of a gateway that records nothing."""

    @property
    def waiting(self) -> int:
        """Nothing does."""
        return 0

    def open(self, call_id: str, opening: JournalOpening) -> "NoJournals":  # noqa: ARG002
        """Nothing."""
        return self

    def record(self, now: int, event: Event) -> None:
        """Nothing."""

    def close(self, outcome: Outcome) -> None:
        """Nothing."""


@dataclass(slots=True)
class RecordedJournal(Journal):
    """The journal of one call: what is recorded goes to the sink as well, from `recording` on."""

    sink: JournalSink = field(default_factory=NoJournals)
    call_id: str = ""
    config_revision: str = ""
    writer: JournalWriter = field(default_factory=NoJournals)

    @classmethod
    def for_call(cls, state: CallState, sink: JournalSink, *, call_id: str, config_revision: str) -> "RecordedJournal":
        """The journal of a call that begins with `state`."""
        return cls(encode(state), sink=sink, call_id=call_id, config_revision=config_revision)

    @contextmanager
    def recording(self, machine: TurnMachine) -> Iterator[None]:
        """The life of the call: how this block ends is how the call ended."""
        self.writer = self.sink.open(self.call_id, JournalOpening(self.opening, self.config_revision))
        status = "internal"
        try:
            yield
            status = "ok"
        except asyncio.CancelledError:
            status = "cancelled"
            raise
        except GatewayError as error:
            status = error.reason.lower()
            raise
        except CallMoved:
            status = "moved"
            raise
        finally:
            self.writer.close(Outcome.of(machine, status))

    def record(self, now: int, event: Event) -> None:
        """Add one event that was handled at `now` (ms of call time)."""
        Journal.record(self, now, event)  # super() does not work in a class with slots that dataclass has remade
        self.writer.record(now, event)
