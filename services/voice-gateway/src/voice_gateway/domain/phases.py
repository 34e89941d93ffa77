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
    """The caller makes a sound while an answer is under way; whether it is an interruption is not decided."""
    CLOSED = "closed"


TRANSITIONS: dict[Phase, dict[type[Event], frozenset[Phase]]] = {
    Phase.NEW: {
        CallStarted: frozenset({Phase.LISTENING}),
    },
    Phase.LISTENING: {
        Speech: frozenset({Phase.HEARING}),
        TextTurn: frozenset({Phase.THINKING}),
        SpeakRequest: frozenset({Phase.THINKING}),
        InputClosed: frozenset({Phase.CLOSED}),
        DrainRequested: frozenset({Phase.CLOSED}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.CLOSED}),
    },
    Phase.HEARING: {
        Speech: frozenset({Phase.ENDPOINTING, Phase.THINKING, Phase.LISTENING, Phase.CLOSED}),
        AsrResult: frozenset({Phase.ENDPOINTING, Phase.THINKING, Phase.LISTENING, Phase.CLOSED}),
        AsrEnded: frozenset({Phase.THINKING, Phase.LISTENING, Phase.CLOSED}),
        TextTurn: frozenset({Phase.THINKING}),
        Asked: frozenset({Phase.ENDPOINTING, Phase.THINKING, Phase.LISTENING, Phase.CLOSED}),
        InputClosed: frozenset({Phase.ENDPOINTING, Phase.THINKING, Phase.CLOSED}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.CLOSED}),
    },
    Phase.ENDPOINTING: {
        Speech: frozenset({Phase.HEARING}),
        AsrResult: frozenset({Phase.THINKING, Phase.LISTENING, Phase.CLOSED}),
        AsrEnded: frozenset({Phase.THINKING, Phase.LISTENING, Phase.CLOSED}),
        TextTurn: frozenset({Phase.THINKING}),
        Asked: frozenset({Phase.LISTENING, Phase.CLOSED, Phase.THINKING}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.THINKING, Phase.LISTENING, Phase.CLOSED}),
    },
    Phase.THINKING: {
        Speech: frozenset({Phase.INTERRUPTING}),
        PlaybackStarted: frozenset({Phase.SPEAKING}),
        ReplyEnded: frozenset({Phase.LISTENING, Phase.THINKING, Phase.CLOSED}),
        TextTurn: frozenset({Phase.THINKING}),
        Asked: frozenset({Phase.LISTENING, Phase.THINKING, Phase.CLOSED}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.CLOSED}),
    },
    Phase.SPEAKING: {
        Speech: frozenset({Phase.INTERRUPTING}),
        ReplyEnded: frozenset({Phase.LISTENING, Phase.THINKING, Phase.CLOSED}),
        TextTurn: frozenset({Phase.THINKING}),
        Asked: frozenset({Phase.LISTENING, Phase.THINKING, Phase.CLOSED}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.CLOSED}),
    },
    Phase.INTERRUPTING: {
        Speech: frozenset({Phase.HEARING, Phase.THINKING, Phase.SPEAKING}),
        ReplyEnded: frozenset({Phase.HEARING}),
        TextTurn: frozenset({Phase.THINKING}),
        Asked: frozenset(
            {Phase.HEARING, Phase.ENDPOINTING, Phase.THINKING, Phase.SPEAKING, Phase.LISTENING, Phase.CLOSED}
        ),
        InputClosed: frozenset({Phase.THINKING, Phase.SPEAKING}),
        CallFailed: frozenset({Phase.CLOSED}),
        Tick: frozenset({Phase.CLOSED}),
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
