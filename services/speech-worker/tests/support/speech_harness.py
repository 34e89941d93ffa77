"""What the worker's tests share: audio, engines ready to use, a served worker."""

import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from speech_worker.application.ports import AsrEngine, TtsEngine
from speech_worker.domain.catalogue import Voice
from speech_worker.engines.scripted import ScriptedAsrEngine, ToneTtsEngine
from speech_worker.server import Running, serving
from speech_worker.settings import SpeechSettings

AUDIO = Path(__file__).parents[1] / "audio"
RATE_HZ = 16_000


def question(name: str) -> bytes:
    """s16le at 16 kHz of one of the spoken questions."""
    with wave.open(str(AUDIO / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        return bytes(file.readframes(file.getnframes()))


def words_of(name: str) -> str:
    """The text of a spoken question as a recogniser writes it."""
    return name.replace("-", " ")


def silence(duration_ms: int) -> bytes:
    return bytes(2 * RATE_HZ * duration_ms // 1000)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def wav(data: bytes, *, rate_hz: int = RATE_HZ, channels: int = 1, tag: int = 1, bits: int = 16) -> bytes:
    """A WAV file of `data`; the size fields are right."""
    width = bits // 8
    body = b"WAVEfmt " + (16).to_bytes(4, "little") + tag.to_bytes(2, "little") + channels.to_bytes(2, "little")
    body += rate_hz.to_bytes(4, "little") + (rate_hz * channels * width).to_bytes(4, "little")
    body += (channels * width).to_bytes(2, "little") + bits.to_bytes(2, "little")
    body += b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def sine(frequency_hz: float, *, rate_hz: int, seconds: float, level: float = 0.5) -> NDArray[np.float32]:
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


async def spoken(engine: TtsEngine, text: str, voice: Voice | None = None) -> bytes:
    """All audio of a text at the engine's own rate."""
    return b"".join([chunk.pcm async for chunk in engine.synthesize(text, voice or engine.capabilities.default_voice)])


def settings(**values: Any) -> SpeechSettings:
    return SpeechSettings(**{"listen_address": "127.0.0.1:0", "shutdown_grace_s": 1.0, **values})


@asynccontextmanager
async def worker(
    *, asr: AsrEngine | None = None, tts: TtsEngine | None = None, **values: Any
) -> AsyncIterator[tuple[Running, grpc.aio.Channel]]:
    """A served worker with scripted engines unless told otherwise, and a channel to it."""
    asr = asr or ScriptedAsrEngine()
    tts = tts or ToneTtsEngine()
    async with (
        serving(settings(**values), asr=asr, tts=tts) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        yield running, channel
