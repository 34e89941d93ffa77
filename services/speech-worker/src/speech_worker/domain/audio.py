"""What a stretch of audio is made of."""

from dataclasses import dataclass
from enum import Enum

from speech_worker.domain.errors import InvalidRequest

# The range that Riva takes: telephone audio to the highest rate of common sound cards.
LOWEST_RATE_HZ = 8_000
HIGHEST_RATE_HZ = 96_000


class Encoding(Enum):
    LINEAR_PCM = "LINEAR_PCM"
    MULAW = "MULAW"
    ALAW = "ALAW"

    @property
    def bytes_per_sample(self) -> int:
        return 2 if self is Encoding.LINEAR_PCM else 1


@dataclass(frozen=True)
class AudioFormat:
    """Mono audio. LINEAR_PCM is signed 16-bit little-endian."""

    encoding: Encoding
    sample_rate_hz: int


def checked_rate(rate_hz: int, *, field: str) -> int:
    """The rate itself, or InvalidRequest naming `field`."""
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InvalidRequest(f"{field} is {rate_hz}: {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz are supported.")
    return rate_hz


def checked_mono(channels: int) -> None:
    """Zero means that the caller did not say."""
    if channels > 1:
        raise InvalidRequest("Only mono audio supported.")
