"""Keys as terminals send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_clients.keyboard import Key, KeyParser


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
    ],
)
def test_what_terminals_send(data: bytes, keys: list[Key]) -> None:
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
