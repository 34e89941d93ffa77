"""Dashboards of what callers notice: the overview, and the turns. After a change: scripts/generate_docs.sh."""

from monitoring.grafana import Page, Panel, Query, Row
from monitoring.queries import (
    NAMESPACES,
    NO_ERRORS,
    PODS,
    G,
    between,
    happening,
    one,
    quantile,
    quantiles,
    rate,
    share,
    until,
)

QUICK_S = ((1.0, "yellow"), (1.6, "red"))
"""A pause of a second is noticed, one of 1.6 s is awkward: the buckets of the gateway's histograms lie there."""
ENDED = f"{G}requests_total"


OVERVIEW = Page(
    "voice-workflow-overview",
    "Overview",
    "Is it well, and if not, which page says why.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Calls in progress", "All chosen pods.", one(f"sum ({G}active_streams{PODS})"),
                    kind="stat", width=4, height=4,
                ),
                Panel(
                    "Room left",
                    "Calls that could still be admitted. At 0 callers are refused: add pods, or see Capacity.",
                    one(f"sum ({G}call_capacity{PODS}) - sum ({G}active_streams{PODS})"),
                    kind="stat", width=4, height=4, low="red", steps=((1, "yellow"), (10, "green")),
                ),
                Panel(
                    "Turns answered within 1 s",
                    "Of turns with an answer, those whose first audio was sent within a second of the end of speech. "
                    "The objective is 95 %. Below it: the page Turns shows which stage takes the time.",
                    one(
                        rate(f"{G}e2e_latency_seconds_bucket", 'le="1.0"')
                        + " / "
                        + rate(f"{G}e2e_latency_seconds_count")
                    ),
                    kind="stat", unit="percentunit", width=4, height=4, maximum=1, low="red",
                    steps=((0.9, "yellow"), (0.95, "green")),
                ),
                Panel(
                    "Calls ended with an error",
                    "Share of calls that ended; faults of clients are no errors. The objective is 0.5 % at most. What "
                    "failed: Calls ended, below.",
                    one(share(rate(ENDED, f'status!~"{NO_ERRORS}"'), rate(ENDED, 'status!="refused"'))),
                    kind="stat", unit="percentunit", width=4, height=4, steps=((0.005, "yellow"), (0.02, "red")),
                ),
                Panel(
                    "Alerts", "Alerts of these rules that fire, everywhere. Each has a section in the runbook.",
                    one('count (ALERTS{alertname=~"Voice.*|Speech.*",alertstate="firing"}) or vector(0)'),
                    kind="stat", width=4, height=4, steps=((1, "red"),),
                ),
                Panel(
                    "Breakers open",
                    "The gateway sends nothing there until a probe succeeds. See Backends.",
                    one(f"count ({G}backend_breaker_state{PODS} == 2) or vector(0)"),
                    kind="stat", width=4, height=4, steps=((1, "red"),),
                ),
            ),
        ),
        Row(
            "What callers notice",
            (
                Panel(
                    "Response time",
                    "End of the caller's speech to the first audio sent. Dots are single turns with their trace.",
                    quantiles(f"{G}e2e_latency_seconds", exemplars=True), unit="s", width=12, steps=QUICK_S,
                ),
                Panel(
                    "Interruption decided",
                    "Speech over an answer to the decision to stop it. The answer is paused before, at 200 ms. Above "
                    "0.8 s: words come late from the recogniser (Backends), or the loop lags (Capacity).",
                    quantiles(f"{G}barge_in_stop_seconds"), unit="s", width=6,
                ),
                Panel(
                    "Apologies",
                    "Failures that callers were told of by ear, a minute. Any at all means that a whole list of "
                    "backends failed: see Backends.",
                    one(happening(f"{G}apologies_total", "backend, form"), "{{backend}} {{form}}",
                         may_be_empty=True),
                    width=6,
                ),
                Panel(
                    "Calls ended", "A minute, by how. `ok` and `cancelled` (the caller hung up) are good ends; reasons "
                    "of all others are in docs/reference/errors.md.",
                    one(happening(ENDED, "status"), "{{status}}"), stacked=True,
                ),
                Panel(
                    "Turns ended", "A minute, by outcome. `failed`: nothing could be answered; see Backends. "
                    "`interrupted` is a caller who spoke over the answer; `cut_off` one who hung up in it, or lost the "
                    "connection.",
                    one(f"60 * {rate(G + 'turns_total', by='outcome')}", "{{outcome}}"), stacked=True,
                ),
                Panel(
                    "Calls refused", "A minute, by reason. `at_capacity`: add pods. `draining`: a pod is stopping, and "
                    "clients come back to another one. `key or token`: of callers who were not let in.",
                    (
                        Query(happening(f"{G}calls_refused_total", "reason"), "{{reason}}"),
                        Query(happening(f"{G}auth_refusals_total", "reason"), "key or token: {{reason}}",
                              may_be_empty=True),
                    ),
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Objectives, by the recording rules",
            (
                Panel(
                    "Error budget burnt, calls", "1 uses up the month's budget in a month; 14.4 is two percent of it "
                    "in an hour and pages. Drawn from the rules in helm/voice-workflow/rules.",
                    tuple(
                        Query(f"namespace:voice_gateway_calls_failed:ratio_rate{window}{NAMESPACES} / 0.005", window,
                              may_be_empty=True)
                        for window in ("5m", "1h", "6h")
                    ),
                    width=12, steps=((1, "yellow"), (6, "red")),
                ),
                Panel(
                    "Error budget burnt, response time", "As to the left, for turns that were not answered within 1 s.",
                    tuple(
                        Query(f"namespace:voice_gateway_turns_slow:ratio_rate{window}{NAMESPACES} / 0.05", window,
                              may_be_empty=True)
                        for window in ("5m", "1h", "6h")
                    ),
                    width=12, steps=((1, "yellow"), (6, "red")),
                ),
            ),
        ),
    ),
)  # fmt: skip

