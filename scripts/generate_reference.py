"""Write docs/reference/settings.md, errors.md and metrics.md from the code that they describe.

Usage: generate_reference.py [OUTPUT_FOLDER]
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from servicekit.settings import SettingDoc, describe
from voice_gateway.adapters.prometheus import PrometheusTelemetry
from voice_gateway.adapters.rpc_status import DOMAIN, all_errors, code_of
from voice_gateway.application.admission import AT_CAPACITY_RETRY_MS, DRAINING_RETRY_MS
from voice_gateway.domain import errors
from voice_gateway.settings import HOSTED, GatewaySettings

TARGET = Path(__file__).parents[1] / "docs/reference"

MADE = "<!-- Made by scripts/generate_reference.py (`make docs`); a test compares the two. -->\n"

SETTINGS_HEAD = """# Settings of the gateway

One key, written the same everywhere. Sources, the first that has the key wins:

1. the caller's `overrides` in `VoiceConfig`, for the keys that ALLOWED_OVERRIDES names;
2. the file or directory that `GATEWAY_CONFIG` (or `--config`) names: YAML of `KEY: value`, or one file per key, as
   Kubernetes mounts a ConfigMap;
3. the environment;
4. the default.

Numbers may be quoted. A wrong value, or an unknown key in the file, is refused at start with one sentence for each, and
exit code 2; `voice-gateway --check` does only that. While the gateway runs it looks at the file once a second: a good
edit applies as the last column says, a bad one is logged and counted (`voice_gateway_config_reloads_total`) and changes
nothing. Give secrets in the environment.
"""

ERRORS_HEAD = f"""# Errors of the gateway

A call that ends for a reason ends with a gRPC status that carries a `google.rpc.ErrorInfo` of domain `{DOMAIN}`. Its
`reason` is stable and may be matched; its metadata holds `retryable`, and `backend` where one failed. Before the status
the caller gets an `event` ERROR with the same sentence, except where the call was refused before it began. Where a
`google.rpc.RetryInfo` is attached, come back after its delay.

Most failures do not end a call: an `event` ERROR names the `reason`, and the conversation goes on.
"""

METRICS_HEAD = """# Metrics of the gateway

At `/metrics` on METRICS_LISTEN_ADDRESS, for Prometheus. No label holds anything that a caller chooses. Durations are
histograms in seconds. The process's own figures (CPU, memory, garbage collection) are there as well, under the names
that Prometheus clients use.
"""


DELAYS_MS: dict[type[errors.GatewayError], int] = {
    errors.AtCapacity: AT_CAPACITY_RETRY_MS,
    errors.Draining: DRAINING_RETRY_MS,
}

TITLES = {
    "backends": "Where the backends are",
    "allowed_overrides": "What callers may ask for",
    "nvidia_api_key": "Keys of hosted endpoints",
    "ngc_api_key": "Keys of hosted endpoints",
}
"""Of keys without a section."""


def cell(text: str) -> str:
    """Text that fits into a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [
        " | ".join(head),
        " | ".join("---" for _ in head),
        *(" | ".join(cell(part) for part in row) for row in rows),
    ]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def settings_page() -> str:
    """Every key by section, then what the hosted preset sets."""
    parts = [MADE, SETTINGS_HEAD]
    for title, docs in groupby(describe(GatewaySettings), key=section_title):
        rows = (setting_row(doc) for doc in docs)
        made = table(("Key", "Default", "Allowed", "What and why", "A change applies at"), rows)
        parts.append(f"\n## {title}\n\n{made}")
    parts.append(
        "\n## BACKENDS=hosted\n\nSets these where nothing else does, and needs NVIDIA_API_KEY:\n\n"
        + table(("Key", "Value"), hosted_rows())
    )
    return "".join(parts)


def section_title(doc: SettingDoc) -> str:
    """Heading over a key."""
    if len(doc.path) == 1:
        return TITLES[doc.path[0]]
    section = GatewaySettings.model_fields[doc.path[0]].annotation
    return (inspect.getdoc(section) or "").split("\n")[0].rstrip(".")


def setting_row(doc: SettingDoc) -> tuple[str, ...]:
    """One key."""
    default = "*secret*" if doc.secret else f"`{doc.default}`" if doc.default else "empty"
    unit = f" {doc.unit}" if doc.unit and doc.default else ""
    return f"`{doc.key}`", default + unit, doc.allowed, doc.description, doc.applies


def hosted_rows() -> Iterator[tuple[str, ...]]:
    """What the preset sets."""
    keys = {doc.path: doc.key for doc in describe(GatewaySettings)}
    for section, values in HOSTED.items():
        for name, value in values.items():
            yield f"`{keys[section, name]}`", f"`{str(value).lower() if isinstance(value, bool) else value}`"


def errors_page() -> str:
    """Every reason, in the order of the tree."""
    return f"{MADE}{ERRORS_HEAD}\n" + table(
        ("Reason", "gRPC status", "Retry helps", "When"),
        (error_row(kind) for kind in all_errors() if "reason" in vars(kind)),
    )


def error_row(kind: type[errors.GatewayError]) -> tuple[str, ...]:
    """One reason."""
    retry = "yes" if kind.retryable else "no"
    if kind in DELAYS_MS:
        retry += f", after {DELAYS_MS[kind]} ms"
    return f"`{kind.reason}`", f"`{code_of(kind).name}`", retry, inspect.getdoc(kind) or ""


def metrics_page() -> str:
    """Every metric of ours."""
    return f"{MADE}{METRICS_HEAD}\n" + table(("Name", "Kind", "Labels", "What"), metric_rows())


def metric_rows() -> Iterator[tuple[str, ...]]:
    """Names as Prometheus shows them."""
    for doc in PrometheusTelemetry().docs:
        yield f"`{doc.name}`", doc.kind, ", ".join(f"`{label}`" for label in doc.labels), doc.text


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
}


def main(folder: Path) -> None:
    """Write all pages."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
