"""Random lives of a call around the turn machine: what happens is mostly apt, sometimes late, and now and then absurd.

`dice` is a random.Random, or hypothesis's own, whose failures shrink. A life of 60 steps takes about a millisecond.
"""

import copy
import json
import random
from collections import deque
from dataclasses import replace
from functools import lru_cache

from gateway_shell import EDGES, SAMPLES_PER_MS, WORD_SAMPLES, Job, Shell
from gateway_turns import understood

from voice_gateway.domain.actions import Action
from voice_gateway.domain.call_state import CallState, Learned, Tuning
from voice_gateway.domain.checkpoint import CallCheckpoint, checkpoint_in, document_of
from voice_gateway.domain.endpointing import CallerPace
from voice_gateway.domain.events import (
    Ask,
    Asked,
    AsrEnded,
    AsrResult,
    AudioReady,
    CallFailed,
    CallResumed,
    CallStarted,
    DrainRequested,
    Event,
    InputClosed,
    KeyPressed,
    PhraseAudio,
    PhraseCut,
    PlaybackStarted,
    Played,
    ReplyEnded,
    ReplyStarted,
    ReplyTextDone,
    ReplyTrouble,
    Retuned,
    SpeakRequest,
    SpeechEdge,
    TextTurn,
    Tick,
    TurnScored,
)
from voice_gateway.domain.journal import restore, snapshot
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import ConversationPolicy, Finalize, InterruptionPolicy, SpeculationPolicy, TurnPolicy
from voice_gateway.domain.resuming import talk_of
from voice_gateway.domain.text_features import Expectation, TextFeatures
from voice_gateway.domain.turn import TurnMachine

PROMPT = "Be brief."
PAUSED_MS = 6_000
"""Longest that an answer may stand still before it is decided what becomes of it."""

TEXTS = (
    "what time is it",
    "mhm",
    "yeah",
    "stop",
    "no",
    "my number is",
    "four one five",
    "it is john at",
    "say that again",
    "um",
    "I would like to",
    "[laughter]",
    "",
)
"""A sentence, nods, an order, a short word, beginnings, a request to repeat, sounds and nothing."""

HESITANT = CallerPace(pause_ms=600, weight=20)

USUAL = "ssssrrrrrraaaaaaapcctlmmmx"
OVERLAP = "ssssssrrrraaapclx"
"""What is how likely to happen next: letters as in `Walk.step`. Speech over an answer is left to itself more often,
since what becomes of it takes several steps.
"""

OVERLAPPING = (Phase.SPEAKING, Phase.INTERRUPTING, Phase.PAUSED)

WAITS_MS = (0, 0, 20, 60, 100, 150, 250, 450, 900)


@lru_cache(maxsize=256)
def features(text: str, final: bool) -> TextFeatures:
    return understood(text, final=final)


def random_tuning(dice: random.Random) -> Tuning:
    policy = TurnPolicy(
        finalize=dice.choice(list(Finalize)),
        interruptible=dice.random() < 0.8,
        interruption=InterruptionPolicy(min_words=dice.choice([1, 1, 4])),
        max_call_ms=dice.choice([20_000, 3_600_000, 3_600_000]),
        speculation=SpeculationPolicy(enabled=dice.random() < 0.8),
    )
    conversation = ConversationPolicy(
        greeting=dice.choice(["", "Hello."]),
        reprompt=dice.choice(["", "Are you there?"]),
        reprompt_after_ms=dice.choice([1_000, 12_000]),
        farewell=dice.choice(["", "Goodbye."]),
        apologise=dice.random() < 0.8,
    )
    return Tuning(policy, PROMPT, conversation=conversation)


