"""What a call tells its caller: small frozen values, each with the moment it arrived.

`at_ns` is `time.monotonic_ns()` taken as soon as the message was read. `turn`, `revision` and `generation` are 0 from
gateways that do not send them, and from any gateway when `Capability.SESSION_INFO` was not announced.
"""

from dataclasses import dataclass, field
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
    CHECKPOINTS = 7


MODERN = frozenset(Capability) - {Capability.CHECKPOINTS}
"""What any caller of this library understands. Only a `ResumingCall` keeps checkpoints, and announces so by itself."""
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


class Cause(Enum):
    """Why a connection was left; numbers as in ResumeCause."""

    RESET = 1
    SILENCE = 2
    GO_AWAY = 3

    @property
    def words(self) -> str:
        """For people."""
        return self.name.lower().replace("_", " ")


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
    checkpoints: bool = False
    """Whether the gateway makes checkpoints, and so sends something at least every 500 ms."""
    resumed: bool = False
    """Whether it goes on with an earlier call."""


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
class Checkpoint:
    """State of the call, sealed by the gateway. Without a token it only says how much of the microphone it has used."""

    at_ns: int
    turn: int
    token: bytes = field(repr=False)
    received_through_sample: int
    valid_for_ms: int = 0


@dataclass(frozen=True, slots=True)
class GoAway:
    """The gateway is about to stop. With a checkpoint: the call is to be resumed elsewhere, now."""

    at_ns: int
    reason: str
    deadline_ms: int
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to a ping."""

    at_ns: int
    ping_id: int


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is lost, and will be resumed elsewhere. Where `stop_playback`, stop playing at once, drop what is
    buffered and tell the call what was played, before its next event is asked for; else play on to the end of it.
    """

    at_ns: int
    cause: Cause
    stop_playback: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """The call goes on. `gap_ms`: from the last message of the old connection to the first of the new one."""

    at_ns: int
    cause: Cause
    gap_ms: float
    attempts: int
    address: str
    forgotten_ms: float
    """Of what the microphone heard, lost because the call was away for longer than it is kept."""


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


CallEvent = (
    Session
    | Transcript
    | AnswerText
    | AnswerAudio
    | Event
    | Playback
    | Latency
    | Checkpoint
    | GoAway
    | Pong
    | Lost
    | Resumed
    | Ended
)
