"""A short tone in place of words, for when there is no voice to say them.

Two falling notes, A5 then E5, a fourth apart: falling pitch is heard as "it did not work" (Blattner, Sumikawa and
Greenberg, "Earcons and Icons", 1989, on families of short motives), and both lie within a telephone's 300 to
3,400 Hz. The level is 15 dB below full scale, about that of speech, and each note begins and ends softly, so that it
does not click.
"""

import math
import struct
from functools import lru_cache

NOTES_HZ = (880.0, 659.3)
NOTE_MS = 160
GAP_MS = 40
RAMP_MS = 15
PEAK = 32_767 * 10 ** (-15 / 20)


@lru_cache(maxsize=8)
def earcon(rate_hz: int) -> bytes:
    """The tone as 16 bit little endian samples, mono: 360 ms. Computed once for each rate, in some 3 ms."""
    samples: list[int] = []
    note, ramp = NOTE_MS * rate_hz // 1000, max(1, RAMP_MS * rate_hz // 1000)
    for number, frequency_hz in enumerate(NOTES_HZ):
        if number:
            samples.extend([0] * (GAP_MS * rate_hz // 1000))
        for index in range(note):
            edge = min(1.0, index / ramp, (note - 1 - index) / ramp)
            loudness = PEAK * (0.5 - 0.5 * math.cos(math.pi * edge))
            samples.append(round(loudness * math.sin(2 * math.pi * frequency_hz * index / rate_hz)))
    return struct.pack(f"<{len(samples)}h", *samples)
