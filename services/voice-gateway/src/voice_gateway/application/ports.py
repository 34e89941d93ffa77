"""What a call needs of the world, as protocols. Adapters implement them; testing/ has a fake of each.

Common rules:
- Audio is 16 bit signed little endian, mono. A rate stands beside it or in the request.
- Every method that waits may be cancelled at any await; the upstream request is then cancelled too.
- Failures are raised as `BackendError` (domain/errors.py), with a sentence fit for strangers.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self

from voice_gateway.application.messages import Inbound, Outbound
from voice_gateway.domain.breaker import BreakerState
from voice_gateway.domain.checkpoint import CallCheckpoint
from voice_gateway.domain.conversation import Message
from voice_gateway.domain.errors import BackendKind
from voice_gateway.domain.events import Event
from voice_gateway.domain.recording import Outcome
from voice_gateway.domain.report import TurnReport


class Clock(Protocol):
    """Time of the process."""

    def ms(self) -> float:
        """Milliseconds on a monotonic clock with any origin."""
        ...


# ---- traces ---------------------------------------------------------------------------------------------------------


Fact = str | int | float | bool | tuple[str, ...]
"""What is known of a span."""


class Span:
    """One request as a trace shows it, from when it is made until its context is left. This one is not recorded; for
    those that are, see application/tracing.py. Each request carries its own.
    """

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What the request carries to the backend, names in lower case."""
        return ()

    @property
    def recorded(self) -> bool:
        """Whether what is noted is kept."""
        return False

    def note(self, **facts: Fact) -> None:
        """Something is known; a later fact of the same name counts."""

    def count(self, **numbers: int) -> None:
        """Add to a number."""

    def mark(self, name: str) -> None:
        """Something happens, in ms from the start; the first time counts."""

    def say(self, role: str, text: str, *, heard: bool = False) -> None:
        """Words, kept only where that is switched on. `heard`: what went in; else what came out."""

    def fail(self, reason: str) -> None:
        """It failed, for a stable reason."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The end. A `BackendError` that passes is noted; a cancellation is no error."""


NO_SPAN = Span()


# ---- recognition ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AsrRequest:
    """One utterance, or one call, to be recognised."""

    sample_rate_hz: int
    language_code: str
    model: str = ""
    call_id: str = ""
    """Sent as Riva's request id, so that both sides' logs meet."""
    open_timeout_ms: int = 3_000
    avoid: frozenset[int] = frozenset()
    """Positions of the recognisers, in a list of them, that have failed this utterance: the others are asked first."""
    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What the recogniser makes of the audio so far."""

    text: str
    is_final: bool
    """A final result stands; later results speak of later audio."""
    stability: float = 0.0
    """1.0 on an interim result is Riva's first-pass end of utterance; else not meaningful."""
    audio_processed_ms: float = 0.0
    """Audio of this stream that the result accounts for; 0 where the server does not say."""


class AsrStream(Protocol):
    """One recognition stream. Results are iterated by one task while another sends."""

    async def send(self, pcm: bytes) -> None:
        """Send audio. Waits when the server does not take it. Raises `BackendError`."""
        ...

    async def force_end_of_utterance(self) -> None:
        """Ask for the final result now. Servers that do not know the request ignore it."""
        ...

    async def half_close(self) -> None:
        """No more audio: the final result follows and results end."""
        ...

    def results(self) -> AsyncIterator[Recognition]:
        """Results in order; the iteration ends when the server ends the stream. Raises `BackendError`."""
        ...


class Asr(Protocol):
    """A speech recogniser."""

    def open(self, request: AsrRequest) -> AbstractAsyncContextManager[AsrStream]:
        """Open a stream; leaving the context without `half_close` cancels it."""
        ...


# ---- language model -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One answer."""

    model: str
    messages: Sequence[Message]
    """System prompt first, then the conversation."""
    temperature: float
    max_tokens: int
    first_token_timeout_ms: int
    token_timeout_ms: int
    call_id: str = ""
    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LlmDelta:
    """The next piece of an answer."""

    text: str
    finish_reason: str = ""
    """Set on the last piece: "stop", "length", ..."""


class Llm(Protocol):
    """A language model."""

    def stream(self, request: LlmRequest) -> AbstractAsyncContextManager[AsyncIterator[LlmDelta]]:
        """Start an answer. Retries before the first token where that can help, never after it; leaving the context
        closes the request. Raises `BackendError` from the context's entry or from the iteration.
        """
        ...


