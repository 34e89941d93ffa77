"""The sections of the settings tree about logs and traces.

The keys for traces are the environment variables of the OpenTelemetry specification
(opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables), so that what is known of other services
holds here.
"""

from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, field_validator

from voice_gateway.setting_sections import Section, setting

PATH = "/v1/traces"
"""What OTLP over HTTP adds to the address of a collector."""


class TracingSettings(Section):
    """Traces."""

    sdk_disabled: bool = setting(False, alias="OTEL_SDK_DISABLED", applies="restart")
    """Whether traces are off although an address is given."""
    exporter: Literal["otlp", "none"] = setting("otlp", alias="OTEL_TRACES_EXPORTER", applies="restart")
    """none: traces are off although an address is given."""
    endpoint: str = setting(
        "",
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        applies="restart",
        allowed="an http or https URL, or empty for no traces",
    )
    """Where a collector takes OTLP over HTTP, such as http://otel-collector:4318; /v1/traces is added. Empty: no
    traces, and nothing of OpenTelemetry is loaded."""
    traces_endpoint: str = setting(
        "", alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", applies="restart", allowed="an http or https URL, or empty"
    )
    """The same for traces alone, taken as it is. Empty: the other one counts."""
    protocol: Literal["http/protobuf"] = setting(
        "http/protobuf", alias="OTEL_EXPORTER_OTLP_PROTOCOL", applies="restart"
    )
    """How spans are sent. The exporter over gRPC takes twice as long to load, and collectors speak both."""
    headers: SecretStr = setting(
        SecretStr(""), alias="OTEL_EXPORTER_OTLP_HEADERS", applies="restart", allowed="name=value,name=value"
    )
    """What goes along, such as a key of a hosted service."""
    traces_headers: SecretStr = setting(
        SecretStr(""), alias="OTEL_EXPORTER_OTLP_TRACES_HEADERS", applies="restart", allowed="name=value,name=value"
    )
    """The same for traces alone. Empty: the other ones count."""
    sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = setting("parentbased_always_on", alias="OTEL_TRACES_SAMPLER", applies="restart")
    """Which calls are traced. parentbased: as the caller's trace says, where it brings one; a stranger decides then.
    The specification's default: a call has few spans."""
    sampler_arg: float = setting(1.0, alias="OTEL_TRACES_SAMPLER_ARG", applies="restart", ge=0, le=1)
    """Share of calls that a sampler by ratio keeps."""
    service_name: str = setting("", alias="OTEL_SERVICE_NAME", applies="restart")
    """What the gateway is called in traces. Empty: service.name of OTEL_RESOURCE_ATTRIBUTES, or voice-gateway."""
    resource_attributes: str = setting(
        "", alias="OTEL_RESOURCE_ATTRIBUTES", applies="restart", allowed="name=value,name=value, percent-encoded"
    )
    """What traces say of this process, such as deployment.environment.name=production."""

    @field_validator("endpoint", "traces_endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("allowed is an http or https URL, for example http://127.0.0.1:4318")
        return value

    @field_validator("resource_attributes", "headers", "traces_headers")
    @classmethod
    def _is_pairs(cls, value: str | SecretStr) -> str | SecretStr:
        pairs(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return value

    @property
    def url(self) -> str:
        """Where spans go; empty: traces are off."""
        if self.sdk_disabled or self.exporter == "none":
            return ""
        return self.traces_endpoint or (self.endpoint.rstrip("/") + PATH if self.endpoint else "")

    @property
    def sent_headers(self) -> dict[str, str]:
        """What goes along with spans."""
        return pairs(self.traces_headers.get_secret_value() or self.headers.get_secret_value())


class LogSettings(Section):
    """Logs and traces."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", applies="at once")
    """Least important events that are logged."""
    format: Literal["json", "text"] = setting("json", applies="restart")
    """One JSON object a line, or lines for people."""
    words: bool = setting(False, applies="restart")
    """Whether what people say may appear in logs and traces. It is personal: off."""
    tracing: TracingSettings = TracingSettings()


def pairs(text: str) -> dict[str, str]:
    """Names and values of "name=value,name=value" with percent-encoded values. Raises ValueError."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError("allowed is name=value,name=value")
        found[unquote(name.strip())] = unquote(value.strip())
    return found
