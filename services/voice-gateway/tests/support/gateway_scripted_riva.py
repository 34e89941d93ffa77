"""A Riva server whose behaviour each test writes itself, on a real port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from riva.client.proto import riva_asr_pb2, riva_asr_pb2_grpc, riva_tts_pb2, riva_tts_pb2_grpc

Handler = Callable[[Any, Any], Awaitable[None]]


@dataclass
class ScriptedRiva(riva_asr_pb2_grpc.RivaSpeechRecognitionServicer, riva_tts_pb2_grpc.RivaSpeechSynthesisServicer):  # type: ignore[misc]
    """Runs `handle(server, context)` for each streaming call; `read` and `write` are those of the context."""

    handle: Handler | None = None
    requests: list[Any] = field(default_factory=list)
    metadata: list[tuple[str, str]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    asr_config: Any = field(default_factory=riva_asr_pb2.RivaSpeechRecognitionConfigResponse)
    tts_config: Any = field(default_factory=riva_tts_pb2.RivaSynthesisConfigResponse)
    config_gate: asyncio.Event | None = None

    async def read(self, context: Any) -> Any:
        """The next request, kept in `requests`; EOF at half-close."""
        request = await context.read()
        if request is not grpc.aio.EOF:
            self.requests.append(request)
        return request

    async def read_all(self, context: Any) -> None:
        """Everything up to half-close."""
        while await self.read(context) is not grpc.aio.EOF:
            pass

    async def StreamingRecognize(self, request_iterator: Any, context: Any) -> None:  # noqa: N802 - the method's name in the proto
        await self._run(context)

    async def SynthesizeOnline(self, request_iterator: Any, context: Any) -> None:  # noqa: N802 - the method's name in the proto
        await self._run(context)

    async def GetRivaSpeechRecognitionConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        if self.config_gate is not None:
            await self.config_gate.wait()
        return self.asr_config

    async def GetRivaSynthesisConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return self.tts_config

    async def _run(self, context: Any) -> None:
        self.calls += 1
        self.called.set()
        self.metadata.extend((str(key), str(value)) for key, value in context.invocation_metadata())
        assert self.handle is not None
        try:
            await self.handle(self, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.ended.set()


@asynccontextmanager
async def serving(
    riva: ScriptedRiva,
    credentials: grpc.ServerCredentials | None = None,
    options: list[tuple[str, Any]] | None = None,
    address: str = "127.0.0.1:0",
) -> AsyncIterator[str]:
    """Serve on loopback; yields "127.0.0.1:port"."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), *(options or [])])
    riva_asr_pb2_grpc.add_RivaSpeechRecognitionServicer_to_server(riva, server)
    riva_tts_pb2_grpc.add_RivaSpeechSynthesisServicer_to_server(riva, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def heard(*parts: tuple[str, bool, float], processed_s: float = 0.0) -> Any:
    """A recognition response with a result for each (text, is_final, stability)."""
    return riva_asr_pb2.StreamingRecognizeResponse(
        results=[
            riva_asr_pb2.StreamingRecognitionResult(
                alternatives=[riva_asr_pb2.SpeechRecognitionAlternative(transcript=text)],
                is_final=final,
                stability=stability,
                audio_processed=processed_s,
            )
            for text, final, stability in parts
        ]
    )


def spoken(audio: bytes, words: tuple[tuple[str, int, int], ...] = ()) -> Any:
    """A synthesis response."""
    response = riva_tts_pb2.SynthesizeSpeechResponse(audio=audio)
    for word, start_ms, end_ms in words:
        response.meta.words.append(riva_tts_pb2.WordTiming(word=word, start_time=start_ms, end_time=end_ms))
    return response
