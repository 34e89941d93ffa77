"""Limits of a call that no event would notice."""

import asyncio
from typing import TYPE_CHECKING

from voice_gateway.application.messages import Capability
from voice_gateway.domain.errors import CallIdle, SlowConsumer

if TYPE_CHECKING:
    from voice_gateway.application.call import Call

PERIOD_MS = 250
"""How often is looked. Costs some 10 us a look."""

AUDIO_GAP_MS = 600
"""Without audio for this long, beyond the length of the last chunk, in the middle of speech, time passes as silence."""


async def watch(call: "Call") -> None:
    """Look after a call until cancelled."""
    limits = call.limits
    acks = Capability.PLAYBACK_ACKS in call.admitted.capabilities
    while True:
        await asyncio.sleep(PERIOD_MS / 1000)
        now = call.inbox.now()
        uplink = call.uplink
        overdue_ms = call.downlink.unacknowledged_ms() if acks and not uplink.held_back and not uplink.closed else 0.0
        call.downlink.hold(overdue_ms >= limits.slow_consumer_pause_ms)
        if max(overdue_ms, call.downlink.blocked_ms()) >= limits.slow_consumer_end_ms:
            seconds = limits.slow_consumer_end_ms // 1000
            await call.fail(SlowConsumer(f"The caller has not taken its audio for {seconds} seconds."))
            return
        if uplink.closed or uplink.held_back:
            continue
        if now - uplink.last_message_ms >= limits.idle_ms:
            await call.fail(CallIdle(f"Nothing was received for {limits.idle_ms // 1000} seconds."))
            return
        if call.hearing.speaking and now - uplink.last_audio_ms >= AUDIO_GAP_MS + call.hearing.intake.last_chunk_ms:
            await call.hearing.silence(PERIOD_MS)
