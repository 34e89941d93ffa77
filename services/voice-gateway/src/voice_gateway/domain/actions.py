"""Everything a call may ask of the world: one closed union. Performing an action never waits."""

from dataclasses import dataclass
from enum import StrEnum

from voice_gateway.domain.conversation import Message
from voice_gateway.domain.report import TurnReport


class EventKind(StrEnum):
    """Where the conversation stands; the names of the first contract."""

    LISTENING = "listening"
    PROCESSING = "processing"
    SPEAKING = "speaking"
    ERROR = "error"
    END_OF_TURN = "end_of_turn"


class PlaybackVerb(StrEnum):
    """What a client is to do with audio it already has."""

    DUCK = "duck"
    PAUSE = "pause"
    RESUME = "resume"
    FLUSH = "flush"


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Tell the client where the conversation stands."""

    turn: int
    kind: EventKind
    message: str = ""
    reason: str = ""
    retryable: bool = False
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class SendTranscript:
    """Tell the client what was recognised of the turn so far."""

    turn: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class SendPlayback:
    """Tell the client what to do with audio it already has."""

    turn: int
    generation: int
    verb: PlaybackVerb
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class SendGoAway:
    """Tell the client that the process is about to stop."""

    deadline_ms: int


@dataclass(frozen=True, slots=True)
class MoveCall:
    """Send the client away with a checkpoint of the call as it stands; `EndCall` follows."""


@dataclass(frozen=True, slots=True)
class OpenAsr:
    """Recognise an utterance, from this sample of the call's audio on."""

    utterance: int
    from_sample: int


@dataclass(frozen=True, slots=True)
class FlushAsr:
    """Send what is batched of the utterance's audio now: the caller may be done."""

    utterance: int


@dataclass(frozen=True, slots=True)
class FinalizeAsr:
    """Ask for the utterance's final result."""

    utterance: int
    half_close: bool
    """Half-close the stream; else ask with `force_eou`."""


@dataclass(frozen=True, slots=True)
class CloseAsr:
    """Nothing more is wanted of the utterance's stream."""

    utterance: int


@dataclass(frozen=True, slots=True)
class ResetSpeech:
    """Forget the speech under way, so that the next edge is STARTED."""


@dataclass(frozen=True, slots=True)
class AwaitSilence:
    """The speech under way ends after this much silence; holds until the caller speaks again."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class ScoreTurn:
    """Ask the end-of-turn model, if there is one, about the audio so far: `TurnScored` follows, or nothing."""

    utterance: int
    pause: int


@dataclass(frozen=True, slots=True)
class Continuation:
    """Of an answer that was cut off with its call, and goes on: what of it there is already."""

    first_phrase: int
    """The phrase that is spoken first; those before it were heard."""
    from_sample: int
    """Where in the answer's audio it begins."""
    phrases: tuple[str, ...] = ()
    """Spoken first, as they are: the machine knows them, and the client has their text."""


@dataclass(frozen=True, slots=True)
class StartReply:
    """Ask the language model, synthesise and buffer the answer; nothing is audible before `ReleaseAudio`."""

    turn: int
    generation: int
    messages: tuple[Message, ...]
    revision: int = 0
    speculative: bool = False
    """The turn may go on: nothing may leave the gateway, in sound, in text or by any effect, before `AdoptReply`."""
    goes_on: Continuation | None = None
    """Speak this first; the model adds to it."""


@dataclass(frozen=True, slots=True)
class AdoptReply:
    """The turn that a speculative answer was begun for is over, and was as guessed: its text may be sent."""

    turn: int
    revision: int


class Canned(StrEnum):
    """What is said when a backend fails; sound that is ready beforehand."""

    ASR = "asr"
    LLM = "llm"
    TTS = "tts"


@dataclass(frozen=True, slots=True)
class SpeakVerbatim:
    """Synthesise and buffer a given text."""

    turn: int
    generation: int
    text: str
    canned: Canned | None = None
    """Play this apology instead."""
    revision: int = 0
    goes_on: Continuation | None = None
    """Speak this first, then what of `text` comes after it."""


@dataclass(frozen=True, slots=True)
class PauseReply:
    """Send no more audio of the answer for now. What is sent later has this generation."""

    turn: int
    generation: int


@dataclass(frozen=True, slots=True)
class ResumeReply:
    """Send the answer's audio again, from this sample of it on."""

    turn: int
    generation: int
    from_sample: int


@dataclass(frozen=True, slots=True)
class ReleaseAudio:
    """Let the buffered audio of this generation be heard."""

    turn: int
    generation: int


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop the turn's answer: close its requests, and let no audio older than `generation` be written."""

    turn: int
    generation: int


@dataclass(frozen=True, slots=True)
class ReportTurn:
    """A turn is over: count it, and tell clients that asked."""

    report: TurnReport


@dataclass(frozen=True, slots=True)
class RememberNoForceEou:
    """The recogniser does not answer `force_eou`: later calls need not try."""


@dataclass(frozen=True, slots=True)
class CountStale:
    """Something arrived for an utterance or turn that is over, and was dropped."""

    what: str


class Speculation(StrEnum):
    """What became of an answer that was begun early."""

    STARTED = "started"
    ADOPTED = "adopted"
    WASTED = "wasted"


@dataclass(frozen=True, slots=True)
class CountSpeculation:
    """Count an answer that was begun early, or what became of it."""

    outcome: Speculation
    characters: int = 0
    """Text made in vain, in phrases that were cut."""


@dataclass(frozen=True, slots=True)
class CountResumed:
    """An answer goes on after speech that did not interrupt it."""

    after_ms: int
    """Since the answer was paused."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """The last action of a call. An empty reason is a clean end; "MOVED": it goes on elsewhere."""

    reason: str = ""
    message: str = ""
    retryable: bool = False


Action = (
    SendEvent
    | SendTranscript
    | SendPlayback
    | SendGoAway
    | MoveCall
    | OpenAsr
    | FlushAsr
    | FinalizeAsr
    | CloseAsr
    | ResetSpeech
    | AwaitSilence
    | ScoreTurn
    | StartReply
    | AdoptReply
    | SpeakVerbatim
    | PauseReply
    | ResumeReply
    | ReleaseAudio
    | CancelReply
    | ReportTurn
    | RememberNoForceEou
    | CountStale
    | CountSpeculation
    | CountResumed
    | EndCall
)
