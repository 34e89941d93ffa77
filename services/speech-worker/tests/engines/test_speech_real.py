"""Real speech through real engines. Bounds are loose: they catch a broken chain, they do not measure it."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
from speech_harness import AUDIO, question, silence, words_of

from speech_worker.application.pcm import to_float, to_s16
from speech_worker.application.ports import AsrEngine
from speech_worker.bench import HELD_OUT, hear, measure, table, word_errors
from speech_worker.engines.catalog import EngineOptions, asr_engine, tts_engine

pytestmark = pytest.mark.speech

# espeak-ng's best voice is at 16 % over all sentences (12-21 % with 95 % confidence); twelve of them vary more.
HIGHEST_ERROR_RATE = 0.35


@pytest.fixture
async def asr() -> AsyncIterator[AsrEngine]:
    engine = asr_engine("pocketsphinx", EngineOptions(max_streams=1))
    try:
        await engine.load()
        yield engine
    finally:
        await engine.unload()


async def test_what_the_worker_says_it_understands(asr: AsrEngine) -> None:
    tts = tts_engine("espeak", EngineOptions(max_streams=1))
    try:
        await tts.load()
        figures = await measure(asr, tts, tts.capabilities.default_voice, HELD_OUT[:12])
    finally:
        await tts.unload()
    assert figures.words == sum(len(sentence.split()) for sentence in HELD_OUT[:12])
    assert 0 < figures.word_error_rate < HIGHEST_ERROR_RATE
    assert "| espeak en-us+klatt5 | 12 |" in table([figures])


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.02])
async def test_the_level_of_the_speaker_does_not_matter(asr: AsrEngine, gain: float) -> None:
    """Down to -40 dBFS; without levelling the decoder misses most words there."""
    heard = []
    for name in ("what-is-my-name", "what-time-is-it", "my-name-is-sarah"):
        pcm = silence(200) + to_s16(to_float(question(name)) * np.float32(gain)) + silence(400)
        heard.append((name, (await hear(asr, pcm))[0]))
    assert heard == [(name, words_of(name)) for name, _ in heard]


async def test_no_speech_makes_no_words(asr: AsrEngine) -> None:
    hiss = to_s16((np.random.default_rng(1).standard_normal(32_000) * 0.0005).astype(np.float32))
    assert [(await hear(asr, pcm))[0] for pcm in (silence(2_000), hiss)] == ["", ""]


def test_no_sentence_of_a_test_is_a_spoken_question() -> None:
    assert not {words_of(path.stem) for path in AUDIO.glob("*.wav")} & set(HELD_OUT)
    assert len(set(HELD_OUT)) >= 30


@pytest.mark.parametrize(
    ("expected", "found", "errors"),
    [("a b c", "a b c", 0), ("a b c", "", 3), ("a b", "x a b", 1), ("a b c", "a x c", 1)],
)
def test_word_errors_are_counted(expected: str, found: str, errors: int) -> None:
    assert word_errors(expected.split(), found.split()) == errors
