"""What a caller asks for at the start of a call, checked against what the gateway allows."""

import re
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import Capability, Hello, Overrides
from voice_gateway.domain.errors import InvalidConfig

T = TypeVar("T")

LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
"""The shape of BCP 47 tags."""

MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 48_000

BOUNDS: dict[str, tuple[float, float]] = {
    "llm_temperature": (0.0, 2.0),
    "llm_max_tokens": (1, 4096),
    "endpoint_silence_ms": (200, 5_000),
}
"""Allowed ranges of numeric overrides, ends included."""

MAX_TEXT_OVERRIDE = 8_000
"""Characters of a text override; a system prompt is the longest."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a call is run with."""

    language_code: str
    """Empty: the configured one."""
    input_rate_hz: int
    output_rate_hz: int
    capabilities: frozenset[Capability]
    overrides: Overrides
    session_id: str


def admit(hello: Hello, config: CallConfig) -> Admitted:
    """Check the first message. Raises InvalidConfig, naming the field, its value and what is allowed."""
    input_rate_hz = _rate("sample_rate", hello.sample_rate_hz, config.asr.sample_rate_hz)
    output_rate_hz = _rate("output_sample_rate", hello.output_sample_rate_hz, input_rate_hz)
    check_connection(hello)
    _check_language(hello.language_code)
    _check_overrides(hello.overrides, config)
    return Admitted(
        hello.language_code, input_rate_hz, output_rate_hz, hello.capabilities, hello.overrides, hello.session_id
    )


def check_connection(hello: Hello) -> None:
    """What the first message says of this connection alone. Raises InvalidConfig."""
    if hello.wants_other_codec:
        raise InvalidConfig("input_codec and output_codec may only be PCM_S16LE here.")
    if len(hello.session_id) > 256:
        raise InvalidConfig(f"session_id has {len(hello.session_id)} characters; at most 256 are allowed.")


def update(admitted: Admitted, wishes: Overrides, language_code: str, config: CallConfig) -> Admitted:
    """`admitted` with other wishes; what they do not name stays. Raises InvalidConfig, as `admit` does."""
    _check_language(language_code)
    _check_overrides(wishes, config)
    named = {field.name: value for field in fields(wishes) if (value := getattr(wishes, field.name)) is not None}
    return replace(
        admitted,
        overrides=replace(admitted.overrides, **named),
        language_code=language_code or admitted.language_code,
    )


def _check_language(tag: str) -> None:
    if tag and (len(tag) > 35 or not LANGUAGE_TAG.fullmatch(tag)):
        raise InvalidConfig(f"language_code {tag[:40]!r} is not a language tag such as en-US.")


def _check_overrides(wishes: Overrides, config: CallConfig) -> None:
    for field in fields(wishes):
        value = getattr(wishes, field.name)
        if value is not None:
            _check_override(field.name, value, config.allowed_overrides)


def _rate(name: str, wanted_hz: int, default_hz: int) -> int:
    if wanted_hz == 0:
        return default_hz
    if not MIN_RATE_HZ <= wanted_hz <= MAX_RATE_HZ:
        raise InvalidConfig(f"{name} is {wanted_hz}; {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz is allowed, or 0.")
    return wanted_hz


def _check_override(name: str, value: float | str, allowed: frozenset[str]) -> None:
    if name not in allowed:
        names = ", ".join(sorted(allowed)) or "none"
        raise InvalidConfig(f"overrides.{name} may not be set by callers of this gateway; allowed: {names}.")
    if isinstance(value, str):
        if len(value) > MAX_TEXT_OVERRIDE:
            raise InvalidConfig(
                f"overrides.{name} has {len(value)} characters; at most {MAX_TEXT_OVERRIDE} are allowed."
            )
        return
    low, high = BOUNDS[name]
    if not low <= value <= high:
        raise InvalidConfig(f"overrides.{name} is {value:g}; {low:g} to {high:g} is allowed.")


def apply(config: CallConfig, admitted: Admitted) -> CallConfig:
    """The configuration of this call: the gateway's, with the caller's wishes in place."""
    wishes = admitted.overrides
    language = admitted.language_code
    llm = replace(
        config.llm,
        temperature=_or(wishes.llm_temperature, config.llm.temperature),
        max_tokens=_or(wishes.llm_max_tokens, config.llm.max_tokens),
        system_prompt=_or(wishes.llm_system_prompt, config.llm.system_prompt),
        model=_or(wishes.llm_model, config.llm.model),
    )
    asr = replace(
        config.asr,
        language_code=language or config.asr.language_code,
        model=_or(wishes.asr_model, config.asr.model),
    )
    tts = replace(
        config.tts,
        voice=_or(wishes.tts_voice, config.tts.voice),
        language_code=language or config.tts.language_code,
        model=_or(wishes.tts_model, config.tts.model),
    )
    turn = replace(
        config.turn,
        endpoint_silence_ms=_or(wishes.endpoint_silence_ms, config.turn.endpoint_silence_ms),
        max_call_ms=config.limits.max_call_ms,
    )
    return replace(config, llm=llm, asr=asr, tts=tts, turn=turn)


def _or(wish: T | None, otherwise: T) -> T:
    return otherwise if wish is None else wish
