"""What the stand-ins share: the state of a cluster as JSON in $STANDIN_DIR, and the list of calls."""

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["STANDIN_DIR"])


def read() -> dict[str, Any]:
    """The state, as the test left it or the last stand-in changed it."""
    state: dict[str, Any] = json.loads((FOLDER / "state.json").read_text())
    return state


def write(state: dict[str, Any]) -> None:
    """Keep it."""
    (FOLDER / "state.json").write_text(json.dumps(state))


def note(tool: str, argv: list[str], stdin: str) -> None:
    """One call, as a line of calls.jsonl."""
    with (FOLDER / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps({"tool": tool, "argv": argv, "stdin": stdin}) + "\n")


def now() -> int:
    """Seconds of the clock that the stand-ins `date` and `sleep` keep."""
    clock = FOLDER / "clock"
    return int(clock.read_text()) if clock.exists() else 0


def value(argv: list[str], *names: str) -> str:
    """What follows one of these options, apart or after "="; "" where none is there."""
    for index, word in enumerate(argv):
        for name in names:
            if word == name:
                return argv[index + 1]
            if word.startswith(name + "="):
                return word[len(name) + 1 :]
    return ""


def documents(text: str) -> list[dict[str, Any]]:
    """YAML documents that hold something."""
    import yaml  # noqa: PLC0415 - most calls need none, and loading it takes longer than they do

    return [document for document in yaml.safe_load_all(text) if document]


def fail(text: str) -> None:
    """Say it and end as a tool does that failed."""
    sys.stderr.write(text + "\n")
    sys.exit(1)
