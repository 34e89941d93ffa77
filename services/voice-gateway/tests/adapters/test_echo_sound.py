"""Whether a sound is what is played: on sounds with the shape of speech, through simulated rooms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from voice_gateway.adapters.echo_sound import likeness
from voice_gateway.domain.policy import InterruptionPolicy

RATE_HZ = 16_000
Samples = NDArray[np.float64]


def babble(seed: int, seconds: float = 3.0, rate_hz: int = RATE_HZ) -> Samples:
    """Syllables of 80 to 200 ms: noise with two formants of their own each, and short gaps."""
    dice = np.random.default_rng(seed)
    parts: list[Samples] = []
    while sum(len(part) for part in parts) < seconds * rate_hz:
        length = int(dice.uniform(0.08, 0.2) * rate_hz)
        spectrum = np.fft.rfft(dice.normal(size=length))
        hertz = np.fft.rfftfreq(length, 1 / rate_hz)
        formants = dice.uniform([250, 900], [800, 2_800])
        shape = sum(np.exp(-(((hertz - formant) / 150) ** 2)) for formant in formants)
        parts += [np.fft.irfft(spectrum * shape, length) * np.hanning(length), np.zeros(int(0.03 * rate_hz))]
    sound = np.concatenate(parts)[: int(seconds * rate_hz)]
    loud: Samples = sound / np.abs(sound).max() * 12_000
    return loud


def through_a_room(sound: Samples, seed: int, *, gain: float) -> Samples:
    """150 ms of reverberation, and a little noise."""
    dice = np.random.default_rng(seed)
    length = int(0.15 * RATE_HZ)
    response = dice.normal(size=length) * 10.0 ** (-3.0 * np.arange(length) / length)
    echo = np.convolve(sound, response)[: len(sound)]
    made: Samples = echo / np.abs(echo).max() * 12_000 * gain + dice.normal(size=len(sound)) * 10
    return made


def pcm(sound: Samples) -> bytes:
    return sound.astype("<i2").tobytes()


def test_echoes_are_told_from_strangers() -> None:
    """At any delay and loudness. The threshold of the default policy; a fixed set, so that the shares are facts."""
    echoes, strangers = [], []
    for seed in range(60):
        played = babble(seed)
        end, late = 2 * RATE_HZ, seed * 13 % 800 * 16
        heard = through_a_room(played, seed, gain=0.05 if seed % 2 else 0.5)[end - 9_600 : end]
        sent = pcm(played[: end + late])
        echoes.append(likeness(pcm(heard), RATE_HZ, sent, RATE_HZ))
        strangers.append(likeness(pcm(babble(seed + 1_000)[:9_600]), RATE_HZ, sent, RATE_HZ))
    threshold = InterruptionPolicy().echo_sound
    assert sum(each >= threshold for each in echoes) >= 57
    assert sum(each >= threshold for each in strangers) <= 2


def test_rates_need_not_be_the_same() -> None:
    played = babble(5, rate_hz=24_000)
    heard = np.interp(np.arange(0, 3, 1 / RATE_HZ), np.arange(0, 3, 1 / 24_000), played)[16_000 : 16_000 + 9_600]
    assert likeness(pcm(heard), RATE_HZ, pcm(played), 24_000) > 0.9


@pytest.mark.parametrize(
    ("heard", "played"),
    [
        (b"", b""),
        (b"\1\0", bytes(64_000)),
        (bytes(19_200), bytes(64_000)),
        (pcm(babble(1)), bytes(64_000)),
        (bytes(19_200), pcm(babble(1))),
        (pcm(babble(1)), pcm(babble(1)[:9_600])),
        (b"\x10\x27" * 9_600, pcm(babble(1))),
    ],
    ids=["nothing", "a sample", "silence", "silence played", "silence heard", "too little played", "a constant"],
)
def test_what_cannot_be_compared_is_no_echo(heard: bytes, played: bytes) -> None:
    with np.errstate(all="raise"):
        assert likeness(heard, RATE_HZ, played, RATE_HZ) < 0.65
