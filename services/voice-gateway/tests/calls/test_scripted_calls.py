"""Plays each conversation of this folder on virtual time, and holds it against what it expects."""

from pathlib import Path

import pytest
from gateway_calls import BadScriptError, load, parse
from gateway_player import conversation

from servicekit.testing import run_virtual

CALLS = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", CALLS, ids=lambda path: path.stem)
def test_conversation(path: Path) -> None:
    run_virtual(conversation(load(path)))


def test_every_conversation_was_found() -> None:
    assert len(CALLS) >= 12


GOOD: dict[str, object] = {"about": "x", "call": [{"say": "hello"}], "expect": {}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cal": []}, "x.yaml: unknown key 'cal'; allowed: about, allow_overrides, breakers"),
        ({"call": [{"sya": "hello"}]}, "x.yaml: step 1: unknown key 'sya'; allowed: after, announce"),
        ({"call": [{"say": "hello"}, {"after": "1 s"}]}, "x.yaml: step 2: has 0 of say, noise"),
        ({"call": [{"say": 7}]}, "x.yaml: step 1: say is 7; a text is needed"),
        ({"call": [{"quiet": "300"}]}, "step 1: quiet is '300'; durations are written as '300 ms' or '2.5 s'"),
        ({"call": [{"say": "hello", "for": 3}]}, "step 1: for is 3; durations are written"),
        ({"call": [{"close": "now"}]}, "step 1: close is 'now'; nothing is allowed there"),
        ({"call": "hello"}, "x.yaml: call is not a list of steps"),
        ({"expect": {"transcript": []}}, "x.yaml: expect: unknown key 'transcript'; allowed: answered_within"),
        ({"model": {"reply": "x"}}, "x.yaml: model: unknown key 'reply'; allowed: error"),
        ({"client": {"pace": "slow"}}, "x.yaml: client.pace is 'slow'; allowed: real_time, fast"),
        ({"client": {"capabilities": ["fly"]}}, "x.yaml: client.capabilities: allowed: all, none"),
        ({"client": {"overrides": {"llm_heat": 1}}}, "x.yaml: client.overrides: unknown key 'llm_heat'"),
    ],
)
def test_a_wrong_script_is_refused_with_a_sentence(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadScriptError) as refused:
        parse({**GOOD, **change}, "x.yaml")
    assert says in str(refused.value)


def test_a_script_without_a_section_is_refused() -> None:
    with pytest.raises(BadScriptError, match=r"x\.yaml: expect is missing"):
        parse({"about": "x", "call": []}, "x.yaml")


def test_a_script_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("about: [")
    with pytest.raises(BadScriptError, match=r"broken\.yaml: not YAML"):
        load(path)
