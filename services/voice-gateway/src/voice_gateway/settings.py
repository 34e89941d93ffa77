"""Every setting of the gateway in one frozen tree, read once and refused early.

A key is written the same in the environment, in a ConfigMap and in a YAML file. The docstring under a field says what
it is and why its default is what it is; docs/reference/settings.md is made from them. `applies` says when a changed
value takes effect in a running process: "at once", at the "next turn" of running calls, at the "next call", or at a
"restart".
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from servicekit.settings import SettingDoc, describe, load_settings
from voice_gateway.application.config import (
    AsrConfig,
    CallConfig,
    Limits,
    LlmConfig,
    PlayoutConfig,
    TtsConfig,
)
from voice_gateway.domain.apology import ApologyConfig
from voice_gateway.domain.endpointing import EndpointPolicy
from voice_gateway.domain.phrases import PhrasePolicy
from voice_gateway.domain.policy import ConversationPolicy, SpeculationPolicy, TurnPolicy
from voice_gateway.edge_sections import EdgeSettings, edge_inconsistency
from voice_gateway.log_sections import LogSettings
from voice_gateway.setting_sections import (
    AsrSettings,
    FailureSettings,
    JournalSettings,
    LimitSettings,
    LlmSettings,
    PlayoutSettings,
    RivaSettings,
    ServerSettings,
    TtsSettings,
    VadSettings,
    setting,
)

OVERRIDABLE = (
    "asr_model",
    "endpoint_silence_ms",
    "llm_max_tokens",
    "llm_model",
    "llm_system_prompt",
    "llm_temperature",
    "tts_model",
    "tts_voice",
)

HOSTED: dict[str, dict[str, object]] = {
    # build.nvidia.com; function ids change from time to time, and a key of one's own then names the new one.
    "riva": {"uri": "grpc.nvcf.nvidia.com:443", "tls": True},
    "asr": {"function_id": "bb0837de-8c7b-481f-9ec8-ef5663e9c1fa"},  # nemotron-asr-streaming
    "tts": {
        "function_id": "877104f7-e885-42b9-8de8-f6e4c6303969",  # magpie-tts-multilingual
        "voice": "Magpie-Multilingual.EN-US.Aria",
    },
    "llm": {"base_url": "https://integrate.api.nvidia.com/v1"},
}
"""What BACKENDS=hosted sets where nothing else is said."""

REVISION_CHARACTERS = 12
"""Of a revision's hash: enough that two never meet, short enough to read out."""

NOT_OF_A_CALL = {"base_url", "api_key", "fallbacks", "fallback_api_key", "failover_ms"}
"""What LLM settings say about connections."""

NVIDIA_DOMAIN = ".nvidia.com"


class GatewaySettings(EdgeSettings):
    """The gateway's settings."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )

    backends: Literal["own", "hosted"] = setting("own", applies="restart")
    """hosted: speech and language model at NVIDIA's endpoints, with nothing but NVIDIA_API_KEY; every other key still
    counts. own: the addresses below."""
    riva: RivaSettings = RivaSettings()
    asr: AsrSettings = AsrSettings()
    llm: LlmSettings = LlmSettings()
    tts: TtsSettings = TtsSettings()
    failure: FailureSettings = FailureSettings()
    vad: VadSettings = VadSettings()
    playout: PlayoutSettings = PlayoutSettings()
    limits: LimitSettings = LimitSettings()
    allowed_overrides: frozenset[str] = setting(
        CallConfig().allowed_overrides,
        applies="next call",
        allowed=f"a comma-separated list of: {', '.join(OVERRIDABLE)}",
    )
    """What callers may choose for their own call. System prompt and models cost or reveal more, and are left out."""
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    journal: JournalSettings = JournalSettings()
    nvidia_api_key: SecretStr = setting(SecretStr(""), applies="restart")
    """Key for NVIDIA's hosted endpoints. Sent over TLS only: to NVIDIA's hosts, and to speech services addressed by
    function."""
    ngc_api_key: SecretStr = setting(SecretStr(""), applies="restart")
    """Stands in for NVIDIA_API_KEY where that is empty: keys of both kinds are the same today."""

    @field_validator("allowed_overrides", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_overrides")
    @classmethod
    def _known(cls, value: frozenset[str]) -> frozenset[str]:
        if unknown := value - set(OVERRIDABLE):
            raise ValueError(f"{', '.join(sorted(unknown))} is not among: {', '.join(OVERRIDABLE)}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        """What BACKENDS=hosted sets stands below every other source."""
        if not isinstance(data, Mapping) or data.get("backends") != "hosted":
            return data
        sections = {name: {**preset, **data.get(name, {})} for name, preset in HOSTED.items()}
        return {**data, **sections}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := _inconsistency(self):
            raise ValueError(problem)
        return self

    @property
    def hosted_key(self) -> str:
        """NVIDIA_API_KEY, or NGC_API_KEY in its place."""
        return self.nvidia_api_key.get_secret_value() or self.ngc_api_key.get_secret_value()

    @property
    def llm_key(self) -> str:
        """LLM_API_KEY; where it is empty, NVIDIA's key for NVIDIA's hosts over TLS."""
        parts = urlsplit(self.llm.base_url)
        own = parts.scheme == "https" and (parts.hostname or "").endswith(NVIDIA_DOMAIN)
        return self.llm.api_key.get_secret_value() or (self.hosted_key if own else "")

    def llm_fallback_key(self, base_url: str) -> str:
        """What a fallback is sent: the key of LLM_BASE_URL where it is on that host, NVIDIA's key on NVIDIA's hosts
        over TLS, else LLM_FALLBACK_API_KEY.
        """
        first, parts = urlsplit(self.llm.base_url), urlsplit(base_url)
        if (parts.scheme, parts.netloc) == (first.scheme, first.netloc):
            return self.llm_key
        own = parts.scheme == "https" and (parts.hostname or "").endswith(NVIDIA_DOMAIN)
        return (self.hosted_key if own else "") or self.llm.fallback_api_key.get_secret_value()

    def speech_key(self, function_id: str) -> str:
        """NVIDIA's key, where a function is addressed over TLS."""
        return self.hosted_key if self.riva.tls and function_id else ""


