"""Everything that can happen to a call: one closed union.

Audio is not an event. What the machine is told about sound are edges of speech, with their place in audio time
(`audio_sample`, at the recogniser's rate, from the start of the call) and the moment their audio arrived (`at_ms`, call
time). `heard_samples` is how much of the current answer the caller had heard at that moment, at the output rate.

What can arrive late carries the number of the utterance or turn that it belongs to; what belongs to an answer also the
revision of the turn that it answers, since an answer may be begun before the turn is over.

Decisions look at `features` and `expects`, never at words, so that a journal without the words replays alike.
"""

from dataclasses import dataclass
from enum import StrEnum

from voice_gateway.domain.checkpoint import Talk
from voice_gateway.domain.policy import ConversationPolicy, TurnPolicy
from voice_gateway.domain.text_features import Expectation, TextFeatures

NO_FEATURES = TextFeatures()

NOTHING_UNASKED = ConversationPolicy()


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The caller was let in."""

    output_sample_rate_hz: int
    system_prompt: str = ""
    input_sample_rate_hz: int = 16_000
    """Of the audio that is recognised."""


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
    """Silence for as long as the machine asked for (`AwaitSilence`), else `endpoint_silence_ms`; or the audio ended."""


@dataclass(frozen=True, slots=True)
class Speech:
    """An edge of the caller's speech."""

    edge: SpeechEdge
    audio_sample: int
    """Where it lies: the first sample of speech for STARTED, one past the last for PAUSED, MISFIRE and ENDED."""
    at_ms: int
    """When that sample arrived."""
    heard_samples: int = 0
    echo: float = 0.0
    """How much the sound is like what the loudspeaker plays, 0 to 1; known of STARTED and CONFIRMED over an answer."""


@dataclass(frozen=True, slots=True)
class AsrResult:
    """What the recogniser makes of an utterance."""

    utterance: int
    text: str
    words: int
    final: bool
    first_pass_end: bool = False
    """Riva's two-pass end of utterance: an interim result with stability 1.0."""
    through_sample: int = 0
    """It speaks of the audio before this sample; 0 where the server does not say."""
    features: TextFeatures = NO_FEATURES
    heard_samples: int = 0


@dataclass(frozen=True, slots=True)
class AsrEnded:
    """An utterance's recognition is over: the server ended the stream, or it failed for good."""

    utterance: int
    reason: str = ""
    """Empty for a clean end, else the stable name of the failure."""
    message: str = ""
    retryable: bool = False
    heard_samples: int = 0


@dataclass(frozen=True, slots=True)
class TurnScored:
    """A model judged by the sound whether the caller who fell silent has finished."""

    utterance: int
    pause: int
    """Number of the pause within the utterance that was judged."""
    complete: float
    """Probability, 0 to 1."""


@dataclass(frozen=True, slots=True)
class TextTurn:
    """The caller typed a turn."""

    text: str
    words: int
    heard_samples: int = 0
    features: TextFeatures = NO_FEATURES


@dataclass(frozen=True, slots=True)
class SpeakRequest:
    """The caller's application wants a text spoken as it is."""

    text: str
    words: int
    uninterruptible: bool = False
    heard_samples: int = 0


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key of a telephone keypad."""

    key: str
    """One of 0-9, *, #, A-D."""
    heard_samples: int = 0


class Ask(StrEnum):
    """Controls that concern turns."""

    INTERRUPT = "interrupt"
    COMMIT_AUDIO = "commit_audio"
    CANCEL = "cancel"
    HOLD = "hold"
    """The answer pauses, and the microphone is not listened to."""
    UNHOLD = "unhold"


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
class CallResumed:
    """The caller was let in with a checkpoint: a call that was cut off goes on. It comes in place of `CallStarted`."""

    talk: Talk
    output_sample_rate_hz: int
    system_prompt: str = ""
    input_sample_rate_hz: int = 16_000
    """Of the audio that is recognised."""
    played: Played | None = None
    """What the client had played of the answer, where it says so."""
    away_ms: int = 0
    """Since the checkpoint was made."""


@dataclass(frozen=True, slots=True)
class InputClosed:
    """The caller half-closed: what it said is all it has to say."""

    heard_samples: int = 0


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The first token of the answer arrived."""

    turn: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class ReplyTextDone:
    """The last token of the answer arrived."""

    turn: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PhraseCut:
    """A phrase of the answer is about to be synthesised."""

    turn: int
    index: int
    text: str
    characters: int
    expects: Expectation = Expectation.NOTHING
    """What it asks the caller for."""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PhraseAudio:
    """Audio of a phrase: told once it is complete, or as far as it got when synthesis stopped."""

    turn: int
    index: int
    samples: int
    word_ends: tuple[int, ...] = ()
    """Where each spoken word ends, in samples from the phrase's start; empty where the server does not say."""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class AudioReady:
    """The first audio of the answer waits to be released."""

    turn: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PlaybackStarted:
    """The first audio of the answer was written."""

    turn: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class ReplyTrouble:
    """Part of the answer failed; `ReplyEnded` still follows."""

    turn: int
    stage: str
    """"llm" or "tts"."""
    reason: str
    message: str
    retryable: bool
    revision: int = 0


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The answer is over: all its audio is played, or there is nothing more to come after trouble."""

    turn: int
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Retuned:
    """The configuration changed: from the next decision on, these numbers hold."""

    policy: TurnPolicy
    system_prompt: str
    history_tokens: int
    conversation: ConversationPolicy = NOTHING_UNASKED


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """The process is about to stop: the call ends at its next turn boundary."""

    deadline_ms: int
    """Call time at which it ends in any case."""
    resumable: bool = False
    """The client can go on elsewhere: it is sent away with a checkpoint, at the deadline in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Something about the call as a whole failed, such as a caller that does not take its audio."""

    reason: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """The machine's deadline has come."""

    heard_samples: int = 0


Event = (
    CallStarted
    | CallResumed
    | Speech
    | AsrResult
    | AsrEnded
    | TurnScored
    | TextTurn
    | KeyPressed
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
