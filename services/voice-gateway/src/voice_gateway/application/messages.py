"""What a caller and a call say to each other, free of any wire format."""

from dataclasses import dataclass
from enum import StrEnum

from voice_gateway.domain.actions import EventKind as EventKind
from voice_gateway.domain.actions import PlaybackVerb as PlaybackVerb
from voice_gateway.domain.report import TurnReport


class Capability(StrEnum):
    """Parts of the contract that a client understands."""

    SESSION_INFO = "session_info"
    PLAYBACK_FLUSHES = "playback_flushes"
    PLAYBACK_CONTROL = "playback_control"
    PLAYBACK_ACKS = "playback_acks"
    LATENCY_REPORTS = "latency_reports"
    GO_AWAY = "go_away"
    CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class Overrides:
    """Wishes for one call; None where there is none."""

    llm_temperature: float | None = None
    llm_max_tokens: int | None = None
    tts_voice: str | None = None
    llm_system_prompt: str | None = None
    llm_model: str | None = None
    asr_model: str | None = None
    tts_model: str | None = None
    endpoint_silence_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a call, as the caller sent it: nothing is checked yet."""

    language_code: str = ""
    session_id: str = ""
    sample_rate_hz: int = 0
    output_sample_rate_hz: int = 0
    capabilities: frozenset[Capability] = frozenset()
    overrides: Overrides = Overrides()
    wants_other_codec: bool = False
    resume: "ResumeIn | None" = None


# ---- from the caller ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResumeIn:
    """The wish to go on with a call that was cut off. Positions are of the call, at the client's rate."""

    token: bytes
    first_sample: int = 0
    """Of the microphone audio that the client sends again."""
    through_sample: int = 0
    """Where the microphone is now."""
    played: "PlayedIn | None" = None
    cause: str = "unspecified"
    """"reset", "silence", "go_away" or "unspecified"."""
    gap_ms: int = 0
    """Since the client received anything."""


@dataclass(frozen=True, slots=True)
class AudioIn:
    """Microphone audio, any number of bytes."""

    pcm: bytes
    first_sample: int = 0
    """Position in the call, at the client's rate, where the client tells it."""


@dataclass(frozen=True, slots=True)
class TextIn:
    """A typed turn."""

    text: str


@dataclass(frozen=True, slots=True)
class SpeakIn:
    """Text to be spoken as it is."""

    text: str
    uninterruptible: bool


class Wish(StrEnum):
    """Controls of a call."""

    INTERRUPT = "interrupt"
    COMMIT_AUDIO = "commit_audio"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class ControlIn:
    """A wish about the conversation itself."""

    wish: Wish
    ping_id: int = 0


@dataclass(frozen=True, slots=True)
class PlayedIn:
    """How much of a generation's audio has left the loudspeaker."""

    generation: int
    samples: int


@dataclass(frozen=True, slots=True)
class DtmfIn:
    """A key of a telephone keypad."""

    digit: str


@dataclass(frozen=True, slots=True)
class UpdateIn:
    """Other wishes for the call from its next turn on; what is not named stays."""

    overrides: Overrides
    language_code: str = ""


Inbound = Hello | AudioIn | TextIn | SpeakIn | ControlIn | PlayedIn | DtmfIn | UpdateIn


# ---- to the caller --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOut:
    """What the client is connected to."""

    call_id: str
    input_sample_rate_hz: int
    output_sample_rate_hz: int
    playout_lead_ms: int
    config_revision: str
    overrides: tuple[str, ...]
    max_chunk_bytes: int
    max_text_characters: int
    max_call_ms: int
    resumed: bool = False
    checkpoints: bool = False
    """Whether the call can be resumed."""


@dataclass(frozen=True, slots=True)
class TranscriptOut:
    """What was recognised, whole; an interim text carries no dots here."""

    turn: int
    text: str
    final: bool
    revision: int = 0


@dataclass(frozen=True, slots=True)
class AnswerTextOut:
    """The next piece of the answer's text."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class AudioOut:
    """The next piece of the answer's audio at the output rate."""

    turn: int
    generation: int
    first_sample: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class EventOut:
    """Where the conversation stands."""

    turn: int
    kind: EventKind
    message: str = ""
    reason: str = ""
    retryable: bool = False
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class PlaybackOut:
    """What to do with audio already sent."""

    turn: int
    generation: int
    verb: PlaybackVerb
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class LatencyOut:
    """Where a turn's time went."""

    report: TurnReport


@dataclass(frozen=True, slots=True)
class CheckpointOut:
    """State of the call, to resume it elsewhere; without a token, a sign of life."""

    token: bytes
    received_through_sample: int
    """Microphone samples, at the client's rate, that the state accounts for."""
    valid_for_ms: int


@dataclass(frozen=True, slots=True)
class GoAwayOut:
    """The server is about to stop."""

    reason: str
    deadline_ms: int
    checkpoint: CheckpointOut | None = None
    """The call is to be resumed elsewhere, now."""


@dataclass(frozen=True, slots=True)
class PongOut:
    """Answer to a ping."""

    ping_id: int


Outbound = (
    SessionOut
    | TranscriptOut
    | AnswerTextOut
    | AudioOut
    | EventOut
    | PlaybackOut
    | LatencyOut
    | GoAwayOut
    | CheckpointOut
    | PongOut
)
