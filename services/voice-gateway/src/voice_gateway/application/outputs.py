"""What the machine decides to say, as messages to the caller."""

from typing import assert_never

from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import (
    Capability,
    EventOut,
    GoAwayOut,
    LatencyOut,
    Outbound,
    PlaybackOut,
    SessionOut,
    TranscriptOut,
)
from voice_gateway.application.overrides import Admitted
from voice_gateway.domain.actions import SendEvent, SendGoAway, SendPlayback, SendTranscript
from voice_gateway.domain.report import TurnReport


def of(action: SendEvent | SendTranscript | SendPlayback | SendGoAway) -> Outbound:
    """The message that `action` asks for."""
    match action:
        case SendEvent(turn, kind, message, reason, retryable, fatal):
            return EventOut(turn, kind, message, reason, retryable, fatal)
        case SendTranscript(turn, text, final):
            return TranscriptOut(turn, text, final)
        case SendPlayback(turn, generation, verb, gain_db):
            return PlaybackOut(turn, generation, verb, gain_db)
        case SendGoAway(deadline_ms):
            return GoAwayOut("The gateway is about to stop; the call ends at its next turn boundary.", deadline_ms)
        case _:
            assert_never(action)


def latency(report: TurnReport) -> Outbound:
    """Where a turn's time went."""
    return LatencyOut(report)


def session(
    call_id: str, admitted: Admitted, config: CallConfig, *, resumed: bool = False, checkpoints: bool = False
) -> Outbound:
    """What the caller is connected to; `checkpoints`: calls can be resumed here."""
    flushes = Capability.PLAYBACK_FLUSHES in admitted.capabilities
    return SessionOut(
        call_id=call_id,
        input_sample_rate_hz=admitted.input_rate_hz,
        output_sample_rate_hz=admitted.output_rate_hz,
        playout_lead_ms=config.playout.lead_ms if flushes else config.playout.legacy_lead_ms,
        config_revision=config.revision,
        overrides=tuple(sorted(config.allowed_overrides)),
        max_chunk_bytes=config.limits.max_chunk_bytes,
        max_text_characters=config.limits.max_text_characters,
        max_call_ms=config.limits.max_call_ms,
        resumed=resumed,
        checkpoints=checkpoints,
    )
