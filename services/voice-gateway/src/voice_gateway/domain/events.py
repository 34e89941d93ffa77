"""Everything that can happen to a call: one closed union.

Audio is not an event. What the machine is told about sound are edges of speech, with their place in audio time
(`audio_sample`, at the recogniser's rate, from the start of the call) and the moment their audio arrived (`at_ms`, call
time). `heard_samples` is how much of the current answer the caller had heard at that moment, at the output rate.

What can arrive late carries the number of the utterance or turn that it belongs to.
"""

from dataclasses import dataclass
from enum import StrEnum

from voice_gateway.domain.policy import TurnPolicy


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The caller was let in."""

    output_sample_rate_hz: int
    system_prompt: str = ""


class SpeechEdge(StrEnum):
    """The words of the field (ricky0123/vad) for what a voice activity detector sees."""

    STARTED = "started"
    """Perhaps speech: sound of its kind for `onset_ms`."""
    CONFIRMED = "confirmed"
    """Speech: it went on for `confirm_ms`."""
    MISFIRE = "misfire"
    """It was too short to be confirmed."""
    PAUSED = "paused"
    """Silence for `soft_end_ms` after confirmed speech."""
    CONTINUED = "continued"
    """Speech again before the end."""
    ENDED = "ended"
    """Silence for `endpoint_silence_ms`, or the audio ended."""


@dataclass(frozen=True, slots=True)
class Speech:
    """An edge of the caller's speech."""

    edge: SpeechEdge
    audio_sample: int
    """Where it lies: the first sample of speech for STARTED, one past the last for PAUSED, MISFIRE and ENDED."""
    at_ms: int
    """When that sample arrived."""
    heard_samples: int = 0


@dataclass(frozen=True, slots=True)
class AsrResult:
    """What the recogniser makes of an utterance."""

    utterance: int
    text: str
    words: int
    """Words in `text`; decisions look at this, so that a journal without the words replays alike."""
    final: bool
    first_pass_end: bool = False
    """Riva's two-pass end of utterance: an interim result with stability 1.0."""
    through_sample: int = 0
    """Of a final result: it speaks of the audio before this sample; 0 where the server does not say."""


@dataclass(frozen=True, slots=True)
class AsrEnded:
    """An utterance's recognition is over: the server ended the stream, or it failed for good."""

    utterance: int
    reason: str = ""
    """Empty for a clean end, else the stable name of the failure."""
    message: str = ""
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class TextTurn:
    """The caller typed a turn."""

    text: str
    words: int
    heard_samples: int = 0


@dataclass(frozen=True, slots=True)
class SpeakRequest:
    """The caller's application wants a text spoken as it is."""

    text: str
    words: int
    uninterruptible: bool = False
    heard_samples: int = 0


class Ask(StrEnum):
    """Controls that concern turns."""

    INTERRUPT = "interrupt"
    COMMIT_AUDIO = "commit_audio"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Asked:
    """The client asked for something about the turn."""

    ask: Ask
    heard_samples: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """The client says how much of a generation it has played."""

    generation: int
    samples: int


@dataclass(frozen=True, slots=True)
class InputClosed:
    """The caller half-closed: what it said is all it has to say."""


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The first token of the answer arrived."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyTextDone:
    """The last token of the answer arrived."""

    turn: int


@dataclass(frozen=True, slots=True)
class PhraseCut:
    """A phrase of the answer is about to be synthesised."""

    turn: int
    index: int
    text: str
    characters: int


@dataclass(frozen=True, slots=True)
class PhraseAudio:
    """Audio of a phrase: told once it is complete, or as far as it got when synthesis stopped."""

    turn: int
    index: int
    samples: int
    word_ends: tuple[int, ...] = ()
    """Where each spoken word ends, in samples from the phrase's start; empty where the server does not say."""


@dataclass(frozen=True, slots=True)
class AudioReady:
    """The first audio of the answer waits to be released."""

    turn: int


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """The first audio of the answer was written."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyTrouble:
    """Part of the answer failed; `ReplyEnded` still follows."""

    turn: int
    stage: str
    """"llm" or "tts"."""
    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The answer is over: all its audio is played, or there is nothing more to come after trouble."""

    turn: int


@dataclass(frozen=True, slots=True)
class Retuned:
    """The configuration changed: from the next decision on, these numbers hold."""

    policy: TurnPolicy
    system_prompt: str
    history_tokens: int


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """The process is about to stop: the call ends at its next turn boundary."""

    deadline_ms: int
    """Call time at which it ends in any case."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Something about the call as a whole failed, such as a caller that does not take its audio."""

    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """The machine's deadline has come."""


Event = (
    CallStarted
    | Speech
    | AsrResult
    | AsrEnded
    | TextTurn
    | SpeakRequest
    | Asked
    | Played
    | InputClosed
    | ReplyStarted
    | ReplyTextDone
    | PhraseCut
    | PhraseAudio
    | AudioReady
    | PlaybackStarted
    | ReplyTrouble
    | ReplyEnded
    | Retuned
    | DrainRequested
    | CallFailed
    | Tick
)
