"""Dashboards of the machinery: backends, capacity, deploys. After a change: scripts/generate_docs.sh."""

from monitoring.grafana import Page, Panel, Query, Row
from monitoring.queries import (
    GATEWAYS,
    NAMESPACES,
    PODS,
    G,
    W,
    happening,
    one,
    quantile,
    quantiles,
    rate,
    share,
    worker,
    worker_mean,
)

BREAKER_STATES = ((0, "closed", "green"), (1, "half open", "yellow"), (2, "open", "red"))

BACKENDS = Page(
    "voice-workflow-backends",
    "Backends",
    "Recognisers, models and voices as the gateway sees them, and the speech worker's engines.",
    (
        Row(
            "Health",
            (
                Panel(
                    "Breakers", "Position 0 is preferred. Open: nothing is sent there, a probe is let through after a "
                    "pause. If all positions of a kind are open, callers hear apologies: mend that backend first.",
                    one(f"max by (backend, position) ({G}backend_breaker_state{PODS})", "{{backend}} {{position}}"),
                    kind="state-timeline", states=BREAKER_STATES,
                ),
                Panel(
                    "Errors", "A minute, by reason. `timeout` and `busy` are load; `rejected` is a wrong model, voice "
                    "or key; `unavailable` is the network or the pod.",
                    one(happening(f"{G}backend_errors_total", "backend, reason"), "{{backend}} {{reason}}",
                         may_be_empty=True),
                ),
                Panel(
                    "Failovers", "Requests a minute that went on from this position to the next. Callers lose up to "
                    "the ..._FAILOVER_MS of that backend and nothing else.",
                    one(happening(f"{G}backend_failovers_total", "backend, position, reason"),
                         "{{backend}} {{position}} {{reason}}"),
                ),
            ),
        ),
        Row(
            "Latency",
            (
                Panel(
                    "Recogniser: last word", "End of speech to the final transcript. Riva's throughput profile decodes "
                    "every 0.8 s and its low-latency profile every 0.16 s.",
                    quantiles(f"{G}asr_latency_seconds", exemplars=True), unit="s",
                ),
                Panel(
                    "Model: first token", "Request to first token. Growing with the calls: the model's queue is full.",
                    quantiles(f"{G}llm_ttft_seconds", exemplars=True), unit="s",
                ),
                Panel(
                    "Voice: first audio", "First phrase to its first audio.",
                    quantiles(f"{G}tts_latency_seconds", exemplars=True), unit="s",
                ),
                Panel(
                    "Model: whole answer", "Request to last token.", quantiles(f"{G}llm_total_seconds"), unit="s",
                ),
                Panel(
                    "Model: pieces of answer text a second", "Over all calls, and so the load on the model.",
                    one(rate(f"{G}llm_tokens_total"), "tokens"),
                ),
                Panel(
                    "Voice: characters a second", "Over all calls, and so the load on synthesis.",
                    one(rate(f"{G}tts_characters_total"), "characters"),
                ),
            ),
        ),
        Row(
            "Engines of the speech worker",
            (
                Panel(
                    "Recognition: RTF",
                    "Real-time factor: computing time by time of audio, for each piece of audio. Single pieces above "
                    "1 are normal. With the mean at 1 finals come ever later: fewer streams, a smaller model, more "
                    "workers.",
                    (Query(worker_mean("asr_rtf"), "mean"), Query(worker("0.95", "asr_rtf"), "p95")),
                    width=6, steps=((0.75, "yellow"), (1.0, "red")),
                ),
                Panel(
                    "Synthesis: RTF", "As for recognition, a phrase at a time. Above 1 the answer stutters.",
                    (Query(worker_mean("tts_rtf"), "mean"), Query(worker("0.95", "tts_rtf"), "p95")),
                    width=6, steps=((0.75, "yellow"), (1.0, "red")),
                ),
                Panel(
                    "Final and first audio", "The worker's own part of the gateway's latencies, p95. Where these are "
                    "small and the gateway's are not, the time is lost between the two.",
                    (
                        Query(worker("0.95", "asr_final_seconds"), "final"),
                        Query(worker("0.95", "tts_first_chunk_seconds"), "first audio"),
                    ),
                    unit="s", width=6,
                ),
                Panel(
                    "Streams and refusals", "Refusals a minute mean that the worker is full.",
                    (
                        Query(f"sum by (service) ({W}active_streams{NAMESPACES})", "{{service}}"),
                        Query(
                            f"60 * sum by (service, reason) (rate({W}refusals_total{NAMESPACES}[$__rate_interval]))",
                            "refused {{service}} {{reason}}", may_be_empty=True,
                        ),
                    ),
                    width=6,
                ),
            ),
        ),
    ),
)  # fmt: skip

