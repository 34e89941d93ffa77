"""The states of a call and every way from one to another. All of it is here: what is not in the table cannot happen.

`docs/explanation/turn-taking.md` shows the diagram that `diagram()` draws from the table.
"""

from enum import StrEnum

from voice_gateway.domain.events import (
    Asked,
    AsrEnded,
    AsrResult,
    CallFailed,
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

_ANSWERING = frozenset({Phase.THINKING, Phase.SPEAKING})

_TAKEN = frozenset({Phase.HEARING, Phase.ENDPOINTING}) | _OVER
"""The caller's speech over an answer is a turn now."""

TRANSITIONS: dict[Phase, dict[type[Event], frozenset[Phase]]] = {
    Phase.NEW: {
        CallStarted: frozenset({Phase.LISTENING, Phase.THINKING}),
    },
    Phase.LISTENING: {
        Speech: frozenset({Phase.HEARING}),
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: frozenset({Phase.THINKING}),
        SpeakRequest: frozenset({Phase.THINKING}),
        InputClosed: frozenset({Phase.CLOSED}),
        DrainRequested: frozenset({Phase.CLOSED}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.THINKING, Phase.CLOSED}),
    },
    Phase.HEARING: {
        Speech: frozenset({Phase.ENDPOINTING}) | _OVER,
        AsrResult: frozenset({Phase.ENDPOINTING}) | _OVER,
        AsrEnded: _OVER,
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: frozenset({Phase.THINKING}),
        Asked: frozenset({Phase.ENDPOINTING}) | _OVER,
        InputClosed: frozenset({Phase.ENDPOINTING, Phase.THINKING, Phase.CLOSED}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: _OVER,
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
        AsrResult: _TAKEN,
        AsrEnded: _TAKEN,
        PlaybackStarted: frozenset({Phase.SPEAKING}),
        ReplyEnded: _TAKEN,
        Asked: _TAKEN,
        KeyPressed: _OVER,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: _TAKEN,
    },
    Phase.SPEAKING: {
        Speech: frozenset({Phase.INTERRUPTING}),
        AsrResult: _TAKEN,
        AsrEnded: _TAKEN,
        ReplyEnded: _TAKEN,
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: _OVER,
        Asked: _TAKEN,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: _TAKEN,
    },
    Phase.INTERRUPTING: {
        Speech: frozenset({Phase.PAUSED}) | _ANSWERING | _TAKEN,
        AsrResult: _TAKEN | _ANSWERING,
        AsrEnded: _TAKEN | _ANSWERING,
        ReplyEnded: _TAKEN,
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: _OVER,
        Asked: _TAKEN | _ANSWERING,
        InputClosed: _TAKEN | _ANSWERING,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: _TAKEN | _ANSWERING,
    },
    Phase.PAUSED: {
        Speech: _TAKEN | _ANSWERING,
        AsrResult: _TAKEN | _ANSWERING,
        AsrEnded: _TAKEN | _ANSWERING,
        ReplyEnded: _TAKEN,
        TextTurn: frozenset({Phase.THINKING}),
        KeyPressed: _OVER,
        Asked: _TAKEN | _ANSWERING,
        InputClosed: _TAKEN | _ANSWERING,
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: _TAKEN | _ANSWERING,
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
