"""What the turn machine remembers of a call. Plain data, so that a call can be written down and taken up again."""

from dataclasses import dataclass, field

from voice_gateway.domain.conversation import Message, Role
from voice_gateway.domain.echo import POSSIBLE_ECHO
from voice_gateway.domain.endpointing import CallerPace
from voice_gateway.domain.events import NO_FEATURES, AsrResult, SpeakRequest
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import ConversationPolicy, TurnPolicy
from voice_gateway.domain.reply_state import CutAnswer as CutAnswer
from voice_gateway.domain.reply_state import ReplyMarks as ReplyMarks
from voice_gateway.domain.reply_state import ReplyPause as ReplyPause
from voice_gateway.domain.reply_state import ReplyState as ReplyState
from voice_gateway.domain.speculation import RecogniserLag, SpeculationBudget
from voice_gateway.domain.text_features import Expectation, TextFeatures

UNHEARD_MS = 240
"""An interim result that stops this long before the end of the speech lacks a word: English has 150 to 200 words a
minute, 300 to 400 ms each."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A result of the recogniser."""

    text: str
    words: int
    features: TextFeatures = NO_FEATURES
    through_sample: int = 0
    """It speaks of the audio before this sample; 0 where the server did not say."""


NOTHING = Recognised("", 0)


@dataclass(slots=True)
class Pause:
    """The latest silence within an utterance."""

    number: int = 0
    """Counts the utterance's pauses, so that a late judgement of an earlier one is known as such."""
    sample: int = 0
    """One past the last sample of speech before it."""
    silence_ms: int = 0
    """Silence that is to end the utterance."""
    rule: str = ""
    """Why that much."""
    complete: float | None = None
    """What the end-of-turn model thinks, once it has answered."""
    text_ms: int | None = None
    """When the recogniser last changed its text in this pause."""


@dataclass(slots=True)
class FinalWait:
    """What the recogniser still owes, in ms of call time."""

    patience_until_ms: int | None = None
    """When a server that was asked with `force_eou` counts as one that ignores it."""
    until_ms: int | None = None
    """When the interim result has to do."""
    final_ms: int | None = None
    """When the last final result came."""


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's speech and what was recognised of it."""

    number: int
    onset_ms: int
    ended_by: str = ""
    """What ended it; empty while the caller is still speaking."""
    like_played: bool = False
    """Its sound was like what was being played: words that may be an echo are taken for one."""
    paused: bool = False
    """Silent, but not yet for long enough."""
    pause: Pause = field(default_factory=Pause)
    speech_end_ms: int = 0
    stretch_sample: int = 0
    """Where the latest stretch of its speech began: its onset, or the last continuation after a pause."""
    finals: tuple[Recognised, ...] = ()
    final_sample: int | None = 0
    """The last final result speaks of the audio before this; 0 where the server did not say; None where it did not say
    and the caller spoke on after a pause, so that it may be about the speech before.
    """
    covered: bool = False
    """The last final result speaks of all that was said, as far as is known."""
    interim: Recognised = NOTHING
    done: bool = False
    """Nothing more is awaited from the recogniser."""
    failed: bool = False
    """The recogniser failed."""
    wait: FinalWait = field(default_factory=FinalWait)

    @property
    def open(self) -> bool:
        """Whether the caller is still speaking."""
        return not self.ended_by

    @property
    def settled(self) -> bool:
        """The recogniser has finalised all that it heard."""
        return bool(self.finals) and self.covered and not self.interim.words

    @property
    def results(self) -> tuple[Recognised, ...]:
        """What was recognised so far, in order."""
        return (*self.finals, self.interim) if self.interim.words else self.finals

    @property
    def words(self) -> int:
        """Words recognised so far."""
        return sum(result.words for result in self.results)

    def is_echo(self, result: Recognised, similarity: float) -> bool:
        """Whether a result of this utterance is what was played. From `similarity` on its words alone say so."""
        return result.features.echo >= (min(similarity, POSSIBLE_ECHO) if self.like_played else similarity)

    def said(self, similarity: float) -> tuple[Recognised, ...]:
        """Results with words of the caller's own."""
        return tuple(result for result in self.results if result.words and not self.is_echo(result, similarity))

    @property
    def text(self) -> str:
        """Text recognised so far."""
        return " ".join(result.text for result in self.results)

    def unheard(self) -> int:
        """Samples of speech before the pause that the last result, an interim one, does not speak of; 0 where that is
        not known.
        """
        if not self.interim.words or not self.interim.through_sample:
            return 0
        return max(0, self.pause.sample - self.interim.through_sample)

    def fall_silent(self, speech_end_sample: int, at_ms: int) -> None:
        """The caller paused, perhaps for good."""
        self.paused, self.speech_end_ms = True, at_ms
        self.pause = Pause(self.pause.number + 1, speech_end_sample)
        if self.final_sample is None:
            self.covered = False
        else:
            self.covered = bool(self.finals) and (not self.final_sample or self.final_sample >= speech_end_sample)

    def go_on(self, sample: int) -> None:
        """The caller speaks again."""
        self.paused = self.covered = False
        self.stretch_sample = sample
        self.final_sample = self.final_sample or None

    def take(self, event: AsrResult, now_ms: int) -> None:
        """Note a result."""
        before = [result.features.key for result in self.results]
        if event.final:
            self.take_final(event)
            self.wait.final_ms = now_ms
        else:
            self.take_interim(event)
        if self.pause.number and [result.features.key for result in self.results] != before:
            self.pause.text_ms = now_ms

    def take_interim(self, event: AsrResult) -> None:
        """Note an interim result, in the place of the one before."""
        self.interim = Recognised(event.text, event.words, event.features, event.through_sample)

    def take_final(self, event: AsrResult) -> None:
        """Note a final result. In a pause it speaks of all that was said, unless the server says that it speaks of
        audio before the latest stretch of speech; while the caller speaks, the next pause decides.
        """
        if event.words:
            self.finals = (*self.finals, Recognised(event.text, event.words, event.features, event.through_sample))
        self.interim = NOTHING
        if event.through_sample or self.final_sample is not None:
            self.final_sample = event.through_sample
        silent = self.paused or not self.open
        self.covered = silent and (not event.through_sample or event.through_sample > self.stretch_sample)

    def take_over(self, older: "Utterance") -> None:
        """Put the words of an utterance that came before in front of this one's."""
        self.finals = (*older.results, *self.finals)


