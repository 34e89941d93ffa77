"""Numbers that shape turn-taking. All times in milliseconds."""

from dataclasses import dataclass
from enum import StrEnum


class Finalize(StrEnum):
    """How the recogniser is told that the caller's turn has ended."""

    AUTO = "auto"
    """`force_eou` first; a server that does not answer it in time gets its stream half-closed, and is remembered."""
    FORCE_EOU = "force_eou"
    """Only Riva's runtime request; works on cache-aware and Nemotron streaming models."""
    HALF_CLOSE = "half_close"
    """Half-close of the utterance's own stream; works on every Riva."""


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """When the caller is taken to speak, to be done, and to interrupt."""

    onset_ms: int = 100
    """Speech within this makes a tentative start. 60 to 120 in the design; webrtcvad needs the upper half."""
    confirm_ms: int = 200
    """Speech that confirms the start, and stops an answer in progress."""
    misfire_ms: int = 240
    """Silence that takes a tentative start back."""
    soft_end_ms: int = 120
    """Silence after which the caller may be done: audio is flushed upstream and a final result is believed."""
    endpoint_silence_ms: int = 500
    """Silence that ends the turn. NVIDIA's own agents use 400 to 500; the recogniser may be quicker."""
    final_timeout_ms: int = 1_500
    """Longest wait for the final result once it was asked for; then the last interim result stands."""
    force_eou_patience_ms: int = 400
    """Longest wait for the answer to `force_eou` before the server counts as one that ignores it."""
    finalize: Finalize = Finalize.AUTO
    interruptible: bool = True
    """Whether speech over an answer stops it."""
    duck_db: float = -15.0
    """Loudness of the answer while speech over it is still tentative."""
    max_call_ms: int = 3_600_000
