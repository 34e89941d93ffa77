"""What a gateway says, before it is shown to a person."""

_COMMANDS = {number: None for number in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(number) not in "\t\n"}
"""C0 and C1 of ECMA-48, and DELETE: a terminal obeys them, and can be made to write, hide or send what nobody typed."""


def plain(text: str) -> str:
    """`text` without what a terminal would take for a command. A language model's words go through here, too."""
    return text.translate(_COMMANDS)
