"""Deciding about resuming: when a connection is lost, what the next one is told, when and where to dial. Pure.

Nothing here reads a clock: `now_s` is of one monotonic clock in seconds, `at_ns` comes with events.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

from voice_clients.events import (
    AnswerAudio,
    AnswerText,
    CallEvent,
    Cause,
    Checkpoint,
    Ended,
    Event,
    EventKind,
    GoAway,
    Transcript,
)
from voice_clients.kept import KEEP_S, KeptAudio, Unconfirmed
from voice_clients.wire import ResumeRequest
from voice_contracts import voice_workflow_pb2 as pb

SILENT_AFTER_S = 1.5
"""The contract: a client that keeps checkpoints is sent something at least every 500 ms. Three times that."""
LATE_S, LATE_GRACE_S = 0.25, 0.3
"""A look so much too late says that this process was held up; what came meanwhile may then be waiting to be read."""
RESUME_FOR_S = 30.0
STEADY_S = 2.0
"""A resumed call that lives so long has worked: the next loss counts from the start again."""
BACKOFF_S = (0.0, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0)
"""Behind one address there may be several gateways, such as a Service's: the next dial meets another one, and a refusal
costs next to nothing.
"""
CONNECT_S = (0.5, 0.5, 0.5, 0.5, 1.0, 2.0)
"""Longest wait for a connection, by attempt. A gateway that is there answers within 0.5 s, but where a round trip takes
more than 120 ms, TCP, TLS and HTTP/2 take longer: a caller far away would never come back."""
JITTER = 0.3
"""A wait is shortened by up to this share, so that calls lost together do not come back together."""

RESUME_REFUSED = "RESUME_REFUSED"
# What a gateway or a proxy that dies leaves behind. Every other code is an answer to the call itself.
LOST_CODES = frozenset({"UNAVAILABLE", "INTERNAL", "CANCELLED", "UNKNOWN"})

Place = TypeVar("Place")


@dataclass(slots=True)
class Resumption:
    """How a call went on after a loss."""

    cause: Cause
    gap_ms: float
    """From the last message of the old connection to the first of the new one."""
    attempts: int
    address: str
    forgotten_ms: float
    """What the microphone heard and was not kept long enough to be sent again."""
    silence_ms: float | None = None
    """Where an answer was under way: from the last message of the conversation to the next one."""


@dataclass(slots=True)
class CallMemory:
    """What is known of a call, from what it was sent and what it received."""

    audio: KeptAudio
    wishes: "Unconfirmed[pb.ClientMessage]" = field(default_factory=Unconfirmed)
    token: bytes = b""
    played: tuple[int, int] = (0, 0)
    """Newest generation that was played, and how many of its samples."""
    answering: bool = False
    """Between PROCESSING or SPEAKING and END_OF_TURN."""
    answer_is_kept: bool = True
    """No answer is under way, and the newest token knows it: what is buffered here is nobody else's to say again."""
    heard_ns: int = 0
    """When anything was received last."""
    told_ns: int = 0
    """When anything of the conversation was received last."""
    unfinished: Resumption | None = None
    """Resumed, and nothing of the conversation has come since."""

    @classmethod
    def of(cls, rate_hz: int, keep_s: float = KEEP_S) -> "CallMemory":
        """Of a call that begins."""
        return cls(KeptAudio(rate_hz, keep_s))

    def received(self, event: CallEvent) -> None:
        """Take an event of the call's connection, before anybody else does."""
        if isinstance(event, Ended):
            return
        self.heard_ns = event.at_ns
        self.wishes.received()
        match event:
            case AnswerAudio():
                self.answering, self.answer_is_kept = True, False
            case Checkpoint():
                self._checkpoint(event)
            case GoAway(checkpoint=Checkpoint() as checkpoint):
                self._checkpoint(checkpoint)
            case Transcript():
                self.wishes.transcript(event.turn, event.text)
            case Event():
                self._server_event(event)
            case _:
                pass
        if isinstance(event, AnswerAudio | AnswerText | Transcript | Event):
            self._told(event.at_ns)

    def _told(self, at_ns: int) -> None:
        if self.unfinished is not None:
            if self.unfinished.silence_ms is not None:
                self.unfinished.silence_ms = (at_ns - self.told_ns) / 1e6
            self.unfinished = None
        self.told_ns = at_ns

    def _server_event(self, event: Event) -> None:
        match event.kind:
            case EventKind.PROCESSING:
                self.wishes.processing(event.turn)
                self.answering, self.answer_is_kept = True, False
            case EventKind.SPEAKING:
                self.answering, self.answer_is_kept = True, False
            case EventKind.END_OF_TURN:
                self.answering = False
            case _:
                pass

    def _checkpoint(self, checkpoint: Checkpoint) -> None:
        self.audio.accounted(checkpoint.received_through_sample)
        if checkpoint.token:
            self.token = checkpoint.token
            self.wishes.token(checkpoint.turn)
            self.answer_is_kept = not self.answering

    def request(self, cause: Cause, now_ns: int) -> ResumeRequest:
        """What the next connection is told first."""
        return ResumeRequest(
            token=self.token,
            first_sample=self.audio.first,
            played_generation=self.played[0],
            played_samples=self.played[1],
            through_sample=self.audio.end,
            cause=cause,
            gap_ms=max(0, (now_ns - self.heard_ns) // 1_000_000),
        )

    def resumed(self, cause: Cause, at_ns: int, *, attempts: int, address: str) -> Resumption:
        """The next connection has spoken, at `at_ns`."""
        made = Resumption(
            cause=cause,
            gap_ms=(at_ns - self.heard_ns) / 1e6,
            attempts=attempts,
            address=address,
            forgotten_ms=self.audio.forgotten * 1000 / self.audio.rate_hz,
            silence_ms=0.0 if self.answering else None,  # known when the conversation goes on
        )
        self.unfinished = made
        self.audio.accounted_through = max(self.audio.accounted_through, self.audio.first)  # told once
        return made


def is_lost(ended: Ended) -> bool:
    """Whether an end of the stream is a lost connection, and no answer to the call."""
    return ended.code in LOST_CODES


class Silence:
    """Finds that nothing has come for too long, by looks at moments that it names itself."""

    def __init__(self) -> None:
        self._due_s: float | None = None
        self._look_s = 0.0

    def heard(self, now_s: float) -> None:
        """Something came."""
        self._due_s = now_s + SILENT_AFTER_S

    def look(self, now_s: float) -> float | None:
        """Seconds until the next look; None: too long."""
        if self._due_s is None:
            self._due_s = now_s + SILENT_AFTER_S
        if self._look_s and now_s - self._look_s > LATE_S:
            self._due_s = max(self._due_s, now_s + LATE_GRACE_S)
        if now_s >= self._due_s:
            return None
        self._look_s = self._due_s
        return self._due_s - now_s

    def stop(self) -> None:
        """Until something is heard again, or looked for."""
        self._due_s, self._look_s = None, 0.0


@dataclass(slots=True)
class Redial(Generic[Place]):
    """When and where to dial after a loss: the next address at once, then with growing waits, until time is up."""

    begun_s: float
    resume_for_s: float
    last: Place | None
    """Where the lost connection was."""
    random: Random
    attempts: int = 0
    _not_before: dict[Place, float] = field(default_factory=dict)

    def next(self, now_s: float, places: Sequence[Place]) -> tuple[float, Place] | None:
        """How long to wait and where to dial then; None: time is up, or there is nowhere to dial."""
        if not places:
            return None
        wait_s = BACKOFF_S[min(self.attempts, len(BACKOFF_S) - 1)] * (1.0 - JITTER * self.random.random())
        start = places.index(self.last) + 1 if self.last in places else 0
        turn = [*places[start:], *places[:start]]
        place = next((item for item in turn if self._ready_s(item) <= now_s + wait_s), None)
        if place is None:  # all of them said when they want to be asked again
            place = min(turn, key=self._ready_s)
            wait_s = self._ready_s(place) - now_s
        if now_s + wait_s >= self.begun_s + self.resume_for_s:
            return None
        self.attempts += 1
        self.last = place
        return wait_s, place

    @property
    def connect_s(self) -> float:
        """Longest wait for the connection of the attempt that `next` has given."""
        return CONNECT_S[min(self.attempts, len(CONNECT_S)) - 1]

    def _ready_s(self, place: Place) -> float:
        return self._not_before.get(place, 0.0)

    def refused(self, place: Place, now_s: float, retry_after_ms: int | None) -> None:
        """The address wants to be left alone for so long."""
        if retry_after_ms is not None:
            self._not_before[place] = now_s + retry_after_ms / 1000
