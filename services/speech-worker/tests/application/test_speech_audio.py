"""Resampling, sample formats and levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speech_harness import sine

from speech_worker.application.loudness import TARGET_DBFS, gain_for, limited, speech_level_dbfs
from speech_worker.application.pcm import decode, to_float, to_s16
from speech_worker.application.resampling import Resampler
from speech_worker.domain.audio import Encoding

RATES = st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 22_051])


@settings(deadline=None, max_examples=40)
@given(RATES, RATES, st.lists(st.integers(0, 900), max_size=12), st.integers(0, 2**31))
def test_any_cut_gives_the_same_audio_of_the_right_length(
    input_hz: int, output_hz: int, sizes: list[int], seed: int
) -> None:
    samples = np.random.default_rng(seed).standard_normal(sum(sizes)).astype(np.float32)
    whole = Resampler(input_hz, output_hz)
    expected = np.concatenate((whole.process(samples), whole.flush()))
    pieces = Resampler(input_hz, output_hz)
    found, start = [], 0
    for size in sizes:
        found.append(pieces.process(samples[start : start + size]))
        start += size
    found.append(pieces.flush())
    assert len(expected) == -(-len(samples) * output_hz // input_hz)
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("input_hz", "output_hz"), [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000), (16_000, 22_050)]
)
def test_speech_frequencies_pass_in_place(input_hz: int, output_hz: int) -> None:
    resampler = Resampler(input_hz, output_hz)
    source = sine(1_000, rate_hz=input_hz, seconds=0.5)
    found = np.concatenate((resampler.process(source), resampler.flush()))
    expected = sine(1_000, rate_hz=output_hz, seconds=0.5)[: len(found)]
    middle = slice(len(found) // 8, -len(found) // 8)
    error = found[middle] - expected[middle]
    snr_db = 10 * np.log10(np.mean(expected[middle] ** 2) / np.mean(error**2))
    assert snr_db > 60


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    resampler = Resampler(48_000, 16_000)
    found = resampler.process(sine(11_000, rate_hz=48_000, seconds=0.5))
    assert 20 * np.log10(np.abs(found[200:-200]).max() / 0.5) < -60


def test_little_is_held_back() -> None:
    for input_hz, output_hz in ((48_000, 16_000), (16_000, 48_000), (22_050, 16_000)):
        given_out = len(Resampler(input_hz, output_hz).process(np.zeros(input_hz // 10, dtype=np.float32)))
        assert output_hz / 10 - given_out <= output_hz * 0.0015


@given(st.binary(max_size=200).filter(lambda data: len(data) % 2 == 0))
def test_pcm_survives_the_way_there_and_back(data: bytes) -> None:
    assert to_s16(to_float(data)) == data


def test_g711_is_what_the_standard_says() -> None:
    """Values of ITU-T G.711 tables 1 and 2, scaled to 16 bits."""
    mulaw = np.rint(decode(bytes([0x00, 0x80, 0x7F, 0xFF, 0x0F, 0x8F]), Encoding.MULAW) * 32768).astype(int)
    assert mulaw.tolist() == [-32124, 32124, 0, 0, -16764, 16764]
    alaw = np.rint(decode(bytes([0x2A, 0xAA, 0xD5, 0x55]), Encoding.ALAW) * 32768).astype(int)
    assert alaw.tolist() == [-32256, 32256, 8, -8]


@given(st.floats(0.02, 0.9), st.floats(0.05, 1.0))
def test_any_level_comes_to_the_target(level: float, seconds: float) -> None:
    samples = sine(300, rate_hz=16_000, seconds=seconds, level=level)
    measured = speech_level_dbfs(samples, 16_000)
    levelled = speech_level_dbfs(samples * np.float32(gain_for(measured)), 16_000)
    assert levelled is not None
    assert levelled == pytest.approx(TARGET_DBFS, abs=0.5)


def test_silence_has_no_level_and_gets_no_gain() -> None:
    assert gain_for(speech_level_dbfs(np.zeros(1_600, dtype=np.float32), 16_000)) == 1.0
    assert gain_for(speech_level_dbfs(np.zeros(0, dtype=np.float32), 16_000)) == 1.0


@given(st.lists(st.floats(-8, 8, width=32), max_size=50))
def test_the_limiter_keeps_order_and_full_scale(values: list[float]) -> None:
    samples = np.array(sorted(values), dtype=np.float32)
    found = limited(samples)
    assert np.all(np.abs(found) <= 1.0)
    assert np.all(np.diff(found) >= -1e-6)
    quiet = np.abs(samples) <= 0.8
    np.testing.assert_array_equal(found[quiet], samples[quiet])
