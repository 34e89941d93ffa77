"""Numbers that shape turn-taking. All times in milliseconds."""

from dataclasses import dataclass, field
from enum import StrEnum

from voice_gateway.domain.endpointing import EndpointPolicy


class Finalize(StrEnum):
    """How the recogniser is told that the caller's turn has ended."""

    AUTO = "auto"
    """`force_eou` first; a server that does not answer it in time gets its stream half-closed, and is remembered."""
    FORCE_EOU = "force_eou"
    """Only Riva's runtime request; works on cache-aware and Nemotron streaming models."""
    HALF_CLOSE = "half_close"
    """Half-close of the utterance's own stream; works on every Riva."""


@dataclass(frozen=True, slots=True)
class InterruptionPolicy:
    """What stops an answer for good, once speech over it has paused it."""

    commit_ms: int = 700
    """Speech over an answer of this length stops it, whatever is recognised of it so far. The longest backchannels
    ("yeah yeah, right") take some 600 ms; peers stop at 200 to 500 and lose the answer."""
    doubtful_commit_ms: int = 1_500
    """The same while all that is recognised is a backchannel, or an echo of the answer."""
    resume_after_ms: int = 600
    """A paused answer goes on this long after the caller fell silent, if nothing that stops it was recognised: sooner
    where the recogniser is done. Peers wait 2 s (LiveKit), or never go on."""
    min_words: int = 1
    """Words that stop an answer."""
    echo_similarity: float = 0.55
    """What is recognised counts as an echo of the answer from this similarity on (domain/echo.py)."""
    echo_sound: float = 0.65
    """Likeness of the sound itself to what is played, from which it does not pause the answer before words tell: finds
    97 % of echoes, 0 of 200 callers and one in ten of those who speak over an echo (`python -m bench.echo_sound`).
    """


@dataclass(frozen=True, slots=True)
class SpeculationPolicy:
    """Answers begun before the caller's turn is known to be over."""

    enabled: bool = True
    min_hit_rate: float = 0.5
    """Adopted answers among the recent ones below which speculation is only tried now and then. A peer's documents
    speak of 50 to 70 % more model calls without such a bound (peers of Deepgram's Flux)."""
    probe_every: int = 5
    """Turns between two tries while the hit rate is too low."""
    max_revisions: int = 3
    """Answers begun for one turn."""


@dataclass(frozen=True, slots=True)
class ConversationPolicy:
    """What is said without being asked. Empty texts are not said."""

    greeting: str = ""
    """Spoken when the call begins."""
    reprompt: str = ""
    """Spoken when the caller says nothing for `reprompt_after_ms`."""
    reprompt_after_ms: int = 12_000
    max_reprompts: int = 2
    """In a row; then the gateway waits."""
    farewell: str = ""
    """Spoken before a call is ended for its length."""
    farewell_ms: int = 15_000
    """Time before the longest call length at which the call is brought to its end."""
    repeat: bool = True
    """Whether "say that again" repeats the last answer without asking the model."""
    apologise: bool = True
    """Whether a failure that leaves the caller without an answer is told in speech."""
    key_pause_ms: int = 2_000
    """Keys pressed within this time of each other are one turn; "#" ends it at once. Telephone menus use 2 to 4 s."""


@dataclass(frozen=True, slots=True)
class TurnPolicy:
    """When the caller is taken to speak, to be done, and to interrupt."""

    onset_ms: int = 100
    """Speech within this makes a tentative start. 60 to 120 in the design; webrtcvad needs the upper half."""
    confirm_ms: int = 200
    """Speech that confirms the start, and pauses an answer in progress."""
    misfire_ms: int = 240
    """Silence that takes a tentative start back."""
    soft_end_ms: int = 120
    """Silence after which the caller may be done: audio is flushed upstream and a final result is believed."""
    endpoint_silence_ms: int = 500
    """Silence that ends the turn where no rule knows better. NVIDIA's own agents use 400 to 500; the recogniser may be
    quicker."""
    final_timeout_ms: int = 1_500
    """Longest wait for the final result once it was asked for; then the last interim result stands."""
    force_eou_patience_ms: int = 400
    """Longest wait for the answer to `force_eou` before the server counts as one that ignores it."""
    finalize: Finalize = Finalize.AUTO
    interruptible: bool = True
    """Whether speech over an answer pauses and stops it."""
    duck_db: float = -15.0
    """Loudness of the answer while speech over it is still tentative."""
    max_call_ms: int = 3_600_000
    endpoint: EndpointPolicy = field(default_factory=EndpointPolicy)
    """Silence by what was said."""
    interruption: InterruptionPolicy = field(default_factory=InterruptionPolicy)
    speculation: SpeculationPolicy = field(default_factory=SpeculationPolicy)