# ---- synthesis ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TtsRequest:
    """One phrase of at most 200 characters."""

    text: str
    language_code: str
    voice: str
    sample_rate_hz: int
    model: str = ""
    call_id: str = ""
    first_audio_timeout_ms: int = 4_000
    chunk_timeout_ms: int = 4_000
    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word and where it lies in its phrase's audio."""

    word: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """The next piece of a phrase's audio; either part may be empty."""

    pcm: bytes
    words: tuple[SpokenWord, ...] = ()


class Tts(Protocol):
    """A speech synthesiser."""

    def synthesize(self, request: TtsRequest) -> AbstractAsyncContextManager[AsyncIterator[SpeechChunk]]:
        """Start one phrase; leaving the context before the end cancels it upstream. A phrase that yields no audio
        ends without a chunk.
        """
        ...


# ---- voice activity, resampling -------------------------------------------------------------------------------------


class VoiceActivity(Protocol):
    """Voice activity of one call. Not shared between calls: detectors keep state."""

    frame_samples: int
    """Samples that each frame must have."""

    late_samples: int
    """After a frame with speech: samples just before it that were speech too, as turns out now. A detector needs a
    moment to be sure; it may say so once, with the first frame."""

    @property
    def steady(self) -> bool:
        """Whether the last frame was as loud as the speech so far: speech fades before it ends; no end is in sight."""
        ...

    async def is_speech(self, frame: bytes) -> bool:
        """Judge one frame of `frame_samples` samples at the rate the detector was made for. Frames come in order, one
        at a time. Returns without suspending where no model is asked, and within a tenth of a second else. A frame
        whose judgement was cancelled counts as heard.
        """
        ...


class EndOfTurnUnknown(Exception):
    """The end-of-turn model gave no answer; the turn is decided without it. The text is for logs."""


class EndOfTurnModel(Protocol):
    """Judges by the sound whether a caller has finished. One for all calls."""

    async def score(self, pcm: bytes) -> float:
        """Probability, 0 to 1, that the turn is complete. `pcm` is s16le mono at 16 kHz, the caller's turn up to now
        with its silence; at most the last 8 s are used. Raises `EndOfTurnUnknown` within a deadline of its own where
        there is no answer: the caller of this decides without it.
        """
        ...


class Resampler(Protocol):
    """One direction of one call's audio."""

    def process(self, pcm: bytes) -> bytes:
        """Convert the next piece, whole samples in and out; what is held back comes with later pieces."""
        ...

    def flush(self) -> bytes:
        """What was held back; the resampler then starts anew."""
        ...


class AudioTools(Protocol):
    """Makes the per-call audio parts."""

    def voice_activity(self, sample_rate_hz: int) -> VoiceActivity:
        """A detector for one call. `sample_rate_hz` is 8000, 16000, 32000 or 48000."""
        ...

    def resampler(self, from_hz: int, to_hz: int) -> Resampler | None:
        """None where both rates are equal."""
        ...

    def scaled(self, pcm: bytes, gain_db: float) -> bytes:
        """The same audio, louder or quieter."""
        ...

    def likeness(self, heard: bytes, heard_hz: int, played: bytes, played_hz: int) -> float:
        """How much of `heard` is in `played`, at whatever delay; 0 to 1. Takes about a millisecond."""
        ...


# ---- the caller -----------------------------------------------------------------------------------------------------


class CallTransport(Protocol):
    """One caller's connection, whatever carries it."""

    async def receive(self) -> Inbound | None:
        """The next message, or None when the caller has half-closed. Raises `BadRequest` for a broken message."""
        ...

    async def send(self, message: Outbound) -> None:
        """Send one message; waits while the caller does not take it."""
        ...


# ---- telemetry ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """What the process's calls are at, at one moment."""

    depths: dict[str, float]
    """By the name of a queue, the most that waits in any call."""
    revisions: dict[str, int]
    """Calls by the revision of the configuration that they go by."""


