"""Bytes on their way in: how unevenly they arrive."""

import pytest

from voice_gateway.application.intake import Intake

CHUNK = bytes(640)
"""20 ms."""


def arrived(*times_ms: float) -> float:
    intake = Intake(client_rate_hz=16_000, rate_hz=16_000, frame_samples=320, resampler=None)
    for at_ms in times_ms:
        intake.take(CHUNK)
        intake.note_arrival(at_ms)
    return intake.jitter_ms


def test_even_audio_has_no_jitter_whatever_its_delay() -> None:
    assert arrived(*range(500, 1_500, 20)) == 0
    assert arrived(17) == 0


def test_pieces_in_pairs_have_the_jitter_of_their_length() -> None:
    """Two at a time every 40 ms: each comes 20 ms too early or too late. The estimate gets there slowly."""
    times = [at for pair in range(100) for at in (40.0 * pair, 40.0 * pair)]
    assert arrived(*times) == pytest.approx(20, abs=0.1)
    assert arrived(*times[:8]) < 10
