"""What a call tells its caller: small frozen values, each with the moment it arrived.

`at_ns` is `time.monotonic_ns()` taken as soon as the message was read. `turn`, `revision` and `generation` are 0 from
gateways that do not send them, and from any gateway when `Capability.SESSION_INFO` was not announced.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from voice_clients.errors import CallError


class Capability(IntEnum):
    """Parts of the contract that a client understands; numbers as in ClientCapability."""

    SESSION_INFO = 1
    PLAYBACK_FLUSHES = 2
    PLAYBACK_CONTROL = 3
    PLAYBACK_ACKS = 4
    LATENCY_REPORTS = 5
    GO_AWAY = 6


MODERN = frozenset(Capability)
LEGACY: frozenset[Capability] = frozenset()


class EventKind(Enum):
    """Where the conversation stands; names and numbers as in EventType."""

    UNKNOWN = 0
    LISTENING = 1
    PROCESSING = 2
    SPEAKING = 3
    ERROR = 4
    END_OF_TURN = 5


class PlaybackAction(Enum):
    """What to do with audio already received; numbers as in PlaybackAction of the contract."""

    UNKNOWN = 0
    DUCK = 1
    PAUSE = 2
    RESUME = 3
    FLUSH = 4


@dataclass(frozen=True, slots=True)
class Session:
    """The first message of a call. `controls` holds the names of the controls that are obeyed, such as "INTERRUPT";
    `overrides` the names of the settings that callers may change, in the running call too where `update` is set.
    """

    at_ns: int
    call_id: str
    input_sample_rate_hz: int
    output_sample_rate_hz: int
    playout_lead_ms: int
    config_revision: str
    controls: frozenset[str]
    speak: bool
    dtmf: bool = False
    update: bool = False
    overrides: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recognised, without the dots that mark interim text. Interim text replaces the interim text before."""

    at_ns: int
    turn: int
    revision: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class AnswerText:
    """The next piece of the answer's text."""

    at_ns: int
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerAudio:
    """The next piece of the answer's audio: s16le mono at the output rate; `first_sample` counts in its generation."""

    at_ns: int
    turn: int
    generation: int
    first_sample: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """Where the conversation stands. `message`, `reason`, `retryable` and `fatal` speak of errors."""

    at_ns: int
    turn: int
    kind: EventKind
    message: str = ""
    reason: str = ""
    retryable: bool = False
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Playback:
    """A command about audio already received; `gain_db` belongs to DUCK."""

    at_ns: int
    action: PlaybackAction
    generation: int
    gain_db: float


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a turn, in milliseconds after the caller's speech ended; negative before that."""

    name: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Where the gateway says that the time of a turn went."""

    at_ns: int
    turn: int
    stages: tuple[Stage, ...]
    endpoint_rule: str


@dataclass(frozen=True, slots=True)
class GoAway:
    """The gateway is about to stop."""

    at_ns: int
    reason: str
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to a ping."""

    at_ns: int
    ping_id: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of every call. `code` is the gRPC status code's name; `error` is None where that is OK."""

    at_ns: int
    code: str
    error: CallError | None

    def raise_for_error(self) -> None:
        """Raise `error` where there is one."""
        if self.error is not None:
            raise self.error


CallEvent = Session | Transcript | AnswerText | AnswerAudio | Event | Playback | Latency | GoAway | Pong | Ended
