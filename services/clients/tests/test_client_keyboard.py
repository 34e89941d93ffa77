"""Keys as terminals send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_clients.keyboard import Digit, Key, KeyParser, Line, Pressed


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b" ", [Key.TALK_DOWN]),
        (b"miq", [Key.MUTE, Key.INTERRUPT, Key.QUIT]),
        (b"\x03", [Key.QUIT]),
        (b"\x1b[A\x1b[15~\x1bOP", []),  # arrows and function keys
        (b"xyz\xc3\xa4", []),
        (b"\x1b[32u", [Key.TALK_DOWN]),
        (b"\x1b[32;1:1u\x1b[32;1:2u\x1b[32;1:3u", [Key.TALK_DOWN, Key.TALK_UP]),  # held: pressed, repeats, let go
        (b"\x1b[99;5u\x1b[99;5:3u", [Key.QUIT]),  # Ctrl-C
        (b"\x1b[113u", [Key.QUIT]),
        (b"\x1b[?0u", []),
        (b"h4#", [Key.HOLD, Digit("4"), Digit("#")]),
        (b"\x1b[52;1:1u\x1b[52;1:3u", [Digit("4")]),
        (b"/voice Mia 2\rq", [Line("/voice Mia 2"), Key.QUIT]),  # keys of a line are its characters
        (b"/qq\x7f\x7f\x7fi", [Key.INTERRUPT]),  # erased to the slash and beyond
        (b"/q\x03", [Key.QUIT]),
        (b"\x1b[47u\x1b[109;2u\x1b[13u", [Line("/M")]),
    ],
)
def test_what_terminals_send(data: bytes, keys: list[Pressed]) -> None:
    assert KeyParser().feed(data) == keys
    parser = KeyParser()
    assert [key for byte in data for key in parser.feed(bytes([byte]))] == keys


def test_an_answer_to_the_query_tells_that_releases_come() -> None:
    parser = KeyParser()
    assert not parser.reports_releases
    parser.feed(b"\x1b[?1u")
    assert parser.reports_releases


@given(data=st.binary(max_size=200))
def test_any_bytes_are_survived(data: bytes) -> None:
    parser = KeyParser()
    parser.feed(data)
    assert KeyParser().feed(data) == KeyParser().feed(data)
