"""The states of a call and every way from one to another. All of it is here: what is not in the table cannot happen.

`docs/explanation/turn-taking.md` shows the diagram that `diagram()` draws from the table.
"""

from enum import StrEnum

from voice_gateway.domain.events import (
    Asked,
    AsrEnded,
    AsrResult,
    CallFailed,
    CallResumed,
    CallStarted,
    DrainRequested,
    Event,
    InputClosed,
    KeyPressed,
    PlaybackStarted,
    ReplyEnded,
    SpeakRequest,
    Speech,
    TextTurn,
    Tick,
    TurnScored,
)


class Phase(StrEnum):
    """Where a call stands."""

    NEW = "new"
    LISTENING = "listening"
    """Nobody speaks."""
    HEARING = "hearing"
    """The caller speaks, and no answer is under way."""
    ENDPOINTING = "endpointing"
    """The caller fell silent; the final transcript is awaited."""
    THINKING = "thinking"
    """An answer is being made; none of it was heard yet."""
    SPEAKING = "speaking"
    """The answer is heard."""
    INTERRUPTING = "interrupting"
    """The caller makes a sound while an answer is under way: the answer is ducked, or held back if not yet audible."""
    PAUSED = "paused"
    """It is speech: the answer stands still until it is decided whether the speech interrupts it."""
    CLOSED = "closed"


_OVER = frozenset({Phase.LISTENING, Phase.THINKING, Phase.CLOSED})
"""At a turn boundary: the caller is listened to, what waited for the boundary is said, or the call ends."""

_KEPT = frozenset({Phase.THINKING, Phase.SPEAKING})
"""The answer goes on."""

_INTERRUPTED = frozenset({Phase.ENDPOINTING, Phase.THINKING})
"""Words that the caller has finished stop the answer; they are a turn at once, or once their final result is there."""

TRANSITIONS: dict[Phase, dict[type[Event], frozenset[Phase]]] = {
    Phase.NEW: {
        CallStarted: frozenset({Phase.LISTENING, Phase.THINKING}),
        # An answer that was under way goes on, or all of it was heard.
        CallResumed: _OVER | {Phase.SPEAKING},
    },
    Phase.LISTENING: {
        Speech: frozenset({Phase.HEARING}),
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: frozenset({Phase.THINKING}),
        SpeakRequest: frozenset({Phase.THINKING}),
        InputClosed: frozenset({Phase.THINKING, Phase.CLOSED}),
        # A farewell comes first where one was configured only now that the call comes near its longest length.
        DrainRequested: frozenset({Phase.THINKING, Phase.CLOSED}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.THINKING, Phase.CLOSED}),
    },
    Phase.HEARING: {
        Speech: frozenset({Phase.ENDPOINTING}) | _OVER,
        AsrResult: frozenset({Phase.ENDPOINTING}) | _OVER,
        TurnScored: _OVER,
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: frozenset({Phase.THINKING}),
        Asked: frozenset({Phase.ENDPOINTING}) | _OVER,
        InputClosed: frozenset({Phase.ENDPOINTING}) | _OVER,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.THINKING, Phase.CLOSED}),
    },
    Phase.ENDPOINTING: {
        Speech: frozenset({Phase.HEARING}),
        AsrResult: _OVER,
        AsrEnded: _OVER,
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: frozenset({Phase.THINKING}),
        Asked: _OVER,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: _OVER,
    },
    Phase.THINKING: {
        Speech: frozenset({Phase.INTERRUPTING}),
        AsrResult: frozenset({Phase.ENDPOINTING}),
        AsrEnded: frozenset({Phase.ENDPOINTING}),
        PlaybackStarted: frozenset({Phase.SPEAKING}),
        ReplyEnded: frozenset({Phase.ENDPOINTING}) | _OVER,
        Asked: frozenset({Phase.ENDPOINTING}) | _OVER,
        KeyPressed: _OVER,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.ENDPOINTING, Phase.CLOSED}),
    },
    Phase.SPEAKING: {
        Speech: frozenset({Phase.INTERRUPTING}),
        AsrResult: _INTERRUPTED,
        AsrEnded: _INTERRUPTED,
        ReplyEnded: frozenset({Phase.ENDPOINTING}) | _OVER,
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: _OVER,
        Asked: frozenset({Phase.ENDPOINTING}) | _OVER,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: _INTERRUPTED | {Phase.CLOSED},
    },
    Phase.INTERRUPTING: {
        Speech: frozenset({Phase.PAUSED, Phase.HEARING}) | _KEPT | _INTERRUPTED,
        AsrResult: frozenset({Phase.HEARING}),
        AsrEnded: frozenset({Phase.HEARING}),
        ReplyEnded: frozenset({Phase.HEARING}),
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: _OVER,
        Asked: frozenset({Phase.HEARING, Phase.ENDPOINTING, Phase.SPEAKING}) | _OVER,
        InputClosed: _KEPT | _INTERRUPTED,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.HEARING, Phase.THINKING, Phase.CLOSED}),
    },
    Phase.PAUSED: {
        Speech: _KEPT | _INTERRUPTED,
        AsrResult: frozenset({Phase.HEARING}) | _KEPT | _INTERRUPTED,
        AsrEnded: frozenset({Phase.HEARING}) | _KEPT | _INTERRUPTED,
        ReplyEnded: frozenset({Phase.HEARING, Phase.ENDPOINTING}),
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: _OVER,
        Asked: frozenset({Phase.HEARING, Phase.ENDPOINTING, Phase.SPEAKING}) | _OVER,
        InputClosed: _KEPT | _INTERRUPTED,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.HEARING, Phase.ENDPOINTING, Phase.CLOSED}) | _KEPT,
    },
    Phase.CLOSED: {},
}
"""Where each event may lead. An event that is not listed for a phase leaves the phase as it is."""


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.NEW}"]
    for phase, ways in TRANSITIONS.items():
        reasons: dict[Phase, list[str]] = {}
        for event, targets in ways.items():
            for target in sorted(targets):
                reasons.setdefault(target, []).append(event.__name__)
        lines += [f"    {phase} --> {target}: {', '.join(names)}" for target, names in reasons.items()]
    return "\n".join([*lines, f"    {Phase.CLOSED} --> [*]"])
