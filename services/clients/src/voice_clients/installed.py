"""Subcommands of `voice` that other installed packages bring, so that this package need not know them.

A package names a callable in the entry point group `voice.commands`. It is given the subparsers of `voice`, adds a
parser of its own, and returns what runs a parsed command line and gives the exit status.
"""

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

GROUP = "voice.commands"

RUNS = "installed_command"
"""Of the parsed arguments: what runs them, where another package's command was chosen."""


def add_installed(commands: Any) -> None:
    """Add every subcommand that is installed, in the order of their names. `commands` is what argparse's
    `add_subparsers` gave. One that cannot be added is told on stderr and left out; the others stay.
    """
    for found in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if found.name not in commands.choices:
            _add(commands, found)


def _add(commands: Any, found: EntryPoint) -> None:
    known = set(commands.choices)
    try:
        run = found.load()(commands)
    except Exception as error:  # noqa: BLE001 - another package's fault must not take the whole command away
        sentence = f"voice: the command {found.name!r} cannot be used ({found.value}: {error!r})."
        print(sentence, file=sys.stderr)  # noqa: T201 - for the person at the terminal
        return
    for name in set(commands.choices) - known:
        commands.choices[name].set_defaults(**{RUNS: run})
