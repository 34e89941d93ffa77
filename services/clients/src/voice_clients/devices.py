"""`voice devices`: the sound devices of this machine."""

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from voice_clients.errors import BadInputError
from voice_clients.sound import Device, list_devices

PLAIN_WIDTH = 120  # of a table that does not go to a terminal


def show_devices(*, as_json: bool) -> int:
    """List them. Raises BadInputError where there is no sound system or no device."""
    devices = list_devices()
    if as_json:
        print(json.dumps([asdict(item) for item in devices], ensure_ascii=False))  # noqa: T201 - this is the output
        return 0
    if not devices:
        raise BadInputError("This machine has no sound devices.")
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("number", justify="right")
    for heading in ("name", "in", "out", "rate", "default", "through"):
        table.add_column(heading)
    for item in devices:
        channels = (str(item.inputs or "-"), str(item.outputs or "-"))
        row = (str(item.number), item.name, *channels, f"{item.default_rate_hz} Hz", _default(item), item.host)
        table.add_row(*map(Text, row))  # what stands between brackets in a name is no markup
    console.print(table)
    console.print("`voice talk --input NUMBER --output NUMBER` chooses; a part of the name does too.", style="dim")
    return 0


def _default(item: Device) -> str:
    names = ["input"] * item.is_default_input + ["output"] * item.is_default_output
    return " and ".join(names)
