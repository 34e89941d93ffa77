"""A resuming call with its microphone and its reader, for tests on virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from client_fake_network import FakeLine, FakeNetwork

from servicekit.testing import run_virtual
from voice_clients.caller import CallConfig
from voice_clients.events import CallEvent
from voice_clients.resuming import ResumeOptions, ResumingCall

RATE = 16_000
CHUNK = 320
QUICK = ResumeOptions(resume_for_s=5.0)


def samples(first: int, count: int = CHUNK) -> bytes:
    """Audio in which each sample is its position."""
    return b"".join((position % 65_536).to_bytes(2, "little") for position in range(first, first + count))


@dataclass
class Caller:
    """A call, its microphone and its reader."""

    call: ResumingCall
    network: FakeNetwork
    events: list[CallEvent] = field(default_factory=list)
    spoken: int = 0
    on_event: Callable[[CallEvent], None] = lambda _: None

    @property
    def line(self) -> FakeLine:
        """The newest connection."""
        return self.network.lines[-1]

    async def speak(self, chunks: int, every_s: float = 0.02) -> None:
        """Chunks of 20 ms in which each sample is its position in the call."""
        for _ in range(chunks):
            await asyncio.sleep(every_s)
            await self.call.send_audio(samples(self.spoken))
            self.spoken += CHUNK

    async def read(self) -> None:
        async for event in self.call:
            self.events.append(event)
            self.on_event(event)

    def of(self, kind: type[Any]) -> list[Any]:
        """Events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def calling(
    network: FakeNetwork, options: ResumeOptions = QUICK, config: CallConfig | None = None
) -> AsyncIterator[Caller]:
    async with ResumingCall(network, config or CallConfig(), options) as call:
        caller = Caller(call, network)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(caller.read(), name="reader")
            await settle()
            yield caller
            reading.cancel()
    assert all(line.closed_s is not None for line in network.lines), "a connection is left open"


async def settle(seconds: float = 0.001) -> None:
    """Let everybody do what is to be done now."""
    await asyncio.sleep(seconds)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on virtual time."""

    def run(**arguments: object) -> None:
        run_virtual(test(**arguments))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def check_audio(heard: list[tuple[int, bytes]], first: int, end: int) -> None:
    """Every sample from `first` to `end` once, in order, with its true position."""
    position = first
    for at, pcm in heard:
        assert at == position
        assert pcm == samples(at, len(pcm) // 2)
        position += len(pcm) // 2
    assert position == end
