"""Reading what people have as a WAV and writing what the gateway answered."""

import contextlib
import io
import math
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voice_clients.errors import BadInputError

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000  # what the gateway takes
RESAMPLED_RATE_HZ = 16_000  # of files outside that: what recognisers work with
MAX_SECONDS = 3600
SPEECH_FRAME_MS = 20
SPEECH_BELOW_LOUDEST_DB = 30  # frames quieter than this under the loudest one are taken as silence
SPEECH_FLOOR_RMS = 50.0  # about -56 dBFS: noise of a quiet room


@dataclass(frozen=True, slots=True)
class Recording:
    """Audio ready to send: s16le mono. `changes` says what was converted, for the person at the client."""

    path: Path
    pcm: bytes
    sample_rate_hz: int
    changes: tuple[str, ...] = field(default=())

    @property
    def samples(self) -> int:
        """Length in samples."""
        return len(self.pcm) // 2

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate_hz


def read_recording(path: Path, *, sample_rate_hz: int | None = None) -> Recording:
    """Read a sound file: WAV of any kind, FLAC, Ogg. Mixes to mono, converts to 16 bit.

    The rate stays as it is within 8 to 48 kHz; else, or where `sample_rate_hz` asks for another, it is resampled.
    Raises BadInputError with one sentence.
    """
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, not a sound file.")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise BadInputError(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if size == 0:
        raise BadInputError(f"{path} is empty.")
    audio, rate, subtype = _decode(path)
    if len(audio) == 0:
        raise BadInputError(f"{path} holds no audio.")
    if len(audio) > rate * MAX_SECONDS:
        raise BadInputError(f"{path} is longer than {MAX_SECONDS // 60} minutes, the longest that is sent in one call.")
    changes: list[str] = []
    mono: NDArray[np.float32] = audio[:, 0]
    if audio.shape[1] > 1:
        mono = audio.mean(axis=1, dtype=np.float32)
        changes.append(f"{audio.shape[1]} channels mixed to one")
    if subtype != "PCM_16":
        changes.append(f"{subtype.replace('PCM_U8', '8 bit').replace('_', ' ').lower()} converted to 16 bit")
    target = sample_rate_hz or (rate if MIN_RATE_HZ <= rate <= MAX_RATE_HZ else RESAMPLED_RATE_HZ)
    if target != rate:
        mono = resample(mono, rate, target)
        changes.append(f"{rate} Hz resampled to {target} Hz")
    scaled = np.clip(np.rint(mono * 32768.0), -32768, 32767).astype("<i2")
    return Recording(path, scaled.tobytes(), target, tuple(changes))


def _decode(path: Path) -> tuple[NDArray[np.float32], int, str]:
    """Frames by channels in -1 to 1, rate in Hz, and libsndfile's name of the encoding."""
    try:
        import soundfile  # noqa: PLC0415 - loads a C library that only files need
    except OSError as error:
        raise BadInputError(f"The library that reads sound files is missing (libsndfile): {error}.") from error
    try:
        with soundfile.SoundFile(str(path)) as file:
            audio: NDArray[np.float32] = np.nan_to_num(
                np.asarray(file.read(dtype="float32", always_2d=True), dtype=np.float32)
            )
            np.nan_to_num(audio, copy=False)
            return audio, int(file.samplerate), str(file.subtype)
    except soundfile.LibsndfileError as error:
        said = str(error.error_string).strip().rstrip(".").lower()
        raise BadInputError(
            f"{path} is not a sound file that can be read ({said}): give a WAV, FLAC or Ogg file."
        ) from error
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror or error}.") from error


def resample(audio: NDArray[np.float32], rate_hz: int, target_hz: int) -> NDArray[np.float32]:
    """Change the rate of a whole recording: windowed-sinc low-pass where it falls, then linear interpolation.

    For files only; a running call sends audio as it is. The low-pass is a Hann-windowed sinc at 0.45 of the lower rate,
    64 taps long at that rate, whose stop band is 44 dB down.
    """
    if rate_hz > target_hz:
        cutoff = 0.45 * target_hz / rate_hz
        half = 32 * math.ceil(rate_hz / target_hz)
        kernel = 2 * cutoff * np.sinc(2 * cutoff * np.arange(-half, half + 1)) * np.hanning(2 * half + 1)
        audio = np.convolve(audio, kernel / kernel.sum(), mode="same").astype(np.float32)
    count = max(1, math.ceil(len(audio) * target_hz / rate_hz))
    positions = np.arange(count) * (rate_hz / target_hz)
    resampled: NDArray[np.float32] = np.interp(positions, np.arange(len(audio)), audio).astype(np.float32)
    return resampled


def speech_end_sample(pcm: bytes, sample_rate_hz: int) -> int:
    """Where the last loud 20 ms frame of s16le audio ends: the moment from which a person waits for the answer."""
    frame = max(1, sample_rate_hz * SPEECH_FRAME_MS // 1000)
    audio = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
    frames = len(audio) // frame
    if frames == 0:
        return len(audio)
    rms = np.sqrt(np.mean(audio[: frames * frame].reshape(frames, frame) ** 2, axis=1))
    loud = np.nonzero(rms > max(SPEECH_FLOOR_RMS, float(rms.max()) * 10 ** (-SPEECH_BELOW_LOUDEST_DB / 20)))[0]
    return int(loud[-1] + 1) * frame if len(loud) else len(audio)


def wav_bytes(pcm: bytes, sample_rate_hz: int) -> bytes:
    """A 16 bit mono WAV file."""
    out = io.BytesIO()
    with contextlib.closing(wave.open(out, "wb")) as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm)
    return out.getvalue()


def write_wav(path: Path, pcm: bytes, sample_rate_hz: int) -> None:
    """Write a 16 bit mono WAV, making its folder. Raises BadInputError where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav_bytes(pcm, sample_rate_hz))
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error.strerror or error}.") from error
