"""Backends as lists in order of preference: the first that is well does the work.

A request goes down the list until a backend has begun to answer: the first token, the first audio, the first result.
From then on it stays, since a second answer would not go on where the first one broke; only recognition can start
anew, because it keeps the audio. Each backend has a circuit breaker, and is preferred again as soon as that closes. A
backend that another one can stand in for has less time than the whole deadline: `failover_ms`. Two requests are never
under way at once for one answer: what is slow is mostly overloaded, and hedging would double its load.

With a single backend the same holds without the detour: while its breaker is open, requests fail at once, and the
caller hears so at once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from voice_gateway.application.ladder import Attempt, Ladder
from voice_gateway.application.ports import (
    Asr,
    AsrRequest,
    AsrStream,
    Llm,
    LlmDelta,
    LlmRequest,
    Recognition,
    SpeechChunk,
    Tts,
    TtsRequest,
)
from voice_gateway.domain.errors import BackendError

DEAF_AFTER_MS = 500
"""A recogniser that was told that no more audio comes, and is given up this much later without a word, counts as
failed: Riva ends a stream within some 100 ms of that, result or not."""

BackendT = TypeVar("BackendT")
PieceT = TypeVar("PieceT")


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A language model's endpoint, and what the model is called there."""

    llm: Llm
    model: str = ""
    """Empty: as the request says."""


class FallbackLlm:
    """The Llm port over a list. Fails over until the first token, never after it."""

    def __init__(self, ladder: Ladder[NamedModel], *, failover_ms: int) -> None:
        self._ladder = ladder
        self._failover_ms = failover_ms

    @asynccontextmanager
    async def stream(self, request: LlmRequest) -> AsyncIterator[AsyncIterator[LlmDelta]]:
        """Start an answer and wait for its first token. Raises `BackendError`, also from the iteration."""

        def ask(named: NamedModel, timeout_ms: int) -> AbstractAsyncContextManager[AsyncIterator[LlmDelta]]:
            model = named.model or request.model
            return named.llm.stream(replace(request, model=model, first_token_timeout_ms=timeout_ms))

        waiting = _Waiting(request.first_token_timeout_ms, self._failover_ms, "start to answer")
        async with _begun(self._ladder, ask, lambda delta: bool(delta.text), waiting) as answer:
            yield answer


class FallbackTts:
    """The Tts port over a list. Fails over until a phrase's first audio; voice and language stay what they are."""

    def __init__(self, ladder: Ladder[Tts], *, failover_ms: int) -> None:
        self._ladder = ladder
        self._failover_ms = failover_ms

    @asynccontextmanager
    async def synthesize(self, request: TtsRequest) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Start one phrase and wait for its first audio. Raises `BackendError`, also from the iteration."""

        def ask(tts: Tts, timeout_ms: int) -> AbstractAsyncContextManager[AsyncIterator[SpeechChunk]]:
            return tts.synthesize(replace(request, first_audio_timeout_ms=timeout_ms))

        waiting = _Waiting(request.first_audio_timeout_ms, self._failover_ms, "start to speak")
        async with _begun(self._ladder, ask, lambda chunk: bool(chunk.pcm), waiting) as phrase:
            yield phrase


class FallbackAsr:
    """The Asr port over a list. Opening goes down the list; a stream that breaks is the caller's to open again, with
    `AsrRequest.avoid` naming the backends that its errors came from.
    """

    def __init__(self, ladder: Ladder[Asr], *, failover_ms: int) -> None:
        self._ladder = ladder
        self._failover_ms = failover_ms

    @asynccontextmanager
    async def open(self, request: AsrRequest) -> AsyncIterator[AsrStream]:
        """Open a stream. Raises `BackendError`, as the stream's methods do."""
        ladder = self._ladder
        failure: BackendError | None = None
        left = ladder.order(request.avoid)
        async with AsyncExitStack() as stack:
            stream: _WatchedStream | None = None
            while stream is None and left:
                if (attempt := ladder.attempt(left.pop(0))) is None:
                    continue
                if failure is not None:
                    ladder.gone_on(failure.position, failure)
                patience_ms = request.open_timeout_ms
                timeout_ms = min(patience_ms, self._failover_ms) if ladder.spare(left) else patience_ms
                async with AsyncExitStack() as trying:
                    trying.callback(attempt.over)
                    try:
                        asked = replace(request, open_timeout_ms=timeout_ms, avoid=frozenset())
                        opened = await trying.enter_async_context(attempt.backend.open(asked))
                        stream = _WatchedStream(opened, attempt, ladder)
                        trying.callback(stream.left)
                        stack.push_async_exit(trying.pop_all())
                    except BackendError as error:
                        failure = error
                        attempt.failed(error)
            if stream is None:
                raise failure or ladder.resting()
            yield stream


