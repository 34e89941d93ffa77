"""Everything that can go wrong in a call, as one tree.

GatewayError
├── Unauthenticated        nobody knows who calls; nothing of the call is read
├── CallRefused            the call never starts
│   ├── AtCapacity
│   └── Draining
├── ResumeRefused          the checkpoint of a call that was cut off is of no use here; `why` says for what
├── BadRequest             the caller broke the contract; the message names the field, its value and what is allowed
│   ├── InvalidConfig
│   ├── UnexpectedMessage
│   ├── ChunkTooLarge
│   ├── TextTooLong
│   └── InvalidMessage
├── CallEnded              a limit that the call ran into
│   ├── CallTooLong
│   ├── CallIdle
│   └── SlowConsumer
└── BackendError           ASR, LLM or TTS; `kind` says which
    ├── BackendUnavailable
    ├── BackendTimeout
    ├── BackendBusy
    └── BackendRejected

`reason` is stable and may be matched by programs; `str(error)` is one sentence that strangers may read. Text that came
from a backend never goes into it: that goes into `detail`, which is for logs.
"""

from typing import ClassVar, Literal

BackendKind = Literal["asr", "llm", "tts"]

RefusedBecause = Literal["expired", "unreadable", "foreign"]
"""Why a checkpoint is of no use."""


class GatewayError(Exception):
    """Root of the tree."""

    reason: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class Unauthenticated(GatewayError):
    """The call brought no key or token, or one that is not accepted."""

    reason = "UNAUTHENTICATED"


class CallRefused(GatewayError):
    """The call never starts; another gateway, or this one later, may take it."""

    retryable = True

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class AtCapacity(CallRefused):
    """As many calls as this process may hold are in progress."""

    reason = "AT_CAPACITY"


class Draining(CallRefused):
    """The process is about to stop and takes no new calls."""

    reason = "DRAINING"


class ResumeRefused(GatewayError):
    """The checkpoint is expired, not readable here, or of another caller: the call cannot go on; a new one can."""

    reason = "RESUME_REFUSED"

    def __init__(self, why: RefusedBecause, message: str = "", *, detail: str = "") -> None:
        super().__init__(message or f"The checkpoint {REFUSALS[why]}; start a new call without it.", detail=detail)
        self.why: RefusedBecause = why


REFUSALS: dict[RefusedBecause, str] = {
    "expired": "has expired",
    "unreadable": "cannot be read by this gateway",
    "foreign": "is of another caller",
}


class BadRequest(GatewayError):
    """The caller broke the contract."""

    reason = "BAD_REQUEST"


class InvalidConfig(BadRequest):
    """A field of VoiceConfig has a value that is not allowed."""

    reason = "INVALID_CONFIG"


class UnexpectedMessage(BadRequest):
    """A message at the wrong moment: no config first, or a second config."""

    reason = "UNEXPECTED_MESSAGE"


class ChunkTooLarge(BadRequest):
    """One audio message is larger than the limit."""

    reason = "CHUNK_TOO_LARGE"


class TextTooLong(BadRequest):
    """One text is longer than the limit."""

    reason = "TEXT_TOO_LONG"


class InvalidMessage(BadRequest):
    """A message whose content makes no sense, such as an unknown control."""

    reason = "INVALID_MESSAGE"


class CallEnded(GatewayError):
    """A limit that the call ran into."""

    reason = "CALL_ENDED"


class CallTooLong(CallEnded):
    """The call reached its longest duration."""

    reason = "CALL_TOO_LONG"


class CallIdle(CallEnded):
    """Nothing came from the caller for too long."""

    reason = "CALL_IDLE"


class SlowConsumer(CallEnded):
    """The caller does not take what is sent."""

    reason = "SLOW_CONSUMER"
    retryable = True


class BackendError(GatewayError):
    """One of the services that a call needs failed."""

    reason = "BACKEND_FAILED"
    retryable = True

    def __init__(self, kind: BackendKind, message: str, *, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.kind: BackendKind = kind
        self.position = 0
        """Of the backend in the list of its kind."""


class BackendUnavailable(BackendError):
    """No connection, or the connection broke."""

    reason = "BACKEND_UNAVAILABLE"


class BackendTimeout(BackendError):
    """No answer within the deadline."""

    reason = "BACKEND_TIMEOUT"


class BackendBusy(BackendError):
    """The backend says that it has no room: RESOURCE_EXHAUSTED, HTTP 429 or 503."""

    reason = "BACKEND_BUSY"


class BackendRejected(BackendError):
    """The backend refuses the request itself: an unknown model, language or voice, a wrong key."""

    reason = "BACKEND_REJECTED"
    retryable = False
