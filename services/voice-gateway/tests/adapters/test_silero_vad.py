"""The cascade with the real model: what it accepts, what it leaves to the gate, and how little it asks."""

import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from gateway_onnx import turn_model
from gateway_signals import RATES, SENTENCES, judged, pink, sentences, waves, white

from voice_gateway.adapters.onnx_models import ModelUnusable
from voice_gateway.adapters.silero_model import STATE_SIZE, SileroModel, installed_model, window_samples
from voice_gateway.adapters.silero_vad import SileroVad
from voice_gateway.adapters.vad_scorer import VadScorer, scoring


class Counts:
    def __init__(self) -> None:
        self.frames = 0
        self.unscored: list[str] = []

    def vad_batch(self, frames: int) -> None:
        self.frames += frames

    def vad_unscored(self, reason: str) -> None:
        self.unscored.append(reason)


@pytest.fixture(scope="module")
def model() -> SileroModel:
    return SileroModel(installed_model())


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
async def scorer(model: SileroModel, counts: Counts) -> AsyncIterator[VadScorer]:
    async with scoring(model, counts, deadline_ms=20_000) as running:
        yield running


@pytest.mark.parametrize("rate", RATES)
async def test_digital_silence_costs_no_score(rate: int, scorer: VadScorer, counts: Counts) -> None:
    assert not (await judged(SileroVad(rate, scorer), np.zeros(rate * 3))).any()
    assert counts.frames == 0


@pytest.mark.parametrize("rate", RATES)
async def test_what_is_not_speech_is_rejected_from_the_first_frame_on(rate: int, scorer: VadScorer) -> None:
    seconds = 3
    times = np.arange(seconds * rate) / rate
    noises = {
        "white": white(seconds, rate, -30),
        "pink": pink(seconds, rate, -30),
        "hum": waves(seconds, rate, (50, -30), (150, -40)),
        "tone": waves(seconds, rate, (1_000, -20)),
        "dial tone": waves(seconds, rate, (350, -20), (440, -20)),
        "keys": waves(seconds, rate, (770, -20), (1_336, -20)) * (times % 0.2 < 0.1),
        "noise that swells": white(seconds, rate, -25) * (0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * times)) ** 2,
    }
    heard = {name: (await judged(SileroVad(rate, scorer), noise)).mean() for name, noise in noises.items()}
    assert max(heard.values()) <= 0.01, heard


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("peak_dbfs", "noise_dbfs", "accepted"),
    [(-6, None, 0.9), (-26, None, 0.9), (-46, None, 0.85), (-6, -42, 0.8), (-6, -32, 0.85)],
    ids=["loud", "quiet", "very quiet", "white noise at 20 dB", "white noise at 10 dB"],
)
async def test_speech_is_accepted_and_pauses_are_not(
    rate: int, peak_dbfs: float, noise_dbfs: float | None, accepted: float, scorer: VadScorer
) -> None:
    signal, spoken, pause = sentences(rate, peak_dbfs)
    if noise_dbfs is not None:
        signal = signal + white(signal.size / rate, rate, noise_dbfs)[: signal.size]
    heard = (await judged(SileroVad(rate, scorer), signal))[: spoken.size]
    assert heard[spoken].mean() >= accepted
    # In noise the model sees the end, later than the gate.
    assert heard[pause].mean() <= (0.02 if noise_dbfs is None else 0.25)


@pytest.mark.parametrize("recording", SENTENCES, ids=lambda path: path.stem)
async def test_a_start_of_speech_is_counted_from_where_it_can_be_heard(recording: Path, scorer: VadScorer) -> None:
    with wave.open(str(recording)) as file:
        pcm = bytes(32_000) + file.readframes(file.getnframes())
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    levels = np.sqrt((samples[: samples.size // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1))
    audible = int(np.argmax(levels >= levels.max() / 10)) * 160
    detector, start = SileroVad(16_000, scorer), None
    for at in range(0, len(pcm) - 639, 640):
        if await detector.is_speech(pcm[at : at + 640]) and start is None:
            start = at // 2 - detector.late_samples
    assert start is not None
    # From the first 10 ms within 20 dB of the loudest: a little sooner for a breath, hardly later.
    assert -80 <= (start - audible) / 16 <= 20


async def test_few_frames_reach_the_model(scorer: VadScorer, counts: Counts) -> None:
    signal, spoken, _ = sentences(16_000, -12)
    await judged(SileroVad(16_000, scorer), signal)
    assert 0 < counts.frames < 0.35 * spoken.size
    assert not counts.unscored


async def test_each_call_hears_what_it_hears_alone(scorer: VadScorer) -> None:
    """States and frames of different calls do not mix in a batch."""
    signal, _, _ = sentences(16_000, -12)
    others = [signal, signal[16_000:], white(4, 16_000, -30), signal[40_000:]]
    alone = [await judged(SileroVad(16_000, scorer), each) for each in others]
    together = await asyncio.gather(*(judged(SileroVad(16_000, scorer), each) for each in others))
    for one, other in zip(alone, together, strict=True):
        assert (one == other).mean() > 0.99  # float sums differ with the size of a batch


def test_a_batch_scores_as_single_frames_do(model: SileroModel) -> None:
    random = np.random.default_rng(2)
    windows = random.normal(0, 0.1, (5, window_samples(16_000))).astype(np.float32)
    states = random.normal(0, 0.1, (2, 5, STATE_SIZE)).astype(np.float32)
    scores, after = model.run(windows, states, 16_000)
    for place in range(5):
        one, state = model.run(windows[place : place + 1], states[:, place : place + 1], 16_000)
        assert one[0] == pytest.approx(scores[place], abs=1e-5)
        assert state[:, 0] == pytest.approx(after[:, place], abs=1e-5)


async def test_other_lengths_and_rates_are_refused(scorer: VadScorer) -> None:
    with pytest.raises(ValueError, match="a frame has 640 bytes, this one 320"):
        await SileroVad(16_000, scorer).is_speech(bytes(320))
    with pytest.raises(ValueError, match="sample_rate_hz is 11025, allowed are 8000, 16000, 32000 and 48000"):
        SileroVad(11_025, scorer)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelUnusable, match=r"VAD_MODEL_PATH is .*gone\.onnx, which is no file; allowed is an ONNX model"
    ):
        SileroModel(tmp_path / "gone.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelUnusable, match=r"VAD_MODEL_PATH is .*text\.onnx; allowed is a readable ONNX model"):
        SileroModel(tmp_path / "text.onnx")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="whose inputs are input_features; allowed is a Silero VAD model"):
        SileroModel(turn_model(tmp_path / "other.onnx"))
