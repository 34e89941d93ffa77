"""Echo cancellation of the mic client in simulated rooms. Usage: python -m bench.echo [--noise-suppression]

The loudspeaker plays recorded speech; from the sixth second on a caller speaks over it now and then. ERLE (echo return
loss enhancement) is how much quieter the echo is after the canceller, in dB, from the sixth second on where the caller
is silent; `first 2 s` is the same before it has converged. `caller` is what double talk does to the caller's loudness.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from bench.table import show
from voice_clients.audio_file import read_recording
from voice_clients.echo import Cleaner
from voice_clients.testing.room import EchoPath, Room, power_db
from voice_clients.webrtc_audio import WebRtcAudio

SPEECH = Path(__file__).parents[1] / "services/speech-worker/tests/audio"
RATE_HZ = 16_000
BLOCK_BYTES = RATE_HZ // 50 * 2
FAR = ("tell-me-a-long-story", "hello-tell-me-who-you-are", "my-name-is-sarah", "what-time-is-it")
NEAR = ("stop-please", "what-is-seven-times-six", "thank-you-very-much", "what-is-my-name")
SECONDS = 26
FIRST_S, EVERY_S = 6.0, 5.0  # the caller's utterances


def recorded(name: str, level: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Shape (samples,), `level` (0 to 1) as its loudest sample."""
    audio = np.frombuffer(read_recording(SPEECH / f"{name}.wav", sample_rate_hz=RATE_HZ).pcm, "<i2").astype(float)
    loud: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = audio / np.abs(audio).max() * level * 32767
    return loud


def sounds() -> tuple[bytes, bytes, list[tuple[int, int]]]:
    """What is played, what the caller says, and where in it the utterances are, in bytes."""
    far = np.resize(np.concatenate([recorded(name, 0.5) for name in FAR]), SECONDS * RATE_HZ)
    near, spots = np.zeros(SECONDS * RATE_HZ), []
    for index, name in enumerate(NEAR):
        voice, at = recorded(name, 0.35), int((FIRST_S + index * EVERY_S) * RATE_HZ)
        near[at : at + len(voice)] += voice
        spots.append((2 * at, 2 * (at + len(voice))))
    return far.astype("<i2").tobytes(), near.astype("<i2").tobytes(), spots


def measure(path: EchoPath, *, noise_suppression: bool) -> list[str]:
    """One row."""
    played, said, spots = sounds()
    room = Room(path, RATE_HZ)
    canceller = WebRtcAudio(
        microphone_hz=RATE_HZ, loudspeaker_hz=RATE_HZ, echo_cancellation=True, noise_suppression=noise_suppression
    )
    cleaner = Cleaner(canceller, microphone_hz=RATE_HZ, loudspeaker_hz=RATE_HZ)
    heard, cleaned = bytearray(), bytearray()
    cpu_s = 0.0
    for at in range(0, len(played), BLOCK_BYTES):
        part = slice(at, at + BLOCK_BYTES)
        block = room.hear(played[part], said[part])
        heard += block
        begun_s = time.process_time()
        cleaned += cleaner.clean(block, played[part])
        cpu_s += time.process_time() - begun_s
    alone = [slice(begin - 4 * RATE_HZ, begin) for begin, _ in spots[1:]]  # the two seconds before an utterance
    erle = power_db(_joined(heard, alone)) - power_db(_joined(cleaned, alone))
    start = slice(0, 4 * RATE_HZ)
    both = [slice(begin, end) for begin, end in spots]
    return [
        f"{path.delay_ms:.0f}",
        f"{path.gain_db:.0f}",
        f"{power_db(_joined(heard, alone)):.0f}",
        f"{power_db(bytes(heard[start])) - power_db(bytes(cleaned[start])):.0f}",
        f"{erle:.0f}",
        f"{power_db(_joined(cleaned, both)) - power_db(_joined(bytearray(said), both)):+.1f}",
        f"{cpu_s * 1000 / SECONDS:.1f}",
    ]


def _joined(audio: bytearray, parts: list[slice]) -> bytes:
    return b"".join(bytes(audio[part]) for part in parts)


def main() -> int:
    """Measure all rooms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise-suppression", action="store_true")
    arguments = parser.parse_args()
    rooms = [EchoPath(delay_ms, 150, gain_db) for delay_ms in (20, 60, 120) for gain_db in (-6, -12, -20)]
    rows = [measure(room, noise_suppression=arguments.noise_suppression) for room in rooms]
    head = ["delay ms", "gain dB", "echo dBFS", "first 2 s dB", "ERLE dB", "caller dB", "CPU ms per s"]
    show(f"Echo cancellation, noise suppression {'on' if arguments.noise_suppression else 'off'}", head, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
