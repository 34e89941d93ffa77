"""The story of a call so far, told by its events: turns with what was said, answered and when. Pure."""

from dataclasses import dataclass, field
from enum import Enum

from voice_clients.events import (
    AnswerAudio,
    AnswerText,
    CallEvent,
    Checkpoint,
    Ended,
    Event,
    EventKind,
    GoAway,
    Latency,
    Lost,
    Playback,
    PlaybackAction,
    Pong,
    Resumed,
    Session,
    Stage,
    Transcript,
)


class State(Enum):
    """What the gateway is doing, in words for a person."""

    CONNECTING = "connecting"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    PAUSED = "paused"
    RESUMING = "resuming"
    OVER = "not connected"


@dataclass(slots=True, kw_only=True)
class _Moments:
    """By `time.monotonic_ns()`; None where it has not come to that."""

    speech_end_ns: int | None = None
    final_ns: int | None = None
    processing_ns: int | None = None
    first_text_ns: int | None = None
    first_audio_ns: int | None = None
    first_played_ns: int | None = None
    end_ns: int | None = None


@dataclass(slots=True)
class Turn(_Moments):
    """One exchange."""

    number: int
    interim: str = ""
    transcript: str = ""
    answer: str = ""
    answer_since: str = ""
    """What of it came after its connection was lost."""
    answer_samples: int = 0
    generation: int = 0
    """Of the answer's first audio."""
    paused: bool = False
    """Speech over the answer stopped it, and it is not decided yet whether it goes on."""
    resumed: int = 0
    """How often the answer went on after such a pause."""
    interrupted: bool = False
    ended: bool = False
    reported: Latency | None = None
    errors: list[str] = field(default_factory=list)
    _before: str | None = None
    """The answer's text from before its connection was lost, while text of another connection is added to it."""

    def add_text(self, text: str) -> None:
        """More of the answer's text."""
        if self._before is None:
            self.answer += text
            return
        # A gateway that goes on repeats what came after the last phrase that it knows of: the longest overlap is that.
        since = self.answer_since + text
        self.answer_since = since
        before = self._before
        overlap = next((n for n in range(min(len(before), len(since)), 0, -1) if before.endswith(since[:n])), 0)
        self.answer = before + since[overlap:]

    def cut_off(self) -> None:
        """The connection is lost."""
        if self.answer and not self.ended:
            self._before, self.answer_since = self.answer, ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said, typed or answered in it."""
        return not (
            self.interim or self.transcript or self.answer or self.answer_samples or self.errors or self.processing_ns
        )

    def response_ms(self) -> float | None:
        """From the end of the caller's speech (else from the final transcript) to the first audio, as seen here."""
        start = self.speech_end_ns if self.speech_end_ns is not None else self.final_ns
        if start is None or self.first_audio_ns is None:
            return None
        response_ms = (self.first_audio_ns - start) / 1e6
        return response_ms if response_ms >= 0 else None

    def played_ms(self) -> float | None:
        """From the same start to the moment at which the first of the answer left for the loudspeaker."""
        start = self.speech_end_ns if self.speech_end_ns is not None else self.final_ns
        if start is None or self.first_played_ns is None or self.response_ms() is None:
            return None
        return (self.first_played_ns - start) / 1e6

    def stages(self) -> tuple[Stage, ...]:
        """The gateway's report; else what can be measured here."""
        if self.reported is not None and self.reported.stages:
            return self.reported.stages
        return self.measured_stages()

    def measured_stages(self) -> tuple[Stage, ...]:
        """Stages by the arrival of messages, each from the end of the one before."""
        start = self.speech_end_ns if self.speech_end_ns is not None else self.final_ns
        if start is None:
            return ()
        marks = (
            ("final transcript", self.final_ns if self.speech_end_ns is not None else None),
            ("first answer text", self.first_text_ns),
            ("first answer audio", self.first_audio_ns),
        )
        stages: list[Stage] = []
        before = 0.0
        for name, at_ns in marks:
            if at_ns is None or (at := (at_ns - start) / 1e6) < before:
                continue
            stages.append(Stage(name, before, at))
            before = at
        return tuple(stages)


