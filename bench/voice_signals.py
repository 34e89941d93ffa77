"""Speech and what is not speech, for measuring voice activity. All at 16 kHz, float64 of full scale 1."""

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_worker.application.ports import TtsEngine
from speech_worker.application.synthesize import Synthesis
from speech_worker.bench import HELD_OUT, speak
from speech_worker.domain.errors import EngineUnusable
from speech_worker.engines.catalog import EngineOptions, tts_engine

RATE_HZ = 16_000
FRAME = RATE_HZ // 50

RECORDINGS = Path(__file__).parents[1] / "services" / "speech-worker" / "tests" / "audio"

SPEECH_RANGE_DB = 35
"""A frame has speech in it when it lies within this of the loudest of the four seconds around it."""

LEAD_S = 1.2
GAP_S = 0.8

Signal = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Clips with silence between; `spoken` marks the 20 ms frames with speech."""

    name: str
    signal: Signal
    spoken: Marks

    def at(self, peak_db: float) -> "Scene":
        """The same at another level."""
        return Scene(f"{self.name}, peak {peak_db:g} dBFS", self.signal * 10 ** (peak_db / 20), self.spoken)

    def with_noise(self, kind: str, snr_db: float) -> "Scene":
        """Noise under it; the ratio is to the frames with speech."""
        frames = self.signal[: self.spoken.size * FRAME].reshape(-1, FRAME)
        level = np.sqrt((frames[self.spoken] ** 2).mean()) * 10 ** (-snr_db / 20)
        noise = (white if kind == "white" else pink)(self.signal.size) * level
        return Scene(f"{self.name}, {kind} noise {snr_db:g} dB", (self.signal + noise) * 0.25, self.spoken)


def scene(name: str, clips: Sequence[Signal]) -> Scene:
    """Each clip at the same peak, with pauses."""
    parts = [np.zeros(int(RATE_HZ * LEAD_S))]
    for clip in clips:
        parts += [clip / np.abs(clip).max(), np.zeros(int(RATE_HZ * GAP_S))]
    signal = np.concatenate(parts)
    levels = signal[: signal.size // FRAME * FRAME].reshape(-1, FRAME).std(axis=1)
    loudest = np.array([levels[max(0, at - 100) : at + 100].max() for at in range(levels.size)])
    return Scene(name, signal, (levels > loudest * 10 ** (-SPEECH_RANGE_DB / 20)) & (levels > 0))


def recorded(folder: Path) -> list[Signal]:
    """Every WAV file at 16 kHz under a folder."""
    clips = []
    for path in sorted(folder.rglob("*.wav")):
        with wave.open(str(path)) as file:
            if (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2):
                clips.append(np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32_768)
    return clips


async def spoken_by(engine: str, *, voices: int, sentences: int) -> list[Signal]:
    """Held-out sentences by an embedded voice engine; nothing where it can't be used here."""
    tts = tts_engine(engine, EngineOptions(max_streams=1))
    try:
        await tts.load()
        await tts.warm()
        return await _spoken(tts, voices, sentences)
    except EngineUnusable as error:
        print(f"{engine}: left out. {error}")
        return []
    finally:
        await tts.unload()


async def _spoken(tts: TtsEngine, voices: int, sentences: int) -> list[Signal]:
    class Nothing:
        def __getattr__(self, name: str) -> object:
            return lambda **_: None

    synthesis = Synthesis(tts, Nothing())  # type: ignore[arg-type] # counts nothing
    clips = []
    for voice in [each for each in tts.capabilities.voices if each.language_code == "en-US"][:voices]:
        await synthesis.calibrate(voice)
        for sentence in HELD_OUT[:sentences]:
            pcm, _, _ = await speak(synthesis, sentence, voice)
            clips.append(np.frombuffer(pcm, "<i2") / 32_768)
    return clips


# ---- not speech -----------------------------------------------------------------------------------------------------

_RANDOM = np.random.default_rng(3)


def white(samples: int) -> Signal:
    """Mean square 1."""
    return _RANDOM.standard_normal(samples)


def pink(samples: int) -> Signal:
    """Mean square 1, -3 dB an octave."""
    spectrum = np.fft.rfft(white(samples))
    noise: Signal = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1)), samples)
    noise /= noise.std()
    return noise


def noises(seconds: int, voices: Sequence[Signal]) -> Iterator[tuple[str, Signal]]:
    """What callers' rooms and lines sound like when nobody speaks to us. The last one is speech, of many at once."""
    samples = seconds * RATE_HZ
    times = np.arange(samples) / RATE_HZ
    level = 10 ** (-30 / 20)
    yield "digital silence", np.zeros(samples)
    yield "white noise -60 dBFS", white(samples) * 10**-3
    yield "white noise -30 dBFS", white(samples) * level
    yield "pink noise -30 dBFS", pink(samples) * level
    yield "noise that swells", white(samples) * level * (0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * times)) ** 2
    yield "hum 50 Hz", level * (np.sin(2 * np.pi * 50 * times) + 0.3 * np.sin(2 * np.pi * 150 * times))
    yield "chords", _chords(samples)
    yield "DTMF", _dtmf(samples) * level
    yield "clicks", _clicks(samples)
    talk = np.zeros(samples)
    for _ in range(12):
        turned = np.concatenate([voices[at] for at in _RANDOM.permutation(len(voices))])
        talk += np.resize(np.roll(turned, int(_RANDOM.integers(0, turned.size))), samples)
    yield "babble of 12", talk / talk.std() * level


def _chords(samples: int) -> Signal:
    """Two a second, each note with three harmonics, as if plucked."""
    signal = np.zeros(samples)
    step = RATE_HZ // 2
    times = np.arange(step) / RATE_HZ
    for start in range(0, samples - step + 1, step):
        root = 220 * 2 ** (_RANDOM.integers(0, 12) / 12)
        for note in root * 2 ** (np.array([0, 4, 7]) / 12):
            for harmonic in (1, 2, 3):
                signal[start : start + step] += np.sin(2 * np.pi * note * harmonic * times) / harmonic
        signal[start : start + step] *= np.exp(-3 * times)
    signal *= 0.2 / np.abs(signal).max()
    return signal


def _dtmf(samples: int) -> Signal:
    """Keys of 100 ms, five a second."""
    signal = np.zeros(samples)
    times = np.arange(RATE_HZ // 10) / RATE_HZ
    for start in range(0, samples, RATE_HZ // 5):
        low, high = _RANDOM.choice([697, 770, 852, 941]), _RANDOM.choice([1209, 1336, 1477])
        signal[start : start + times.size] = np.sin(2 * np.pi * low * times) + np.sin(2 * np.pi * high * times)
    return signal


def _clicks(samples: int) -> Signal:
    """Four short bursts a second, at any moment."""
    signal = np.zeros(samples)
    for _ in range(samples * 4 // RATE_HZ):
        start = int(_RANDOM.integers(0, samples - 400))
        signal[start : start + 400] += white(400) * np.exp(-np.arange(400) / 60)
    return signal * 0.1
