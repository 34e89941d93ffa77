"""Results of a stream, words and their times, choice of voices, text that can be spoken."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_worker.domain.catalogue import Voice, choose_model, choose_voice
from speech_worker.domain.errors import InvalidRequest, UnavailableModel
from speech_worker.domain.recognition import ResultOptions, ResultWriter
from speech_worker.domain.speakable import speakable
from speech_worker.domain.words import Hypothesis, Word, durations_s, estimate_words, filter_words, spoken_words
from speech_worker.engines.blocked_words import BlockedWords

INTERIMS = ResultOptions(interim_results=True, word_times=True)


def test_every_result_after_the_first_final_has_a_leading_space() -> None:
    writer = ResultWriter(INTERIMS)
    assert writer.interim(Hypothesis("a"), audio_processed_s=0.1).transcript == "a"  # type: ignore[union-attr]
    assert writer.final(Hypothesis("a b"), audio_processed_s=0.2).transcript == "a b"
    assert writer.interim(Hypothesis("c"), audio_processed_s=0.3).transcript == " c"  # type: ignore[union-attr]
    assert writer.final(Hypothesis("c d"), audio_processed_s=0.4).transcript == " c d"


def test_an_interim_that_changes_nothing_is_not_told_but_the_first_pass_is() -> None:
    writer = ResultWriter(INTERIMS)
    assert writer.interim(Hypothesis("a"), audio_processed_s=0.1) is not None
    assert writer.interim(Hypothesis("a"), audio_processed_s=0.2) is None
    likely = writer.interim(Hypothesis("a"), audio_processed_s=0.3, likely_end=True)
    assert likely is not None
    assert (likely.is_final, likely.stability) == (False, 1.0)


def test_without_interims_only_finals_are_told() -> None:
    writer = ResultWriter(ResultOptions())
    assert writer.interim(Hypothesis("a"), audio_processed_s=0.1, likely_end=True) is None
    final = writer.final(Hypothesis("a", 0.5, (Word("a", 0, 100),)), audio_processed_s=0.2)
    assert (final.is_final, final.confidence, final.words) == (True, 0.5, ())


def test_an_empty_final_stays_empty() -> None:
    writer = ResultWriter(INTERIMS)
    writer.final(Hypothesis("a"), audio_processed_s=0.1)
    assert writer.final(Hypothesis(), audio_processed_s=0.2).transcript == ""


def test_the_profanity_filter_masks_text_and_words() -> None:
    options = ResultOptions(interim_results=True, word_times=True, profanity_filter=True, blocked_words=BlockedWords())
    final = ResultWriter(options).final(Hypothesis("Oh shit, no", 0.5, (Word("shit", 0, 100),)), audio_processed_s=0.1)
    assert final.transcript == "Oh s***, no"
    assert final.words[0].text == "s***"


@given(st.text(max_size=200))
def test_the_filter_changes_no_innocent_text(text: str) -> None:
    assert filter_words(text, frozenset()) == text


@given(st.text(max_size=200), st.integers(0, 5_000), st.integers(0, 20_000))
def test_estimated_words_cover_the_time_in_order(text: str, start_ms: int, length_ms: int) -> None:
    words = estimate_words(text, start_ms=start_ms, end_ms=start_ms + length_ms)
    assert [word.text for word in words] == spoken_words(text)
    if words:
        assert (words[0].start_ms, words[-1].end_ms) == (start_ms, start_ms + length_ms)
        assert all(a.end_ms == b.start_ms for a, b in pairwise(words))
    assert sum(durations_s(words)) == pytest.approx(length_ms / 1000 if words else 0)


VOICES = (Voice("a-us", "en-US", "one"), Voice("a-gb", "en-GB", "one"), Voice("a-de", "de-DE", "two"))


def chosen(name: str = "", language_code: str = "") -> str:
    return choose_voice(
        "e", VOICES, default=VOICES[0], name=name, language_code=language_code, sample_rate_hz=22_050
    ).id  # fmt: skip


@pytest.mark.parametrize(
    ("name", "language_code", "found"),
    [
        ("", "", "a-us"), ("", "en-GB", "a-gb"), ("", "en-AU", "a-us"), ("", "de", "a-de"), ("two", "", "a-de"),
        ("E-en-GB.ONE", "", "a-gb"), ("e-de-DE", "", "a-de"), ("a-gb", "en-US", "a-gb"),
    ],
)  # fmt: skip
def test_a_voice_is_found_by_full_name_subvoice_own_name_or_language(name: str, language_code: str, found: str) -> None:
    assert chosen(name, language_code) == found


def test_riva_s_own_sentence_tells_what_is_not_there() -> None:
    with pytest.raises(UnavailableModel) as refused:
        choose_model(("m",), ("en-US",), model="", language_code="es-ES", sample_rate_hz=16_000, kind="offline")
    assert str(refused.value) == (
        "Error: Unavailable model requested given these parameters: language_code=es; sample_rate=16000; type=offline; "
    )
    with pytest.raises(UnavailableModel, match="voice_name=nobody; "):
        chosen("nobody")


def test_ssml_counts_inside_its_root_only() -> None:
    text = (
        '<speak>Say <sub alias="doctor">Dr.</sub> <prosody rate="90%">Smith &amp; Co</prosody>'
        '<break time="1s"/>now</speak>'
    )
    assert speakable(text, longest=200) == "Say doctor Smith & Co , now"
    assert speakable("1 < 2 and 3 > 2", longest=200) == "1 < 2 and 3 > 2"


@given(st.text(min_size=1, max_size=100))
def test_speakable_text_has_no_control_characters(text: str) -> None:
    try:
        result = speakable(text, longest=100)
    except InvalidRequest:
        assert not text.strip()
        return
    assert result.isprintable()


def test_no_text_and_too_much_text_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"text is empty: say what should be spoken\."):
        speakable(" \n", longest=10)
    with pytest.raises(InvalidRequest, match=r"text has 11 characters: at most 10 are allowed in one request\."):
        speakable("a" * 11, longest=10)
