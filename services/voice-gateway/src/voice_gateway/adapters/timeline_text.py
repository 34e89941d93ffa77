"""A timeline as lines for a terminal or a file."""

from collections.abc import Iterator

from voice_gateway.application.timeline import Row, Timeline, Turn

STYLES = {
    "new": "2",
    "listening": "2",
    "hearing": "32",
    "endpointing": "33",
    "thinking": "35",
    "speaking": "36",
    "interrupting": "31",
    "paused": "33",
    "closed": "2",
}
"""ANSI colours of phases; a phase without one is shown plain."""

EVENT_CHARACTERS = 16


def lines(timeline: Timeline, *, actions: bool, colours: bool) -> Iterator[str]:
    """What `voice replay` prints: head, a line for each event, turns, what is to be said about the replay.

    `actions` gives each action a line of its own with all it says; else their names follow the event.
    """
    yield heading(timeline)
    yield ""
    width = max((len(row.phase) for row in timeline.rows), default=0)
    for row in timeline.rows:
        yield from _row_lines(row, width, actions=actions, colours=colours)
    if timeline.turns:
        yield ""
        yield from (turn_line(turn) for turn in timeline.turns)
    yield ""
    yield from timeline.notes
    yield from timeline.problems or (ending(timeline),)


def heading(timeline: Timeline) -> str:
    """What recording this is."""
    head = timeline.head
    parts = [
        f"call {head.call_id}" if head.call_id else "a call",
        head.started_at and f"of {head.started_at}",
        head.gateway and f"gateway {head.gateway}",
        head.config_revision and f"configuration {head.config_revision}",
        "words redacted" if head.words == "redacted" else "with words: personal",
    ]
    return printable(", ".join(part for part in parts if part))


def ending(timeline: Timeline) -> str:
    """How the call ended."""
    if timeline.outcome is None:
        return "How the call ended is not in the journal; everything before it replayed."
    return f"The call ended {timeline.outcome.status}, and the replay came to the same end."


def turn_line(turn: Turn) -> str:
    """One turn: what ended it, what became of it, and where its time went."""
    response = f"{turn.response_ms} ms to the first audio" if turn.response_ms is not None else "no audio"
    stages = ", ".join(f"{name} {end}" for name, _, end in turn.stages if name != "answer")
    return f"turn {turn.number}: {turn.outcome}, ended by {turn.rule}, {response}" + (
        f" (ms after the end of speech: {stages})" if stages else ""
    )


def seconds(at_ms: int) -> str:
    """Call time."""
    return f"{at_ms / 1000:.3f}"


def printable(text: str) -> str:
    """Text of a call as a terminal may have it: what would move the cursor or change colours is spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _row_lines(row: Row, width: int, *, actions: bool, colours: bool) -> Iterator[str]:
    phase = f"{row.phase:<{width}}" if row.changed else " " * width
    if colours and row.changed and (style := STYLES.get(row.phase)):
        phase = f"\x1b[{style}m{phase}\x1b[0m"
    names = "" if actions else _names(row)
    event = f"{row.event:<{EVENT_CHARACTERS}} {printable(row.detail)}".rstrip()
    yield f"{seconds(row.at_ms):>9}  {phase}  {event}{names}".rstrip()
    if actions:
        for name, detail in row.actions:
            yield f"{'':>9}  {'':<{width}}    -> {printable(f'{name} {detail}')}".rstrip()


def _names(row: Row) -> str:
    return f"  -> {', '.join(name for name, _ in row.actions)}" if row.actions else ""
