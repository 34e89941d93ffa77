"""What tests of calls that are resumed share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway_phones import Phone, Pods

from voice_gateway.application.messages import (
    CheckpointOut,
    Hello,
)
from voice_gateway.testing.world import RESUMABLE, FakeTransport

ANSWERS = {
    "what time is it": "It is noon now. The sun is high, and so are the birds.",
    "tell me a story": "There was a harbour. It was small, and it was old. Ships came at night. The end.",
    "thank you": "You are welcome. Good bye.",
}
GAP_S = 0.25
"""Until the client has connected anew."""


@asynccontextmanager
async def phoned(pods: Pods, *, more_again_ms: int = 0) -> AsyncIterator[Phone]:
    """A phone that is on, and connected."""
    phone = Phone(pods, more_again_samples=16 * more_again_ms)
    await phone.connect()
    living = asyncio.create_task(phone.run(), name="phone")
    try:
        yield phone
    finally:
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living
        await phone.lose()


async def token_of(pods: Pods, *, principal: str = "", call_id: str = "a") -> bytes:
    """A checkpoint of a call that is over."""
    transport, runner = FakeTransport(), pods.runners[0]
    hello = Hello(sample_rate_hz=16_000, capabilities=RESUMABLE, language_code="de-DE")
    call = asyncio.create_task(runner.run(hello, transport, call_id=call_id, principal=principal))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    return next(item.message.token for item in transport.received if isinstance(item.message, CheckpointOut))
