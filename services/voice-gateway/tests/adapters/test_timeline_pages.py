"""Timelines as text and as a page: aligned, escaped, whole."""

import re
from html.parser import HTMLParser

import pytest
from gateway_turns import Talk

from voice_gateway.adapters.timeline_html import COLOURS, MAX_WIDTH_PX, page
from voice_gateway.adapters.timeline_text import STYLES, lines
from voice_gateway.application.timeline import Timeline, timeline
from voice_gateway.domain.events import CallFailed, Event, SpeakRequest, TextTurn
from voice_gateway.domain.journal import Journal
from voice_gateway.domain.phases import Phase
from voice_gateway.domain.recording import Head, Recording
from voice_gateway.domain.replay import replay
from voice_gateway.domain.turn import TurnMachine

EVIL = "</title></text><script>alert('1')</script>&\"\x1b[31m\x9b5m\x00"


def shown(*events: tuple[int, Event], head: Head | None = None) -> Timeline:
    journal = Journal.of(TurnMachine())
    talk = Talk()
    talk.says(EVIL)
    talk.answers(EVIL)
    for now, event in [*talk.happened, *events]:
        journal.record(now, event)
    return timeline(replay(Recording(head or Head(), journal)))


class Strict(HTMLParser):
    """Notes tags, and whether each that is open is closed."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def checked(document: str) -> Strict:
    parser = Strict()
    parser.feed(document)
    parser.close()
    assert parser.stack == []
    return parser


def test_a_page_loads_nothing_and_runs_nothing_whatever_was_said() -> None:
    evil = shown((5_000, TextTurn(EVIL, 1)), (5_100, CallFailed(EVIL, EVIL, False)), head=Head(EVIL, EVIL, EVIL, EVIL))
    document = page(evil)
    parser = checked(document)
    assert "script" not in parser.tags
    assert parser.tags.isdisjoint({"link", "img", "iframe", "object", "image", "use", "a"})
    assert parser.attributes.isdisjoint({"href", "src", "onload", "onclick", "style"})
    assert "<script" not in document
    assert "alert(&#x27;1&#x27;)" in document
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", document)
    assert "http" not in document.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_a_page_tells_turns_and_events() -> None:
    document = page(shown())
    checked(document)
    for part in ("caller speaks", "transcript", "phase", "answer heard", "AsrResult", "StartReply", "hearing"):
        assert part in document
    assert "default-src 'none'" in document


def test_a_long_call_stays_drawable() -> None:
    shown_long = shown((36_000_000, SpeakRequest("Hello.", 1)))
    (width,) = {int(found) for found in re.findall(r'<svg [^>]*width="(\d+)"', page(shown_long)) if int(found) > 1_000}
    assert width <= MAX_WIDTH_PX + 200


def test_every_phase_has_a_colour() -> None:
    drawn = {phase.value for phase in Phase} - {"new"}
    assert drawn - COLOURS.keys() == set()
    assert drawn - STYLES.keys() == set()


def test_a_problem_is_on_the_page_and_in_the_text() -> None:
    bad = shown((6_000, _illegal()))
    assert bad.problems
    assert "the machine fails at CallStarted" in page(bad)
    assert "the machine fails at CallStarted" in "\n".join(lines(bad, actions=False, colours=False))


def _illegal() -> Event:
    from voice_gateway.domain.events import CallStarted  # noqa: PLC0415

    return CallStarted(8_000)


@pytest.mark.parametrize("actions", [True, False])
def test_text_is_aligned_and_moves_no_cursor(actions: bool) -> None:
    told = list(lines(shown(), actions=actions, colours=False))
    assert not any(re.search(r"[\x00-\x1f\x7f-\x9f]", line) for line in told)
    rows = [line for line in told if re.match(r" *\d+\.\d{3}  ", line)]
    assert len({line.index(".") for line in rows}) == 1
    assert any(line.split()[1] == "hearing" for line in rows)
    assert any("-> " in line for line in told)


def test_colours_are_only_of_phases_and_only_when_asked() -> None:
    coloured = "\n".join(lines(shown(), actions=False, colours=True))
    assert "\x1b[32mhearing" in coloured
    assert re.sub(r"\x1b\[(0|2|3\d)m", "", coloured) == "\n".join(lines(shown(), actions=False, colours=False))
