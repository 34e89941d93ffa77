"""What the turn machine remembers of a call. Plain data, so that a call can be written down and taken up again."""

from dataclasses import dataclass, field

from voice_gateway.domain.conversation import Message
from voice_gateway.domain.events import SpeakRequest
from voice_gateway.domain.heard import HeardLedger
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import TurnPolicy


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's speech and what was recognised of it."""

    number: int
    onset_ms: int
    open: bool = True
    """The caller is still speaking."""
    paused: bool = False
    """Silent, but not yet for long enough."""
    speech_end_ms: int = 0
    finals: tuple[str, ...] = ()
    final_words: int = 0
    interim: str = ""
    interim_words: int = 0
    done: bool = False
    """Nothing more is awaited from the recogniser."""
    patience_until_ms: int | None = None
    """When a server that was asked with `force_eou` counts as one that ignores it."""
    final_until_ms: int | None = None
    """When the interim result has to do."""

    @property
    def settled(self) -> bool:
        """The recogniser has finalised all that it heard."""
        return bool(self.finals) and not self.interim_words

    @property
    def words(self) -> int:
        """Words recognised so far."""
        return self.final_words + self.interim_words

    @property
    def text(self) -> str:
        """Text recognised so far."""
        return " ".join(part for part in (*self.finals, self.interim) if part)


@dataclass(slots=True)
class ReplyState:
    """The answer under way."""

    turn: int
    generation: int
    rule: str
    """What ended the caller's turn."""
    ledger: HeardLedger
    asked_ms: int
    """When the answer was asked for."""
    speech_end_ms: int
    """Zero of the turn's latency report."""
    final_ms: int
    uninterruptible: bool = False
    released: bool = False
    audible: bool = False
    troubled: bool = False
    first_token_ms: int | None = None
    first_phrase_ms: int | None = None
    audio_ready_ms: int | None = None
    playback_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The last answer that was interrupted: its history is put right when the client says what it played."""

    generation: int
    ledger: HeardLedger
    message: Message


@dataclass(slots=True)
class CallState:
    """All of a call's memory."""

    phase: Phase = Phase.NEW
    now_ms: int = 0
    started_ms: int = 0
    output_sample_rate_hz: int = 16_000
    policy: TurnPolicy = field(default_factory=TurnPolicy)
    system_prompt: str = ""
    history_tokens: int = 3_000
    turn: int = 0
    generation: int = 0
    utterance: int = 0
    utterances: list[Utterance] = field(default_factory=list)
    """Of the turn that the caller is making, oldest first; at most one is open."""
    reply: ReplyState | None = None
    cut: CutAnswer | None = None
    history: tuple[Message, ...] = ()
    queued_speech: tuple[SpeakRequest, ...] = ()
    input_closed: bool = False
    drain_until_ms: int | None = None
    force_eou_ignored: bool = False

    def open_utterance(self) -> Utterance | None:
        """The utterance that the caller is speaking, if any."""
        return next((utterance for utterance in self.utterances if utterance.open), None)

    def find_utterance(self, number: int) -> Utterance | None:
        """The utterance of that number, if it still matters."""
        return next((utterance for utterance in self.utterances if utterance.number == number), None)

    def pending_text(self) -> str:
        """What was recognised of the turn that the caller is making."""
        return " ".join(utterance.text for utterance in self.utterances if utterance.text)

    def pending_words(self) -> int:
        """Words in it."""
        return sum(utterance.words for utterance in self.utterances)