def _inconsistency(settings: GatewaySettings) -> str:
    """One sentence about keys that do not go together, or nothing."""
    turn, phrase, limits = settings.turn, settings.phrase, settings.limits
    if turn.confirm_ms < turn.onset_ms:
        return f"TURN_CONFIRM_MS is {turn.confirm_ms}; allowed is TURN_ONSET_MS, which is {turn.onset_ms}, or more"
    if problem := _turn_inconsistency(settings):
        return problem
    if turn.soft_end_ms > turn.endpoint_silence_ms:
        return (
            f"TURN_SOFT_END_MS is {turn.soft_end_ms}; allowed is ENDPOINT_SILENCE_MS, which is "
            f"{turn.endpoint_silence_ms}, or less"
        )
    if settings.vad.leave_score > settings.vad.enter_score:
        return (
            f"VAD_LEAVE_SCORE is {settings.vad.leave_score}; allowed is VAD_ENTER_SCORE, which is "
            f"{settings.vad.enter_score}, or less"
        )
    if phrase.first_min_characters > phrase.first_max_characters:
        return (
            f"PHRASE_FIRST_MIN_CHARACTERS is {phrase.first_min_characters}; allowed is PHRASE_FIRST_MAX_CHARACTERS, "
            f"which is {phrase.first_max_characters}, or less"
        )
    if phrase.min_characters > phrase.max_characters:
        return (
            f"PHRASE_MIN_CHARACTERS is {phrase.min_characters}; allowed is PHRASE_MAX_CHARACTERS, which is "
            f"{phrase.max_characters}, or less"
        )
    if limits.slow_consumer_end_ms < limits.slow_consumer_pause_ms:
        return (
            f"SLOW_CONSUMER_END_MS is {limits.slow_consumer_end_ms}; allowed is SLOW_CONSUMER_PAUSE_MS, which is "
            f"{limits.slow_consumer_pause_ms}, or more"
        )
    breaker = settings.failure.breaker
    if breaker.longest_pause_ms < breaker.first_pause_ms:
        return (
            f"BREAKER_LONGEST_PAUSE_MS is {breaker.longest_pause_ms}; allowed is BREAKER_FIRST_PAUSE_MS, which is "
            f"{breaker.first_pause_ms}, or more"
        )
    if problem := _repeated_backend(settings):
        return problem
    if settings.backends == "hosted" and not settings.hosted_key:
        return "NVIDIA_API_KEY is not set; BACKENDS=hosted needs it"
    if problem := _journal_inconsistency(settings.journal):
        return problem
    if problem := edge_inconsistency(settings.server, settings.tls, settings.auth, settings.kubernetes):
        return problem
    listening = settings.server.listen_address
    speech = {own or settings.riva.uri for own in (settings.asr.uri, settings.tts.uri)}
    speech |= {*settings.asr.fallbacks, *settings.tts.fallbacks}
    if listening in speech and not listening.endswith(":0"):
        return f"GATEWAY_LISTEN_ADDRESS is {listening}, where the gateway also looks for speech services"
    return ""


def _turn_inconsistency(settings: GatewaySettings) -> str:
    turn = settings.turn
    endpoint = settings.endpoint
    if endpoint.min_ms > endpoint.max_ms:
        return f"ENDPOINT_MIN_MS is {endpoint.min_ms}; allowed is ENDPOINT_MAX_MS, which is {endpoint.max_ms}, or less"
    if turn.soft_end_ms > endpoint.min_ms:
        return (
            f"TURN_SOFT_END_MS is {turn.soft_end_ms}; allowed is ENDPOINT_MIN_MS, which is {endpoint.min_ms}, or less"
        )
    interruption = settings.interruption
    if interruption.commit_ms > interruption.doubtful_commit_ms:
        return (
            f"INTERRUPTION_COMMIT_MS is {interruption.commit_ms}; allowed is INTERRUPTION_DOUBTFUL_COMMIT_MS, which is "
            f"{interruption.doubtful_commit_ms}, or less"
        )
    return ""