class Conversation:
    """Folds the events of one call. `turn` is the present turn, `turns` all that hold anything, in order."""

    def __init__(self) -> None:
        self.state = State.CONNECTING
        self.session: Session | None = None
        self.turns: list[Turn] = [Turn(1)]
        self.ended: Ended | None = None
        self.going_away: GoAway | None = None
        self.resumed: list[Resumed] = []

    @property
    def turn(self) -> Turn:
        """The present turn."""
        return self.turns[-1]

    @property
    def is_idle(self) -> bool:
        """Whether every turn that has begun has ended."""
        return all(turn.ended or turn.is_empty for turn in self.turns)

    @property
    def paused_turn(self) -> Turn | None:
        """The turn whose answer was stopped by speech over it, while that is not decided."""
        return next((turn for turn in reversed(self.turns) if turn.paused), None)

    def told_turns(self) -> list[Turn]:
        """Turns in which anything happened."""
        return [turn for turn in self.turns if not turn.is_empty]

    def speech_ended(self, at_ns: int) -> None:
        """The caller has just said the last of what is to be answered."""
        if self.turn.ended:
            self._begin(self.turn.number + 1)
        self.turn.speech_end_ns = at_ns

    def played(self, generation: int, at_ns: int) -> None:
        """The first audio of a generation has left for the loudspeaker. Later ones of a turn change nothing."""
        for turn in self.turns:
            if turn.answer_samples and turn.generation == generation and turn.first_played_ns is None:
                turn.first_played_ns = at_ns
                return

    def _begin(self, number: int) -> Turn:
        turn = Turn(max(number, self.turns[-1].number + 1))
        self.turns.append(turn)
        return turn

    def _turn_of(self, number: int) -> Turn:
        """The turn an event belongs to. Gateways that send no numbers speak of the present turn, or of a new one."""
        if number == 0:
            return self._begin(self.turn.number + 1) if self.turn.ended else self.turn
        for turn in reversed(self.turns):
            if turn.number == number:
                return turn
        if self.turn.is_empty and all(turn.number < number for turn in self.turns[:-1]):
            self.turn.number = number
            return self.turn
        if number > self.turn.number:
            return self._begin(number)
        return self.turn

    def apply(self, event: CallEvent) -> None:
        """Take one event."""
        match event:
            case Session():
                self.session = event
            case Transcript():
                self._transcript(event)
            case AnswerText():
                turn = self._turn_of(event.turn)
                turn.add_text(event.text)
                turn.first_text_ns = turn.first_text_ns or event.at_ns
            case AnswerAudio():
                turn = self._turn_of(event.turn)
                turn.answer_samples += len(event.pcm) // 2
                if turn.first_audio_ns is None:
                    turn.first_audio_ns, turn.generation = event.at_ns, event.generation
                self._goes_on(turn.number)
            case Event():
                self._server_event(event)
            case Latency():
                self._latency(event)
            case Playback():
                self._playback(event)
            case GoAway():
                self.going_away = event
            case Ended():
                self.ended = event
                self.state = State.OVER
            case Lost():
                self.state = State.RESUMING
                for turn in self.turns:
                    turn.cut_off()
            case Resumed():
                self.resumed.append(event)
                self.state = State.LISTENING if self.is_idle else State.THINKING
            case Pong() | Checkpoint():
                pass

    def _playback(self, event: Playback) -> None:
        """A flush is a pause until the turn ends, which makes it an interruption, or more audio comes."""
        answered = next((turn for turn in reversed(self.turns) if turn.answer_samples), None)
        match event.action:
            case PlaybackAction.FLUSH if answered is not None and answered.ended:
                answered.interrupted = True  # it was still being heard here
            case PlaybackAction.FLUSH if answered is not None:
                answered.paused = True
                self.state = State.PAUSED
            case PlaybackAction.PAUSE if self.state is State.SPEAKING:
                self.state = State.PAUSED
            case PlaybackAction.RESUME if self.state is State.PAUSED:
                self.state = State.SPEAKING
            case _:
                pass

    def _goes_on(self, number: int) -> None:
        paused = self.paused_turn
        if paused is not None and number in {0, paused.number}:
            paused.paused = False
            paused.resumed += 1
            self.state = State.SPEAKING

    def _transcript(self, event: Transcript) -> None:
        turn = self._turn_of(event.turn)
        if event.final:
            turn.transcript = f"{turn.transcript} {event.text}".strip()
            turn.interim = ""
            turn.final_ns = event.at_ns
        else:
            turn.interim = event.text

    def _latency(self, event: Latency) -> None:
        for turn in reversed(self.turns):
            if event.turn in {0, turn.number} and not (event.turn == 0 and turn.is_empty):
                turn.reported = event
                return

    def _server_event(self, event: Event) -> None:
        match event.kind:
            case EventKind.LISTENING:
                self.state = State.LISTENING
            case EventKind.PROCESSING:
                self.state = State.THINKING
                turn = self._turn_of(event.turn)
                turn.processing_ns = turn.processing_ns or event.at_ns
            case EventKind.SPEAKING:
                self.state = State.SPEAKING
                self._goes_on(event.turn)
            case EventKind.ERROR:
                self.turn.errors.append(event.message)
            case EventKind.END_OF_TURN:
                self.state = State.LISTENING
                turn = self._turn_of(event.turn) if event.turn else self.turn
                turn.ended = True
                turn.interrupted = turn.interrupted or turn.paused
                turn.paused = False
                turn.end_ns = event.at_ns
                turn.interim = ""
            case EventKind.UNKNOWN:
                pass
