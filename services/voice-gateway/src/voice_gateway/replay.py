"""`voice replay`: a journal through the turn machine, as text, JSON or a picture.

The `voice` command finds it by the entry point group `voice.commands` (docs/adr/0009): `add_command` is given the
subcommands of the argument parser and gives back what runs. What it needs is imported when it runs, so that `voice`
starts as fast as before.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voice_gateway.application.timeline import Timeline

EXIT_DIFFERS = 1
EXIT_BAD_INPUT = 2

MAX_FILE_BYTES = 1_000_000_000
"""The largest journal that JOURNAL_MAX_CALL_MB allows."""


def add_command(commands: Any) -> Callable[[argparse.Namespace], int]:
    """Add `replay` to the subcommands of `voice`. Gives what runs it, which gives the exit status."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "replay",
        help="run the recorded journal of a call through the turn machine and show its timeline",
        epilog="exit status: 0 it came to the recorded end, 1 it did not or the journal is damaged, 2 bad input",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="journal of a call, or the .part of a crashed one")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write a picture of the call to this HTML file")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON document on stdout")
    parser.add_argument("--actions", action="store_true", help="every action on a line of its own, with all it says")
    parser.add_argument("--from", type=int, metavar="MS", dest="from_ms", help="begin at this call time")
    parser.add_argument("--to", type=int, metavar="MS", dest="to_ms", help="end at this call time")
    return run


def run(arguments: argparse.Namespace) -> int:
    """Replay one file. What goes wrong is one sentence on stderr."""
    try:
        return _replay(arguments)
    except _BadInputError as error:
        print(f"voice: {error}", file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return EXIT_BAD_INPUT


class _BadInputError(Exception):
    """A file or argument cannot be used; the text is one sentence."""


def _replay(arguments: argparse.Namespace) -> int:
    from voice_gateway.adapters import timeline_html, timeline_text  # noqa: PLC0415 - see the top of the file
    from voice_gateway.application.timeline import timeline  # noqa: PLC0415
    from voice_gateway.domain.codec import MalformedDataError  # noqa: PLC0415
    from voice_gateway.domain.recording import read  # noqa: PLC0415
    from voice_gateway.domain.replay import replay  # noqa: PLC0415

    from_ms, to_ms = arguments.from_ms, arguments.to_ms
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise _BadInputError(f"--from {from_ms} is not before --to {to_ms}.")
    try:
        recording = read(_lines(arguments.file))
    except MalformedDataError as error:
        raise _BadInputError(f"{arguments.file} cannot be replayed: {error}.") from error
    shown = timeline(replay(recording), from_ms=from_ms, to_ms=to_ms)
    if arguments.html is not None:
        _write(arguments.html, timeline_html.page(shown))
    if arguments.as_json:
        print(json.dumps(_document(shown), ensure_ascii=False, indent=1))  # noqa: T201
    else:
        colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in timeline_text.lines(shown, actions=arguments.actions, colours=colours):
            print(line)  # noqa: T201
        if arguments.html is not None:
            print(f"The picture is in {arguments.html}.")  # noqa: T201
    return EXIT_DIFFERS if shown.problems else 0


def _lines(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise _BadInputError(f"{path} is larger than any journal.")
        # Bytes that are no UTF-8 damage their line, not the lines before it.
        yield from path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise _BadInputError(f"{path} cannot be read: {error.strerror}.") from error


def _write(path: Path, text: str) -> None:
    """For its owner only, as the journal was."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _BadInputError(f"{path} cannot be written: {error.strerror}.") from error


def _document(shown: "Timeline") -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    return {"ok": not shown.problems, **asdict(shown)}
