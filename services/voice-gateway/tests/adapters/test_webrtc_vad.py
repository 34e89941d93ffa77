"""Voice activity on real sentences and on what is not speech."""

import asyncio

import numpy as np
import pytest
from gateway_signals import RATES, Signal, judged, pink, sentences, waves, white
from numpy.typing import NDArray

from voice_gateway.adapters.audio_tools import LocalAudioTools
from voice_gateway.adapters.webrtc_vad import WebRtcVad
from voice_gateway.application.ports import AudioTools


def decisions(signal: Signal, rate: int, mode: int = 2) -> NDArray[np.bool_]:
    """The judgement on each 20 ms."""
    return asyncio.run(judged(WebRtcVad(rate, mode), signal))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_digital_silence_is_never_speech(rate: int, mode: int) -> None:
    assert not decisions(np.zeros(rate * 2), rate, mode).any()
    # One unit up and down: the noise of a converter with nothing attached.
    assert not decisions(np.random.default_rng(1).integers(-1, 2, rate * 2).astype(float), rate, mode).any()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", ["white", "pink", "hum", "hum and noise", "tone", "dial tone"])
@pytest.mark.parametrize("dbfs", [-60, -40, -30, -20])
def test_what_is_stationary_is_rejected_once_a_second_was_heard(rate: int, kind: str, dbfs: float) -> None:
    seconds = 4
    noises = {
        "white": white(seconds, rate, dbfs),
        "pink": pink(seconds, rate, dbfs),
        "hum": waves(seconds, rate, (50, dbfs), (150, dbfs - 10)),
        "hum and noise": waves(seconds, rate, (60, dbfs), (120, dbfs - 6)) + white(seconds, rate, dbfs - 20),
        "tone": waves(seconds, rate, (1_000, dbfs)),
        "dial tone": waves(seconds, rate, (350, dbfs), (440, dbfs)),
    }
    heard = decisions(noises[kind], rate)
    assert heard[52:].mean() <= 0.01


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("peak_dbfs", "noise_dbfs", "accepted"),
    [(-6, None, 0.9), (-26, None, 0.9), (-46, None, 0.55), (-6, -70, 0.9), (-6, -42, 0.7)],
    ids=["loud", "quiet", "very quiet", "a quiet room", "white noise at 20 dB"],
)
def test_speech_is_accepted_and_pauses_are_not(
    rate: int, peak_dbfs: float, noise_dbfs: float | None, accepted: float
) -> None:
    signal, spoken, pause = sentences(rate, peak_dbfs)
    if noise_dbfs is not None:
        signal = signal + white(signal.size / rate, rate, noise_dbfs)[: signal.size]
    heard = decisions(signal, rate)[: spoken.size]
    assert heard[spoken].mean() >= accepted
    # For its first second the detector takes any noise for new.
    pause[:52] = False
    assert pause.sum() >= 8 * 24
    assert heard[pause].mean() <= 0.02


def test_speech_from_the_first_frame_on_is_heard() -> None:
    signal, spoken, _ = sentences(16_000, -10)
    onset = int(spoken.argmax())
    assert decisions(signal[onset * 320 :], 16_000)[:10].sum() >= 8


@pytest.mark.parametrize("rate", [0, 11_025, 44_100])
def test_rates_that_webrtc_does_not_know(rate: int) -> None:
    with pytest.raises(ValueError, match=f"sample_rate_hz is {rate}, allowed are 8000, 16000, 32000 and 48000"):
        WebRtcVad(rate)


async def test_other_modes_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="mode is 4"):
        WebRtcVad(16_000, 4)
    with pytest.raises(ValueError, match="a frame has 640 bytes, this one 320"):
        await WebRtcVad(16_000).is_speech(bytes(320))


async def test_a_sound_is_steady_until_it_fades() -> None:
    detector = WebRtcVad(16_000)
    tone = np.sin(np.arange(320) * 2 * np.pi * 1_000 / 16_000)
    told = []
    for amplitude in (8_000, 8_000, 5_000, 1_600, 0):
        await detector.is_speech((tone * amplitude).astype("<i2").tobytes())
        told.append(detector.steady)
    assert told == [True, True, True, False, False]


def test_tools_of_a_call() -> None:
    tools: AudioTools = LocalAudioTools()
    assert tools.resampler(16_000, 16_000) is None
    assert tools.resampler(16_000, 8_000) is not None
    one, other = tools.voice_activity(48_000), tools.voice_activity(48_000)
    assert one.frame_samples == 960
    assert one is not other