class Telemetry(Protocol):
    """Counts and durations. Calls are cheap and never fail."""

    def call_started(self) -> None:
        """A call was admitted."""
        ...

    def call_ended(self, status: str, *, after_s: float) -> None:
        """An admitted call ended; `status` is "ok", "cancelled" or an error's reason in lower case."""
        ...

    def call_refused(self, reason: str) -> None:
        """A call was not admitted."""
        ...

    def turn_ended(self, report: TurnReport, *, trace_id: str = "") -> None:
        """A turn ended, answered or interrupted. `trace_id` is empty where the call is not traced."""
        ...

    def uplink_jitter(self, milliseconds: float) -> None:
        """How unevenly a caller's audio arrives; told at the end of each turn."""
        ...

    def llm_tokens(self, count: int) -> None:
        """Pieces of answer text received."""
        ...

    def tts_characters(self, count: int) -> None:
        """Characters sent to synthesis."""
        ...

    def backend_error(self, kind: BackendKind, reason: str) -> None:
        """A backend failed."""
        ...

    def speculation(self, outcome: str, wasted_characters: int) -> None:
        """An answer was begun early ("started"), or what became of it ("adopted", "wasted")."""
        ...

    def answer_resumed(self, after_ms: float) -> None:
        """An answer went on after speech that did not interrupt it."""
        ...

    def stale_dropped(self, what: str) -> None:
        """Something arrived for a turn or utterance that is over."""
        ...

    def breaker_changed(self, kind: BackendKind, position: int, state: BreakerState) -> None:
        """The breaker of the backend at `position` of its list, 0 first, is now in `state`."""
        ...

    def failed_over(self, kind: BackendKind, position: int, reason: str) -> None:
        """A request that the backend at `position` failed went on to another one."""
        ...

    def apologised(self, kind: BackendKind, form: str) -> None:
        """A caller heard that `kind` failed; `form` is "speech" or "earcon"."""
        ...

    def checkpoint_made(self, size_bytes: int) -> None:
        """A call's state was sealed into a token of this size."""
        ...

    def resume_asked(self, cause: str, result: str) -> None:
        """A client came with a checkpoint. `cause`: "reset", "silence", "go_away" or "unspecified". `result`: "ok", or
        why not: "expired", "unreadable", "foreign", "invalid".
        """
        ...

    def resume_gap(self, cause: str, seconds: float) -> None:
        """A resumed call speaks again: how long nothing reached its client."""
        ...

    def uplink_gaps(self, count: int) -> None:
        """Times that microphone audio was missing between two messages of a call; told at the end of each turn."""
        ...


# ---- checkpoints ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnsealedCheckpoint:
    """A checkpoint that a client brought back."""

    checkpoint: CallCheckpoint
    age_ms: int
    """Since it was sealed, by the clocks of both processes; never below 0."""


class CheckpointSeal(Protocol):
    """Makes tokens of checkpoints that clients keep and can neither read nor change."""

    @property
    def valid_ms(self) -> int:
        """How long a token is good for."""
        ...

    def seal(self, checkpoint: CallCheckpoint, *, principal: str) -> bytes:
        """A token of at most 64 KiB for `principal` alone; empty where the checkpoint cannot be made that small. What
        is too large loses its oldest history. Takes some hundred microseconds.
        """
        ...

    def open(self, token: bytes, *, principal: str) -> UnsealedCheckpoint:
        """What `seal` was given, in this process or another one that has the key. Raises `ResumeRefused`."""
        ...


# ---- journals -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JournalOpening:
    """What a journal begins with."""

    opening: dict[str, object]
    """Encoded CallState before the first event."""
    config_revision: str = ""


class JournalWriter(Protocol):
    """Keeps the journal of one call. No method waits or fails: what cannot be kept is lost and counted, and the call
    goes on.
    """

    def record(self, now: int, event: Event) -> None:
        """Keep an event that was handled at `now` (ms of call time)."""
        ...

    def close(self, outcome: Outcome) -> None:
        """The call is over."""
        ...


class JournalSink(Protocol):
    """Keeps the journals of calls, or does not."""

    @property
    def waiting(self) -> int:
        """Entries of all journals that wait to be written."""
        ...

    def open(self, call_id: str, opening: JournalOpening) -> JournalWriter:
        """Begin the journal of a call. Neither waits nor fails."""
        ...


# ---- the set --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BackendCheck:
    """How one backend is."""

    kind: BackendKind
    configured: str
    ok: bool
    detail: str
    latency_ms: float
    available: tuple[str, ...] = field(default=())


class BackendProbe(Protocol):
    """Asks a backend whether it is there and knows what is configured."""

    async def check(self, *, timeout_ms: int) -> BackendCheck:
        """Never raises: what goes wrong is the answer."""
        ...


@dataclass(frozen=True, slots=True)
class Backends:
    """What one call talks to."""

    asr: Asr
    llm: Llm
    tts: Tts


@dataclass(frozen=True, slots=True)
class BackendWish:
    """What a call asks of the selection."""

    language_code: str
    models: tuple[tuple[Literal["asr", "llm", "tts"], str], ...] = ()


class BackendSelection(Protocol):
    """Chooses the backends of a call."""

    def select(self, wish: BackendWish) -> Backends:
        """Raises `InvalidConfig` where a wish can't be served."""
        ...
