"""What a person sees of a call: plain lines, or a live region at the foot of a terminal."""

import sys
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from voice_clients.conversation import Conversation, State, Turn
from voice_clients.events import (
    AnswerText,
    CallEvent,
    Cause,
    Ended,
    Event,
    EventKind,
    Lost,
    Resumed,
    Session,
    Stage,
    Transcript,
)
from voice_clients.waterfall import in_one_line, until_first_audio, waterfall

METER_CELLS = 20
FOOT_LINES = 6  # kept free of the answer: what was said, the foot, and the last line of wrapping
PLAIN_WIDTH = 88  # of the bars where the output is no terminal
METER_FLOOR_DB = -60.0  # full scale is 0 dB


class View(Protocol):
    """Shows a conversation as it goes."""

    def show(self, event: CallEvent, conversation: Conversation) -> None:
        """Take an event that `conversation` has already taken."""

    def note(self, text: str) -> None:
        """Say something about the client itself."""

    def level(self, decibel: float, status: str) -> None:
        """Show how loud the microphone is, and what it does."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Timings(Enum):
    """How the latency of a turn is shown."""

    BARS = "bars"
    LINE = "line"
    OFF = "off"


def open_view(*, quiet: bool = False, timings: Timings = Timings.BARS) -> View:
    """A live view on a terminal, plain lines elsewhere, nothing where `quiet`."""
    console = Console(highlight=False, soft_wrap=True)
    if quiet:
        return QuietView()
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(Console(highlight=False), timings=timings)
    return PlainView(timings=timings)


class QuietView:
    """Shows nothing: for --json."""

    def show(self, event: CallEvent, conversation: Conversation) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def level(self, decibel: float, status: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def _latency_lines(turn: Turn, timings: Timings, *, width: int, ascii_only: bool) -> list[str]:
    """A heading and the bars, or all in one line."""
    stages = until_first_audio(turn.stages())
    if not stages or timings is Timings.OFF:
        return []
    if timings is Timings.LINE:
        return [_latency_line(turn, stages)]
    reported = turn.reported is not None and bool(turn.reported.stages)
    source = "as the gateway reports it" if reported else "as measured here"
    start = "end of speech" if reported or turn.speech_end_ns is not None else "final transcript"
    rule = f", endpoint by {turn.reported.endpoint_rule}" if turn.reported and turn.reported.endpoint_rule else ""
    lines = [f"latency of turn {turn.number}, 0 = {start} ({source}{rule})"]
    lines += [f"  {line}" for line in waterfall(stages, width=width - 2, ascii_only=ascii_only)]
    response = turn.response_ms()
    if response is not None:
        since = "the end of speech" if turn.speech_end_ns is not None else "the final transcript"
        played = turn.played_ms()
        heard = f"; it was played at {played:.0f} ms" if played is not None else ""
        lines.append(f"  first audio of the answer reached this client {response:.0f} ms after {since}{heard}")
    return lines


def _latency_line(turn: Turn, stages: Sequence[Stage]) -> str:
    """The ends of the stages by the gateway's clock, and what this client saw of them by its own."""
    reported = turn.reported is not None and bool(turn.reported.stages)
    rule = f", endpoint by {turn.reported.endpoint_rule}" if turn.reported and turn.reported.endpoint_rule else ""
    told = f"turn {turn.number}: {in_one_line(stages)}{rule}{'' if reported else ' (measured here)'}"
    response, played = turn.response_ms(), turn.played_ms()
    if response is None:
        return told
    here = f"received {response:.0f}" + (f", played {played:.0f}" if played is not None else "")
    since = "end of speech" if turn.speech_end_ns is not None else "final transcript"
    return f"{told}; here: {here} ms after the {since}"


def _ascii_only() -> bool:
    return "utf" not in (sys.stdout.encoding or "").lower()


