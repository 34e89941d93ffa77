"""How well the gateway tells its own echo from a caller by the sound alone. Usage: python -m bench.echo_sound

An answer plays in a room; after 200 ms of sound at the microphone the gateway compares the last `window` with what was
sent. *begins*: only the room, as the answer begins. *echo*: the same in the middle of an answer. *caller*: headphones,
somebody speaks. *both*: somebody speaks into the room's echo. The share that counts as an echo, by threshold: high for
the first two, low for the others.
"""

import argparse
import asyncio
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.table import percentile, show
from bench.voice_signals import Signal, recorded, spoken_by
from voice_clients.testing.room import EchoPath, Room
from voice_gateway.adapters.echo_sound import likeness

RECORDINGS = Path(__file__).parents[1] / "services/speech-worker/tests/audio"
RATE_HZ = 16_000
BLOCK_BYTES = RATE_HZ // 50 * 2
DECIDED_MS = 240
"""From the start of a sound to the decision: 200 ms of speech, and a detector's delay."""
SENT_MS = 1_500
"""Audio before the window that is looked through: the client's buffer, and the room."""
THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85)


@dataclass(frozen=True, slots=True)
class Trial:
    """What the gateway has when it decides."""

    heard: bytes
    played: bytes


def trial(kind: str, path: EchoPath, voices: tuple[list[Signal], list[Signal]], dice: random.Random) -> Trial:
    """One sound at the microphone. The first voices answer, the second ones call."""
    answer = np.concatenate([np.zeros(RATE_HZ), *(loud(dice.choice(voices[0]), 0.5) for _ in range(4))])
    voiced = np.flatnonzero(np.abs(answer) > 0.02)
    starts = voiced[(voiced > 2 * RATE_HZ) & (voiced < len(answer) - RATE_HZ)]
    at = int(voiced[0]) if kind == "begins" else int(dice.choice(starts))
    caller = np.zeros(len(answer))
    if kind in ("caller", "both"):
        said = loud(dice.choice(voices[1]), 0.5)
        said = said[np.flatnonzero(np.abs(said) > 0.02)[0] :][: len(answer) - at]
        caller[at : at + len(said)] = said
    played, spoken = pcm(answer), pcm(caller)
    room = Room(None if kind == "caller" else path, RATE_HZ)
    blocks = range(0, len(played), BLOCK_BYTES)
    heard = b"".join(room.hear(played[i : i + BLOCK_BYTES], spoken[i : i + BLOCK_BYTES]) for i in blocks)
    delay = round(path.delay_ms * RATE_HZ / 1000) if kind in ("echo", "begins") else 0
    return Trial(heard[: 2 * (at + delay + DECIDED_MS * RATE_HZ // 1000)], played)


def loud(signal: Signal, peak: float) -> Signal:
    """The same with that peak, 0 to 1."""
    made: Signal = signal / np.abs(signal).max() * peak
    return made


def pcm(signal: Signal) -> bytes:
    """s16le."""
    return (signal * 32767).astype("<i2").tobytes()


def judged(one: Trial, window_ms: int, lead_ms: int) -> float:
    """What the gateway computes."""
    end = len(one.heard)
    heard = one.heard[max(0, end - 2 * window_ms * RATE_HZ // 1000) :]
    sent = min(len(one.played), end + 2 * lead_ms * RATE_HZ // 1000)
    return likeness(
        heard, RATE_HZ, one.played[max(0, sent - 2 * (window_ms + SENT_MS) * RATE_HZ // 1000) : sent], RATE_HZ
    )


async def voices_of(sentences: int) -> tuple[list[Signal], list[Signal]]:
    """Of the answers, and of the callers."""
    answers = await spoken_by("espeak", voices=2, sentences=sentences)
    callers = [*await spoken_by("flite", voices=3, sentences=sentences), *recorded(RECORDINGS)]
    return answers or recorded(RECORDINGS)[::2], callers


def main() -> int:
    """Print shares and cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="of each kind and room (default 200)")
    parser.add_argument("--windows", default="400,600,800", help="lengths that are compared, ms")
    arguments = parser.parse_args()
    voices = asyncio.run(voices_of(12))
    rows, dice, spent_s = [], random.Random(7), []
    kinds = [
        ("begins", -8.0),
        ("begins", -20.0),
        ("echo", -8.0),
        ("echo", -20.0),
        ("caller", 0.0),
        ("both", -8.0),
        ("both", -20.0),
    ]
    for kind, gain_db in kinds:
        rooms = [EchoPath(dice.choice([20, 60, 120, 300]), 150, gain_db, seed=dice.randrange(99)) for _ in range(9)]
        trials = [trial(kind, dice.choice(rooms), voices, dice) for _ in range(arguments.trials)]
        for window_ms in (int(each) for each in arguments.windows.split(",")):
            found = []
            for one in trials:
                begun_s = time.perf_counter()
                found.append(judged(one, window_ms, 200))
                spent_s.append(time.perf_counter() - begun_s)
            shares = [f"{100 * sum(each >= limit for each in found) / len(found):.1f}" for limit in THRESHOLDS]
            rows.append([kind, f"{gain_db:.0f}" if kind != "caller" else "-", str(window_ms), *shares])
    head = ["kind", "gain dB", "window ms", *(f">= {limit:g} %" for limit in THRESHOLDS)]
    show(f"Sounds taken for an echo, {arguments.trials} trials a row", head, rows)
    p50_ms, p95_ms = (1000 * percentile(spent_s, share) for share in (0.5, 0.95))
    print(f"\nOne comparison takes {p50_ms:.2f} ms (p50), {p95_ms:.2f} ms (p95).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