class Walk:
    """Drives one machine, and checks the invariants after each event."""

    def __init__(self, machine: TurnMachine) -> None:
        self.machine = machine
        self._opening = snapshot(machine)
        self.shell = Shell()
        self.happened: list[tuple[int, Event]] = []
        self.actions: list[list[Action]] = []
        self.ways: set[tuple[Phase, type[Event], Phase]] = set()
        """Ways from one phase to another that were taken."""
        self._said: dict[int, str] = {}
        """The latest result of each utterance."""
        self._mail: deque[Event] = deque()
        """Answers of the shell that are on their way."""
        self._paused_since_ms: int | None = None

    @classmethod
    def begun(cls, dice: random.Random) -> "Walk":
        known = Learned(pace=dice.choice([CallerPace(), HESITANT]))
        walk = cls(TurnMachine(state=CallState(tuning=random_tuning(dice), learned=known)))
        walk.feed(CallStarted(16_000, PROMPT))
        return walk

    def feed(self, event: Event) -> None:
        """Give the machine one event at the present time."""
        machine, now = self.machine, self.shell.now_ms
        if machine.finished:
            return
        before = machine.phase
        actions = machine.handle(event, now=now)
        self.happened.append((now, event))
        self.actions.append(actions)
        if machine.phase is not before:
            self.ways.add((before, type(event), machine.phase))
        self.shell.perform(actions)
        job = self.shell.job
        if job is not None and job.released and not job.sound.announced:
            job.sound.announced = True
            self._mail.append(PlaybackStarted(job.turn, job.revision))
        self.shell.check(machine)
        self._check_pause()

    def unborn(self) -> TurnMachine:
        """The machine as it was before the first event."""
        return restore(self._opening)

    def restored(self) -> "Walk":
        """The same life, told to a machine that was written down and read again."""
        other = copy.deepcopy(self)
        other.machine = restore(snapshot(self.machine))
        return other

    def resumed(self, dice: random.Random) -> "Walk":
        """The same life in another process: its connection was lost, and the client came back with a checkpoint."""
        state, shell, job = self.machine.state, self.shell, self.shell.job
        talk = talk_of(state, now=shell.now_ms, heard_samples=shell.heard())
        document = json.loads(json.dumps(document_of(CallCheckpoint(talk=talk))))
        assert checkpoint_in(document).talk == talk
        other = Walk(TurnMachine(state=CallState(tuning=state.tuning)))
        other.shell = shell.moved()
        played = None
        if job is not None and job.sound.audible and dice.random() < 0.7:
            generation = job.generation if job.sound.stopped_at is None else job.generation - 1
            played = Played(generation, max(0, job.heard(shell.now_ms) - job.sound.base))
        elif dice.random() < 0.3:
            played = Played(shell.generation + 1, dice.randrange(50_000))
        other.feed(CallResumed(talk, 16_000, PROMPT, played=played))
        return other

    def _check_pause(self) -> None:
        if self.machine.phase is not Phase.PAUSED:
            self._paused_since_ms = None
        elif self._paused_since_ms is None:
            self._paused_since_ms = self.shell.now_ms
        else:
            assert self.shell.now_ms - self._paused_since_ms <= PAUSED_MS, "it is decided in time"

    def wait(self, milliseconds: int) -> None:
        """Let time pass; what falls due happens in it."""
        until = self.shell.now_ms + milliseconds
        while (due := self.machine.deadline()) is not None and due <= until:
            self.shell.now_ms = max(self.shell.now_ms, due)
            self.feed(Tick(self.shell.heard()))
            later = self.machine.deadline()
            assert later is None or later > self.shell.now_ms, "no deadline in the past"
        self.shell.now_ms = until

    # ---- steps ------------------------------------------------------------------------------------------------------

    def steps(self, dice: random.Random, count: int) -> None:
        for _ in range(count):
            if self.machine.finished:
                return
            self.wait(dice.choice(WAITS_MS) if dice.random() < 0.97 else 4_000)
            self.step(dice)

    def step(self, dice: random.Random) -> None:
        """One thing happens."""
        if self._mail and dice.random() < 0.9:
            self._deliver()
            return
        match dice.choice(OVERLAP if self.machine.phase in OVERLAPPING else USUAL):
            case "s":
                self._speech(dice)
            case "r":
                self._recognition(dice)
            case "a":
                self._make(dice)
            case "p":
                self._played(dice)
            case "c":
                self._client(dice)
            case "t":
                self._retune(dice)
            case "l":
                self._late(dice)
            case "m":
                self._model(dice)
            case _:
                if dice.random() < 0.3:
                    self._end(dice)

    def _deliver(self) -> None:
        event = self._mail.popleft()
        job = self.shell.job
        if isinstance(event, PlaybackStarted) and job is not None and event.turn == job.turn:
            job.sound.audible = True
            if job.sound.stopped_at is None:
                job.sound.since_ms = self.shell.now_ms
        self.feed(event)

    def _speech(self, dice: random.Random) -> None:
        apt = list(EDGES[self.shell.detector])
        edge = dice.choice(apt) if dice.random() < 0.97 else dice.choice(list(SpeechEdge))
        self.feed(replace(self.shell.speech(edge), echo=0.9 if dice.random() < 0.1 else 0.0))

    def _recognition(self, dice: random.Random) -> None:
        shell = self.shell
        if not shell.streams:
            return
        number = dice.choice(sorted(shell.streams))
        final = dice.random() < (0.8 if number in shell.asked else 0.3)
        if dice.random() < 0.1:
            reason = dice.choice(["", "BACKEND_TIMEOUT"])
            self.feed(
                AsrEnded(
                    number,
                    reason,
                    "The recogniser failed." if reason else "",
                    retryable=bool(reason),
                    heard_samples=shell.heard(),
                )
            )
        else:
            self.feed(self._result(dice, number, final=final))

    def _result(self, dice: random.Random, number: int, *, final: bool) -> AsrResult:
        # A recogniser often says the same again.
        text = self._said.get(number, "") if dice.random() < 0.5 else dice.choice(TEXTS)
        self._said[number] = text
        meaning = features(text, final)
        if dice.random() < 0.15:
            meaning = replace(meaning, echo=0.9)
        now = self.shell.now_ms
        through = dice.choice([0, 0, now, max(0, now - 400)]) * SAMPLES_PER_MS
        first_pass = not final and dice.random() < 0.2
        return AsrResult(number, text, meaning.words, final, first_pass, through, meaning, self.shell.heard())

    def _make(self, dice: random.Random) -> None:
        """The answer under way comes one step further."""
        job = self.shell.job
        if job is None:
            return
        now, names = self.shell.now_ms, (job.turn, job.revision)
        untold = job.told < len(job.phrases)
        if not job.started and dice.random() < 0.9:
            job.started = True
            self.feed(ReplyStarted(job.turn, job.revision))
        elif dice.random() < 0.02:
            job.troubled = True
            self.feed(ReplyTrouble(job.turn, dice.choice(["llm", "tts"]), "BACKEND_TIMEOUT", "No.", True, job.revision))
        elif job.phrases and not job.ready and dice.random() < 0.7:
            job.ready = True
            self.feed(AudioReady(*names))
        elif untold and dice.random() < 0.7:
            self._tell_audio(dice, job)
        elif not job.text_done and len(job.phrases) < 3 and dice.random() < 0.8:
            self._cut_phrase(dice, job)
        elif not job.text_done:
            job.text_done = True
            self.feed(ReplyTextDone(*names))
        elif (
            job.heard(now) == job.made and job.sound.stopped_at is None and not untold and job.sound.audible
        ) or not job.phrases:
            self.feed(ReplyEnded(*names))

    def _cut_phrase(self, dice: random.Random, job: Job) -> None:
        first, count = sum(job.phrases), dice.choice([1, 2, 4])
        text = " ".join(job.word(first + index) for index in range(count))
        job.phrases.append(count)
        expects = dice.choice([Expectation.NOTHING, Expectation.NUMBER, Expectation.YES_NO])
        self.feed(PhraseCut(job.turn, len(job.phrases) - 1, text, len(text), expects, job.revision))

    def _tell_audio(self, dice: random.Random, job: Job) -> None:
        index, words = job.told, job.phrases[job.told]
        job.told += 1
        ends = tuple(WORD_SAMPLES * (number + 1) for number in range(words))
        if dice.random() < 0.1:
            ends, job.untimed = (), True
        self.feed(PhraseAudio(job.turn, index, words * WORD_SAMPLES, ends, job.revision))

    def _played(self, dice: random.Random) -> None:
        """A client that was told to flush says what it had played."""
        shell, job = self.shell, self.shell.job
        if job is not None and job.sound.stopped_at is not None and job.sound.audible:
            samples = max(0, job.sound.stopped_at - job.sound.base - dice.choice([0, 0, 800, 4_800]))
            generation = job.generation - 1
            shell.played(generation, samples)
            self.feed(Played(generation, samples))
        else:
            self.feed(Played(shell.generation + 1, dice.randrange(50_000)))

    def _client(self, dice: random.Random) -> None:
        heard = self.shell.heard()
        text = dice.choice([text for text in TEXTS if features(text, True).words])
        match dice.randrange(5):
            case 0:
                self.feed(TextTurn(text, len(text.split()), heard, features(text, True)))
            case 1:
                self.feed(SpeakRequest("Mind the gap.", 3, dice.random() < 0.5, heard))
            case 2:
                self.feed(KeyPressed(dice.choice("12#"), heard))
            case _:
                self.feed(Asked(dice.choice(list(Ask)), heard))

    def _retune(self, dice: random.Random) -> None:
        tuning = random_tuning(dice)
        # A running call keeps its longest length, as its limits are read once.
        policy = replace(tuning.policy, max_call_ms=self.machine.state.policy.max_call_ms)
        self.feed(Retuned(policy, PROMPT, tuning.history_tokens, tuning.conversation))

    def _late(self, dice: random.Random) -> None:
        """What belongs to something that is over, or never was."""
        state, shell = self.machine.state, self.shell
        dead = dice.choice(shell.dead) if shell.dead else Job(state.turn + 1, 9, 0, draft=False)
        live = shell.job
        if live is not None and (dead.turn, dead.revision) == (live.turn, live.revision):
            return
        names = dead.turn, dead.revision
        late: list[Event] = [
            ReplyStarted(*names),
            ReplyTextDone(*names),
            PhraseCut(dead.turn, len(dead.phrases), "Too late.", 9, revision=dead.revision),
            PhraseAudio(dead.turn, 0, 16_000, (), dead.revision),
            AudioReady(*names),
            PlaybackStarted(*names),
            ReplyTrouble(dead.turn, "tts", "BACKEND_TIMEOUT", "No voice.", True, dead.revision),
            ReplyEnded(*names),
            AsrEnded(state.utterance + 1),
            TurnScored(state.utterance - 1, 1, 0.9),
        ]
        closed = sorted(shell.opened - shell.streams)
        if closed and all(utterance.number != closed[-1] for utterance in state.utterances):
            late.append(self._result(dice, closed[-1], final=True))
        self.feed(dice.choice(late))

    def _model(self, dice: random.Random) -> None:
        if (asked := self.shell.to_score) is not None:
            self.shell.to_score = None
            self.feed(TurnScored(asked.utterance, asked.pause, dice.choice([0.1, 0.9])))

    def _end(self, dice: random.Random) -> None:
        match dice.randrange(4):
            case 0:
                self.feed(DrainRequested(self.shell.now_ms + dice.choice([0, 2_000, 20_000])))
            case 1:
                self.feed(CallFailed("SLOW_CONSUMER", "The caller does not take its audio.", retryable=True))
            case _:
                self.feed(InputClosed(self.shell.heard()))

    # ---- the end ----------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """The caller falls silent, and everything that is under way comes to its end."""
        dice = random.Random(1)
        self.feed(Asked(Ask.UNHOLD, self.shell.heard()))
        for _ in range(400):
            if self.machine.finished or (self.machine.idle and not self.machine.state.agenda.keys and not self._mail):
                return
            self.wait(100)
            shell = self.shell
            if self._mail:
                self._deliver()
            if shell.detector != "silent":
                edges = {"tentative": SpeechEdge.MISFIRE, "speaking": SpeechEdge.PAUSED, "paused": SpeechEdge.ENDED}
                self.feed(shell.speech(edges[shell.detector]))
            for number in sorted(shell.asked):
                self.feed(AsrResult(number, "", 0, True, features=features("", True)))
            self._make(dice)
        raise AssertionError(f"the call does not come to rest: {self.machine.phase}, {self.machine.state}")


def walked(dice: random.Random, *, steps: int = 60) -> Walk:
    """A call that went through `steps` random steps, and then came to rest."""
    walk = Walk.begun(dice)
    walk.steps(dice, steps)
    if not walk.machine.finished:
        walk.settle()
    return walk
