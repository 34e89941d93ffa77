"""Open speakers: the echo goes, the caller stays, and what cannot be had is told in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from voice_clients.echo import FAR_END_BLOCKS, Cleaner, FarEnd
from voice_clients.errors import BadInputError
from voice_clients.testing.room import EchoPath, Room, power_db
from voice_clients.webrtc_audio import EchoCancellation, WebRtcAudio, make_cleaner

RATE = 16_000
BLOCK = RATE // 50 * 2  # bytes of 20 ms
SPEECH = Path(__file__).parents[2] / "speech-worker/tests/audio"


class Recorder:
    """A canceller that only writes down what it is given."""

    def __init__(self) -> None:
        self.near = self.far = b""
        self.order = ""

    def played(self, frame: bytes) -> None:
        self.far += frame
        self.order += "p"

    def clean(self, frame: bytes) -> bytes:
        self.near += frame
        self.order += "c"
        return frame

    def expect_delay(self, delay_ms: int) -> None:
        raise AssertionError("the devices are asked for it, not the blocks")


def speech(*names: str, level: float) -> bytes:
    """Recordings one after the other, with `level` (0 to 1) as their loudest sample."""
    audio = np.concatenate([soundfile.read(SPEECH / f"{name}.wav", dtype="float64")[0] for name in names])
    pcm: bytes = (audio / np.abs(audio).max() * level * 32767).astype("<i2").tobytes()
    return pcm


def test_both_sides_go_in_turns_and_a_loudspeaker_that_is_ahead_goes_first() -> None:
    recorder = Recorder()
    cleaner = Cleaner(recorder, microphone_hz=RATE, loudspeaker_hz=48_000)
    assert cleaner.clean(bytes(BLOCK), bytes(3 * BLOCK)) == bytes(BLOCK)
    assert recorder.order == "pcpc"
    cleaner.clean(bytes(BLOCK), bytes(6 * BLOCK))
    assert recorder.order == "pcpc" + "pppcpc"
    cleaner.clean(bytes(BLOCK), b"")
    assert recorder.order.endswith("cc")


@given(sizes=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=20))
def test_nothing_is_lost_or_added_whatever_the_blocks(sizes: list[tuple[int, int]]) -> None:
    recorder, cleaned = Recorder(), b""
    cleaner = Cleaner(recorder, microphone_hz=RATE, loudspeaker_hz=8_000)
    near = np.arange(sum(size for size, _ in sizes), dtype="<i2").tobytes()
    far = np.arange(sum(size for _, size in sizes), dtype="<i2").tobytes()
    near_at = far_at = 0
    for near_samples, far_samples in sizes:
        near_to, far_to = near_at + 2 * near_samples, far_at + 2 * far_samples
        cleaned += cleaner.clean(near[near_at:near_to], far[far_at:far_to])
        near_at, far_at = near_to, far_to
    assert cleaned == recorder.near == near[: len(near) // 320 * 320]
    assert recorder.far == far[: len(far) // 160 * 160]


def test_rates_without_whole_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="11025 Hz"):
        Cleaner(Recorder(), microphone_hz=RATE, loudspeaker_hz=11_025)


def test_the_far_end_keeps_the_newest_second() -> None:
    far_end = FarEnd()
    for number in range(FAR_END_BLOCKS + 3):
        far_end.put(bytes([number]))
    assert far_end.take() == bytes(range(3, FAR_END_BLOCKS + 3))
    assert far_end.take() == b""


def test_a_room_gives_back_what_is_played_later_and_quieter() -> None:
    path = EchoPath(delay_ms=40, decay_ms=100, gain_db=-10, noise_dbfs=-120)
    noise = np.random.default_rng(1).normal(0, 3000, 5 * RATE).astype("<i2").tobytes()
    room = Room(path, RATE)
    heard = b"".join(room.hear(noise[at : at + BLOCK]) for at in range(0, len(noise), BLOCK))
    assert heard[: 2 * BLOCK] == bytes(2 * BLOCK)  # 40 ms on its way
    assert power_db(heard[RATE:]) - power_db(noise[RATE:]) == pytest.approx(-10, abs=1)
    whole = Room(path, RATE).hear(noise)
    assert np.abs(np.frombuffer(whole, "<i2").astype(int) - np.frombuffer(heard, "<i2")).max() <= 1  # rounding


@pytest.mark.parametrize(("delay_ms", "gain_db"), [(20, -6), (60, -12), (120, -20)])
def test_the_echo_goes_and_the_caller_stays(delay_ms: float, gain_db: float) -> None:
    """Ten seconds of speech from the loudspeaker; the caller speaks over the second half of it."""
    names = ["tell-me-a-long-story", "hello-tell-me-who-you-are", "my-name-is-sarah", "what-is-my-name"]
    played = speech(*names, *names, level=0.5)
    said = speech("what-time-is-it", level=0.35)
    begins = len(played) * 2 // 3 // BLOCK * BLOCK
    room = Room(EchoPath(delay_ms, 150, gain_db), RATE)
    canceller = WebRtcAudio(microphone_hz=RATE, loudspeaker_hz=RATE, echo_cancellation=True, noise_suppression=False)
    cleaner = Cleaner(canceller, microphone_hz=RATE, loudspeaker_hz=RATE)
    heard = cleaned = b""
    for at in range(0, len(played) - BLOCK, BLOCK):
        voice = said[max(0, at - begins) : max(0, at - begins + BLOCK)] if at >= begins else b""
        block = room.hear(played[at : at + BLOCK], voice)
        heard += block
        cleaned += cleaner.clean(block, played[at : at + BLOCK])
    alone = slice(3 * RATE * 2, begins)  # the canceller has had three seconds
    assert power_db(heard[alone]) - power_db(cleaned[alone]) > 20
    both = slice(begins, begins + len(said))
    assert abs(power_db(cleaned[both]) - power_db(said)) < 8  # double talk costs some


def test_what_was_asked_for_decides_and_a_rate_that_cannot_be_is_told() -> None:
    def made(wanted: EchoCancellation, *, noise: bool = False, rate: int = RATE, played: bool = True) -> Cleaner | str:
        return make_cleaner(
            wanted,
            noise_suppression=noise,
            microphone_hz=rate,
            loudspeaker_hz=rate if played else None,
            delay_ms=900,
        )

    assert isinstance(made(EchoCancellation.AUTO), Cleaner)
    assert isinstance(made(EchoCancellation.OFF, noise=True), Cleaner)
    assert made(EchoCancellation.OFF) == ""
    assert made(EchoCancellation.ON, played=False) == ""
    sentence = "Sound of 11025 Hz cannot be cleaned of echo: --rate needs a multiple of 100."
    assert made(EchoCancellation.AUTO, rate=11_025) == sentence
    with pytest.raises(BadInputError, match=f"--echo-cancellation on: {sentence}"):
        made(EchoCancellation.ON, rate=11_025)


ASK = """
from voice_clients.errors import BadInputError
from voice_clients.webrtc_audio import EchoCancellation, make_cleaner
for wanted in EchoCancellation:
    try:
        print(make_cleaner(wanted, noise_suppression=True, microphone_hz=16000, loudspeaker_hz=16000, delay_ms=0))
    except BadInputError as error:
        print(error)
"""


@pytest.mark.edge
def test_a_missing_library_is_told_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "livekit").mkdir()
    (tmp_path / "livekit/__init__.py").touch()  # hides the real one, as if it were not installed
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    sentence = (
        "Echo cancellation and noise suppression are not installed here: install voice-clients[duplex], "
        "or use headphones or --push-to-talk."
    )
    assert (done.stdout.splitlines(), done.stderr) == ([f"--echo-cancellation on: {sentence}", sentence, sentence], "")
