"""A model of everything around the turn machine: a recogniser, an answer being made and played, and a client.

It takes the machine's actions as the shell does, and checks that each makes sense where it comes. What of the answers
was heard is counted here, word by word, from the samples that were played: the machine's history is held against it.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from voice_gateway.domain.actions import (
    Action,
    AdoptReply,
    CancelReply,
    CloseAsr,
    EndCall,
    EventKind,
    FinalizeAsr,
    OpenAsr,
    PauseReply,
    ReleaseAudio,
    ResetSpeech,
    ResumeReply,
    ScoreTurn,
    SendEvent,
    SendTranscript,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.conversation import Role
from voice_gateway.domain.events import Speech, SpeechEdge
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.turn import TurnMachine

SAMPLES_PER_MS = 16
WORD_SAMPLES = 300 * SAMPLES_PER_MS

EDGES = {
    "silent": {SpeechEdge.STARTED: "tentative"},
    "tentative": {SpeechEdge.CONFIRMED: "speaking", SpeechEdge.MISFIRE: "silent"},
    "speaking": {SpeechEdge.PAUSED: "paused"},
    "paused": {SpeechEdge.CONTINUED: "speaking", SpeechEdge.ENDED: "silent"},
}
"""What a detector may tell next, and where that leads."""


@dataclass(slots=True)
class Sound:
    """How an answer sounds where the caller is."""

    since_ms: int | None = None
    """When what plays now began; None before it is audible and while it is paused."""
    base: int = 0
    """Sample that the playing generation began with."""
    stopped_at: int | None = None
    """Samples heard when it was paused."""
    audible: bool = False
    announced: bool = False
    """That it is heard is on its way to the machine."""


@dataclass(slots=True)
class Past:
    """What an answer was before the call was resumed."""

    heard: int = 0
    """Samples."""
    told: int = 0
    """Phrases whose length was told."""
    revision: int = 0
    """By which its words are named."""


@dataclass(slots=True)
class Job:
    """One answer in the making. Every word of it is unlike any other and lasts 300 ms."""

    turn: int
    revision: int
    generation: int
    draft: bool
    phrases: list[int] = field(default_factory=list)
    """Words of each phrase so far."""
    told: int = 0
    """Phrases whose length was told."""
    started: bool = False
    text_done: bool = False
    troubled: bool = False
    ready: bool = False
    released: bool = False
    untimed: bool = False
    """Of some phrase the server did not say when its words end: they are placed by proportion."""
    canned: bool = False
    """An apology: it has no text but its phrases."""
    sound: Sound = field(default_factory=Sound)
    past: Past = field(default_factory=Past)

    def word(self, index: int) -> str:
        return f"t{self.turn}r{self.past.revision}w{index}"

    def words(self, count: int) -> str:
        return " ".join(self.word(index) for index in range(count))

    @property
    def made(self) -> int:
        """Samples of audio: of the phrases whose length was told, and of the one that is being synthesised."""
        return sum(self.phrases[: self.told + 1]) * WORD_SAMPLES

    def heard(self, now_ms: int) -> int:
        """Samples that the caller has heard."""
        if self.sound.stopped_at is not None:
            return self.sound.stopped_at
        if self.sound.since_ms is None:
            return self.sound.base
        return min(self.made, self.sound.base + (now_ms - self.sound.since_ms) * SAMPLES_PER_MS)

    def heard_in_all(self, now_ms: int) -> int:
        """The same, with what was heard before the call was resumed."""
        return max(self.past.heard, self.heard(now_ms))

    def wholly_heard(self, samples: int) -> int:
        """Phrases that had ended by then, of those whose length was told."""
        ends = [sum(self.phrases[: index + 1]) * WORD_SAMPLES for index in range(max(self.told, self.past.told))]
        return sum(end <= samples for end in ends)

    def length_told(self, samples: int) -> bool:
        """Whether the machine knows the lengths of all phrases up to there, so that it can count the words."""
        return samples < sum(self.phrases[: self.told]) * WORD_SAMPLES or self.told == len(self.phrases)


@dataclass(slots=True)
class Kept:
    """What the history is to hold of an answer that is over."""

    job: Job
    words: int
    exact: bool = True
    """Else it is estimated: within a word where all lengths are known, else within the phrase that was playing."""
    first: bool = False
    """The caller had said nothing before it. The model is told of what follows the caller's first words."""

    def holds(self, text: str) -> bool:
        count = len(text.split())
        if text != self.job.words(count):
            return False
        if self.exact and self.job.untimed:
            return abs(count - self.words) <= 1
        return count == self.words if self.exact else count <= sum(self.job.phrases)


