"""How a caller of a benchmark is connected: by HTTP/2 frames of our own, or by the caller library that `voice` uses.

Both speak to the same gateway over TCP and tell what comes back as the caller library's events. `python -m bench.lines`
measures that they agree. Nothing here waits: what can't be sent yet is queued, and counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from bench.http2 import CallStream
from voice_clients import wire
from voice_clients.caller import Call, CallConfig, connect
from voice_clients.events import CallEvent, Ended
from voice_contracts import voice_workflow_pb2 as pb

METHOD = "/voice_workflow.VoiceGateway/StreamAudio"
OnEvent = Callable[[CallEvent], None]


class Line(Protocol):
    """One call's connection. `on_event` given to its maker is told of every event, the last being `Ended`."""

    def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio."""
        ...

    def ack(self, generation: int, samples: int) -> None:
        """Say what was played."""
        ...

    def half_close(self) -> None:
        """Nothing more is said."""
        ...

    async def hang_up(self) -> None:
        """Leave the call, and close its connection."""
        ...


Dial = Callable[[str, CallConfig, OnEvent], Awaitable[Line]]
"""Connects to host:port and sends the config."""


class RawLine:
    """Real HTTP/2 and protobuf, with a fraction of the work of a gRPC library. See bench/http2.py."""

    _audio_frames: dict[bytes, bytes] = {}  # noqa: RUF012 - one for all: every caller says the same recordings
    """Chunks in wire form. The same few hundred are spoken again and again."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._stream = CallStream(self._received, self._ended)

    @classmethod
    async def dial(cls, target: str, config: CallConfig, on_event: OnEvent) -> "Line":
        """Connect and send the config."""
        line = cls(on_event)
        await line._stream.connect(target, METHOD)
        hello = wire.config_message(
            language_code=config.language_code,
            session_id=config.session_id,
            sample_rate_hz=config.sample_rate_hz,
            output_sample_rate_hz=config.output_sample_rate_hz,
            capabilities=config.capabilities,
            overrides=config.overrides,
        )
        line._stream.send(CallStream.framed(hello.SerializeToString()))
        return line

    def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio."""
        framed = self._audio_frames.get(pcm)
        if framed is None:
            framed = CallStream.framed(wire.audio_message(pcm).SerializeToString())
            self._audio_frames[pcm] = framed
        self._stream.send(framed)

    def ack(self, generation: int, samples: int) -> None:
        """Say what was played."""
        self._stream.send(CallStream.framed(wire.played_message(generation, samples).SerializeToString()))

    def half_close(self) -> None:
        """Nothing more is said."""
        self._stream.half_close()

    async def hang_up(self) -> None:
        """Leave the call, and close its connection."""
        self._stream.hang_up()

    def _received(self, message: bytes) -> None:
        event = wire.read_event(pb.ServerMessage.FromString(message), time.monotonic_ns())
        if event is not None:
            self._on_event(event)

    def _ended(self, code: str, detail: str) -> None:
        error = None if code == "OK" else ConnectionError(f"{code}: {detail}")
        self._on_event(Ended(time.monotonic_ns(), code, error))  # type: ignore[arg-type] # only shown


class LibraryLine:
    """The caller library, on grpc.aio."""

    def __init__(self, call: Call, on_event: OnEvent) -> None:
        self._call = call
        self._on_event = on_event
        self._unsent: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._tasks = [
            asyncio.create_task(self._send(), name="bench-line-send"),
            asyncio.create_task(self._read(), name="bench-line-read"),
        ]

    @classmethod
    async def dial(cls, target: str, config: CallConfig, on_event: OnEvent) -> "Line":
        """Connect and send the config."""
        call = connect(target, config)
        await call.__aenter__()
        return cls(call, on_event)

    def send_audio(self, pcm: bytes) -> None:
        """Send microphone audio."""
        self._unsent.put_nowait(lambda: self._call.send_audio(pcm))

    def ack(self, generation: int, samples: int) -> None:
        """Say what was played."""
        self._unsent.put_nowait(lambda: self._call.ack(generation, samples))

    def half_close(self) -> None:
        """Nothing more is said."""
        self._unsent.put_nowait(self._call.half_close)

    async def hang_up(self) -> None:
        """Leave the call, and close its connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._call.__aexit__(None, None, None)

    async def _send(self) -> None:
        while True:
            await (await self._unsent.get())()

    async def _read(self) -> None:
        async for event in self._call:
            self._on_event(event)
