"""Streaming sample rate conversion with little hold-back.

Polyphase FIR with a Kaiser-windowed sinc (Crochiere and Rabiner, Multirate Digital Signal Processing, 1983). The
filter's centre is compensated, so output sample n stands for input time n / output rate exactly. What is held back
is half the filter: ZERO_CROSSINGS periods of the lower rate (1 ms at 16 kHz), where soxr's streams hold 6 to 37 ms.
"""

from functools import lru_cache
from math import ceil, gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

ZERO_CROSSINGS: Final = 16  # each side; with the window below the transition band is about 0.1 of the lower rate
_KAISER_BETA: Final = 8.0  # about 80 dB of stop-band rejection
# Phases; usual pairs of rates have at most 882. Odd ones (22051 Hz) compute their taps as they go, for bounded memory.
_LARGEST_TABLE: Final = 2048
_PASSBAND: Final = 0.94  # of the lower Nyquist rate: aliasing stays above what speech uses


def _half_length(up: int, down: int) -> int:
    """Input samples on each side of an output instant."""
    return ceil(ZERO_CROSSINGS * max(up, down) / up)


def _taps(up: int, down: int, phases: NDArray[np.int64]) -> NDArray[np.float32]:
    """One row of taps for each phase (0..up-1), each scaled to unit gain at DC."""
    widest = max(up, down)
    half = _half_length(up, down)
    # Position of the output instant relative to each tap, in input samples: phase p lies p / up after the centre.
    offsets = (phases[:, None] / up) - (np.arange(2 * half)[None, :] - (half - 1))
    cutoff = _PASSBAND * up / widest
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, 1))) / np.i0(_KAISER_BETA)
    kernel = np.sinc(offsets * cutoff) * window
    return np.asarray(kernel / kernel.sum(axis=1, keepdims=True), dtype=np.float32)


@lru_cache(maxsize=32)
def _table(up: int, down: int) -> NDArray[np.float32]:
    return _taps(up, down, np.arange(up))


class Resampler:
    """float32 in, float32 out; any cuts of the input give the same output."""

    def __init__(self, input_rate_hz: int, output_rate_hz: int) -> None:
        common = gcd(input_rate_hz, output_rate_hz)
        self._up = output_rate_hz // common
        self._down = input_rate_hz // common
        self._same = self._up == self._down
        if self._same:
            return
        half = _half_length(self._up, self._down)
        self._taps = 2 * half
        self._buffer: Samples = np.zeros(half - 1, dtype=np.float32)  # buffer[0] is the first tap of output `_next`
        self._phase = 0
        self._received = 0
        self._sent = 0

    def process(self, samples: Samples) -> Samples:
        """As many output samples as the input so far allows."""
        if self._same:
            return samples
        self._received += len(samples)
        return self._run(samples)

    def flush(self) -> Samples:
        """The rest at the end of the stream; afterwards output / input is the ratio of the rates, rounded up."""
        if self._same:
            return np.zeros(0, dtype=np.float32)
        wanted = -(-self._received * self._up // self._down) - self._sent
        tail = self._run(np.zeros(self._taps, dtype=np.float32))
        return tail[:wanted]

    def _run(self, samples: Samples) -> Samples:
        buffer = np.concatenate((self._buffer, samples))
        usable = len(buffer) - self._taps  # last start of a full set of taps
        if usable < 0:
            self._buffer = buffer
            return np.zeros(0, dtype=np.float32)
        count = ((usable + 1) * self._up - 1 - self._phase) // self._down + 1
        positions = self._phase + np.arange(count) * self._down
        starts, phases = positions // self._up, positions % self._up
        windows = np.lib.stride_tricks.sliding_window_view(buffer, self._taps)[starts]
        output = np.einsum("ij,ij->i", windows, self._rows(phases))
        after = self._phase + count * self._down
        consumed = min(after // self._up, len(buffer))
        self._buffer = buffer[consumed:].copy()
        self._phase = after - consumed * self._up
        self._sent += count
        return np.asarray(output, dtype=np.float32)

    def _rows(self, phases: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._up <= _LARGEST_TABLE:
            return _table(self._up, self._down)[phases]
        return _taps(self._up, self._down, phases)