@dataclass(slots=True)
class Draft:
    """An answer begun before the turn is over, and what it was begun for."""

    reply: ReplyState
    key: tuple[str, ...]
    """Fingerprints of what was recognised."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What of the configuration decisions depend on."""

    policy: TurnPolicy = field(default_factory=TurnPolicy)
    system_prompt: str = ""
    history_tokens: int = 3_000
    conversation: ConversationPolicy = field(default_factory=ConversationPolicy)


@dataclass(frozen=True, slots=True)
class Closing:
    """What brings a call to its end at the next turn boundary."""

    input_closed: bool = False
    drain_until_ms: int | None = None
    moves: bool = False
    """Of a drain: the call goes on elsewhere."""
    too_long: bool = False
    """The call comes near its longest length: at the next boundary the farewell is spoken."""
    farewell_turn: int | None = None
    """The turn in which it is spoken; with it, the call ends."""


@dataclass(slots=True)
class Agenda:
    """What waits to happen without the caller's speech."""

    queued_speech: tuple[SpeakRequest, ...] = ()
    held: bool = False
    """The client has put the call on hold."""
    idle_since_ms: int | None = None
    """When the caller was last listened to without anything being said."""
    reprompts: int = 0
    """Spoken since the caller's last turn."""
    keys: str = ""
    """Keys pressed that are not yet a turn."""
    keys_until_ms: int = 0


@dataclass(slots=True)
class Learned:
    """What the call has found out about its caller and its backends."""

    pace: CallerPace = field(default_factory=CallerPace)
    expected: Expectation = Expectation.NOTHING
    """What the last answer asked the caller for."""
    last_answer: str = ""
    """The last answer, whole, to be said again."""
    answered_ms: int = 0
    """When it ended."""
    speculation: SpeculationBudget = field(default_factory=SpeculationBudget)
    lag: RecogniserLag = field(default_factory=RecogniserLag)
    force_eou_ignored: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """How the call began."""

    at_ms: int = 0
    output_sample_rate_hz: int = 16_000
    input_sample_rate_hz: int = 16_000
    """Of the audio that is recognised."""


@dataclass(slots=True)
class CallState:
    """All of a call's memory."""

    phase: Phase = Phase.NEW
    now_ms: int = 0
    opened: Opened = field(default_factory=Opened)
    tuning: Tuning = field(default_factory=Tuning)
    turn: int = 0
    generation: int = 0
    utterance: int = 0
    utterances: list[Utterance] = field(default_factory=list)
    """Of the turn that the caller is making, oldest first; at most one is open."""
    reply: ReplyState | None = None
    draft: Draft | None = None
    """Never beside a reply."""
    cut: CutAnswer | None = None
    history: tuple[Message, ...] = ()
    agenda: Agenda = field(default_factory=Agenda)
    learned: Learned = field(default_factory=Learned)
    closing: Closing = field(default_factory=Closing)

    @property
    def policy(self) -> TurnPolicy:
        """Numbers of turn-taking."""
        return self.tuning.policy

    def open_utterance(self) -> Utterance | None:
        """The utterance that the caller is speaking, if any."""
        return next((utterance for utterance in self.utterances if utterance.open), None)

    def find_utterance(self, number: int) -> Utterance | None:
        """The utterance of that number, if it still matters."""
        return next((utterance for utterance in self.utterances if utterance.number == number), None)

    def pending(self) -> tuple[Recognised, ...]:
        """What was recognised of the turn that the caller is making."""
        return tuple(result for utterance in self.utterances for result in utterance.results)

    def pending_text(self) -> str:
        """The same as text."""
        return " ".join(result.text for result in self.pending())

    def said_before(self, utterance: int) -> str:
        """What the caller said in this turn before the newest result of that utterance, with what was never answered
        of the turn before.
        """
        last = self.history[-1] if self.history else None
        heard = self.reply is not None and self.reply.audible
        parts = [last.text] if last is not None and last.role is Role.USER and not heard else []
        for each in self.utterances:
            if each.number < utterance:
                parts.append(each.text)
            elif each.number == utterance:
                parts += [result.text for result in each.finals]
        return " ".join(parts)

    def pending_key(self) -> tuple[str, ...]:
        """The same as fingerprints."""
        return tuple(key for result in self.pending() if (key := result.features.key))
