"""A call told by hand to the turn machine, one event a line: for examples that read like a conversation."""

from dataclasses import replace
from typing import TypeVar

from voice_gateway.domain.actions import Action, EventKind, SendEvent, SendTranscript
from voice_gateway.domain.call_state import CallState, Tuning
from voice_gateway.domain.conversation import Role
from voice_gateway.domain.events import (
    Ask,
    Asked,
    AsrEnded,
    AsrResult,
    AudioReady,
    CallStarted,
    Event,
    KeyPressed,
    PhraseAudio,
    PhraseCut,
    PlaybackStarted,
    ReplyEnded,
    ReplyStarted,
    SpeakRequest,
    Speech,
    SpeechEdge,
    TextTurn,
    Tick,
)
from voice_gateway.domain.expectation import expectation_of
from voice_gateway.domain.languages import language_of
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.policy import ConversationPolicy, TurnPolicy
from voice_gateway.domain.text_features import TextFeatures, features_of
from voice_gateway.domain.turn import TurnMachine

A = TypeVar("A")

RATE_HZ = 16_000

ENGLISH = language_of("en-US")


def understood(text: str, *, final: bool = True, echo: float = 0.0) -> TextFeatures:
    """What the machine is told of an English text; `echo` is how much of it was just played."""
    return replace(features_of(text, ENGLISH, final=final), echo=echo)


def result(
    utterance: int,
    text: str,
    *,
    final: bool = True,
    first_pass: bool = False,
    through: int = 0,
    heard: int = 0,
    echo: float = 0.0,
) -> AsrResult:
    """What the recogniser makes of an utterance, with what it means."""
    features = understood(text, final=final, echo=echo)
    return AsrResult(utterance, text, len(text.split()), final, first_pass, through, features, heard)


class Talk:
    """One machine at a time that only `after` moves. Every method gives the actions of its event."""

    def __init__(
        self,
        policy: TurnPolicy | None = None,
        *,
        prompt: str = "Be brief.",
        conversation: ConversationPolicy | None = None,
    ) -> None:
        tuning = Tuning(policy or TurnPolicy(), conversation=conversation or ConversationPolicy())
        self.machine = TurnMachine(state=CallState(tuning=tuning))
        self.now = 0
        self.happened: list[tuple[int, Event]] = []
        self.actions: list[Action] = []
        self.tell(CallStarted(RATE_HZ, prompt))

    # ---- time and events --------------------------------------------------------------------------------------------

    def after(self, milliseconds: int) -> list[Action]:
        """Let time pass; what falls due happens in it."""
        until = self.now + milliseconds
        done: list[Action] = []
        while (due := self.machine.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            done += self.tell(Tick())
        self.now = until
        return done

    def tell(self, event: Event) -> list[Action]:
        """Give the machine an event now."""
        self.happened.append((self.now, event))
        actions = self.machine.handle(event, now=self.now)
        self.actions += actions
        return actions

    # ---- the caller -------------------------------------------------------------------------------------------------

    def edge(self, edge: SpeechEdge, *, heard: int = 0, sample: int | None = None) -> list[Action]:
        return self.tell(Speech(edge, self.now * 16 if sample is None else sample, self.now, heard))

    def starts_speaking(self) -> list[Action]:
        return [*self.edge(SpeechEdge.STARTED), *self.after(100), *self.edge(SpeechEdge.CONFIRMED)]

    def interim(
        self, text: str, *, first_pass: bool = False, utterance: int | None = None, through: int = 0, echo: float = 0.0
    ) -> list[Action]:
        number = utterance or self.machine.state.utterance
        return self.tell(result(number, text, final=False, first_pass=first_pass, through=through, echo=echo))

    def final(
        self, text: str, *, utterance: int | None = None, through: int = 0, heard: int = 0, echo: float = 0.0
    ) -> list[Action]:
        number = utterance or self.machine.state.utterance
        return self.tell(result(number, text, through=through, heard=heard, echo=echo))

    def asr_ended(self, reason: str = "", *, utterance: int | None = None) -> list[Action]:
        message = "The recogniser failed." if reason else ""
        return self.tell(AsrEnded(utterance or self.machine.state.utterance, reason, message, retryable=bool(reason)))

    def types(self, text: str, *, heard: int = 0) -> list[Action]:
        return self.tell(TextTurn(text, len(text.split()), heard, understood(text)))

    def presses(self, keys: str, *, heard: int = 0) -> list[Action]:
        return [action for key in keys for action in self.tell(KeyPressed(key, heard))]

    def wants_spoken(self, text: str, *, uninterruptible: bool = False) -> list[Action]:
        return self.tell(SpeakRequest(text, len(text.split()), uninterruptible))

    def asks(self, ask: Ask, *, heard: int = 0) -> list[Action]:
        return self.tell(Asked(ask, heard))

    def says(self, text: str) -> list[Action]:
        """A whole utterance: speech, half a second of silence, and the final result of the recogniser."""
        done = [*self.starts_speaking(), *self.after(400), *self.edge(SpeechEdge.PAUSED)]
        done += [*self.after(380), *self.edge(SpeechEdge.ENDED), *self.after(20)]
        return [*done, *self.final(text)]

    # ---- the answer -------------------------------------------------------------------------------------------------

    def answers(self, *phrases: str, ms_per_phrase: int = 1000) -> list[Action]:
        """The answer's text and audio are made, and it begins to be heard."""
        turn, revision = self.machine.state.turn, self.revision()
        done = self.tell(ReplyStarted(turn, revision))
        for index, phrase in enumerate(phrases):
            expects = expectation_of(phrase, ENGLISH)
            done += self.tell(PhraseCut(turn, index, phrase, len(phrase), expects, revision))
            done += self.tell(PhraseAudio(turn, index, ms_per_phrase * 16, (), revision))
            if index == 0:
                done += self.tell(AudioReady(turn, revision))
                done += self.tell(PlaybackStarted(turn, revision))
        return done

    def revision(self) -> int:
        """Of the answer under way."""
        reply = self.machine.state.reply
        return reply.revision if reply is not None else 0

    def answer_ends(self) -> list[Action]:
        return self.tell(ReplyEnded(self.machine.state.turn, self.revision()))

    # ---- what became of it ------------------------------------------------------------------------------------------

    def phase(self) -> Phase:
        return self.machine.phase

    def history(self) -> list[tuple[str, str]]:
        return [(message.role.value, message.sent_text) for message in self.machine.state.history]

    def answers_in_history(self) -> list[str]:
        return [message.text for message in self.machine.state.history if message.role is Role.ASSISTANT]

    def all(self, kind: type[A]) -> list[A]:
        """Every action of a kind since the start."""
        return only(kind, self.actions)

    def events(self) -> list[EventKind]:
        return [action.kind for action in self.all(SendEvent)]

    def finals(self) -> list[str]:
        return [action.text for action in self.all(SendTranscript) if action.final]


def only(kind: type[A], actions: list[Action]) -> list[A]:
    """The actions of one kind."""
    return [action for action in actions if isinstance(action, kind)]
