"""Random but possible lives of a call: a strategy for hypothesis, and the invariants that every life must keep."""

from hypothesis import strategies as st

from voice_gateway.domain.actions import (
    Action,
    CancelReply,
    EndCall,
    EventKind,
    ReleaseAudio,
    SendEvent,
    SpeakVerbatim,
    StartReply,
)
from voice_gateway.domain.conversation import Role
from voice_gateway.domain.events import (
    Ask,
    Asked,
    AsrEnded,
    AsrResult,
    AudioReady,
    CallFailed,
    CallStarted,
    DrainRequested,
    Event,
    InputClosed,
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
    Speech,
    SpeechEdge,
    TextTurn,
    Tick,
)
from voice_gateway.domain.policy import Finalize, TurnPolicy
from voice_gateway.domain.turn import TurnMachine

SAMPLES = st.integers(0, 200_000)
WORDS = st.lists(st.sampled_from(["what", "time", "is", "it", "no", "stop"]), max_size=4).map(" ".join)
NEAR_TURN = st.integers(-1, 1)

STEPS = st.one_of(
    st.tuples(st.just("speech"), st.sampled_from(list(SpeechEdge)), SAMPLES),
    st.tuples(st.just("result"), NEAR_TURN, WORDS, st.booleans(), st.booleans()),
    st.tuples(st.just("asr_ended"), NEAR_TURN, st.sampled_from(["", "BACKEND_TIMEOUT"])),
    st.tuples(st.just("text"), WORDS.filter(bool), SAMPLES),
    st.tuples(st.just("speak"), WORDS.filter(bool), st.booleans(), SAMPLES),
    st.tuples(st.just("asked"), st.sampled_from(list(Ask)), SAMPLES),
    st.tuples(st.just("played"), NEAR_TURN, SAMPLES),
    st.tuples(
        st.just("reply"),
        st.sampled_from(["started", "text_done", "phrase", "audio", "ready", "playing", "trouble", "ended"]),
        NEAR_TURN,
    ),
    st.tuples(st.just("retuned"), st.sampled_from(list(Finalize)), st.integers(60, 1000)),
    st.tuples(st.just("close")),
    st.tuples(st.just("drain"), st.integers(0, 20_000)),
    st.tuples(st.just("failed")),
    st.tuples(st.just("wait")),
)
"""What may happen next; numbers of turns and utterances are relative to the current ones, so that most are apt."""

STEP = st.tuples(st.integers(0, 900), STEPS)

SHORT_WAITS = st.sampled_from([0, 20, 100, 150, 450])


def _story(*steps: tuple[object, ...]) -> st.SearchStrategy[list[tuple[int, tuple[object, ...]]]]:
    """These steps in order, each after a wait, with something else in between now and then."""
    told = st.tuples(*(st.tuples(SHORT_WAITS, st.just(step)) for step in steps))
    return st.tuples(told, st.lists(STEP, max_size=2), st.integers(0, len(steps))).map(
        lambda drawn: [*drawn[0][: drawn[2]], *drawn[1], *drawn[0][drawn[2] :]]
    )


_STARTED, _CONFIRMED, _PAUSED = (
    ("speech", edge, 8_000) for edge in (SpeechEdge.STARTED, SpeechEdge.CONFIRMED, SpeechEdge.PAUSED)
)
_ENDED, _MISFIRE = (("speech", edge, 8_000) for edge in (SpeechEdge.ENDED, SpeechEdge.MISFIRE))
_FINAL, _EMPTY_FINAL = ("result", 0, "what time is it", True, False), ("result", 0, "", True, False)
_ANSWER = tuple(("reply", kind, 0) for kind in ("started", "phrase", "ready", "playing", "audio"))

STORIES = st.one_of(
    _story(_STARTED, _CONFIRMED, _PAUSED, _ENDED, _FINAL),
    _story(_STARTED, _CONFIRMED, _PAUSED, _FINAL),
    _story(_STARTED, _CONFIRMED, _PAUSED, ("result", 0, "what time", False, True), _FINAL),
    _story(_STARTED, _MISFIRE, _EMPTY_FINAL),
    _story(_STARTED, _CONFIRMED, _ENDED, _STARTED, _FINAL, _ENDED, _FINAL),
    _story(*_ANSWER),
    _story(*_ANSWER, ("reply", "ended", 0)),
    _story(*_ANSWER, _STARTED, _CONFIRMED),
    STEP.map(lambda step: [step]),
)
"""What usually happens. Random steps alone seldom get as far as an answer that is interrupted."""

WALKS = st.lists(STORIES, max_size=12).map(lambda stories: [step for story in stories for step in story])


