"""The fake recogniser's decisions, over given times."""

from itertools import cycle, pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_fakes.adapters.audio import LoudFrames, Tone, tone_hz
from voice_fakes.domain.recognition import (
    Final,
    Heard,
    Interim,
    Recognition,
    RecognitionPlan,
    SpeechStarted,
    spread_words,
)

PLAN = RecognitionPlan(
    first_interim_ms=400, word_interval_ms=200, final_after_speech_end_ms=300, two_pass_eou_ms=None, eou_ms=None,
    half_close_final_ms=10, empty_final=True,
)  # fmt: skip


def recognition(plan: RecognitionPlan = PLAN, *texts: str) -> Recognition:
    transcripts = cycle(texts or ("one two three", "four five"))
    return Recognition(plan, sample_rate_hz=16000, next_transcript=lambda: next(transcripts))


def play(listener: Recognition, pattern: str, *, start_ms: float = 0.0) -> list[Heard]:
    """Messages of 100 ms, one each 100 ms: "s" is speech, "." silence. Ticks come at their deadlines."""
    heard: list[Heard] = []
    for index, kind in enumerate(pattern):
        arrival_ms = start_ms + (index + 1) * 100.0
        while (due_ms := listener.deadline()) <= arrival_ms:
            heard += listener.tick(now_ms=due_ms)
        heard += listener.hear([kind == "s"] * 10, now_ms=arrival_ms)
    return heard


def test_an_utterance_in_real_time() -> None:
    heard = play(recognition(), "..ssssssss.....")
    assert heard == [
        SpeechStarted(0, 300.0, 200.0),
        Interim(0, "one", 1, 600.0),
        Interim(0, "one two", 2, 800.0),
        Interim(0, "one two three", 3, 1000.0),
        Final(0, "one two three", "endpoint", 200.0, 1000.0, 1000.0),
    ]


def test_a_short_pause_does_not_end_the_utterance() -> None:
    heard = play(recognition(), "sss.sss......")
    assert [item for item in heard if isinstance(item, Final)] == [
        Final(0, "one two three", "endpoint", 0.0, 700.0, 700.0)
    ]


def test_the_final_is_due_from_the_arrival_of_the_last_speech() -> None:
    listener = recognition()
    listener.hear([True] * 10 + [False] * 90, now_ms=5000)
    assert listener.deadline() == 5300
    assert listener.tick(now_ms=5299.9) == []
    assert [type(item) for item in listener.tick(now_ms=5300)] == [Final]
    assert listener.deadline() == inf


def test_utterances_take_transcripts_in_turn() -> None:
    finals = [item.text for item in play(recognition(), "sss......sss......sss......") if isinstance(item, Final)]
    assert finals == ["one two three", "four five", "one two three"]


def test_a_fast_file_is_cut_at_its_pauses_in_audio_time() -> None:
    listener = recognition()
    heard = listener.hear(([True] * 50 + [False] * 40) * 2, now_ms=7)
    assert [(item.why, item.end_ms) for item in heard if isinstance(item, Final)] == [("next_speech", 500.0)]
    listener.half_close(now_ms=8)
    assert [item.text for item in listener.tick(now_ms=18) if isinstance(item, Final)] == ["four five"]
    assert listener.finished


def test_force_eou_is_ignored_unless_the_plan_honours_it() -> None:
    deaf, keen = recognition(), recognition(RecognitionPlan(**{**vars(PLAN), "eou_ms": 20.0}))
    for listener in (deaf, keen):
        assert not listener.force_eou(now_ms=0)  # nothing was said yet
        listener.hear([True] * 10, now_ms=100)
    assert not deaf.force_eou(now_ms=100)
    assert keen.force_eou(now_ms=100)
    assert keen.deadline() == 120
    (final,) = keen.tick(now_ms=120)
    assert isinstance(final, Final)
    assert final.why == "force_eou"


def test_two_passes_settle_before_the_final() -> None:
    heard = play(recognition(RecognitionPlan(**{**vars(PLAN), "two_pass_eou_ms": 150.0})), "ss......")
    assert heard[1:] == [
        Interim(0, "one two three", 3, 300.0, settled=True),
        Final(0, "one two three", "endpoint", 0.0, 200.0, 200.0),
    ]


@pytest.mark.parametrize("empty_final", [True, False])
def test_half_close_without_speech(empty_final: bool) -> None:
    listener = recognition(RecognitionPlan(**{**vars(PLAN), "empty_final": empty_final}))
    listener.hear([False] * 10, now_ms=100)
    listener.half_close(now_ms=100)
    assert len(listener.tick(now_ms=110)) == int(empty_final)
    assert listener.finished


@given(st.text(alphabet="s.", max_size=80))
def test_every_utterance_ends_once_and_in_order(pattern: str) -> None:
    listener = recognition()
    heard = play(listener, pattern)
    end_ms = (len(pattern) + 1) * 100.0
    listener.half_close(now_ms=end_ms)
    heard += listener.tick(now_ms=end_ms + 10)
    assert listener.finished
    started = [item.utterance for item in heard if isinstance(item, SpeechStarted)]
    finals = [item for item in heard if isinstance(item, Final)]
    assert [item.utterance for item in finals] == (started or [0])
    assert all(not final.text for final in finals) == (not started)
    for before, after in pairwise(heard):
        assert before.utterance <= after.utterance


@given(st.lists(st.text(min_size=1, max_size=9), max_size=9), st.integers(0, 10**6), st.integers(0, 10**5))
def test_words_fill_the_time_in_order(words: list[str], begin: int, length: int) -> None:
    spread = spread_words(words, begin, begin + length)
    assert [word for word, _, _ in spread] == words
    times = [time for _, start, end in spread for time in (start, end)]
    assert times == sorted(times)
    if words:
        assert (times[0], times[-1]) == (begin, begin + length)


@given(st.integers(0, 4000), st.lists(st.integers(1, 700), min_size=1, max_size=40), st.booleans())
def test_chunk_boundaries_do_not_change_what_is_loud(quiet_samples: int, sizes: list[int], header: bool) -> None:
    audio = np.concatenate([np.zeros(quiet_samples, "<i2"), np.full(3000, 5000, "<i2")]).tobytes()
    whole = LoudFrames(sample_rate_hz=16000, threshold_rms=300).push(audio)
    cut = LoudFrames(sample_rate_hz=16000, threshold_rms=300)
    found: list[bool] = []
    rest = audio
    if header:
        found += cut.push(b"RIFF" + bytes(32) + b"data" + bytes(4))
    for size in [*sizes, len(audio)]:
        found += cut.push(rest[:size])
        rest = rest[size:]
    assert found == whole
    assert sum(found) >= 17


@given(
    st.text(max_size=20),
    st.sampled_from([8000, 16000, 22050, 48000]),
    st.integers(1, 3000),
    st.integers(0, 300),
    st.integers(1, 9999),
)
def test_a_tone_is_the_same_however_it_is_cut(text: str, rate: int, duration: int, silence: int, step: int) -> None:
    tone = Tone(text, sample_rate_hz=rate, duration_ms=duration, silence_ms=silence)
    whole = tone.cut(0, tone.samples)
    assert len(whole) == 2 * tone.samples
    assert b"".join(tone.cut(at, at + step) for at in range(0, tone.samples, step)) == whole
    first_sound = round(silence * rate / 1000)
    assert not any(whole[: 2 * first_sound])
    assert np.frombuffer(whole, "<i2")[first_sound] == 8000
    assert 200 <= tone_hz(text) <= 580
