"""Settings of the responder, read once from the environment (prefix RESPONDER_)."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from servicekit.settings import split_address


class ResponderSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="RESPONDER_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    listen_address: str = "127.0.0.1:8000"
    """host:port. 8000 is the port of an LLM NIM, so that the same LLM_BASE_URL serves both. Port 0 takes a free one."""
    model_aliases: Annotated[tuple[str, ...], NoDecode] = ("meta/llama-3.1-8b-instruct",)
    """Other model names to answer to, comma separated. The default is that of the gateway's LLM_MODEL, so that a
    gateway with default settings works. Replies and /v1/models say offline-rules all the same."""
    first_token_ms: Annotated[float, Field(ge=0, le=60_000)] = 30.0
    """Wait before the first token. 30 ms is below any GPU, and long enough to see that the client waits."""
    token_interval_ms: Annotated[float, Field(ge=0, le=60_000)] = 15.0
    """Wait between tokens. 15 ms is about what an 8B model does on one data-centre GPU."""
    shutdown_grace_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    """How long answers under way may go on after SIGTERM. The longest story takes about 5 s at the default pace."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("listen_address")
    @classmethod
    def _has_port(cls, value: str) -> str:
        split_address(value)
        return value
