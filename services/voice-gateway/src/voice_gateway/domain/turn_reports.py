"""A turn's marks as a report of its stages."""

from voice_gateway.domain.call_state import ReplyState
from voice_gateway.domain.report import Stage, TurnReport


def report(
    reply: ReplyState,
    outcome: str,
    now: int,
    *,
    heard_samples: int = 0,
    interruption_ms: int | None = None,
) -> TurnReport:
    """The turn of `reply`, which ends at `now` (ms of call time)."""
    at = reply.marks
    zero = at.speech_end_ms
    marks = [
        ("asr_final", zero, at.final_ms),
        ("endpoint", zero, at.committed_ms),
        ("llm_first_token", at.asked_ms, at.first_token_ms),
        ("llm_total", at.asked_ms, at.text_done_ms),
        ("first_phrase", at.first_token_ms, at.first_phrase_ms),
        ("tts_first_audio", at.first_phrase_ms, at.audio_ready_ms),
        ("first_audio_sent", at.audio_ready_ms, at.playback_ms),
        ("answer", at.playback_ms, now if at.playback_ms is not None else None),
        ("first_audio_played", at.playback_ms, at.played_ms),
    ]
    stages = tuple(
        Stage(name, start - zero, end - zero) for name, start, end in marks if start is not None and end is not None
    )
    return TurnReport(
        turn=reply.turn,
        endpoint_rule=reply.rule,
        outcome=outcome,
        stages=stages,
        heard_samples=heard_samples,
        interruption_ms=interruption_ms,
        speech_end_ms=zero,
    )