STAGES = (
    ("endpoint", "end of turn decided"),
    ("asr_final", "last word recognised"),
    ("llm_first_token", "first token"),
    ("first_phrase", "first phrase complete"),
    ("tts_first_audio", "first audio ready"),
    ("first_audio_sent", "first audio sent"),
    ("first_audio_played", "first audio played"),
)

TURNS = Page(
    "voice-workflow-turns",
    "Turns",
    "Where the time of a turn goes, from the end of the caller's speech to the first sound of the answer.",
    (
        Row(
            "The waterfall",
            (
                Panel(
                    "Reached after the end of speech",
                    "The chosen quantile of each stage, in their order; the step from bar to bar is what the stage "
                    "costs. The longest step is where to look: recogniser, model and voice are on Backends. "
                    "Spoken turns alone; `played` comes from clients that acknowledge.",
                    tuple(
                        Query(
                            quantile("$quantile", f"{G}turn_stage_seconds", f'stage="{stage}"'), text,
                            may_be_empty=stage == "first_audio_played",
                        )
                        for stage, text in STAGES
                    ),
                    kind="bargauge", unit="s", width=12, height=9, steps=QUICK_S,
                ),
                Panel(
                    "What the mean turn spends",
                    "Steps between stages, stacked: the top is the mean response time. Answers begun early overlap "
                    "the wait for the last word, and such a step counts as nothing.",
                    (
                        Query(until("endpoint"), "deciding that the turn is over"),
                        *(
                            Query(between(earlier, later), text)
                            for earlier, later, text in (
                                ("endpoint", "asr_final", "the last word"),
                                ("asr_final", "llm_first_token", "the model's first token"),
                                ("llm_first_token", "first_phrase", "a whole phrase"),
                                ("first_phrase", "tts_first_audio", "the voice's first audio"),
                                ("tts_first_audio", "first_audio_sent", "sending it"),
                            )
                        ),
                    ),
                    unit="s", width=12, height=9, stacked=True,
                ),
            ),
        ),
        Row(
            "One turn",
            (
                Panel(
                    "Turns by response time",
                    "Each dot is one turn. Rest on it and follow trace_id: the trace holds the turn's own waterfall. "
                    "Needs exemplars in Prometheus (--enable-feature=exemplar-storage) and tracing in the gateway.",
                    (
                        Query(
                            f"sum by (le) (increase({G}e2e_latency_seconds_bucket{PODS}[$__rate_interval]))",
                            "{{le}}", exemplars=True,
                        ),
                    ),
                    kind="heatmap", unit="s", width=12, height=9,
                ),
                Panel(
                    "Each stage, chosen quantile", "The waterfall over time, to see what moved when it got slow.",
                    (Query(quantile("$quantile", f"{G}turn_stage_seconds", by="stage"), "{{stage}}", exemplars=True),),
                    unit="s", width=12, height=9,
                ),
            ),
        ),
        Row(
            "What ended turns, and what was begun early",
            (
                Panel(
                    "End of turn, by rule",
                    "Turns a minute by the rule that ended them, as docs/explanation/end-of-turn.md names them. Many "
                    "by `final_timeout`: the recogniser owes its final results.",
                    one(happening(f"{G}turns_total", "endpoint_rule"), "{{endpoint_rule}}"), stacked=True,
                ),
                Panel(
                    "Wait for the end of turn", "End of speech to the decision. See docs/explanation/end-of-turn.md.",
                    quantiles(f"{G}endpoint_delay_seconds"), unit="s",
                ),
                Panel(
                    "Answers begun early", "Adopted answers save time, wasted ones cost tokens. More wasted than "
                    "adopted: raise the settings under SPECULATION_, or switch it off.",
                    one(f"60 * {rate(G + 'speculation_total', by='outcome')}", "{{outcome}}"),
                ),
                Panel(
                    "False interruptions", "Answers that stood still and went on, a minute: coughs and backchannels. "
                    "A step up means noise on the line, or an echo.",
                    one(f"60 * {rate(G + 'answer_pause_seconds_count')}", "gone on"),
                ),
                Panel(
                    "How long they stood still", "Silence that a false interruption cost the caller.",
                    quantiles(f"{G}answer_pause_seconds"), unit="s",
                ),
                Panel(
                    "Too late", "What arrived for a turn that was over, a minute. It is dropped, and normal after "
                    "interruptions; a steady flow without them is a backend that does not cancel.",
                    one(happening(f"{G}stale_events_dropped_total", "what"), "{{what}}", may_be_empty=True),
                ),
            ),
        ),
    ),
    quantile=True,
)  # fmt: skip
