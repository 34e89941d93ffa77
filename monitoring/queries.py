"""The few shapes of PromQL that panels are made of. `{{}}` is the selector of the chosen pods; see grafana.Query."""

from monitoring.grafana import ABOVE_ZERO, Query

G = "voice_gateway_"
W = "speech_worker_"
PODS = "{{}}"
NAMESPACES = "<<>>"
GATEWAYS = " and on (namespace, pod) voice_gateway_active_streams{{}}"
"""Keeps the gateway's own process of all that have process metrics."""


NO_ERRORS = (
    "ok|cancelled|refused|resume_refused|bad_request|invalid_config|unexpected_message|chunk_too_large|text_too_long|"
    "invalid_message|call_too_long|call_idle"
)
"""Ends of calls that the objective does not count: helm/voice-workflow/rules/objectives.yaml."""


def rate(metric: str, matchers: str = "", by: str = "") -> str:
    """Per second, summed by `by`."""
    return f"sum{_by(by)} (rate({metric}{_pods(matchers)}[$__rate_interval]))"


def happening(metric: str, by: str, matchers: str = "") -> str:
    """Events a minute, summed by `by`. Nothing where nothing happened: counters are there at zero from the start, and
    twenty of them in a legend hide the one that counts.
    """
    return f"60 * {rate(metric, matchers, by)}{ABOVE_ZERO}"


def quantile(level: str, metric: str, matchers: str = "", by: str = "") -> str:
    """Of a histogram `metric`, without its _bucket, over all chosen pods."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({level}, sum by ({labels}) (rate({metric}_bucket{_pods(matchers)}[$__rate_interval])))"


def mean(metric: str, matchers: str = "", by: str = "") -> str:
    """Of a histogram."""
    return f"{rate(metric + '_sum', matchers, by)} / {rate(metric + '_count', matchers, by)}"


def share(part: str, whole: str) -> str:
    """0 where nothing of `whole` was a `part`, and nothing where there was no `whole`."""
    return f"({part} or vector(0)) / ({whole} > 0)"


def until(stage: str) -> str:
    """Mean from the end of the caller's speech to a stage."""
    return mean(f"{G}turn_stage_seconds", f'stage="{stage}"')


def between(earlier: str, later: str) -> str:
    """Mean from one stage to the next; nothing below 0, which answers begun early would give."""
    return f"clamp_min({until(later)} - {until(earlier)}, 0)"


def worker(level: str, metric: str) -> str:
    """A quantile of a histogram of the speech worker's."""
    rates = f"rate({W}{metric}_bucket{NAMESPACES}[$__rate_interval])"
    return f"histogram_quantile({level}, sum by (le) ({rates}))"


def worker_mean(metric: str) -> str:
    """Of a histogram of the speech worker's."""
    total, count = (f"sum (rate({W}{metric}_{part}{NAMESPACES}[$__rate_interval]))" for part in ("sum", "count"))
    return f"{total} / {count}"


def quantiles(metric: str, *, by: str = "", exemplars: bool = False, may_be_empty: bool = False) -> tuple[Query, ...]:
    """Median and p95, of each value of the label `by`."""
    name = f" {{{{{by}}}}}" if by else ""
    return (
        Query(quantile("0.5", metric, by=by), f"p50{name}", may_be_empty=may_be_empty),
        Query(quantile("0.95", metric, by=by), f"p95{name}", exemplars=exemplars, may_be_empty=may_be_empty),
    )


def one(expr: str, legend: str = "", *, may_be_empty: bool = False) -> tuple[Query, ...]:
    """A panel's only query."""
    return (Query(expr, legend, may_be_empty=may_be_empty),)


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _pods(matchers: str) -> str:
    return "{{" + matchers + "}}"