@dataclass(slots=True)
class Shell:
    """What surrounds one machine."""

    now_ms: int = 0
    job: Job | None = None
    dead: list[Job] = field(default_factory=list)
    """Answers that are over: what is told of them is late."""
    kept: list[Kept] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    generation: int = 0
    detector: str = "silent"
    streams: set[int] = field(default_factory=set)
    """Utterances whose recognition runs."""
    asked: set[int] = field(default_factory=set)
    """Utterances whose final result was asked for."""
    opened: set[int] = field(default_factory=set)
    to_score: ScoreTurn | None = None
    cancelled: Job | None = None
    """Cancelled by the event being handled."""
    cut_off: Job | None = None
    """What was under way when the connection was lost."""
    over: bool = False

    def moved(self) -> "Shell":
        """What surrounds the machine that the call goes on in: nobody there has heard the caller yet."""
        job = self.job
        under_way = job is not None and not job.draft
        return Shell(
            now_ms=self.now_ms,
            dead=[*self.dead, *([job] if job is not None else [])],
            kept=list(self.kept),
            finals=list(self.finals),
            generation=self.generation,
            cut_off=job if under_way else None,
        )

    # ---- events -----------------------------------------------------------------------------------------------------

    def heard(self) -> int:
        """Samples of the answer that the caller has heard."""
        return self.job.heard(self.now_ms) if self.job is not None else 0

    def speech(self, edge: SpeechEdge) -> Speech:
        self.detector = EDGES[self.detector].get(edge, self.detector)
        return Speech(edge, self.now_ms * SAMPLES_PER_MS, self.now_ms, self.heard())

    # ---- actions ----------------------------------------------------------------------------------------------------

    def perform(self, actions: list[Action]) -> None:
        """Do what the machine wants, if it makes sense."""
        self.cancelled = None
        for action in actions:
            assert not self.over, f"{action} after the end"
            match action:
                case StartReply() | SpeakVerbatim():
                    self._start(action)
                case AdoptReply() | ReleaseAudio() | PauseReply() | ResumeReply() | CancelReply():
                    self._answer(action)
                case SendEvent():
                    self._event(action)
                case SendTranscript(text=text, final=True):
                    self.finals.append(text)
                case OpenAsr(utterance=number):
                    assert number not in self.opened
                    self.opened.add(number)
                    self.streams.add(number)
                case FinalizeAsr(utterance=number):
                    assert number in self.streams
                    self.asked.add(number)
                case CloseAsr(utterance=number):
                    assert number in self.opened
                    self.streams.discard(number)
                    self.asked.discard(number)
                case ResetSpeech():
                    self.detector = "silent"
                case ScoreTurn():
                    self.to_score = action
                case EndCall():
                    assert action is actions[-1]
                    self.over = True
                case _:
                    pass
        assert self._ended(self.cancelled), "a cancelled turn ends"

    @staticmethod
    def _ended(cancelled: Job | None) -> bool:
        """Whether nothing stays behind of what was cancelled; a draft is no turn."""
        return cancelled is None or cancelled.draft

    def _newer(self, generation: int) -> None:
        assert generation > self.generation, "generations only grow"
        self.generation = generation

    def _start(self, order: StartReply | SpeakVerbatim) -> None:
        assert self.job is None, "one answer at a time"
        self._newer(order.generation)
        draft = isinstance(order, StartReply) and order.speculative
        self.job = Job(order.turn, order.revision, order.generation, draft, past=Past(revision=order.revision))
        self.job.canned = isinstance(order, SpeakVerbatim) and order.canned is not None
        if self.cut_off is not None:
            self._go_on(self.job, self.cut_off, order)
            self.cut_off = None

    def _go_on(self, job: Job, old: Job, order: StartReply | SpeakVerbatim) -> None:
        """The answer that was under way goes on: nothing heard is said again, nothing unheard is left out."""
        assert not job.draft
        assert job.turn == old.turn
        goes_on = order.goes_on
        if goes_on is None:
            assert not old.phrases, "it is made anew only where there is nothing of it"
            return
        heard = old.heard_in_all(self.now_ms) if old.sound.audible else 0
        first = old.wholly_heard(heard)
        words = [old.word(index) for index in range(sum(old.phrases))]
        starts = [sum(old.phrases[:index]) for index in range(len(old.phrases) + 1)]
        assert goes_on.first_phrase == first
        assert goes_on.from_sample == starts[first] * WORD_SAMPLES
        assert " ".join(goes_on.phrases).split() == words[starts[first] :]
        job.phrases, job.told, job.sound.base = list(old.phrases), first, goes_on.from_sample
        job.past = Past(heard, max(old.told, old.past.told), old.past.revision)
        job.sound.audible, job.untimed, job.canned = heard > 0, old.untimed, old.canned
        job.text_done = isinstance(order, SpeakVerbatim)
        assert job.text_done == old.text_done or isinstance(order, SpeakVerbatim)

    def _answer(self, action: AdoptReply | ReleaseAudio | PauseReply | ResumeReply | CancelReply) -> None:
        job = self.job
        assert job is not None, f"{action} without an answer"
        assert action.turn == job.turn, f"{action} of another turn"
        match action:
            case AdoptReply():
                assert job.draft
                assert action.revision == job.revision
                job.draft = False
            case ReleaseAudio():
                assert not job.draft, "nothing of a draft is heard"
                assert job.ready
                assert not job.released
                assert action.generation == job.generation
                job.released = True
            case PauseReply():
                assert job.released
                assert job.sound.stopped_at is None, "it stands still already"
                self._newer(action.generation)
                job.sound.stopped_at, job.sound.since_ms = job.heard(self.now_ms), None
                job.generation = action.generation
            case ResumeReply():
                assert job.sound.stopped_at is not None, "it does not stand still"
                assert action.generation == job.generation
                assert 0 <= action.from_sample <= job.sound.stopped_at, "nothing is left out"
                again = job.sound.stopped_at - action.from_sample
                assert again < WORD_SAMPLES or not job.length_told(job.sound.stopped_at), "a word at most is said again"
                job.sound.base, job.sound.stopped_at = action.from_sample, None
                job.sound.since_ms = self.now_ms if job.sound.audible else None
            case CancelReply():
                self._newer(action.generation)
                self.job = None
                self.dead.append(job)
                self.cancelled = job

    def _event(self, event: SendEvent) -> None:
        match event.kind:
            case EventKind.SPEAKING:
                assert self.job is not None
                assert not self.job.draft
                assert event.turn == self.job.turn
            case EventKind.END_OF_TURN:
                if self.cut_off is not None:
                    # All of it was heard.
                    self.job, self.cut_off = self.cut_off, None
                    assert self.job.text_done or self.job.canned
                    assert self.job.wholly_heard(self.job.heard_in_all(self.now_ms)) == len(self.job.phrases)
                job = self.cancelled or self.job
                assert job is not None, "a turn ends once"
                assert not job.draft
                assert event.turn == job.turn
                self._keep(job)
                if self.job is not None:
                    self.dead.append(self.job)
                self.job = self.cancelled = None
            case _:
                pass

    # ---- what was heard ---------------------------------------------------------------------------------------------

    def _keep(self, job: Job) -> None:
        if job is self.cancelled:
            heard = job.heard_in_all(self.now_ms)
            words = heard // WORD_SAMPLES if job.sound.audible else 0
            self.kept.append(Kept(job, words, job.length_told(heard), not self.finals))
        else:
            self.kept.append(Kept(job, sum(job.phrases), first=not self.finals))

    def played(self, generation: int, samples: int) -> None:
        """The client tells what it has really played; the machine was told so, too."""
        if self.job is not None and self.job.sound.stopped_at is not None and generation == self.job.generation - 1:
            self.job.sound.stopped_at = min(self.job.sound.stopped_at, self.job.sound.base + samples)

    # ---- the machine ------------------------------------------------------------------------------------------------

    def check(self, machine: TurnMachine) -> None:
        """What holds between events."""
        state = machine.state
        assert self.over == machine.finished
        assert self.over == (machine.deadline() is None)
        if self.over:
            return
        assert state.draft is None or state.reply is None, "never a draft beside a reply"
        live = state.reply or (state.draft.reply if state.draft else None)
        assert (live is None) == (self.job is None)
        if live is not None and self.job is not None:
            assert (live.turn, live.revision, live.generation) == (
                self.job.turn,
                self.job.revision,
                self.job.generation,
            )
            assert (live.paused is not None) == (self.job.sound.stopped_at is not None)
        answering = machine.phase in (Phase.THINKING, Phase.SPEAKING, Phase.INTERRUPTING, Phase.PAUSED)
        assert (state.reply is not None) == answering, machine.phase
        assert sum(utterance.open for utterance in state.utterances) <= 1
        pending = {utterance.number for utterance in state.utterances if not utterance.done}
        assert pending == self.streams, "each stream belongs to an utterance that waits for it"
        if machine.phase is Phase.LISTENING:
            assert not state.utterances
        self._check_history(machine)

    def _check_history(self, machine: TurnMachine) -> None:
        history = machine.state.history
        assert all(message.text for message in history)
        pairs = pairwise(history)
        assert not any(one.role is two.role is Role.USER for one, two in pairs), "what was said in a row is one message"
        said = " ".join(message.text for message in history if message.role is Role.USER)
        assert said == " ".join(self.finals), "each word of the caller is kept once"
        answers = [message.text for message in history if message.role is Role.ASSISTANT]
        for kept in reversed(self.kept):
            if answers and kept.holds(answers[-1]):
                answers.pop()
            else:
                assert not kept.words or not kept.exact or kept.first, f"{kept} is missing before {answers}"
        assert not answers, f"{answers} was not heard"
