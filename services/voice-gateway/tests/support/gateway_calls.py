"""Scripted conversations: files of tests/calls are read and checked here. Their README tells the format."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import Capability, Hello, Overrides, UpdateIn
from voice_gateway.domain.breaker import BreakerPolicy
from voice_gateway.domain.policy import TurnPolicy
from voice_gateway.testing.backends import AsrScript, LlmScript, TtsScript
from voice_gateway.testing.spares import Spares
from voice_gateway.testing.world import ALL_CAPABILITIES

MS_PER_WORD = 250
"""How long a caller takes for a word: 240 words a minute, so that scripts stay short."""

KEY_MS = 200
"""Between two keys."""

SECTIONS = {
    "about",
    "client",
    "recogniser",
    "model",
    "voice",
    "second_recogniser",
    "second_model",
    "second_voice",
    "breakers",
    "turn_model",
    "turn_taking",
    "conversation",
    "limits",
    "allow_overrides",
    "call",
    "expect",
}
CLIENT = {"sample_rate_hz", "capabilities", "language", "overrides", "pace"}
STEPS = {
    "say": "text",
    "noise": "duration",
    "type": "text",
    "press": "text",
    "keys": "text",
    "update": "wishes",
    "announce": "text",
    "announce_firmly": "text",
    "wait_for": "text",
    "quiet": "duration",
    "stop_reading": "duration",
    "retune": "mapping",
    "config_again": "nothing",
    "close": "nothing",
}
EXPECT = {
    "refused",
    "ends_with",
    "transcripts",
    "answers",
    "heard",
    "playback",
    "events",
    "errors",
    "outcomes",
    "ended_by",
    "history",
    "last_question",
    "model_requests",
    "voice_requests",
    "recogniser_languages",
    "recogniser_asked",
    "speculation",
    "resumed",
    "stopped_within",
    "answered_within",
}
RETUNE = {"system_prompt", "voice", "language"}


class BadScriptError(ValueError):
    """A script that cannot be run; the message names the file, the place and what is allowed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens."""

    action: str
    value: Any
    after_ms: int = 0
    """Silence before it."""
    at_ms: int | None = None
    """Silence until so long after the start of the call."""
    lasting_ms: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """One conversation."""

    name: str
    hello: Hello
    paced: bool
    config: CallConfig
    asr: AsrScript
    llm: LlmScript
    tts: TtsScript
    spares: Spares | None
    judgements: tuple[float | None, ...]
    """Of the model that judges ends of turns; empty without one."""
    steps: tuple[Step, ...]
    expect: Mapping[str, Any] = field(default_factory=dict)


def load(path: Path) -> Script:
    """Read one conversation. Raises BadScriptError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadScriptError(f"{path.name}: not YAML: {str(error).splitlines()[0]}") from error
    return parse(document, path.name)


def parse(document: object, name: str) -> Script:
    """Check one conversation. Raises BadScriptError."""
    whole = _keys(document, SECTIONS, name)
    for needed in ("about", "call", "expect"):
        if needed not in whole:
            raise BadScriptError(f"{name}: {needed} is missing")
    client = _keys(whole.get("client", {}), CLIENT, f"{name}: client")
    pace = client.get("pace", "real_time")
    if pace not in ("real_time", "fast"):
        raise BadScriptError(f"{name}: client.pace is {pace!r}; allowed: real_time, fast")
    if not isinstance(whole["call"], list):
        raise BadScriptError(f"{name}: call is not a list of steps")
    steps = tuple(_step(step, f"{name}: step {number}") for number, step in enumerate(whole["call"], start=1))
    said = [str(step.value) for step in steps if step.action == "say"]
    asr = replace(_filled(AsrScript(), whole.get("recogniser", {}), f"{name}: recogniser"), meanings=meanings(said))
    config = CallConfig()
    turn: TurnPolicy = _filled(config.turn, whole.get("turn_taking", {}), f"{name}: turn_taking")
    conversation = _filled(config.conversation, whole.get("conversation", {}), f"{name}: conversation")
    limits = _filled(config.limits, whole.get("limits", {}), f"{name}: limits")
    allowed = config.allowed_overrides | frozenset(whole.get("allow_overrides", []))
    return Script(
        name=name,
        hello=_hello(client, name),
        paced=pace == "real_time",
        config=replace(config, turn=turn, conversation=conversation, limits=limits, allowed_overrides=allowed),
        asr=asr,
        llm=_filled(LlmScript(), whole.get("model", {}), f"{name}: model"),
        tts=_filled(TtsScript(numbered_words=True), whole.get("voice", {}), f"{name}: voice"),
        spares=_spares(whole, asr, name),
        judgements=tuple(whole.get("turn_model", ())),
        steps=steps,
        expect=_keys(whole["expect"], EXPECT, f"{name}: expect"),
    )


