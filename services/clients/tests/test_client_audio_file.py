"""Sound files: what is taken as it is, what is converted, what is refused."""

import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from client_fake_gateway import silence, tone
from hypothesis import given
from hypothesis import strategies as st

from voice_clients.audio_file import read_recording, resample, speech_end_sample, wav_bytes, write_wav
from voice_clients.errors import BadInputError
from voice_clients.pacing import fast_chunks


def sine(rate: int, *, hz: float = 440.0, seconds: float = 0.2) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_16_bit_mono_is_sent_as_it_is(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    pcm = tone(0.1, rate)
    write_wav(path, pcm, rate)
    recording = read_recording(path)
    assert (recording.pcm, recording.sample_rate_hz, recording.changes) == (pcm, rate, ())


def test_stereo_is_mixed(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([sine(16_000), np.zeros(3200, np.float32)], axis=1), 16_000, subtype="PCM_16")
    recording = read_recording(path)
    assert recording.changes == ("2 channels mixed to one",)
    loudest = int(np.abs(np.frombuffer(recording.pcm, "<i2")).max())
    assert loudest == pytest.approx(0.25 * 32768, rel=0.01)


@pytest.mark.parametrize(
    ("subtype", "words"),
    [("PCM_U8", "8 bit"), ("PCM_24", "pcm 24"), ("PCM_32", "pcm 32"), ("FLOAT", "float"), ("ULAW", "ulaw")],
)
def test_other_sample_formats_are_converted(tmp_path: Path, subtype: str, words: str) -> None:
    path = tmp_path / "other.wav"
    soundfile.write(path, sine(16_000), 16_000, subtype=subtype)
    recording = read_recording(path)
    assert recording.changes == (f"{words} converted to 16 bit",)
    expected = sine(16_000) * 32768
    assert np.abs(np.frombuffer(recording.pcm, "<i2") - expected).max() < 32768 / 25


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_flac_and_ogg_are_read(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, sine(16_000), 16_000)
    assert read_recording(tmp_path / name).samples == 3200


@pytest.mark.parametrize("rate", [4_000, 96_000, 192_000])
def test_rates_that_the_gateway_does_not_take_are_resampled(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, sine(rate, seconds=0.5), rate, subtype="PCM_16")
    recording = read_recording(path)
    assert recording.sample_rate_hz == 16_000
    assert recording.seconds == pytest.approx(0.5, abs=0.001)
    assert recording.changes == (f"{rate} Hz resampled to 16000 Hz",)
    spectrum = np.abs(np.fft.rfft(np.frombuffer(recording.pcm, "<i2").astype(float)))
    assert float(np.argmax(spectrum)) / recording.seconds == pytest.approx(440, abs=2)


def test_resampling_down_keeps_aliases_out() -> None:
    low, high = sine(96_000, hz=1000), sine(96_000, hz=11_000)  # 11 kHz would fold to 5 kHz
    power = [float(np.sqrt(np.mean(resample(item, 96_000, 16_000)[200:-200] ** 2))) for item in (low, high)]
    assert power[0] == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert 20 * np.log10(power[1] / power[0]) < -40


def test_all_files_of_a_call_get_one_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, tone(0.1, 44_100), 44_100)
    recording = read_recording(path, sample_rate_hz=16_000)
    assert (recording.sample_rate_hz, recording.samples) == (16_000, 1600)


def test_not_a_number_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.array([np.nan, 2.0, -2.0, 0.0], np.float32), 16_000, subtype="FLOAT")
    assert np.frombuffer(read_recording(path).pcm, "<i2").tolist() == [0, 32767, -32768, 0]


def refusals(folder: Path) -> dict[str, Path]:
    """A file for each way of being unusable, by the words that tell so."""
    paths = {words: folder / f"{number}.wav" for number, words in enumerate(REFUSED)}
    paths["is empty"].write_bytes(b"")
    paths["holds no audio"].write_bytes(wav_bytes(b"", 16_000))
    paths["is not a sound file that can be read"].write_bytes(b"this is a text, not a sound" * 10)
    paths["is a folder"].mkdir()
    return paths


REFUSED = (
    "does not exist",
    "is empty",
    "holds no audio",
    "is not a sound file that can be read",
    "is a folder",
)


@pytest.mark.parametrize("words", REFUSED)
def test_unusable_files_get_one_sentence(tmp_path: Path, words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        read_recording(refusals(tmp_path)[words])
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "x.wav"
    path.write_bytes(wav_bytes(tone(0.01), 16_000)[: len(data) % 60] + data)
    try:
        assert read_recording(path).samples > 0
    except BadInputError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is good


def test_the_end_of_speech_is_where_the_last_loud_frame_ends() -> None:
    pcm = silence(0.3) + tone(0.5) + silence(0.7)
    assert speech_end_sample(pcm, 16_000) / 16_000 == pytest.approx(0.8, abs=0.02)
    assert speech_end_sample(silence(0.5), 16_000) == 8000
    assert speech_end_sample(b"\1\0", 16_000) == 1


def test_a_written_wav_is_what_wave_reads(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.wav"
    write_wav(path, tone(0.1), 16_000)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        assert file.readframes(99_999) == tone(0.1)


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInputError, match="cannot be written"):
        write_wav(tmp_path / "file" / "out.wav", b"", 16_000)


@given(pcm=st.binary(max_size=20_000))
def test_fast_chunks_lose_nothing_and_stay_within_the_first_contract(pcm: bytes) -> None:
    chunks = fast_chunks(pcm)
    assert b"".join(chunks) == pcm
    assert all(len(chunk) <= 4096 * 2 for chunk in chunks)