@dataclass(frozen=True, slots=True)
class _Waiting:
    """How long a first piece is waited for: all in all, and at a backend that another can stand in for."""

    timeout_ms: int
    failover_ms: int
    what: str
    """Ends the sentence "The language model did not ..."."""


@asynccontextmanager
async def _begun(
    ladder: Ladder[BackendT],
    ask: Callable[[BackendT, int], AbstractAsyncContextManager[AsyncIterator[PieceT]]],
    counts: Callable[[PieceT], bool],
    waiting: _Waiting,
) -> AsyncIterator[AsyncIterator[PieceT]]:
    """The answer of the first backend that begins one. `counts` tells the piece that an answer begins with."""
    deadline_ms = ladder.now_ms() + waiting.timeout_ms
    failure: BackendError | None = None
    left = ladder.order()
    async with AsyncExitStack() as stack:
        answer: _Watched[PieceT] | None = None
        while answer is None and left and (remaining_ms := round(deadline_ms - ladder.now_ms())) > 0:
            if (attempt := ladder.attempt(left.pop(0))) is None:
                continue
            if failure is not None:
                ladder.gone_on(failure.position, failure)
            timeout_ms = min(remaining_ms, waiting.failover_ms) if ladder.spare(left) else remaining_ms
            async with AsyncExitStack() as trying:
                trying.callback(attempt.over)
                try:
                    async with asyncio.timeout(timeout_ms / 1000):
                        pieces = await trying.enter_async_context(ask(attempt.backend, timeout_ms))
                        answer = _Watched(await _first(pieces, counts), pieces, attempt)
                    attempt.answered()
                    stack.push_async_exit(trying.pop_all())
                except TimeoutError:
                    failure = ladder.timed_out(waiting.what)
                    attempt.failed(failure)
                except BackendError as error:
                    failure = error
                    attempt.failed(error)
        if answer is None:
            raise failure or ladder.resting()
        yield answer


async def _first(pieces: AsyncIterator[PieceT], counts: Callable[[PieceT], bool]) -> list[PieceT]:
    """Pieces up to the first that counts; all of them where none does."""
    begun: list[PieceT] = []
    async for piece in pieces:
        begun.append(piece)
        if counts(piece):
            break
    return begun


class _Watched(Generic[PieceT]):
    """An answer that has begun, with its end told to the breaker."""

    def __init__(self, begun: list[PieceT], rest: AsyncIterator[PieceT], attempt: Attempt[Any]) -> None:
        self._begun = deque(begun)
        self._rest = rest
        self._attempt = attempt

    def __aiter__(self) -> AsyncIterator[PieceT]:
        return self

    async def __anext__(self) -> PieceT:
        if self._begun:
            return self._begun.popleft()
        try:
            return await anext(self._rest)
        except BackendError as error:
            self._attempt.failed(error)
            raise


class _WatchedStream:
    """A recognition stream whose results and errors are told to the breaker."""

    def __init__(self, stream: AsrStream, attempt: Attempt[Asr], ladder: Ladder[Asr]) -> None:
        self._stream = stream
        self._attempt = attempt
        self._ladder = ladder
        self._asked_to_end_ms: float | None = None

    async def send(self, pcm: bytes) -> None:
        """Send audio."""
        with self._watching():
            await self._stream.send(pcm)

    async def force_end_of_utterance(self) -> None:
        """Ask for the final result."""
        with self._watching():
            await self._stream.force_end_of_utterance()

    async def half_close(self) -> None:
        """No more audio."""
        with self._watching():
            await self._stream.half_close()
        self._asked_to_end_ms = self._ladder.now_ms()

    async def results(self) -> AsyncIterator[Recognition]:
        """Results in order."""
        with self._watching():
            async for result in self._stream.results():
                self._asked_to_end_ms = None
                self._attempt.answered()
                yield result
        self._asked_to_end_ms = None
        self._attempt.answered()

    def left(self) -> None:
        """The stream is not wanted any more."""
        asked_ms = self._asked_to_end_ms
        if asked_ms is not None and self._ladder.now_ms() - asked_ms >= DEAF_AFTER_MS:
            self._attempt.failed(self._ladder.timed_out("end the stream"))

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except BackendError as error:
            self._attempt.failed(error)
            raise
