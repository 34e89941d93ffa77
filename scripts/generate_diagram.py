"""Write docs/explanation/turn-diagram.md from the turn machine's own table.

Usage: generate_diagram.py [OUTPUT_FILE]
"""

import sys
from pathlib import Path

from voice_gateway.domain.phases import diagram

TARGET = Path(__file__).parents[1] / "docs/explanation/turn-diagram.md"

HEAD = """# The phases of a call

Drawn from the table in `services/voice-gateway/src/voice_gateway/domain/phases.py` by `make docs`. An arrow carries the
events that may lead that way; an event that is not on an arrow leaves the phase as it is.
"""


def text() -> str:
    """The page."""
    return f"{HEAD}\n```mermaid\n{diagram()}\n```\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET).write_text(text(), encoding="utf-8")
