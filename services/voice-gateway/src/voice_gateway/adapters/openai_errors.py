"""HTTP failures of the language model as errors of a call."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aiohttp
import httpx2
import openai

from voice_gateway.domain.errors import (
    BackendBusy,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
)

TOO_LONG = ("context_length", "context length", "too many tokens", "longer than the maximum", "exceeds the available")
"""What OpenAI, vLLM, TensorRT-LLM and llama.cpp say when the conversation does not fit into the model."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, and whether the same request may succeed a moment later."""

    error: BackendError
    may_retry: bool
    retry_after_s: float | None = None
    """What the server asks for."""


class StreamedError(Exception):
    """The server reported an error inside a response that had begun well."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.error))
        self.failure = failure


FAILURES = (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError, StreamedError)
"""Everything that a request can raise. The SDK translates only until the headers are there; what reading the body
raises comes from the layers below. `TimeoutError` is an OSError: catch it before these.
"""


def failure_of(error: BaseException, *, model: str) -> Failure:
    """Judge one of `FAILURES`."""
    if isinstance(error, StreamedError):
        return error.failure
    if isinstance(error, openai.APIStatusError):
        detail = f"{error.status_code}: {str(error.body or error.message)[:500]}"
        return status_failure(error.status_code, detail, model=model, headers=error.response.headers)
    detail = "; ".join(repr(cause)[:300] for cause in _causes(error))
    if _timed_out(error):
        return Failure(
            BackendTimeout("llm", "The language model did not answer in time.", detail=detail), may_retry=True
        )
    if isinstance(error, openai.OpenAIError) and not isinstance(error, openai.APIConnectionError):
        return Failure(BackendError("llm", "The language model failed.", detail=detail), may_retry=False)
    return Failure(BackendUnavailable("llm", "The language model cannot be reached.", detail=detail), may_retry=True)


def status_failure(status: int, detail: str, *, model: str, headers: Mapping[str, str] | None = None) -> Failure:
    """Judge an HTTP status of 400 or more."""
    wait_s = _retry_after_s(headers or {})
    named = f' for the model "{model}"' if model else ""
    match status:
        case 401 | 403:
            return Failure(
                BackendRejected("llm", "The language model refuses the configured key.", detail=detail), False
            )
        case 404:
            offered = f'the model "{model}"' if model else "this service"
            sentence = f"The language model's server does not offer {offered}."
            return Failure(BackendRejected("llm", sentence, detail=detail), may_retry=False)
        case 429 | 503:
            busy = BackendBusy("llm", "The language model has no room at the moment.", detail=detail)
            return Failure(busy, may_retry=True, retry_after_s=wait_s)
        case 408 | 504:
            slow = BackendTimeout("llm", "The language model did not answer in time.", detail=detail)
            return Failure(slow, may_retry=True, retry_after_s=wait_s)
        case 502:
            gone = BackendUnavailable("llm", "The language model cannot be reached.", detail=detail)
            return Failure(gone, may_retry=True, retry_after_s=wait_s)
        case _ if status >= 500:
            failed = BackendError("llm", "The language model failed.", detail=detail)
            return Failure(failed, may_retry=True, retry_after_s=wait_s)
    lowered = detail.lower()
    if status == 413 or any(words in lowered for words in TOO_LONG):
        return Failure(BackendRejected("llm", f"The conversation is too long{named}.", detail=detail), may_retry=False)
    sentence = f"The language model's server does not accept the request{named}."
    return Failure(BackendRejected("llm", sentence, detail=detail), may_retry=False)


def garbled(detail: str) -> BackendError:
    """The error for a response that cannot be understood."""
    return BackendError("llm", "What the language model sent makes no sense.", detail=detail)


def unfinished() -> StreamedError:
    """The connection was closed in good order before the answer ended."""
    return StreamedError(
        Failure(BackendUnavailable("llm", "The language model ended its answer early."), may_retry=True)
    )


def _timed_out(error: BaseException) -> bool:
    """Whether connecting took too long. The SDK's transport reports a broken connection as a time-out as well, so the
    causes decide.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return True
    below = any(isinstance(cause, aiohttp.ClientError | OSError) for cause in causes)
    return not below and any(isinstance(cause, openai.APITimeoutError | httpx2.TimeoutException) for cause in causes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait; a date in its place is ignored, and the usual pause is made."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if seconds >= 0 else None