CAPACITY = Page(
    "voice-workflow-capacity",
    "Capacity",
    "How full the gateway is, and what fills it.",
    (
        Row(
            "Calls",
            (
                Panel(
                    "Calls and room", "Calls in progress against the limit of all chosen pods. Scale out at 80 %.",
                    (
                        Query(f"sum ({G}active_streams{PODS})", "in progress"),
                        Query(f"sum ({G}call_capacity{PODS})", "limit"),
                    ),
                ),
                Panel(
                    "Calls, by pod", "Long calls stay where they are: a new pod fills by new calls alone.",
                    one(f"sum by (pod) ({G}active_streams{PODS})", "{{pod}}"), stacked=True,
                ),
                Panel(
                    "Admitted and refused", "Calls a minute.",
                    (
                        Query(f"60 * {rate(G + 'calls_admitted_total')}", "admitted"),
                        Query(happening(f"{G}calls_refused_total", "reason"), "refused {{reason}}"),
                    ),
                ),
                Panel(
                    "Length of calls", "Of calls that have ended. Long calls make drains long.",
                    quantiles(f"{G}call_duration_seconds"), unit="s",
                ),
                Panel(
                    "Pods at their limit", "Pods without room. All of them: callers are refused.",
                    one(f"count ({G}active_streams{PODS} >= {G}call_capacity{PODS}) or vector(0)", "full"),
                ),
                Panel(
                    "Jitter of the callers' audio, p95", "Interarrival jitter (RFC 3550, A.8) at each turn's end. "
                    "Above 60 ms onsets are noticed late: the callers' network, or a proxy that collects messages.",
                    one(quantile("0.95", f"{G}uplink_jitter_seconds"), "p95"), unit="s", steps=((0.06, "yellow"),),
                ),
            ),
        ),
        Row(
            "One process, one loop",
            (
                Panel(
                    "Loop lag, p99", "How late the event loop runs a timer. A frame is 20 ms: from there on answers "
                    "stutter and onsets are late. Fewer calls a pod (MAX_CALLS), or look for what blocks: "
                    "docs/how-to/profiling.md.",
                    one(quantile("0.99", f"{G}loop_lag_seconds", by="pod"), "{{pod}}"), unit="s",
                    steps=((0.02, "yellow"), (0.05, "red")),
                ),
                Panel(
                    "CPU", "Cores in use. One process uses one core and a little more; near 1 the loop lags.",
                    one(f"rate(process_cpu_seconds_total{PODS}[$__rate_interval]){GATEWAYS}", "{{pod}}"),
                    steps=((0.8, "yellow"), (1.0, "red")),
                ),
                Panel(
                    "Memory", "Resident. A slope that does not end with the calls is a leak: keep the calls' journals.",
                    one(f"process_resident_memory_bytes{PODS}{GATEWAYS}", "{{pod}}"), unit="bytes",
                ),
                Panel(
                    "Queues", "The deepest of all calls. `inbox` is full at 256: that call's producers wait, so "
                    "something blocks the loop. `downlink_messages` grows where a client does not read.",
                    one(f'max by (queue) ({G}queue_depth{{{{queue=~"inbox|downlink_messages|journal"}}}})',
                        "{{queue}}"),
                ),
                Panel(
                    "Audio that waits", "`playout_ms`: answer that is ready and not yet due. `uplink_ahead_ms`: audio "
                    "of a client that sends faster than real time; it is read no further than 2 s ahead.",
                    one(f'max by (queue) ({G}queue_depth{{{{queue=~"playout_ms|uplink_ahead_ms"}}}})', "{{queue}}"),
                    unit="ms",
                ),
                Panel(
                    "Open files",
                    "Share of what the process may open; a call takes two or three.",
                    one(f"process_open_fds{PODS} / process_max_fds{PODS}{GATEWAYS}", "{{pod}}"),
                    unit="percentunit", steps=((0.8, "red"),),
                ),
            ),
        ),
        Row(
            "Voice activity",
            (
                Panel(
                    "Frames for the model", "A second, all calls. A frame of 32 ms is scored only where the energy "
                    "gate hears something.",
                    one(rate(f"{G}vad_frames_scored_total"), "scored"),
                ),
                Panel(
                    "Frames a batch", "Over several calls in one run of the model. 1 at few calls.",
                    one(f"{rate(G + 'vad_frames_scored_total')} / {rate(G + 'vad_batches_total')}", "frames"),
                ),
                Panel(
                    "Frames left to the energy gate", "Share of frames that the model did not get to. `behind` and "
                    "`full`: the machine is overloaded, onsets are judged by energy alone, and noise pauses answers.",
                    one(
                        share(
                            rate(f"{G}vad_frames_unscored_total"),
                            f"({rate(G + 'vad_frames_unscored_total')} + {rate(G + 'vad_frames_scored_total')})",
                        ),
                        "unscored", may_be_empty=True,
                    ),
                    unit="percentunit", steps=((0.01, "yellow"), (0.05, "red")),
                ),
            ),
        ),
    ),
)  # fmt: skip

