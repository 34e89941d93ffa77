"""What the callers of a run measured, as it happens. Pure; times are `time.monotonic_ns()`."""

from dataclasses import dataclass, field
from enum import Enum

from voice_clients.events import Stage
from voice_clients.resumption import Resumption


class Outcome(Enum):
    """What became of a turn."""

    OPEN = "open"
    """Not decided, or the run ended before it was."""
    ANSWERED = "answered"
    FAILED = "failed"
    """The gateway told an error, or the call broke off."""
    LOST = "lost"
    """No answer came in time, and nothing said why."""


@dataclass(slots=True)
class TurnLosses:
    """What became of a turn whose connection was lost."""

    resumed: int = 0
    """How often the call lost its connection and went on before the turn had ended."""
    committed: set[int] = field(default_factory=set)
    """Turns of the gateway that final transcripts came in, since the caller began to speak."""

    @property
    def duplicated(self) -> bool:
        """Whether what was said once became two turns, and the connection was lost meanwhile."""
        return self.resumed > 0 and len(self.committed) > 1


@dataclass(slots=True)
class TurnRecord:
    """One thing that a caller said, and its answer."""

    interrupting: bool
    """Said over an answer."""
    speech_start_ns: int = 0
    speech_end_ns: int = 0
    """When the last chunk of the speech was due; 0 before it was handed to the connection."""
    first_audio_ns: int = 0
    flush_ns: int = 0
    """Of an interrupting turn: when the gateway stopped the answer that was spoken over."""
    server_turn: int = 0
    cut_in: bool = False
    """The gateway answered before the caller had finished."""
    ended: bool = False
    outcome: Outcome = Outcome.OPEN
    error: str = ""
    stages: tuple[Stage, ...] = ()
    endpoint_rule: str = ""
    losses: TurnLosses = field(default_factory=TurnLosses)
    jitter_ms: float | None = None
    gaps_ms: list[float] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        """Whether an answer came, or has begun to; and no error was told."""
        begun = self.outcome is Outcome.OPEN and self.first_audio_ns > 0 and not self.error
        return begun or self.outcome is Outcome.ANSWERED

    def spoke(self, due_ns: int, *, last: bool) -> None:
        """A chunk of the speech, spoken by `due_ns`, was handed to the connection.

        It counts from when it was due: a connection that takes no audio for a while keeps its caller waiting, and the
        gateway must not look quick for it.
        """
        self.speech_start_ns = self.speech_start_ns or due_ns
        if last:
            self.speech_end_ns = due_ns

    @property
    def response_ms(self) -> float | None:
        """End of speech to first answer audio received; None where one is missing or the gateway cut in."""
        if not self.speech_end_ns or not self.first_audio_ns or self.cut_in:
            return None
        return (self.first_audio_ns - self.speech_end_ns) / 1e6

    @property
    def barge_in_ms(self) -> float | None:
        """Start of speech to the order to stop the answer; None where it was not stopped."""
        if not self.interrupting or not self.flush_ns or self.flush_ns < self.speech_start_ns:
            return None
        return (self.flush_ns - self.speech_start_ns) / 1e6


@dataclass(slots=True)
class Calls:
    """How calls went."""

    dialled: int = 0
    connected: int = 0
    """Those to which the gateway said anything at all."""
    ended_well: int = 0
    refused: int = 0
    """For want of room."""
    broken: int = 0
    """Could not be made, or broke off."""
    resume_failed: int = 0
    """Of the broken ones: their connection was lost, and no gateway went on with them."""
    up: int = 0
    most_up: int = 0

    def goes_up(self) -> None:
        """One more call is up."""
        self.connected += 1
        self.up += 1
        self.most_up = max(self.most_up, self.up)


@dataclass(slots=True)
class Records:
    """Of a run that began at `began_ns`."""

    began_ns: int
    calls: Calls = field(default_factory=Calls)
    turns: list[TurnRecord] = field(default_factory=list)
    setup_ms: list[float] = field(default_factory=list)
    """From dialling to the gateway's first message."""
    errors: list[tuple[int, str]] = field(default_factory=list)
    """When, and the reason."""
    resumptions: list[Resumption] = field(default_factory=list)
    calls_up: list[tuple[int, int]] = field(default_factory=list)
    """When, and how many were up."""

    def error(self, reason: str, now_ns: int) -> None:
        """Something went wrong."""
        self.errors.append((now_ns, reason))

    def responses_ms(self) -> list[float]:
        """Of all turns that were answered."""
        found = (turn.response_ms for turn in self.turns if turn.answered)
        return [value for value in found if value is not None]
