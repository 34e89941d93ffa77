"""A caller's loudspeaker, for clients that acknowledge what they have played."""

import asyncio

from voice_gateway.application.messages import AudioOut, PlayedIn
from voice_gateway.testing.world import Caller

ACK_MS = 100


async def acknowledge(caller: Caller, *, short_by_ms: int = 0, rate_hz: int = 16_000) -> None:
    """Play what arrives in real time and acknowledge it every 100 ms, until cancelled.

    `short_by_ms` is how much of the end of each answer is never acknowledged.
    """
    generation = played = 0
    while True:
        await asyncio.sleep(ACK_MS / 1000)
        audio = [item.message for item in caller.transport.audio() if isinstance(item.message, AudioOut)]
        if not audio:
            continue
        if audio[-1].generation != generation:
            generation, played = audio[-1].generation, 0
        received = sum(len(item.pcm) // 2 for item in audio if item.generation == generation)
        before = played
        played = min(received - short_by_ms * rate_hz // 1000, played + ACK_MS * rate_hz // 1000)
        if played > before:
            await caller.send(PlayedIn(generation, played))
