"""What can go wrong with a request, told to the caller in one sentence each."""


class SpeechError(Exception):
    """Root of what a caller may be told. `reason` is stable; the text is for people."""

    reason = "SPEECH_ERROR"
    retryable = False


class InvalidRequest(SpeechError):
    """The request itself is wrong; sending it again does not help."""

    reason = "INVALID_REQUEST"


class UnavailableModel(SpeechError):
    """No served model or voice fits the request. The text is Riva's own, which clients match on."""

    reason = "UNAVAILABLE_MODEL"


class UnknownModel(SpeechError):
    """A configuration was asked for by a name that is not served."""

    reason = "UNKNOWN_MODEL"


class WorkerFull(SpeechError):
    """Every slot is taken. Told at once, so that the caller can go elsewhere."""

    reason = "WORKER_FULL"
    retryable = True

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class StreamIdle(SpeechError):
    """The caller holds a slot and sends nothing."""

    reason = "STREAM_IDLE"


class EngineFailed(SpeechError):
    """The engine died or stalled in the middle of a request. Only this request is lost."""

    reason = "ENGINE_FAILED"
    retryable = True


class EngineUnusable(SpeechError):
    """An engine cannot be loaded; the text says what to do about it. Ends the start of the worker."""

    reason = "ENGINE_UNUSABLE"


def unavailable_model(
    *, language_code: str, sample_rate_hz: int, kind: str, model: str = "", voice: str = ""
) -> UnavailableModel:
    """Riva's wording. The region of the language is left out, as Riva does; names appear when the caller gave some.

    `kind` is "online", "offline" or "tts".
    """
    language = language_code.split("-", maxsplit=1)[0]
    parts = [f"language_code={language}", f"sample_rate={sample_rate_hz}", f"type={kind}"]
    if model:
        parts.append(f"model={model}")
    if voice:
        parts.append(f"voice_name={voice}")
    listed = "".join(f"{part}; " for part in parts)
    return UnavailableModel(f"Error: Unavailable model requested given these parameters: {listed}")
