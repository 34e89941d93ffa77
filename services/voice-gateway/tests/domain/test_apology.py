"""What is said of a failure in which language, and the tone where nothing can be said."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_gateway.domain.apology import BUILT_IN, MAX_CHARACTERS, ApologyConfig
from voice_gateway.domain.earcon import NOTE_MS, PEAK, earcon

DEFAULT = ApologyConfig()


@pytest.mark.parametrize(
    ("llm", "language", "configured", "said"),
    [
        (DEFAULT.llm, "en-US", "en-US", BUILT_IN["llm"]["en"]),
        (DEFAULT.llm, "de-DE", "en-US", BUILT_IN["llm"]["de"]),
        (DEFAULT.llm, "de-DE", "de-DE", BUILT_IN["llm"]["de"]),
        (DEFAULT.llm, "ja-JP", "ja-JP", ""),
        ("One moment.", "en-GB", "en-US", "One moment."),
        ("One moment.", "de-DE", "en-US", BUILT_IN["llm"]["de"]),
        ("Moment bitte.", "de-DE", "de-DE", "Moment bitte."),
        ("Moment bitte.", "en-US", "de-DE", BUILT_IN["llm"]["en"]),
        ("One moment. | ja: 少々お待ちください。", "ja-JP", "en-US", "少々お待ちください。"),
        ("pt: Um momento. | pt-BR: Um momentinho.", "pt-BR", "en-US", "Um momentinho."),
        ("pt: Um momento. | pt-BR: Um momentinho.", "pt-PT", "en-US", "Um momento."),
        ("", "en-US", "en-US", ""),
        ("off", "en-US", "en-US", ""),
        ("off", "de-DE", "en-US", ""),
    ],
)
def test_the_text_is_in_the_caller_s_language_or_there_is_none(
    llm: str, language: str, configured: str, said: str
) -> None:
    assert ApologyConfig(llm=llm).text("llm", language, configured_language=configured) == said


def test_every_built_in_text_is_one_phrase_and_each_language_has_all_three() -> None:
    languages = [set(texts) for texts in BUILT_IN.values()]
    assert languages[0] == languages[1] == languages[2]
    for texts in BUILT_IN.values():
        for text in texts.values():
            assert 0 < len(text) <= MAX_CHARACTERS
            assert text[-1] in ".।"


@given(st.integers(8_000, 48_000))
def test_the_tone_can_be_heard_and_does_not_click(rate_hz: int) -> None:
    samples = [sample for (sample,) in struct.iter_unpack("<h", earcon(rate_hz))]
    assert 2 * NOTE_MS < len(samples) * 1000 / rate_hz < 500
    assert PEAK * 0.9 < max(samples) <= PEAK + 1
    assert samples[0] == samples[-1] == 0
    # From one sample to the next a full-scale 880 Hz tone moves by 2 pi f / rate of its peak.
    steepest = max(abs(one - next_one) for one, next_one in pairwise(samples))
    assert steepest <= PEAK * 2 * 3.15 * 880 / rate_hz + 2
