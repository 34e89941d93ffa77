"""Speech recognition by Riva's `StreamingRecognize`.

Message classes and stubs are those of nvidia-riva-client; its blocking helpers are not used. Importing them costs
0.12 s and 2.5 MB, and loads neither its health_pb2 (which clashes with grpcio-health-checking) nor its realtime client.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc, riva_audio_pb2

from voice_gateway.adapters.riva_channels import ChannelPool, RivaEndpoint
from voice_gateway.adapters.riva_errors import (
    backend_error,
    broken_off,
    finished_error,
    garbled,
    really_cancelled,
    timed_out,
)
from voice_gateway.application.ports import AsrRequest, Recognition
from voice_gateway.domain.errors import BackendError

SERVICE = "nvidia.riva.asr.RivaSpeechRecognition"

FIRST_PASS_END = 1.0
"""Stability of an interim result that marks the first pass of Riva's two-pass end of utterance (riva_asr.proto)."""

STATUS_TIMEOUT_S = 1.0
"""A refused write is known a moment before the status that explains it."""


@dataclass(frozen=True, slots=True)
class RivaEndpointing:
    """Riva's own end-of-utterance rule; None leaves the server's value (300/800 ms, see riva_asr.proto)."""

    start_history_ms: int | None = None
    start_threshold: float | None = None
    stop_history_ms: int | None = None
    stop_threshold: float | None = None
    stop_history_eou_ms: int | None = None
    """Switches two-pass end of utterance on; must be less than `stop_history_ms`."""
    stop_threshold_eou: float | None = None


@dataclass(frozen=True, slots=True)
class RivaAsrOptions:
    """What does not change from stream to stream."""

    automatic_punctuation: bool = True
    """A punctuated transcript is easier for the language model and for rules about complete sentences."""
    endpointing: RivaEndpointing | None = None
    custom_configuration: tuple[tuple[str, str], ...] = ()
    send_timeout_ms: int = 5_000
    """Longest wait until the transport takes one message: a server this far behind is of no use to a caller."""


class RivaAsr:
    """Opens recognition streams on one endpoint."""

    def __init__(self, endpoint: RivaEndpoint, options: RivaAsrOptions | None = None) -> None:
        self.pool = ChannelPool(endpoint, _make_stub)
        self._options = options or RivaAsrOptions()
        self._metadata = endpoint.metadata

    def warm(self) -> None:
        """Start connecting."""
        self.pool.warm()

    async def close(self) -> None:
        """End all streams and close the connections."""
        await self.pool.close()

    @asynccontextmanager
    async def open(self, request: AsrRequest) -> AsyncIterator["RivaAsrStream"]:
        """Open a stream and send its configuration. What the server thinks of it comes with the results: Riva answers
        nothing before there is audio. Raises `BackendError`.
        """
        with self.pool.lease() as stub:
            request.span.note(rpc_method=f"{SERVICE}/StreamingRecognize", address=self.pool.endpoint.target)
            request.span.count(attempts=1)
            call = stub.StreamingRecognize(metadata=(*self._metadata, *request.span.headers))
            stream = RivaAsrStream(call, request, send_timeout_ms=self._options.send_timeout_ms)
            try:
                await stream.start(streaming_config(request, self._options))
                yield stream
            finally:
                call.cancel()


