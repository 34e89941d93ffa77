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
    zero = reply.speech_end_ms
    marks = [
        ("endpoint", zero, reply.asked_ms),
        ("llm_first_token", reply.asked_ms, reply.marks.first_token_ms),
        ("llm_total", reply.asked_ms, reply.marks.text_done_ms),
        ("first_phrase", reply.marks.first_token_ms, reply.marks.first_phrase_ms),
        ("tts_first_audio", reply.marks.first_phrase_ms, reply.marks.audio_ready_ms),
        ("first_audio_sent", reply.marks.audio_ready_ms, reply.marks.playback_ms),
        ("answer", reply.marks.playback_ms, now if reply.marks.playback_ms is not None else None),
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
    )