def _repeated_backend(settings: GatewaySettings) -> str:
    """A fallback that is the first backend again: it would fail with it."""
    first = {
        "ASR_FALLBACKS": (settings.asr.uri or settings.riva.uri, settings.asr.fallbacks),
        "TTS_FALLBACKS": (settings.tts.uri or settings.riva.uri, settings.tts.fallbacks),
        "LLM_FALLBACKS": (settings.llm.base_url, settings.llm.fallbacks),
    }
    for key, (address, fallbacks) in first.items():
        if address in fallbacks:
            return f"{key} holds {address}, which is tried first anyway; allowed are other addresses"
    return ""


def _journal_inconsistency(journal: JournalSettings) -> str:
    if journal.mode != "off" and journal.dir is None:
        return f"JOURNAL_DIR is not set; JOURNAL={journal.mode} needs it"
    if journal.mode == "full" and not journal.words:
        return "JOURNAL is full; allowed is off or redacted, unless JOURNAL_WORDS says that journals may hold words"
    if journal.max_call_mb > journal.max_mb:
        return (
            f"JOURNAL_MAX_CALL_MB is {journal.max_call_mb}; allowed is JOURNAL_MAX_MB, which is {journal.max_mb}, "
            "or less"
        )
    return ""


def load(*, environ: Mapping[str, str], file: Path | None = None) -> GatewaySettings:
    """Read the tree from GATEWAY_CONFIG's file or directory (or `file`), and `environ`. Raises SettingsError."""
    chosen = file or (Path(environ["GATEWAY_CONFIG"]) if environ.get("GATEWAY_CONFIG") else None)
    return load_settings(GatewaySettings, file=chosen, environ=environ)


def changed_keys(before: GatewaySettings, after: GatewaySettings, *, applies: str = "") -> tuple[str, ...]:
    """Keys whose values differ; with `applies`, only those whose changes take effect then."""
    return tuple(
        doc.key
        for doc in _docs()
        if applies in ("", doc.applies) and _value(before, doc.path) != _value(after, doc.path)
    )


@lru_cache(maxsize=1)
def _docs() -> tuple[SettingDoc, ...]:
    """Takes 2 ms to make, which calls would wait for at each edit."""
    return tuple(describe(GatewaySettings))


def _value(settings: GatewaySettings, path: Sequence[str]) -> object:
    value: object = settings
    for name in path:
        value = getattr(value, name)
    return value


def to_call_config(settings: GatewaySettings) -> CallConfig:
    """What a call reads of the settings. Its revision is a hash of the values: equal settings, equal revision."""
    config = CallConfig(
        asr=_asr_config(settings),
        llm=LlmConfig(**settings.llm.model_dump(exclude=NOT_OF_A_CALL)),
        tts=_tts_config(settings),
        turn=TurnPolicy(
            **settings.turn.model_dump(),
            finalize=settings.asr.finalize,
            max_call_ms=settings.limits.max_call_seconds * 1000,
            endpoint=EndpointPolicy(**settings.endpoint.model_dump(), neutral_ms=settings.turn.endpoint_silence_ms),
            interruption=settings.interruption.policy(),
            speculation=SpeculationPolicy(**settings.speculation.model_dump()),
        ),
        conversation=ConversationPolicy(**settings.conversation.model_dump()),
        phrase_lists=settings.interruption.lists(),
        phrases=PhrasePolicy(**settings.phrase.model_dump()),
        playout=PlayoutConfig(**settings.playout.model_dump()),
        limits=Limits(
            **settings.limits.model_dump(exclude={"max_call_seconds", "idle_seconds"}),
            max_call_ms=settings.limits.max_call_seconds * 1000,
            idle_ms=settings.limits.idle_seconds * 1000,
        ),
        apology=ApologyConfig(**settings.failure.apology.model_dump(exclude={"directory"})),
        allowed_overrides=settings.allowed_overrides,
        log_words=settings.log.words,
    )
    values = json.dumps(asdict(config), sort_keys=True, default=sorted)
    return replace(config, revision=hashlib.sha256(values.encode()).hexdigest()[:REVISION_CHARACTERS])


def _asr_config(settings: GatewaySettings) -> AsrConfig:
    asr = settings.asr
    return AsrConfig(
        language_code=asr.language,
        sample_rate_hz=asr.sample_rate,
        model=asr.model,
        message_ms=asr.message_ms,
        preroll_ms=asr.preroll_ms,
        open_timeout_ms=asr.open_timeout_ms,
        max_utterance_ms=asr.max_utterance_ms,
        reconnects=asr.reconnects,
    )


def _tts_config(settings: GatewaySettings) -> TtsConfig:
    tts = settings.tts
    return TtsConfig(
        voice=tts.voice,
        language_code=tts.language or settings.asr.language,
        sample_rate_hz=tts.sample_rate,
        model=tts.model,
        first_audio_timeout_ms=tts.first_audio_timeout_ms,
        chunk_timeout_ms=tts.chunk_timeout_ms,
        phrases_ahead=tts.phrases_ahead,
    )
