"""The answer under way, as the turn machine remembers it, and what stays of one that was interrupted."""

from dataclasses import dataclass, field

from voice_gateway.domain.actions import Canned
from voice_gateway.domain.conversation import Message
from voice_gateway.domain.expectation import Expectation
from voice_gateway.domain.heard import HeardLedger


@dataclass(slots=True)
class ReplyMarks:
    """When the answer came so far, in ms of call time."""

    speech_end_ms: int
    """Zero of the turn's latency report."""
    asked_ms: int
    """When the answer was asked for."""
    committed_ms: int | None = None
    """When the caller's turn was over; an answer may be asked for before that."""
    final_ms: int | None = None
    """When the final transcript came; None where none was needed."""
    first_token_ms: int | None = None
    text_done_ms: int | None = None
    first_phrase_ms: int | None = None
    audio_ready_ms: int | None = None
    playback_ms: int | None = None
    played_ms: int | None = None
    """When the client began to play it, where that is known from before the call was resumed."""


@dataclass(frozen=True, slots=True)
class ReplyPause:
    """Where an answer stands still."""

    generation: int
    """What the client was playing; its last count of that generation says where it really stopped."""
    base_sample: int
    """Sample of the answer that this generation began with."""
    at_sample: int
    """How much of the answer was heard, as well as is known."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class Origin:
    """What an answer is made of."""

    uninterruptible: bool = False
    verbatim: str = ""
    """The text that is spoken as it is; empty where the language model is asked, or an apology is played."""
    canned: Canned | None = None
    """The apology that is played."""
    heard_samples: int = 0
    """How much of it was heard before the call was resumed, where it is an answer that goes on."""


@dataclass(slots=True)
class ReplyState:
    """The answer under way."""

    turn: int
    generation: int
    rule: str
    """What ended the caller's turn."""
    ledger: HeardLedger
    marks: ReplyMarks
    revision: int = 0
    expects: Expectation = Expectation.NOTHING
    """What it asks the caller for."""
    origin: Origin = field(default_factory=Origin)
    ready: bool = False
    """Its first audio waits to be released, or was."""
    released: bool = False
    audible: bool = False
    ducked: bool = False
    troubled: bool = False
    paused: ReplyPause | None = None
    base_sample: int = 0
    """Sample of the answer that its current generation began with."""


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The last answer that was interrupted: its history is put right when the client says what it played."""

    generation: int
    base_sample: int
    ledger: HeardLedger
    message: Message
    complete: bool
    """Its text was all there when it was interrupted."""
    heard_samples: int = 0
    """How much of it was heard before the call was resumed: no count of the client makes it less."""