class Walk:
    """Drives one machine through steps, and checks the invariants after each."""

    def __init__(self, machine: TurnMachine | None = None, *, now: int = 0) -> None:
        self.machine = machine or TurnMachine(TurnPolicy())
        self.now = now
        self.history: list[tuple[int, Event]] = []
        self.actions: list[list[Action]] = []
        self._cut_phrases = 0
        self._heard_audio: set[int] = set()

    def start(self) -> None:
        self.feed(CallStarted(16_000, "Be brief."))

    def feed(self, event: Event) -> list[Action]:
        """Give the machine one event at the present time."""
        phase = self.machine.phase
        actions = self.machine.handle(event, now=self.now)
        self.history.append((self.now, event))
        self.actions.append(actions)
        self._check(actions, str(phase))
        return actions

    def step(self, wait_ms: int, step: tuple[object, ...]) -> None:
        """Let `wait_ms` pass, running deadlines that fall due, then take a step if the call still lives."""
        until = self.now + wait_ms
        while not self.machine.finished and (due := self.machine.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.feed(Tick())
            later = self.machine.deadline()
            assert later is None or later > self.now, "no deadline in the past"
        self.now = until
        if not self.machine.finished and (event := self._event(step)) is not None:
            self.feed(event)

    def _event(self, step: tuple[object, ...]) -> Event | None:
        state = self.machine.state
        match step:
            case ("speech", SpeechEdge() as edge, int() as heard):
                return Speech(edge, self.now * 16, self.now, heard)
            case ("result", int() as near, str() as text, bool() as final, bool() as first_pass):
                through = self.now * 16 if len(text) % 2 else 0
                return AsrResult(
                    state.utterance + near, text, len(text.split()), final, first_pass and not final, through
                )
            case ("asr_ended", int() as near, str() as reason):
                return AsrEnded(state.utterance + near, reason, "The recogniser failed." if reason else "")
            case ("text", str() as text, int() as heard):
                return TextTurn(text, len(text.split()), heard)
            case ("speak", str() as text, bool() as firm, int() as heard):
                return SpeakRequest(text, len(text.split()), firm, heard)
            case ("asked", Ask() as ask, int() as heard):
                return Asked(ask, heard)
            case ("played", int() as near, int() as samples):
                return Played(max(0, state.generation + near), samples)
            case ("reply", str() as kind, int() as near):
                return self._reply_event(kind, state.turn + near)
            case ("retuned", Finalize() as finalize, int() as silence):
                return Retuned(TurnPolicy(finalize=finalize, endpoint_silence_ms=silence), "Be brief.", 500)
            case ("close",):
                return InputClosed()
            case ("drain", int() as after):
                return DrainRequested(self.now + after)
            case ("failed",):
                return CallFailed("SLOW_CONSUMER", "The caller does not take its audio.", retryable=True)
            case _:
                return None

    def _reply_event(self, kind: str, turn: int) -> Event | None:
        reply = self.machine.state.reply
        index = len(reply.ledger.phrases) if reply is not None and reply.turn == turn else 0
        match kind:
            case "started":
                return ReplyStarted(turn)
            case "text_done":
                return ReplyTextDone(turn)
            case "phrase":
                return PhraseCut(turn, index, "It is noon.", 11)
            case "audio" if index:
                return PhraseAudio(turn, index - 1, 16_000, (5_000, 9_000, 16_000))
            case "ready":
                return AudioReady(turn)
            case "playing" if reply is not None and reply.released:
                return PlaybackStarted(turn)
            case "trouble":
                return ReplyTrouble(turn, "tts", "BACKEND_TIMEOUT", "No voice.", retryable=True)
            case "ended":
                return ReplyEnded(turn)
            case _:
                return None

    def _check(self, actions: list[Action], before: str) -> None:
        state = self.machine.state
        started = [action for action in actions if isinstance(action, StartReply | SpeakVerbatim)]
        assert len(started) <= 1, "one active turn"
        if started:
            assert state.reply is not None
            assert started[0].generation == state.generation == state.reply.generation
        for action in actions:
            if isinstance(action, ReleaseAudio):
                assert state.reply is not None, "nothing audible without an answer"
                assert action.generation == state.generation, "nothing of a dead turn"
            if isinstance(action, CancelReply):
                assert action.generation > 0
            if isinstance(action, EndCall):
                assert actions[-1] is action
                assert self.machine.finished
        assert sum(utterance.open for utterance in state.utterances) <= 1
        assert (state.reply is not None) == (
            self.machine.phase.value in ("thinking", "speaking", "interrupting", "paused")
        )
        assert state.draft is None or state.reply is None, "a draft never stands beside an answer"
        due = self.machine.deadline()
        assert self.machine.finished == (due is None), before
        answers = [message for message in state.history if message.role is Role.ASSISTANT]
        assert all(message.text for message in answers)
        ended = [action for action in actions if isinstance(action, SendEvent) and action.kind is EventKind.END_OF_TURN]
        assert len(ended) <= 1
