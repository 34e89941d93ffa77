"""RIFF sniffing: any cut, the header wins, what cannot be served is refused with a sentence."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speech_harness import wav

from speech_worker.domain.audio import AudioFormat, Encoding
from speech_worker.domain.errors import InvalidRequest
from speech_worker.domain.wav import AudioSniffer

DECLARED = AudioFormat(Encoding.LINEAR_PCM, 16_000)
AUDIO = bytes(range(256)) * 4


def sniff(data: bytes, cuts: list[int], declared: AudioFormat = DECLARED) -> tuple[bytes, AudioFormat]:
    sniffer = AudioSniffer(declared)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    audio = b"".join(sniffer.feed(data[a:b]) for a, b in pairwise(edges))
    return audio + sniffer.finish(), sniffer.format


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_a_header_is_found_at_any_cut_and_its_rate_wins(cuts: list[int]) -> None:
    audio, found = sniff(wav(AUDIO, rate_hz=44_100), cuts)
    assert audio == AUDIO
    assert found == AudioFormat(Encoding.LINEAR_PCM, 44_100)


@given(st.binary(max_size=300).filter(lambda data: not data.startswith((b"RIFF", b"fLaC", b"OggS", b"\x1aE\xdf\xa3"))),
       st.lists(st.integers(0, 300), max_size=10))  # fmt: skip
def test_raw_audio_passes_unchanged(data: bytes, cuts: list[int]) -> None:
    if b"RIFF".startswith(data[:4]) and data:
        return
    assert sniff(data, cuts) == (data, DECLARED)


def test_raw_audio_that_begins_like_a_header_is_audio_in_the_end() -> None:
    assert sniff(b"RI", [1]) == (b"RI", DECLARED)


@pytest.mark.parametrize(
    ("tag", "bits", "encoding"), [(1, 16, Encoding.LINEAR_PCM), (6, 8, Encoding.ALAW), (7, 8, Encoding.MULAW)]
)
def test_the_encoding_of_the_header_wins(tag: int, bits: int, encoding: Encoding) -> None:
    _, found = sniff(wav(AUDIO, tag=tag, bits=bits, rate_hz=8_000), [])
    assert found == AudioFormat(encoding, 8_000)


def test_chunks_after_the_audio_are_not_audio() -> None:
    assert sniff(wav(AUDIO) + b"LIST\x04\x00\x00\x00INFO", [5, 70])[0] == AUDIO


def test_a_stream_that_does_not_know_its_length_goes_on_to_the_end() -> None:
    data = bytearray(wav(AUDIO))
    data[40:44] = b"\xff\xff\xff\xff"
    assert sniff(bytes(data), [])[0] == AUDIO


def test_other_chunks_may_come_first() -> None:
    data = wav(AUDIO)
    with_list = data[:36] + b"LIST\x03\x00\x00\x00abc\x00" + data[36:]
    assert sniff(with_list, [40])[0] == AUDIO


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (wav(AUDIO, channels=2), "Only mono audio supported."),
        (wav(AUDIO, bits=8), "The WAV file holds 8-bit PCM: 16-bit PCM, 8-bit A-law and 8-bit mu-law are supported."),
        (wav(AUDIO, rate_hz=4_000), "The WAV file's sample rate is 4000: 8000 to 96000 Hz are supported."),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "The audio starts as a RIFF file but is not a WAV file."),
        (wav(AUDIO)[:30], "The WAV header is incomplete: the stream ended inside it."),
        (
            b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd",
            "The WAV header is damaged: the audio comes before its format.",
        ),
        (
            b"RIFF\x00\x00\x00\x00WAVEfmt \x02\x00\x00\x00abdata",
            "The WAV header is damaged: its format chunk is too short.",
        ),
        (b"RIFF\x00\x00\x00\x00WAVEjunk\x00\x00\x00\x70", "The WAV header is longer than 65536 bytes."),
        (b"fLaC\x00", "Unsupported audio encoding FLAC: LINEAR_PCM, MULAW and ALAW are supported."),
        (b"OggS\x00", "Unsupported audio encoding OGGOPUS: LINEAR_PCM, MULAW and ALAW are supported."),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        sniff(data, [])
    assert str(refused.value) == sentence


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_garbage_after_riff_is_refused_or_ends_in_a_format_that_is_served(rest: bytes, cuts: list[int]) -> None:
    try:
        _, found = sniff(b"RIFF" + rest, cuts)
    except InvalidRequest:
        return
    assert 8_000 <= found.sample_rate_hz <= 96_000
