"""A turn's latency as bars of text. Pure."""

from collections.abc import Sequence

from voice_clients.events import Stage

FIRST_AUDIO = "first_audio_sent"  # the stage that ends the caller's wait, as far as the gateway can tell by itself
WAITED_FOR = frozenset({FIRST_AUDIO, "first_audio_played"})  # the second is known from acknowledgements

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def until_first_audio(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages that a caller waits for: without those that begin once audio is on its way, such as the answer itself.

    Seconds of speaking would squeeze the milliseconds before them into nothing.
    """
    ends = [stage.end_ms for stage in stages if stage.name == FIRST_AUDIO]
    return tuple(stage for stage in stages if not ends or stage.start_ms < ends[0] or stage.name in WAITED_FOR)


def waterfall(stages: Sequence[Stage], *, width: int = 72, ascii_only: bool = False) -> list[str]:
    """One line per stage: name, a bar on a common time line, and the interval in milliseconds.

    A stage that takes no time shows as a mark. The line starts at the earliest start, or at 0.
    """
    if not stages:
        return []
    name_width = max(len(_words(stage.name)) for stage in stages)
    first = min(0.0, *(stage.start_ms for stage in stages))
    last = max(first + 1.0, *(stage.end_ms for stage in stages))
    label_width = max(len(_interval(stage)) for stage in stages)
    bar_width = max(10, width - name_width - label_width - 4)
    per_cell = (last - first) / bar_width
    lines = []
    for stage in stages:
        bar = _bar(stage, first, per_cell, bar_width, ascii_only=ascii_only)
        lines.append(f"{_words(stage.name):<{name_width}}  {bar}  {_interval(stage):>{label_width}}")
    return lines


def in_one_line(stages: Sequence[Stage]) -> str:
    """When each stage ended, in the order of their ends: `endpoint 312 > llm first token 340 > first phrase 462 ms`.

    Ends are told and not lengths: stages overlap, and the last end is the wait.
    """
    ends = sorted(((_words(stage.name), stage.end_ms) for stage in stages), key=lambda end: end[1])
    told = [f"{name} {at_ms:.0f}" for name, at_ms in ends]
    return f"{' > '.join(told)} ms" if told else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _interval(stage: Stage) -> str:
    return f"{stage.start_ms:.0f} - {stage.end_ms:.0f} ms"


def _bar(stage: Stage, first_ms: float, per_cell_ms: float, width: int, *, ascii_only: bool) -> str:
    start = min(width - 1, max(0, int((stage.start_ms - first_ms) / per_cell_ms)))
    cells = (stage.end_ms - first_ms) / per_cell_ms - start
    if ascii_only:
        bar = "#" * max(1, round(cells))
    else:
        eighths = max(1, round(cells * 8))
        bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return (" " * start + bar)[:width].ljust(width)