def _spares(whole: Mapping[str, Any], asr: AsrScript, name: str) -> Spares | None:
    """The second backends; they understand what the first ones do."""
    defaults = {
        "second_recogniser": AsrScript(meanings=asr.meanings),
        "second_model": LlmScript(),
        "second_voice": TtsScript(numbered_words=True),
        "breakers": BreakerPolicy(),
    }
    parts = {key: _filled(default, whole[key], f"{name}: {key}") for key, default in defaults.items() if key in whole}
    if not parts:
        return None
    recogniser, model, voice = (parts.get(f"second_{kind}") for kind in ("recogniser", "model", "voice"))
    return Spares(recogniser, model, voice, breaker=parts.get("breakers", defaults["breakers"]))


def meanings(said: list[str]) -> dict[int, str]:
    """What each sample value stands for: 1 is a noise, the things that are said follow in order."""
    return {1: "", **dict(enumerate(said, start=2))}


def milliseconds(value: object, place: str) -> int:
    """The length of "300 ms" or "2.5 s"."""
    found = re.fullmatch(r"([0-9.]+) (ms|s)", value) if isinstance(value, str) else None
    if found is None:
        raise BadScriptError(f"{place} is {value!r}; durations are written as '300 ms' or '2.5 s'")
    return int(float(found[1]) * (1000 if found[2] == "s" else 1))


def _step(step: object, place: str) -> Step:
    whole = _keys(step, {*STEPS, "after", "at", "for"}, place)
    actions = [key for key in whole if key in STEPS]
    if len(actions) != 1:
        raise BadScriptError(f"{place}: has {len(actions)} of {', '.join(STEPS)}; exactly one is needed")
    action, value = actions[0], whole[actions[0]]
    lasting_ms = 0
    match STEPS[action]:
        case "duration":
            lasting_ms = milliseconds(value, f"{place}: {action}")
        case "mapping":
            value = _keys(value, RETUNE, f"{place}: {action}")
        case "wishes":
            wishes = dict(_keys(value, {"language", *(item.name for item in fields(Overrides))}, f"{place}: {action}"))
            language = wishes.pop("language", "")
            value = UpdateIn(replace(Overrides(), **wishes), language)
        case "nothing":
            if value is not None:
                raise BadScriptError(f"{place}: {action} is {value!r}; nothing is allowed there")
        case _:
            if not isinstance(value, str):
                raise BadScriptError(f"{place}: {action} is {value!r}; a text is needed (put it in quotes)")
            lasting_ms = KEY_MS if action == "keys" else len(value.split()) * MS_PER_WORD
    if "for" in whole:
        lasting_ms = milliseconds(whole["for"], f"{place}: for")
    at_ms = milliseconds(whole["at"], f"{place}: at") if "at" in whole else None
    after_ms = milliseconds(whole["after"], f"{place}: after") if "after" in whole else 0
    return Step(action, value, after_ms, at_ms, lasting_ms)


def _hello(client: Mapping[str, Any], name: str) -> Hello:
    wanted = client.get("capabilities", "none")
    if wanted in ("all", "none"):
        capabilities = ALL_CAPABILITIES if wanted == "all" else frozenset[Capability]()
    else:
        known = {capability.value for capability in Capability}
        if not isinstance(wanted, list) or not known.issuperset(wanted):
            raise BadScriptError(f"{name}: client.capabilities: allowed: all, none, or a list of {sorted(known)}")
        capabilities = frozenset(map(Capability, wanted))
    return Hello(
        language_code=client.get("language", ""),
        sample_rate_hz=client.get("sample_rate_hz", 16_000),
        capabilities=capabilities,
        overrides=_filled(Overrides(), client.get("overrides", {}), f"{name}: client.overrides"),
    )


def _keys(value: object, allowed: set[str], place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadScriptError(f"{place}: is {value!r}; a mapping is needed")
    for key in value:
        if key not in allowed:
            raise BadScriptError(f"{place}: unknown key {key!r}; allowed: {', '.join(sorted(allowed))}")
    return value


def _filled(default: Any, wishes: object, place: str) -> Any:
    """`default` with the fields that `wishes` names."""
    known = {item.name for item in fields(default)} - {"meanings", "answers"}
    filled = {}
    for key, wish in _keys(wishes, known, place).items():
        old = getattr(default, key)
        if is_dataclass(old):
            filled[key] = _filled(old, wish, f"{place}.{key}")
        elif isinstance(old, StrEnum):
            filled[key] = type(old)(wish)
        else:
            filled[key] = wish
    return replace(default, **filled)
