"""Speech synthesis by Riva's `SynthesizeOnline`, one call for each phrase.

The RPC was server-streaming up to client 2.24 and is bidirectional since. It is called as server-streaming: one request
message followed by half-close is the same on the wire for both, so old and new servers work. It also has no write that
could race with a refusal, whose status grpc.aio would then replace by INTERNAL (grpcio 1.85).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from riva.client.proto import riva_audio_pb2, riva_tts_pb2, riva_tts_pb2_grpc

from voice_gateway.adapters.riva_channels import ChannelPool, RivaEndpoint
from voice_gateway.adapters.riva_errors import backend_error, broken_off, garbled, really_cancelled, timed_out
from voice_gateway.application.ports import SpeechChunk, SpokenWord, TtsRequest
from voice_gateway.domain.errors import BackendError

SERVICE = "nvidia.riva.tts.RivaSpeechSynthesis"
METHOD = f"/{SERVICE}/SynthesizeOnline"


class RivaTts:
    """Synthesises phrases on one endpoint."""

    def __init__(self, endpoint: RivaEndpoint, *, custom_configuration: tuple[tuple[str, str], ...] = ()) -> None:
        self.pool = ChannelPool(endpoint, _make_stub)
        self._metadata = endpoint.metadata
        self._custom_configuration = dict(custom_configuration)

    def warm(self) -> None:
        """Start connecting."""
        self.pool.warm()

    async def close(self) -> None:
        """End all calls and close the connections."""
        await self.pool.close()

    @asynccontextmanager
    async def synthesize(self, request: TtsRequest) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Start one phrase. Riva finds the model by language and voice, so `request.model` is not sent. Raises
        `BackendError`, also from the iteration.
        """
        with self.pool.lease() as stub:
            span = request.span
            span.note(rpc_method=f"{SERVICE}/SynthesizeOnline", address=self.pool.endpoint.target)
            span.count(attempts=1)
            call = stub.SynthesizeOnline(self._message(request), metadata=(*self._metadata, *span.headers))
            try:
                yield _Phrase(call, request)
            finally:
                call.cancel()

    def _message(self, request: TtsRequest) -> Any:
        message = riva_tts_pb2.SynthesizeSpeechRequest(
            text=request.text,
            language_code=request.language_code,
            encoding=riva_audio_pb2.AudioEncoding.LINEAR_PCM,
            sample_rate_hz=request.sample_rate_hz,
            voice_name=request.voice,
            # Servers older than 26.07 do not know this field and skip it.
            enable_word_time_offsets=True,
            custom_configuration=self._custom_configuration,
        )
        if request.call_id:
            message.id.value = request.call_id
        return message


class _Phrase:
    """The audio of one phrase as it arrives."""

    def __init__(self, call: Any, request: TtsRequest) -> None:
        self._call = call
        self._request = request
        self._odd = b""
        """First half of a sample whose second half is still to come."""
        self._bytes = 0
        self._words: list[SpokenWord] = []
        self._durations: list[float] = []
        self._spoken_text = request.text

    def __aiter__(self) -> AsyncIterator[SpeechChunk]:
        return self

    async def __anext__(self) -> SpeechChunk:
        wait_ms = self._request.chunk_timeout_ms if self._bytes else self._request.first_audio_timeout_ms
        try:
            async with asyncio.timeout(wait_ms / 1000):
                return await self._next()
        except TimeoutError:
            raise timed_out("tts", "go on" if self._bytes else "start to speak") from None
        except grpc.aio.AioRpcError as error:
            raise self._mapped(error) from error
        except asyncio.CancelledError:
            if really_cancelled():
                raise
            raise broken_off("tts", "cancelled here") from None

    async def _next(self) -> SpeechChunk:
        while (response := await self._call.read()) is not grpc.aio.EOF:
            if response is None:
                raise garbled("tts")
            self._note_timings(response.meta)
            pcm = self._odd + response.audio
            whole = len(pcm) & ~1
            pcm, self._odd = pcm[:whole], pcm[whole:]
            if pcm:
                self._bytes += whole
                words, self._words = tuple(self._words), []
                return SpeechChunk(pcm, words)
        self._request.span.note(grpc_status="OK")
        return self._last()

    def _note_timings(self, meta: Any) -> None:
        for word in meta.words:
            start_ms = max(0, word.start_time)
            self._words.append(SpokenWord(word.word, start_ms, max(start_ms, word.end_time)))
        if meta.predicted_durations:
            self._durations.extend(meta.predicted_durations)
            self._spoken_text = meta.processed_text or self._spoken_text

    def _last(self) -> SpeechChunk:
        """Word times that no audio came after; predicted durations can be placed only now."""
        words, self._words = tuple(self._words), []
        durations, self._durations = self._durations, []
        if self._bytes and durations and not words:
            audio_ms = self._bytes * 500 / self._request.sample_rate_hz
            words = predicted_words(self._spoken_text, durations, audio_ms=audio_ms)
        if not words or not self._bytes:
            raise StopAsyncIteration
        return SpeechChunk(b"", words)

    def _mapped(self, error: grpc.aio.AioRpcError) -> BackendError:
        request = self._request
        request.span.note(grpc_status=error.code().name)
        voice = f'voice "{request.voice}", ' if request.voice else ""
        asked = f'{voice}language "{request.language_code}" at {request.sample_rate_hz} Hz, or this text'
        return backend_error(error, "tts", asked=asked)


def _make_stub(channel: grpc.aio.Channel) -> Any:
    stub = riva_tts_pb2_grpc.RivaSpeechSynthesisStub(channel)
    stub.SynthesizeOnline = channel.unary_stream(
        METHOD,
        request_serializer=riva_tts_pb2.SynthesizeSpeechRequest.SerializeToString,
        response_deserializer=riva_tts_pb2.SynthesizeSpeechResponse.FromString,
    )
    return stub


def predicted_words(text: str, durations: Sequence[float], *, audio_ms: float) -> tuple[SpokenWord, ...]:
    """Words of `text` placed by Riva's `predicted_durations`.

    The field has no documented unit, so durations are taken as shares of the phrase. There is one for each token;
    tokens are the words, or the characters with spaces, by their number. Other counts give nothing: a wrong place is
    worse than a guess made by proportion elsewhere.
    """
    total = sum(durations)
    words = text.split()
    if total <= 0 or min(durations) < 0 or not words:
        return ()
    if len(durations) == len(words):
        shares = list(durations)
        gaps = [0.0] * len(words)
    elif len(durations) == len(text):
        shares, gaps = _by_character(text, durations)
    else:
        return ()
    placed: list[SpokenWord] = []
    at = 0.0
    for word, share, gap in zip(words, shares, gaps, strict=True):
        at += gap
        placed.append(SpokenWord(word, round(at / total * audio_ms), round((at + share) / total * audio_ms)))
        at += share
    return tuple(placed)


def _by_character(text: str, durations: Sequence[float]) -> tuple[list[float], list[float]]:
    """Duration of each word, and of the spaces before it."""
    shares: list[float] = []
    gaps: list[float] = []
    gap, in_word = 0.0, False
    for character, duration in zip(text, durations, strict=True):
        if character.isspace():
            gap, in_word = (0.0 if in_word else gap) + duration, False
        elif in_word:
            shares[-1] += duration
        else:
            shares.append(duration)
            gaps.append(gap)
            gap, in_word = 0.0, True
    return shares, gaps