DEPLOYS = Page(
    "voice-workflow-deploys",
    "Deploys",
    "What changed, who still runs the old, and whether callers noticed.",
    (
        Row(
            "Configuration",
            (
                Panel(
                    "Revision of each pod", "More than one for minutes after an edit: a pod refused it, or its "
                    "ConfigMap is not mounted as a directory. Its log has `config_refused` with the reason.",
                    one(f"max by (pod, revision) ({G}config_info{PODS})", "{{pod}} {{revision}}"),
                    kind="state-timeline", width=12, states=((1, "in use", "blue"),),
                ),
                Panel(
                    "Calls by revision", "Running calls keep what a call started with until a turn ends, or the call.",
                    one(f"sum by (revision) ({G}calls_by_revision{PODS})", "{{revision}}"), width=6, stacked=True,
                ),
                Panel(
                    "Edits", "Since each process started: a step is an edit. `refused`: the last good one stays; "
                    "correct the ConfigMap, the log names the key.",
                    one(f"sum by (result) ({G}config_reloads_total{PODS})", "{{result}}"), width=6,
                ),
            ),
        ),
        Row(
            "Pods",
            (
                Panel(
                    "Calls, by pod", "A drain: one pod empties while another fills.",
                    one(f"sum by (pod) ({G}active_streams{PODS})", "{{pod}}"), stacked=True,
                ),
                Panel(
                    "Age", "Since the process started. A saw is a pod that keeps ending: `kubectl describe pod`.",
                    one(f"time() - process_start_time_seconds{PODS}{GATEWAYS}", "{{pod}}"), unit="s",
                ),
                Panel(
                    "Refused while draining", "Calls a minute. A second or two of these at each deploy is normal; "
                    "longer means that the Service still sends calls to a pod that leaves.",
                    one(rate(f"{G}calls_refused_total", 'reason="draining"') + " * 60", "draining",
                        may_be_empty=True),
                ),
            ),
        ),
        Row(
            "Did callers notice",
            (
                Panel(
                    "Resumes", "Calls that came from another pod or a lost connection, a minute. `reset` and `silence` "
                    "without a deploy: a pod or a network that breaks. `unreadable`: RESUME_KEYS_FILE differs between "
                    "pods, or was changed without the old key.",
                    one(happening(f"{G}resumes_total", "cause, result"), "{{cause}} {{result}}"), width=6,
                ),
                Panel(
                    "Gap of a resume", "How long nothing reached the client: until it connected anew, and then until "
                    "the answer was heard again. The aim is 1 s; after silence a client waits 1.5 s before it redials.",
                    quantiles(f"{G}resume_gap_seconds", by="cause"), unit="s",
                    steps=((1.0, "red"),), width=6,
                ),
                Panel(
                    "Calls that ended badly", "A minute, by reason. A deploy leaves no mark here.",
                    one(happening(f"{G}requests_total", "status", 'status!~"ok|cancelled|refused"'), "{{status}}",
                        may_be_empty=True), width=6,
                ),
                Panel(
                    "Journals", "A minute, by what became of them. `cut_...` is a disk that is slow or full, or a long "
                    "call; no call waits for it.",
                    one(happening(f"{G}journals_total", "result"), "{{result}}"), width=6,
                ),
            ),
        ),
    ),
)  # fmt: skip
