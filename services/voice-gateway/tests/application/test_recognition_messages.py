"""How a caller's audio is cut into messages to the recogniser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from servicekit.testing import run_virtual
from voice_gateway.application.audio_log import AudioLog
from voice_gateway.application.config import AsrConfig
from voice_gateway.application.ports import AsrRequest, AsrStream, Recognition
from voice_gateway.application.recognition import UtteranceRecognition
from voice_gateway.domain.errors import BackendError
from voice_gateway.domain.events import Event

RATE_HZ = 16_000
SAMPLES_PER_MS = RATE_HZ // 1000


class Recogniser:
    """Notes what it is sent, in ms of audio a message, and answers nothing."""

    def __init__(self) -> None:
        self.sent_ms: list[int] = []
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def open(self, _request: AsrRequest) -> AsyncIterator[AsrStream]:
        yield self

    async def send(self, pcm: bytes) -> None:
        self.sent_ms.append(len(pcm) // 2 // SAMPLES_PER_MS)

    async def force_end_of_utterance(self) -> None:
        pass

    async def half_close(self) -> None:
        self._ended.set()

    async def results(self) -> AsyncIterator[Recognition]:
        await self._ended.wait()
        nothing: tuple[Recognition, ...] = ()
        for result in nothing:
            yield result


async def _sent(frames: list[str], *, message_ms: int = 20, before_ms: int = 0) -> list[int]:
    """What is sent of 20 ms frames that are steady, plain speech or silent; `before_ms` is there from the start."""
    log, recogniser = AudioLog(), Recogniser()
    log.append(bytes(2 * SAMPLES_PER_MS * before_ms))
    recognition = UtteranceRecognition(
        1,
        0,
        log=log,
        asr=recogniser,
        config=AsrConfig(message_ms=message_ms),
        request=AsrRequest(RATE_HZ, "en-US"),
        post=_post,
        on_error=_unexpected,
    )
    running = asyncio.create_task(recognition.run())
    recognition.audio_arrived()
    await asyncio.sleep(0.02)
    for frame in frames:
        log.append(bytes(2 * SAMPLES_PER_MS * 20))
        if frame == "silent":
            recognition.flush()
        else:
            recognition.audio_arrived(steady=frame == "steady")
        await asyncio.sleep(0.02)
    sent = list(recogniser.sent_ms)
    recognition.finalize(half_close=True)
    await running
    return sent


async def _post(_event: Event) -> None:
    pass


def _unexpected(error: BackendError) -> None:
    raise error


def test_in_the_middle_of_a_sound_messages_are_larger() -> None:
    assert run_virtual(_sent(["steady"] * 9)) == [80, 80]


def test_a_sound_that_fades_is_sent_at_once_with_what_waited() -> None:
    assert run_virtual(_sent(["steady", "steady", "faint", "faint"])) == [60, 20]


def test_silence_lets_nothing_wait() -> None:
    assert run_virtual(_sent(["steady", "silent", "silent"])) == [40, 20]


def test_the_beginning_of_an_utterance_goes_in_large_messages() -> None:
    assert run_virtual(_sent([], before_ms=250)) == [100, 100, 50]


def test_messages_are_never_smaller_than_was_set_but_for_a_flush() -> None:
    assert run_virtual(_sent(["faint"] * 6, message_ms=60)) == [60, 60]
    assert run_virtual(_sent(["steady"] * 12, message_ms=120)) == [120, 120]
