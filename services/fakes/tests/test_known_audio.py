"""Recordings are found in what is heard, whatever of them a stream holds; their words are recognised as they end."""

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_fakes import ScriptError
from voice_fakes.adapters.known_audio import Follower, KnownAudio
from voice_fakes.domain.recognition import Final, HeardWord, Interim, Recognition, RecognitionPlan
from voice_fakes.script import KnownRecording, TimedWord

RATE = 16_000
WORDS = tuple(
    TimedWord(text=text, begin_ms=at, end_ms=at + 200) for text, at in (("one", 0), ("two", 250), ("three", 700))
)


def sound(seed: int, samples: int) -> bytes:
    return np.random.default_rng(seed).integers(-9000, 9000, samples).astype("<i2").tobytes()


def known(folder: Path) -> tuple[KnownAudio, bytes]:
    """Two recordings of a second; the words are in the second one."""
    paths = []
    for seed in (1, 2):
        path = folder / f"{seed}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(sound(seed, RATE))
        paths.append(path)
    recordings = (KnownRecording(path=str(paths[0])), KnownRecording(path=str(paths[1]), words=WORDS))
    return KnownAudio(recordings), sound(2, RATE)


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> tuple[KnownAudio, bytes]:
    return known(tmp_path_factory.mktemp("recordings"))


def heard(audio: KnownAudio, pcm: bytes, cuts: list[int]) -> list[HeardWord]:
    follower = Follower(audio)
    begin = 0
    for cut in [*cuts, len(pcm)]:
        follower.push(pcm[begin:cut])
        begin = cut
    return follower.words


@settings(max_examples=50)
@given(silence=st.integers(0, 2000), cuts=st.lists(st.integers(0, 30_000), max_size=8))
def test_words_are_heard_where_they_end_in_pieces_of_any_size(
    audio: tuple[KnownAudio, bytes], silence: int, cuts: list[int]
) -> None:
    recordings, pcm = audio
    words = heard(recordings, bytes(2 * silence) + pcm, sorted(cuts))
    assert words == [HeardWord(word.text, silence + round(word.end_ms * 16)) for word in WORDS]


def test_a_stream_that_begins_late_hears_what_is_left(audio: tuple[KnownAudio, bytes]) -> None:
    recordings, pcm = audio
    assert [word.text for word in heard(recordings, pcm[2 * 16 * 300 :], [])] == ["two", "three"]
    assert [word.text for word in heard(recordings, pcm[2 * 16 * 400 :], [])] == ["three"]


def test_a_stream_that_leaves_and_comes_back_hears_each_word_once(audio: tuple[KnownAudio, bytes]) -> None:
    recordings, pcm = audio
    half = 2 * 16 * 460
    words = heard(recordings, pcm[:half] + bytes(4000) + sound(9, 1600) + pcm[half:], [])
    assert [word.text for word in words] == ["one", "two", "three"]


def test_other_sound_has_no_words(audio: tuple[KnownAudio, bytes]) -> None:
    assert heard(audio[0], sound(7, RATE) + bytes(3000) + sound(1, RATE), []) == []


def test_a_recording_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ScriptError, match=r"nowhere\.wav"):
        KnownAudio([KnownRecording(path="nowhere.wav")])


def test_utterances_hold_the_words_that_were_heard_in_them() -> None:
    plan = RecognitionPlan(
        first_interim_ms=0, word_interval_ms=1, final_after_speech_end_ms=300, two_pass_eou_ms=None, eou_ms=None,
        half_close_final_ms=10, empty_final=True, word_delay_ms=100,
    )  # fmt: skip
    words: list[HeardWord] = []
    listener = Recognition(plan, sample_rate_hz=RATE, next_transcript=lambda: "not this", heard=words)
    told = []
    for tenth in range(20):
        if tenth in {2, 4, 12}:
            words.append(HeardWord(f"word{tenth}", tenth * 1600))
        loud = tenth < 5 or 10 <= tenth < 13
        now_ms = (tenth + 1) * 100.0
        if listener.deadline() <= now_ms:
            told += listener.tick(now_ms=now_ms)
        told += listener.hear([loud] * 10, now_ms=now_ms)
    assert [item.text for item in told if isinstance(item, Interim)] == ["word2", "word2 word4", "word12"]
    assert [item.text for item in told if isinstance(item, Final)] == ["word2 word4", "word12"]
