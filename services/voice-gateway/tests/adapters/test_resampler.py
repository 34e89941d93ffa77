"""Sample-rate conversion: same output however the input is cut, and what the ear would notice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voice_gateway.adapters.resampler import PolyphaseResampler

RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]
PAIRS = [(source, target) for source in RATES for target in RATES if source != target]
AMPLITUDE = 16_000


def converted(pcm: bytes, source: int, target: int, sizes: list[int] | None = None) -> bytes:
    """`pcm` in pieces of so many samples, over and over; whole without sizes."""
    resampler = PolyphaseResampler(source, target)
    pieces: list[bytes] = []
    at = 0
    while at < len(pcm):
        size = 2 * (sizes[len(pieces) % len(sizes)] if sizes else len(pcm))
        pieces.append(resampler.process(pcm[at : at + size]))
        at += size
    return b"".join([*pieces, resampler.flush()])


def tone(frequency_hz: float, rate: int, seconds: float = 0.5) -> bytes:
    times = np.arange(int(seconds * rate)) / rate
    return np.round(AMPLITUDE * np.sin(2 * np.pi * frequency_hz * times)).astype("<i2").tobytes()


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float64)


def level_and_rest_db(pcm: bytes, frequency_hz: float, rate: int) -> tuple[float, float]:
    """Level of the tone against `AMPLITUDE`, and of all else against the tone; ends are left out."""
    margin = rate // 50
    heard = samples(pcm)[margin:-margin]
    angle = 2 * np.pi * frequency_hz * (np.arange(heard.size) + margin) / rate
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    share = np.linalg.lstsq(waves, heard, rcond=None)[0]
    rest = heard - waves @ share
    return 20 * np.log10(np.hypot(*share) / AMPLITUDE), 20 * np.log10(rest.std() / (waves @ share).std())


@given(
    pair=st.sampled_from(PAIRS) | st.tuples(st.integers(8_000, 48_000), st.integers(8_000, 48_000)),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6),
    length=st.integers(0, 1_500),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_any_cutting_gives_the_same_output(pair: tuple[int, int], sizes: list[int], length: int, seed: int) -> None:
    source, target = pair
    pcm = np.random.default_rng(seed).integers(-32_768, 32_768, length).astype("<i2").tobytes()
    whole = converted(pcm, source, target)
    assert converted(pcm, source, target, sizes) == whole
    # One output for each instant of the output's clock before the input's end.
    assert len(whole) // 2 == -(-length * target // source)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_speech_band_passes_and_little_is_added(source: int, target: int) -> None:
    nyquist = min(source, target) / 2
    for part in (0.1, 0.4, 0.7, 0.85):
        level_db, rest_db = level_and_rest_db(
            converted(tone(part * nyquist, source), source, target), part * nyquist, target
        )
        assert abs(level_db) < 0.1
        assert rest_db < -55


@pytest.mark.parametrize(("source", "target"), [(48_000, 16_000), (44_100, 16_000), (48_000, 8_000), (16_000, 8_000)])
@pytest.mark.parametrize("above", [1.12, 1.3, 1.9])
def test_what_the_lower_rate_cannot_carry_is_removed(source: int, target: int, above: float) -> None:
    aliased = samples(converted(tone(above * target / 2, source), source, target))[400:-400]
    assert 20 * np.log10(max(aliased.std(), 1e-9) / (AMPLITUDE / np.sqrt(2))) < -60


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_held_back_no_more_than_two_milliseconds(source: int, target: int) -> None:
    resampler = PolyphaseResampler(source, target)
    assert resampler.held_back_samples / source <= 0.002 + 1 / source
    frame = bytes(2 * (source // 50))
    made = len(resampler.process(frame) + resampler.process(frame)) // 2
    assert made >= 0.038 * target - 2


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_constant_stays_one_and_time_does_not_shift(source: int, target: int) -> None:
    constant = np.full(source // 10, 12_345, dtype="<i2").tobytes()
    middle = samples(converted(constant, source, target))[target // 50 : -target // 50]
    assert (middle == 12_345).all()
    click = np.zeros(source // 10, dtype="<i2")
    click[source // 20] = 20_000
    peak_s = float(np.abs(samples(converted(click.tobytes(), source, target))).argmax()) / target
    assert abs(peak_s - (source // 20) / source) <= 1 / min(source, target)


def test_loud_steps_are_limited_and_never_wrap() -> None:
    steps = np.repeat(np.array([32_767, -32_768] * 20, dtype="<i2"), 40)
    heard = samples(converted(steps.tobytes(), 16_000, 48_000))
    for number in range(40):
        middle = heard[number * 120 + 20 : number * 120 + 100]
        assert (middle > 25_000).all() if number % 2 == 0 else (middle < -25_000).all()


def test_after_a_flush_nothing_of_the_old_stream_is_left() -> None:
    resampler = PolyphaseResampler(44_100, 16_000)
    resampler.process(tone(440, 44_100))
    resampler.flush()
    assert resampler.process(tone(1_000, 44_100)) + resampler.flush() == converted(tone(1_000, 44_100), 44_100, 16_000)
    assert resampler.flush() == b""


def test_half_a_sample_and_impossible_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="buffer size"):
        PolyphaseResampler(8_000, 16_000).process(b"\x00")
    with pytest.raises(ValueError, match="rates are positive"):
        PolyphaseResampler(0, 16_000)
