"""Settings of the worker, read once from the environment (prefix SPEECH_)."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from servicekit.settings import split_address
from speech_worker.domain.endpointing import EndpointingRule
from speech_worker.domain.errors import InvalidRequest

Milliseconds = Annotated[int, Field(ge=0, le=20_000, json_schema_extra={"unit": "ms"})]
Share = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseSettings):
    """A part of the settings; its keys stand beside those of the other parts."""

    model_config = SettingsConfigDict(env_prefix="SPEECH_", frozen=True, extra="forbid", use_attribute_docstrings=True)


class RecognitionSettings(_Section):
    """Hearing."""

    asr_engine: Literal["auto", "none", "pocketsphinx", "faster-whisper", "script"] = "auto"
    """Recogniser. auto is pocketsphinx, which needs no model file; none serves no recognition; script is for tests."""
    asr_model_dir: Path | None = None
    """Folder with the recogniser's model; without it pocketsphinx uses the model of its package."""
    asr_model: Annotated[str, Field(max_length=200)] = ""
    """Name of a model that faster-whisper may fetch where a model hub is reachable, like small.en."""
    asr_language: Annotated[str, Field(min_length=2, max_length=20)] = "en-US"
    """Language that faster-whisper recognises. pocketsphinx knows en-US only."""
    max_asr_streams: Annotated[int, Field(ge=1, le=256)] = max(2, 2 * (os.cpu_count() or 1))
    """Recognition streams at the same time; one more is refused. A core decodes 6 to 8 live pocketsphinx streams; two
    per core leaves room for synthesis and for bursts."""
    longest_utterance_s: Annotated[int, Field(ge=1, le=600, json_schema_extra={"unit": "s"})] = 30
    """An utterance without a pause is cut here, so that noise cannot grow a decoder without bound."""
    stream_idle_s: Annotated[float, Field(gt=0, le=3600, json_schema_extra={"unit": "s"})] = 120.0
    """A recognition stream that sends nothing for so long is ended, because it holds a slot."""


class SynthesisSettings(_Section):
    """Speaking."""

    tts_engine: Literal["auto", "none", "flite", "espeak", "sherpa", "tone"] = "auto"
    """Voice engine. auto is flite where its library is installed, else espeak; none serves no synthesis; tone is for
    tests."""
    tts_model_dir: Path | None = None
    """Folder with the files of a sherpa-onnx voice (VITS, Matcha or Kokoro)."""
    tts_voice: Annotated[str, Field(max_length=100)] = ""
    """Voice for requests that name none; empty means the engine's default."""
    max_tts_streams: Annotated[int, Field(ge=1, le=256)] = 8
    """Synthesis calls at the same time. A sentence takes milliseconds, so few are ever active."""
    tts_longest_text: Annotated[int, Field(ge=1, le=100_000, json_schema_extra={"unit": "characters"})] = 2_000
    """Longest text of one request; Riva's own limit."""


class EndpointingSettings(_Section):
    """End of utterance inside a recognition stream."""

    start_history_ms: Milliseconds = 300
    """Window in which speech must show for an utterance to start. This and the next five are defaults that a request's
    endpointing_config overrides; they are Riva's."""
    start_threshold: Share = 0.2
    """Share of that window that must be speech."""
    stop_history_ms: Milliseconds = 800
    """Window that must be silent for an utterance to end."""
    stop_threshold: Share = 0.98
    """Share of that window that must be silence."""
    stop_history_eou_ms: Milliseconds = 0
    """Shorter window of the first pass, which sends an interim with stability 1; 0 turns it off."""
    stop_threshold_eou: Share = 0.98
    """Share of that window that must be silence."""

    @model_validator(mode="after")
    def _rule_holds(self) -> Self:
        try:
            self.endpointing()
        except InvalidRequest as error:
            raise ValueError(str(error)) from None
        return self

    def endpointing(self) -> EndpointingRule:
        return EndpointingRule(
            start_history_ms=self.start_history_ms,
            start_threshold=self.start_threshold,
            stop_history_ms=self.stop_history_ms,
            stop_threshold=self.stop_threshold,
            stop_history_eou_ms=self.stop_history_eou_ms,
            stop_threshold_eou=self.stop_threshold_eou,
        )


class SpeechSettings(RecognitionSettings, SynthesisSettings, EndpointingSettings):
    """All of it, and what concerns the process."""

    listen_address: str = "127.0.0.1:50051"
    """host:port of the gRPC server. 50051 is Riva's port. Port 0 takes a free one."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port for Prometheus on the same host; 0 turns it off."""
    engine_threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads of one inference of faster-whisper or sherpa."""
    shutdown_grace_s: Annotated[float, Field(ge=0, le=600, json_schema_extra={"unit": "s"})] = 10.0
    """How long running calls may go on after SIGTERM; a long answer is spoken in less."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("listen_address")
    @classmethod
    def _has_port(cls, value: str) -> str:
        split_address(value)
        return value