def resume_words(event: Lost | Resumed) -> str:
    """What a person is told of a connection that is lost, and of the call that goes on."""
    if isinstance(event, Lost):
        what = "the gateway hands the call over" if event.cause is Cause.GO_AWAY else "connection lost"
        return f"{what}, resuming ..."
    told = f"resumed after {event.gap_ms / 1000:.2f} s ({event.cause.words})"
    if event.forgotten_ms:
        told += f"; {event.forgotten_ms / 1000:.1f} s of what you said were not kept: please say them again"
    return told


class _Settled:
    """Which turns have ended and been told. The gateway's latency report comes right after END_OF_TURN: what comes
    next, the report or anything else, is the time to tell how long the turn took.
    """

    def __init__(self) -> None:
        self._told: set[int] = set()

    def told(self, turn: Turn) -> bool:
        """Whether the turn has been told."""
        return turn.number in self._told

    def due(self, event: CallEvent, conversation: Conversation) -> list[Turn]:
        """Turns whose latency is to be told now."""
        if isinstance(event, Event) and event.kind is EventKind.END_OF_TURN:
            return []
        due = [turn for turn in conversation.told_turns() if turn.ended and turn.number not in self._told]
        self._told.update(turn.number for turn in due)
        return due


class _Pauses:
    """Tells once when an answer pauses, and once when it goes on. That it was interrupted is told with its turn."""

    def __init__(self) -> None:
        self._paused: Turn | None = None

    def words(self, conversation: Conversation) -> str:
        """What to say now, or nothing."""
        before, self._paused = self._paused, conversation.paused_turn
        if self._paused is not None:
            return "" if self._paused is before else "(paused: you spoke over it)"
        return "(goes on)" if before is not None and not before.ended else ""


class PlainView:
    """One line per event that matters, flushed at once; interim transcripts are marked by dots."""

    def __init__(self, *, timings: Timings = Timings.BARS) -> None:
        self._timings = timings
        self._settled = _Settled()
        self._pauses = _Pauses()
        self._line_open = False

    def show(self, event: CallEvent, conversation: Conversation) -> None:
        """See View."""
        for turn in self._settled.due(event, conversation):
            self._end_line()
            if turn.interrupted:
                self._line("  (interrupted)")
            for line in _latency_lines(turn, self._timings, width=PLAIN_WIDTH, ascii_only=_ascii_only()):
                self._line(line)
        if words := self._pauses.words(conversation):
            self._line(f"  {words}")
        match event:
            case AnswerText():
                self._answer(event.text)
            case Session(resumed=False):
                self._line(f"call {event.call_id}")
            case Lost() | Resumed():
                self._line(resume_words(event))
            case Transcript(final=True):
                self._line(f"you: {event.text}")
            case Transcript():
                self._line(f"  ... {event.text}")
            case Event(kind=EventKind.ERROR):
                self._line(f"gateway: {event.message}")
            case Event(kind=EventKind.END_OF_TURN):
                self._end_line()
            case Ended():
                self._end_line()
            case _:
                pass

    def _answer(self, more: str) -> None:
        if not self._line_open:
            more = "assistant: " + more.lstrip()
        self._line_open = True
        print(more.replace("\n", " "), end="", flush=True)  # noqa: T201 - this is the output

    def note(self, text: str) -> None:
        """See View."""
        self._line(text)

    def level(self, decibel: float, status: str) -> None:
        """Not shown: a level makes no sense as lines."""

    def close(self) -> None:
        """See View."""
        self._end_line()

    def _line(self, text: str) -> None:
        self._end_line()
        print(text, flush=True)  # noqa: T201 - this is the output

    def _end_line(self) -> None:
        if self._line_open:
            self._line_open = False
            print(flush=True)  # noqa: T201 - this is the output


_STATE_STYLE = {
    State.CONNECTING: "yellow",
    State.LISTENING: "green",
    State.THINKING: "yellow",
    State.SPEAKING: "cyan",
    State.PAUSED: "magenta",
    State.RESUMING: "yellow",
    State.OVER: "dim",
}