class RivaAsrStream:
    """One `StreamingRecognize` call: one task sends while another iterates."""

    def __init__(self, call: Any, request: AsrRequest, *, send_timeout_ms: int) -> None:
        self._call = call
        self._request = request
        self._send_timeout_s = send_timeout_ms / 1000
        self._ready: deque[Recognition] = deque()
        self._failure: BackendError | None = None
        """Why we cancelled the call ourselves; the reading side reports it too."""

    async def start(self, message: Any) -> None:
        """Send the configuration, connecting first where needed."""
        await self._write(message, timeout_s=self._request.open_timeout_ms / 1000, waited_for="take the stream")

    async def send(self, pcm: bytes) -> None:
        """Send audio as one message. Raises `BackendError`."""
        message = riva_asr_pb2.StreamingRecognizeRequest(audio_content=pcm)
        await self._write(message, timeout_s=self._send_timeout_s, waited_for="take audio")

    async def force_end_of_utterance(self) -> None:
        """Ask for the final result now. Empty audio goes along, since a server that does not know the field would see
        a message with neither audio nor configuration.
        """
        message = riva_asr_pb2.StreamingRecognizeRequest(audio_content=b"", runtime_config={"force_eou": "true"})
        await self._write(message, timeout_s=self._send_timeout_s, waited_for="take audio")

    async def half_close(self) -> None:
        """No more audio."""
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await self._call.done_writing()
        except TimeoutError:
            raise self._fail(timed_out("asr", "take audio")) from None
        except asyncio.CancelledError:
            if really_cancelled():
                raise
            raise self._failure or broken_off("asr", "cancelled here") from None

    def results(self) -> AsyncIterator[Recognition]:
        """Results in order. There is one sequence of results: a second iterator goes on where the first one stopped."""
        return self

    def __aiter__(self) -> AsyncIterator[Recognition]:
        return self

    async def __anext__(self) -> Recognition:
        while not self._ready:
            response = await self._read()
            if response is grpc.aio.EOF:
                self._request.span.note(grpc_status="OK")
                raise StopAsyncIteration
            if response is None:
                raise self._fail(garbled("asr"))
            self._ready.extend(recognitions(response.results))
        return self._ready.popleft()

    async def _read(self) -> Any:
        try:
            return await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._failure or self._mapped(error) from error
        except asyncio.CancelledError:
            if really_cancelled():
                raise
            raise self._failure or broken_off("asr", "cancelled here") from None

    async def _write(self, message: Any, *, timeout_s: float, waited_for: str) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._write_whole(message)
        except TimeoutError:
            raise self._fail(timed_out("asr", waited_for)) from None
        except (asyncio.InvalidStateError, grpc.aio.InternalError) as error:
            raise await self._ended(str(error)) from error
        except asyncio.CancelledError:
            if really_cancelled():
                raise
            raise self._failure or broken_off("asr", "cancelled here") from None

    async def _write_whole(self, message: Any) -> None:
        """Write without losing the status that ends the call.

        A public `write()` that meets a call the server has just ended replaces the server's status by INTERNAL, for
        the reader too: a server with no room would look like one that is broken (seen with grpcio 1.85). This does
        what `write()` does, without that. Raises `InvalidStateError` after the call's end or our own half-close, and
        grpc.aio's `InternalError` where the end came first by a moment.
        """
        call = self._call
        await call._metadata_sent.wait()
        if call.done() or call._done_writing_flag:
            raise asyncio.InvalidStateError("The stream is over, or was half-closed.")
        try:
            await call._cython_call.send_serialized_message(message.SerializeToString())
        except asyncio.CancelledError:
            call.cancel()  # half a message may have been sent
            raise

    async def _ended(self, detail: str) -> BackendError:
        if self._failure is None and not self._call._done_writing_flag:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_TIMEOUT_S):
                    return await finished_error(self._call, self._mapped) or broken_off("asr", detail)
        return self._failure or broken_off("asr", detail)

    def _fail(self, failure: BackendError) -> BackendError:
        self._failure = failure
        self._call.cancel()
        return failure

    def _mapped(self, error: grpc.aio.AioRpcError) -> BackendError:
        request = self._request
        request.span.note(grpc_status=error.code().name)
        model = f', model "{request.model}"' if request.model else ""
        asked = f'language "{request.language_code}"{model} at {request.sample_rate_hz} Hz'
        return backend_error(error, "asr", asked=asked)


def _make_stub(channel: grpc.aio.Channel) -> Any:
    return riva_asr_pb2_grpc.RivaSpeechRecognitionStub(channel)


def streaming_config(request: AsrRequest, options: RivaAsrOptions) -> Any:
    """The first message of a stream: configuration and no audio."""
    recognition = riva_asr_pb2.RecognitionConfig(
        encoding=riva_audio_pb2.AudioEncoding.LINEAR_PCM,
        sample_rate_hertz=request.sample_rate_hz,
        language_code=request.language_code,
        model=request.model,
        max_alternatives=1,
        audio_channel_count=1,
        enable_automatic_punctuation=options.automatic_punctuation,
        # False is what switches inverse text normalisation on: "$5" and not "five dollars".
        verbatim_transcripts=False,
        custom_configuration=dict(options.custom_configuration),
    )
    if options.endpointing is not None:
        recognition.endpointing_config.CopyFrom(_endpointing(options.endpointing))
    message = riva_asr_pb2.StreamingRecognizeRequest(
        streaming_config=riva_asr_pb2.StreamingRecognitionConfig(config=recognition, interim_results=True)
    )
    if request.call_id:
        message.id.value = request.call_id
    return message


def _endpointing(values: RivaEndpointing) -> Any:
    fields = {
        "start_history": values.start_history_ms,
        "start_threshold": values.start_threshold,
        "stop_history": values.stop_history_ms,
        "stop_threshold": values.stop_threshold,
        "stop_history_eou": values.stop_history_eou_ms,
        "stop_threshold_eou": values.stop_threshold_eou,
    }
    return riva_asr_pb2.EndpointingConfig(**{name: value for name, value in fields.items() if value is not None})


def recognitions(results: Iterable[Any]) -> list[Recognition]:
    """What one response says.

    Final results come first, each by itself, also when empty: it answers a request for a final result. Interim
    results of one response are parts of one text, as NVIDIA's clients treat them, and are joined; the whole is at the
    first-pass end of utterance only if each part is. After the first final, transcripts start with a space: dropped.
    """
    found: list[Recognition] = []
    interim: list[str] = []
    stability, processed_s = FIRST_PASS_END, 0.0
    for result in results:
        text = result.alternatives[0].transcript if result.alternatives else ""
        if result.is_final:
            found.append(Recognition(text.strip(), is_final=True, audio_processed_ms=result.audio_processed * 1000))
        else:
            interim.append(text)
            stability = min(stability, result.stability)
            processed_s = max(processed_s, result.audio_processed)
    if text := "".join(interim).strip():
        found.append(Recognition(text, is_final=False, stability=stability, audio_processed_ms=processed_s * 1000))
    return found
