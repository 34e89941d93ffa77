"""What a caller may wish for: keys, bounds, and the sentences of refusals."""

from dataclasses import fields
from typing import Any

import pytest

from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import Hello, Overrides
from voice_gateway.application.overrides import BOUNDS, MAX_TEXT_OVERRIDE, admit, apply
from voice_gateway.domain.errors import InvalidConfig

ALL = CallConfig(allowed_overrides=frozenset(item.name for item in fields(Overrides)))


def wish(name: str, value: Any) -> Overrides:
    return Overrides(**{name: value})


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_bounds_include_their_ends(name: str) -> None:
    low, high = BOUNDS[name]
    for value in (low, high):
        admit(Hello(overrides=wish(name, value)), ALL)
    for value in (low - 1, high + 1, float("nan")):
        with pytest.raises(InvalidConfig, match=rf"overrides\.{name} is "):
            admit(Hello(overrides=wish(name, value)), ALL)


def test_only_allowed_keys_may_be_set() -> None:
    for item in fields(Overrides):
        value: object = "x" if item.name not in BOUNDS else BOUNDS[item.name][0]
        hello = Hello(overrides=wish(item.name, value))
        assert admit(hello, ALL).overrides == hello.overrides
        if item.name not in CallConfig().allowed_overrides:
            with pytest.raises(InvalidConfig, match=rf"overrides\.{item.name} may not be set"):
                admit(hello, CallConfig())


def test_where_nothing_is_allowed_the_sentence_says_so() -> None:
    with pytest.raises(InvalidConfig, match=r"allowed: none\."):
        admit(Hello(overrides=Overrides(tts_voice="x")), CallConfig(allowed_overrides=frozenset()))


def test_texts_are_bounded() -> None:
    long = Overrides(llm_system_prompt="x" * (MAX_TEXT_OVERRIDE + 1))
    with pytest.raises(InvalidConfig, match="has 8001 characters; at most 8000 are allowed"):
        admit(Hello(overrides=long), ALL)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000])
def test_rates(rate_hz: int) -> None:
    admitted = admit(Hello(sample_rate_hz=rate_hz), CallConfig())
    assert (admitted.input_rate_hz, admitted.output_rate_hz) == (rate_hz, rate_hz)
    other = admit(Hello(sample_rate_hz=16_000, output_sample_rate_hz=rate_hz), CallConfig())
    assert (other.input_rate_hz, other.output_rate_hz) == (16_000, rate_hz)


def test_no_rate_means_the_configured_one() -> None:
    assert admit(Hello(), CallConfig()).input_rate_hz == 16_000


@pytest.mark.parametrize("rate_hz", [-1, 1, 7_999, 48_001, 2**31 - 1])
def test_rates_out_of_bounds_are_refused(rate_hz: int) -> None:
    with pytest.raises(InvalidConfig, match=rf"^sample_rate is {rate_hz}; 8000 to 48000 Hz is allowed, or 0\.$"):
        admit(Hello(sample_rate_hz=rate_hz), CallConfig())
    with pytest.raises(InvalidConfig, match="output_sample_rate is"):
        admit(Hello(output_sample_rate_hz=rate_hz), CallConfig())


@pytest.mark.parametrize("tag", ["", "en", "en-US", "cmn-Hans-CN", "es-419", "multi"])
def test_language_tags(tag: str) -> None:
    assert admit(Hello(language_code=tag), CallConfig()).language_code == tag


@pytest.mark.parametrize("tag", ["-", "en-", "en US", "en\n", "x" * 40, "日本", "en-US; drop"])
def test_what_is_no_language_tag_is_refused(tag: str) -> None:
    with pytest.raises(InvalidConfig, match="is not a language tag such as en-US"):
        admit(Hello(language_code=tag), CallConfig())


@pytest.mark.parametrize(
    ("hello", "says"),
    [
        (Hello(wants_other_codec=True), "PCM_S16LE"),
        (Hello(session_id="x" * 257), "session_id has 257 characters; at most 256"),
    ],
)
def test_what_is_not_offered_is_refused(hello: Hello, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        admit(hello, CallConfig())


def test_wishes_take_the_place_of_the_configuration() -> None:
    wishes = Overrides(0.0, 7, "", "Prompt.", "llm", "asr", "tts", 900)
    config = apply(ALL, admit(Hello(language_code="de-DE", overrides=wishes), ALL))
    assert (config.llm.temperature, config.llm.max_tokens, config.llm.system_prompt) == (0.0, 7, "Prompt.")
    assert (config.llm.model, config.asr.model, config.tts.model, config.tts.voice) == ("llm", "asr", "tts", "")
    assert (config.asr.language_code, config.tts.language_code) == ("de-DE", "de-DE")
    assert config.turn.endpoint_silence_ms == 900
    assert config.turn.max_call_ms == ALL.limits.max_call_ms


def test_without_wishes_the_configuration_stays() -> None:
    config = apply(CallConfig(), admit(Hello(), CallConfig()))
    assert config == CallConfig()