class LiveView:
    """What is finished scrolls up as text; what still changes lives in a region at the foot."""

    def __init__(self, console: Console, *, timings: Timings = Timings.BARS) -> None:
        self._console = console
        self._timings = timings
        self._conversation: Conversation | None = None
        self._level: tuple[float, str] | None = None
        self._settled = _Settled()
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def show(self, event: CallEvent, conversation: Conversation) -> None:
        """See View."""
        self._conversation = conversation
        self._settle(event, conversation)
        match event:
            case Session(resumed=False):
                self._print(Text(f"call {event.call_id}", style="dim"))
            case Lost() | Resumed():
                self._print(Text(resume_words(event), style="yellow"))
            case Event(kind=EventKind.ERROR):
                self._print(Text(f"gateway: {event.message}", style="red"))
            case _:
                pass
        self._refresh()

    def _settle(self, event: CallEvent, conversation: Conversation) -> None:
        """Let turns that are over scroll up."""
        for turn in self._settled.due(event, conversation):
            self._print(*_turn_lines(turn))
            width = min(self._console.width, 100)
            lines = _latency_lines(turn, self._timings, width=width, ascii_only=_ascii_only())
            self._print(*(Text(line, style="dim") for line in lines))
        if isinstance(event, Ended):
            for turn in conversation.told_turns():
                if not turn.ended:
                    self._print(*_turn_lines(turn))

    def note(self, text: str) -> None:
        """See View."""
        self._print(Text(text, style="dim"))
        self._refresh()

    def level(self, decibel: float, status: str) -> None:
        """See View."""
        self._level = (decibel, status)
        self._refresh()

    def close(self) -> None:
        """See View."""
        self._live.update(Text(""), refresh=False)
        self._live.stop()

    def _print(self, *lines: RenderableType) -> None:
        for line in lines:
            self._console.print(line)

    def _is_in_the_making(self, conversation: Conversation) -> bool:
        """Whether the present turn still belongs at the foot."""
        return conversation.ended is None and not self._settled.told(conversation.turn)

    def _refresh(self) -> None:
        lines: list[RenderableType] = []
        conversation = self._conversation
        if conversation is not None and self._is_in_the_making(conversation):
            # A region taller than the screen would lose its foot: of a long answer only the end is shown meanwhile.
            room = (self._console.height - FOOT_LINES) * self._console.width
            lines += _turn_lines(conversation.turn, last_characters=max(room, self._console.width))
        state = conversation.state if conversation is not None else State.CONNECTING
        foot = Text.assemble((f"[{state.value}]", _STATE_STYLE[state]))
        if self._level is not None:
            foot.append(f" mic {meter(self._level[0], ascii_only=_ascii_only())} {self._level[1]}")
        foot.truncate(self._console.width, overflow="ellipsis")
        lines.append(foot)
        self._live.update(Group(*lines), refresh=True)


def _turn_lines(turn: Turn, *, last_characters: int | None = None) -> list[RenderableType]:
    lines: list[RenderableType] = []
    if turn.transcript or turn.interim:
        said = Text.assemble(("you: ", "bold green"), turn.transcript)
        if turn.interim:
            said.append(f"{' ' if turn.transcript else ''}{turn.interim} ...", style="italic dim")
        lines.append(said)
    if turn.answer:
        text = turn.answer.strip()
        if last_characters is not None and len(text) > last_characters:
            text = f"... {text[-last_characters:]}"
        answer = Text.assemble(("assistant: ", "bold cyan"), text)
        if turn.resumed:
            answer.append(" (paused and went on)", style="dim")
        if turn.paused:
            answer.append(" (paused)", style="dim")
        if turn.interrupted:
            answer.append(" (interrupted)", style="dim")
        lines.append(answer)
    return lines


def meter(decibel: float, *, cells: int = METER_CELLS, ascii_only: bool = False) -> str:
    """A bar for a level in dB below full scale, from -60 to 0."""
    share = min(1.0, max(0.0, 1.0 - decibel / METER_FLOOR_DB))
    full, empty = ("#", "-") if ascii_only else ("█", "░")
    lit = round(share * cells)
    return full * lit + empty * (cells - lit)
