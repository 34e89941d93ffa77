"""The sections of the settings tree. The docstring under a field says what it is and why its default is what it is."""

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from servicekit.settings import split_address
from voice_gateway.application.config import AsrConfig, Limits, LlmConfig, PlayoutConfig, TtsConfig
from voice_gateway.domain.apology import MAX_CHARACTERS, SEPARATOR, ApologyConfig, texts
from voice_gateway.domain.breaker import BreakerPolicy
from voice_gateway.domain.phrases import PhrasePolicy
from voice_gateway.domain.policy import Finalize, TurnPolicy

VOICE_RATES_HZ = (8_000, 16_000, 32_000, 48_000)
"""Rates that the voice activity detector takes."""

_ASR, _LLM, _TTS = AsrConfig(), LlmConfig(), TtsConfig()
_BREAKER, _APOLOGY = BreakerPolicy(), ApologyConfig()
_TURN, _PHRASES, _PLAYOUT, _LIMITS = TurnPolicy(), PhrasePolicy(), PlayoutConfig(), Limits()


def setting(
    default: Any,
    *,
    unit: str = "",
    applies: str = "next turn",
    allowed: str = "",
    private: bool = False,
    **rules: Any,
) -> Any:
    """A field with its default, its unit, when a change takes effect, and what is allowed. A `private` value is not
    shown where it is refused.
    """
    extra: dict[str, Any] = {"unit": unit, "applies": applies, "private": private}
    if allowed:
        extra["allowed"] = allowed
    return Field(default=default, json_schema_extra=extra, **rules)


class Section(BaseModel):
    """A group of keys with a common prefix."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
    )


def _voice_rate(value: int) -> int:
    if value not in VOICE_RATES_HZ:
        raise ValueError("allowed is 8000, 16000, 32000 or 48000")
    return value


def _optional_file(value: object) -> object:
    if value is None or value == "":
        return None
    if not Path(str(value)).is_file():
        raise ValueError("no such file; allowed is an ONNX file that exists, or empty")
    return value


def _target(value: str) -> str:
    """Check a gRPC target."""
    if value and not value.startswith(("unix:", "dns:///")):
        if "://" in value:
            raise ValueError("allowed is host:port without a scheme, for example riva-api:50051")
        split_address(value)
    return value


MAX_FALLBACKS = 7
"""Of one kind: a list of eight in all. A caller waits for no more."""


def _listed(value: object) -> object:
    """A list as the environment writes it, or as YAML does."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _targets(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check a list of gRPC targets."""
    for target in value:
        if not target:
            raise ValueError("an address in it is empty; allowed is a comma-separated list of host:port")
        _target(target)
    return _few(value)


def _few(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check the length of a list, and that nothing is in it twice."""
    if len(value) > MAX_FALLBACKS:
        raise ValueError(f"it has {len(value)} entries; allowed are {MAX_FALLBACKS} at most")
    if len(set(value)) < len(value):
        raise ValueError("an entry is there twice; allowed is each entry once")
    return value


def _base_url(value: str) -> str:
    """Check the address of a language model."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("allowed is an http or https address, for example http://nim-llm:8000/v1")
    return value


SENTENCES = f"text of at most {MAX_CHARACTERS} characters for each language, or off"

TARGETS = "a comma-separated list of host:port, dns:///name:port or unix:path"


class RivaSettings(Section):
    """Both speech services, where they share one address."""

    uri: str = setting("127.0.0.1:50052", applies="restart", allowed="host:port, dns:///name:port or unix:path")
    """Where Riva, a Speech NIM or the speech worker listens. 50052, because the gateway itself is on Riva's 50051."""
    tls: bool = setting(False, applies="restart")
    """Whether the speech services are called over TLS. Off, as inside a cluster; hosted endpoints need it."""
    tls_ca_file: Path | None = setting(None, applies="restart", allowed="a PEM file that exists, or empty")
    """PEM file of authorities to trust instead of the public ones. Empty: the ones that gRPC ships."""

    _checked = field_validator("uri")(_target)

    @field_validator("tls_ca_file")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("no such file; allowed is a PEM file that exists, or empty")
        return value


class AsrSettings(Section):
    """Recognition."""

    language: str = setting(_ASR.language_code, applies="next call", min_length=2, max_length=35)
    """BCP 47 tag of what callers speak, where they do not say. English, which every Riva carries."""
    sample_rate: int = setting(
        _ASR.sample_rate_hz, unit="Hz", applies="next call", allowed="8000, 16000, 32000 or 48000"
    )
    """Rate of the audio sent to the recogniser, and a caller's rate where it does not say. Riva's models are trained on
    16 kHz."""
    model: str = setting(_ASR.model, applies="next call")
    """Model id. Empty: the server chooses by language and rate."""
    uri: str = setting("", applies="restart", allowed="host:port, dns:///name:port or unix:path")
    """Where recognition listens, if not at RIVA_URI. Empty: RIVA_URI."""
    function_id: str = setting("", applies="restart")
    """Function of a hosted endpoint. Empty: none is sent, as to any Riva of your own."""
    finalize: Finalize = setting(_TURN.finalize)
    """How the recogniser is told that the turn has ended: force_eou asks for the final result (cache-aware and Nemotron
    streaming models), half_close ends the stream (every Riva), auto tries the first and remembers what works."""
    stop_history_ms: int | None = setting(None, unit="ms", applies="restart", ge=100, le=5_000)
    """Riva's own end of utterance. Empty: the server's value, commonly 800; the gateway decides sooner by itself."""
    automatic_punctuation: bool = setting(True, applies="restart")
    """Whether transcripts are punctuated. On: a language model reads them better."""
    message_ms: int = setting(_ASR.message_ms, unit="ms", applies="next call", ge=20, le=1_000)
    """Audio in one message to the recogniser where speech may end, and at least where it goes on, which takes 80 ms.
    What is spoken last waits for its message to fill: 100 ms added 20 ms to the median response."""
    preroll_ms: int = setting(_ASR.preroll_ms, unit="ms", applies="next call", ge=0, le=2_000)
    """Audio from before the detected start of speech that is recognised too, so that the first sound is not lost."""
    open_timeout_ms: int = setting(_ASR.open_timeout_ms, unit="ms", applies="next call", ge=100, le=60_000)
    """Longest wait for the recogniser to take a stream. A caller notices 3 s."""
    max_utterance_ms: int = setting(_ASR.max_utterance_ms, unit="ms", applies="next call", ge=5_000, le=600_000)
    """Longest utterance; a longer one is finalised. The audio is kept to be sent again: 60 s are 1.9 MB."""
    reconnects: int = setting(_ASR.reconnects, applies="next call", ge=0, le=10)
    """Streams tried again for one utterance, with its audio, when a connection breaks."""
    fallbacks: tuple[str, ...] = setting((), applies="restart", allowed=TARGETS)
    """Further recognisers, in order of preference, for when ASR_URI (or RIVA_URI) fails. They are called as it is: with
    the same TLS, function and key."""
    failover_ms: int = setting(1_000, unit="ms", applies="restart", ge=50, le=60_000)
    """Longest wait for a stream to open while another recogniser can stand in. Opening takes one round trip."""

    _checked = field_validator("uri")(_target)
    _split = field_validator("fallbacks", mode="before")(_listed)
    _targets_checked = field_validator("fallbacks")(_targets)
    _rate_checked = field_validator("sample_rate")(_voice_rate)


class LlmSettings(Section):
    """The language model."""

    base_url: str = setting("http://127.0.0.1:8000/v1", applies="restart", allowed="an http or https address")
    """OpenAI-compatible endpoint: NIM, vLLM, Ollama, llama.cpp or a hosted one. 8000 is the port of an LLM NIM."""
    model: str = setting(_LLM.model, min_length=1)
    """Model id, as the endpoint's /v1/models names it."""
    temperature: float = setting(_LLM.temperature, ge=0, le=2)
    """Sampling temperature. 0.5 keeps to the point and still varies its words."""
    max_tokens: int = setting(_LLM.max_tokens, unit="tokens", ge=1, le=32_768)
    """Longest answer. 1024 tokens are some six minutes of speech: the system prompt keeps answers short, not this."""
    system_prompt: str = setting(_LLM.system_prompt, private=True, max_length=32_000)
    """What the model is told about its task. The default asks for what is good to listen to."""
    history_tokens: int = setting(_LLM.history_tokens, unit="tokens", ge=100, le=1_000_000)
    """Conversation sent with each request, estimated. Small enough for an 8k context next to the answer."""
    first_token_timeout_ms: int = setting(_LLM.first_token_timeout_ms, unit="ms", ge=100, le=600_000)
    """Longest wait for an answer to begin, retries included; then the caller hears the apology. NVIDIA's agents have
    their first token after 0.06 to 0.16 s, and pipecat's watchdog gives up a turn after 5 s: a model that is silent for
    longer is ill, and callers hang up at about 8 s of silence."""
    token_timeout_ms: int = setting(_LLM.token_timeout_ms, unit="ms", ge=100, le=600_000)
    """Longest wait between two tokens."""
    api_key: SecretStr = setting(SecretStr(""), applies="restart")
    """Key of the endpoint. Empty: none is sent, or NVIDIA_API_KEY to NVIDIA's own endpoint."""
    fallbacks: tuple[str, ...] = setting(
        (), applies="restart", allowed="a comma-separated list of http or https addresses, each with #model or without"
    )
    """Further endpoints, in order of preference, for when LLM_BASE_URL fails: http://host:8000/v1, or
    http://host:8000/v1#model where the model has another name there."""
    fallback_api_key: SecretStr = setting(SecretStr(""), applies="restart")
    """Key of the fallbacks that are on another host than LLM_BASE_URL; NVIDIA's own endpoint is sent NVIDIA_API_KEY
    where there is one. LLM_API_KEY never goes to another host."""
    failover_ms: int = setting(2_500, unit="ms", applies="restart", ge=50, le=600_000)
    """Longest wait for an answer to begin while another endpoint can stand in; the wait for all of them together is
    LLM_FIRST_TOKEN_TIMEOUT_MS. The default leaves 2.5 s for the others."""

    _checked = field_validator("base_url")(_base_url)
    _split = field_validator("fallbacks", mode="before")(_listed)

    @field_validator("fallbacks")
    @classmethod
    def _are_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            _base_url(entry.partition("#")[0])
            if entry.endswith("#"):
                raise ValueError("a model's name follows #, for example http://host:8000/v1#llama-3.1-8b-instruct")
        return _few(value)


class TtsSettings(Section):
    """Synthesis."""

    voice: str = setting(_TTS.voice)
    """Voice, as the server names it. Empty: the server's default voice."""
    language: str = setting("", applies="next call", max_length=35)
    """BCP 47 tag of what is spoken. Empty: ASR_LANGUAGE."""
    sample_rate: int = setting(_TTS.sample_rate_hz, unit="Hz", applies="next call", ge=8_000, le=48_000)
    """Rate asked of the synthesiser; callers get their own rate. 16 kHz saves a conversion for most of them."""
    model: str = setting(_TTS.model, applies="next call")
    """Model id, for servers that choose by it. Empty: the server chooses by language and voice."""
    uri: str = setting("", applies="restart", allowed="host:port, dns:///name:port or unix:path")
    """Where synthesis listens, if not at RIVA_URI. Empty: RIVA_URI."""
    function_id: str = setting("", applies="restart")
    """Function of a hosted endpoint. Empty: none is sent."""
    first_audio_timeout_ms: int = setting(_TTS.first_audio_timeout_ms, unit="ms", ge=100, le=60_000)
    """Longest wait for a phrase's first audio."""
    chunk_timeout_ms: int = setting(_TTS.chunk_timeout_ms, unit="ms", ge=100, le=60_000)
    """Longest wait between two pieces of a phrase's audio."""
    phrases_ahead: int = setting(_TTS.phrases_ahead, ge=1, le=10)
    """Phrases synthesised ahead of the one that plays. More is wasted when the caller interrupts."""
    fallbacks: tuple[str, ...] = setting((), applies="restart", allowed=TARGETS)
    """Further synthesisers, in order of preference, for when TTS_URI (or RIVA_URI) fails. They are called as it is, and
    asked for the same voice."""
    failover_ms: int = setting(1_500, unit="ms", applies="restart", ge=50, le=60_000)
    """Longest wait for a phrase's first audio while another synthesiser can stand in; the wait for all of them together
    is TTS_FIRST_AUDIO_TIMEOUT_MS. The default leaves 2.5 s for the others."""

    _checked = field_validator("uri")(_target)
    _split = field_validator("fallbacks", mode="before")(_listed)
    _targets_checked = field_validator("fallbacks")(_targets)


class BreakerSettings(Section):
    """When a backend that fails is left alone."""

    failures: int = setting(_BREAKER.failures, alias="BREAKER_FAILURES", applies="restart", ge=1, le=100)
    """Failures in a row that open a backend's circuit breaker: nothing is sent there for a while. One may be a packet
    lost and two a pod that moved; the third costs one more caller."""
    first_pause_ms: int = setting(
        _BREAKER.first_pause_ms, alias="BREAKER_FIRST_PAUSE_MS", unit="ms", applies="restart", ge=100, le=600_000
    )
    """How long a breaker stays open at first; then one request is let through. The pause doubles while that fails."""
    longest_pause_ms: int = setting(
        _BREAKER.longest_pause_ms, alias="BREAKER_LONGEST_PAUSE_MS", unit="ms", applies="restart", ge=100, le=600_000
    )
    """The longest pause. A caller who hears an apology asks again after some 10 s."""


class ApologySettings(Section):
    """What a caller hears when something fails."""

    llm: str = setting(_APOLOGY.llm, alias="APOLOGY_LLM", allowed=SENTENCES)
    """Spoken when the language model fails or stalls. One text in the language of TTS_LANGUAGE, or several with the
    language before each, as in "Sorry. | de: Entschuldigung."; in YAML also a mapping of languages to texts. German,
    Spanish, French, Hindi, Italian and Portuguese have built-in texts. Empty or off: no words."""
    asr: str = setting(_APOLOGY.asr, alias="APOLOGY_ASR", allowed=SENTENCES)
    """Spoken when recognition failed and nothing was understood. Written as APOLOGY_LLM."""
    tts: str = setting(_APOLOGY.tts, alias="APOLOGY_TTS", allowed=SENTENCES)
    """Played when the voice fails before anything of an answer was heard. Written as APOLOGY_LLM."""
    earcon: bool = setting(_APOLOGY.earcon, alias="APOLOGY_EARCON")
    """Whether a short tone is played where there are no words, or no voice has spoken them yet."""
    directory: Path | None = setting(
        None, alias="CANNED_SPEECH_DIR", applies="restart", allowed="a folder that can be written, or empty"
    )
    """Where synthesised apologies are kept, for a process that starts while synthesis is down. Empty: only in
    memory."""

    @field_validator("llm", "asr", "tts", mode="before")
    @classmethod
    def _joined(cls, value: object) -> object:
        """A mapping, as YAML writes it, in the form of the environment."""
        if not isinstance(value, dict):
            return value
        return f" {SEPARATOR} ".join(f"{tag}: {text}" for tag, text in value.items())

    @field_validator("llm", "asr", "tts")
    @classmethod
    def _short(cls, value: str) -> str:
        for text in texts(value).values():
            if len(text) > MAX_CHARACTERS:
                raise ValueError(f"a text has {len(text)} characters; allowed are {MAX_CHARACTERS} in each language")
        return value


class FailureSettings(Section):
    """What is done when a backend fails."""

    breaker: BreakerSettings = BreakerSettings()
    apology: ApologySettings = ApologySettings()


class VadSettings(Section):
    """What this process judges by the sound itself: which audio is speech, and whether a caller has finished."""

    engine: Literal["silero", "webrtc"] = setting("silero", applies="restart")
    """silero: an energy gate, and a neural model for what passes it (docs/adr/0009). webrtc: the gate and WebRTC's
    detector, without a model; it takes music and changing noise for speech, and misses very quiet callers."""
    model_path: Path | None = setting(None, applies="restart", allowed="an ONNX file that exists, or empty")
    """A Silero VAD model of version 5 or 6. Empty: the one in the installed package silero-vad."""
    enter_score: float = setting(0.5, applies="restart", ge=0.05, le=0.95)
    """Score from which sound is speech. Silero's own default; higher for callers in noisy places."""
    leave_score: float = setting(0.35, applies="restart", ge=0.05, le=0.95)
    """Score below which speech has ended: 0.15 lower, so that it does not flicker, as in Silero's own iterator."""

    turn_model_path: Path | None = setting(
        None, alias="TURN_MODEL_PATH", applies="restart", allowed="an ONNX file that exists, or empty"
    )
    """A model of the Smart Turn v3 kind, which judges whether a caller has finished (docs/adr/0009). Empty: none, turns
    end by silence and rules alone."""
    turn_model_timeout_ms: int = setting(
        100, unit="ms", alias="TURN_MODEL_TIMEOUT_MS", applies="restart", ge=10, le=2_000
    )
    """Longest wait for its answer; then the turn is decided without it."""
    turn_model_output: Literal["probability", "logit"] = setting(
        "probability", alias="TURN_MODEL_OUTPUT", applies="restart"
    )
    """What its number is. Smart Turn v3 gives a probability, though it calls it logits."""

    _exist = field_validator("model_path", "turn_model_path", mode="before")(_optional_file)


class PlayoutSettings(Section):
    """How audio is paced to callers."""

    frame_ms: int = setting(_PLAYOUT.frame_ms, unit="ms", applies="next call", ge=10, le=100)
    """Audio in one message to the caller, where the lead is at least three times that; else a third of the lead.
    Writing is the largest part of a call's cost, and goes with the number of messages."""
    lead_ms: int = setting(_PLAYOUT.lead_ms, unit="ms", applies="next call", ge=20, le=2_000)
    """How far ahead of playback audio is sent to clients that flush when told to. Covers their network's jitter."""
    legacy_lead_ms: int = setting(_PLAYOUT.legacy_lead_ms, unit="ms", applies="next call", ge=20, le=2_000)
    """The same for other clients, which play this much on after an interruption."""
    buffer_ms: int = setting(_PLAYOUT.buffer_ms, unit="ms", applies="next call", ge=500, le=120_000)
    """Synthesised audio that may wait for a caller; beyond it, synthesis waits."""


class LimitSettings(Section):
    """Bounds of one call."""

    max_chunk_bytes: int = setting(
        _LIMITS.max_chunk_bytes, unit="bytes", alias="MAX_CHUNK_BYTES", applies="restart", ge=1_024, le=4_194_304
    )
    """Largest audio message. 64 KiB are 2 s at 16 kHz; clients send 10 to 256 ms."""
    max_text_characters: int = setting(
        _LIMITS.max_text_characters,
        unit="characters",
        alias="MAX_TEXT_CHARACTERS",
        applies="next call",
        ge=1,
        le=100_000,
    )
    """Longest typed turn."""
    max_call_seconds: int = setting(
        _LIMITS.max_call_ms // 1000, unit="s", alias="MAX_CALL_SECONDS", applies="next call", ge=10, le=86_400
    )
    """Longest call."""
    idle_seconds: int = setting(
        _LIMITS.idle_ms // 1000, unit="s", alias="IDLE_SECONDS", applies="next call", ge=5, le=86_400
    )
    """A call from which nothing arrives for this long ends."""
    run_ahead_ms: int = setting(
        _LIMITS.run_ahead_ms, unit="ms", alias="RUN_AHEAD_MS", applies="next call", ge=500, le=60_000
    )
    """A client further ahead of real time, such as one that sends a file, cannot interrupt; reading slows instead."""
    slow_consumer_pause_ms: int = setting(
        _LIMITS.slow_consumer_pause_ms,
        unit="ms",
        alias="SLOW_CONSUMER_PAUSE_MS",
        applies="next call",
        ge=500,
        le=60_000,
    )
    """A client that has not taken its audio for this long is sent no more."""
    slow_consumer_end_ms: int = setting(
        _LIMITS.slow_consumer_end_ms, unit="ms", alias="SLOW_CONSUMER_END_MS", applies="next call", ge=1_000, le=600_000
    )
    """A client that has not taken its audio for this long loses its call."""


class ResumeSettings(Section):
    """Calls that are taken up again where their connection was lost."""

    keys_file: Path | None = setting(
        None, alias="RESUME_KEYS_FILE", applies="restart", allowed="a file of lines ID:KEY, or empty"
    )
    """Keys that seal calls' states, each 32 bytes in base64 (`openssl rand -base64 32`): the first one seals, all open.
    The file is read again when it changes. To rotate: add a key at the end everywhere, then move it to the front, then
    remove the old one after RESUME_VALID_SECONDS. Empty: a key of this process alone, so that calls go on only here."""
    valid_seconds: int = setting(300, unit="s", alias="RESUME_VALID_SECONDS", applies="restart", ge=10, le=86_400)
    """How long a state is good for; a call that lasts is given a new one in time. Five minutes: a laptop's lid, a
    tunnel; a caller who waits for longer hangs up."""

    @field_validator("keys_file", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == "" else value


class DrainSettings(Section):
    """What becomes of calls after SIGTERM."""

    seconds: float = setting(25.0, unit="s", alias="DRAIN_SECONDS", applies="restart", ge=0, le=86_400)
    """How long calls may go on after SIGTERM to finish their turn. Less than Kubernetes' default grace of 30."""
    resumable_seconds: float = setting(
        10.0, unit="s", alias="DRAIN_RESUMABLE_SECONDS", applies="restart", ge=0, le=86_400
    )
    """The same for calls that can go on elsewhere: they leave at their next turn boundary, or after this long in the
    middle of an answer, which goes on there. Most answers are over by then."""
    legacy_max_seconds: float | None = setting(
        None,
        unit="s",
        alias="DRAIN_LEGACY_MAX_SECONDS",
        applies="restart",
        ge=0,
        le=86_400,
        allowed="a number from 0 to 86400, or empty for DRAIN_SECONDS",
    )
    """DRAIN_SECONDS for calls that cannot go on elsewhere, by the name that tells it from DRAIN_RESUMABLE_SECONDS."""

    @field_validator("legacy_max_seconds", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def legacy_seconds(self) -> float:
        """For calls that cannot go on elsewhere."""
        return self.seconds if self.legacy_max_seconds is None else self.legacy_max_seconds


class ServerSettings(Section):
    """The process."""

    listen_address: str = setting(
        "127.0.0.1:50051", alias="GATEWAY_LISTEN_ADDRESS", applies="restart", allowed="host:port"
    )
    """Where callers connect. Loopback; a container sets 0.0.0.0:50051. Port 0 takes a free one."""
    metrics_listen_address: str = setting(
        "127.0.0.1:8080", alias="METRICS_LISTEN_ADDRESS", applies="restart", allowed="host:port, or empty for none"
    )
    """Where Prometheus asks. Loopback; a container sets 0.0.0.0:8080."""
    health_listen_address: str = setting(
        "", alias="HEALTH_LISTEN_ADDRESS", applies="restart", allowed="host:port, or empty for none"
    )
    """Where gRPC health is answered without TLS, beside GATEWAY_LISTEN_ADDRESS: probes of the kubelet speak none. A
    container with TLS sets 0.0.0.0:50052."""
    max_calls: int = setting(100, alias="MAX_CALLS", applies="restart", ge=1, le=10_000)
    """Calls that this process takes; one more is refused and told when to come back. One core adds 20 ms to the answers
    of 50 calls (95th percentile), and is full at 100."""
    drain: DrainSettings = DrainSettings()
    resume: ResumeSettings = ResumeSettings()

    @field_validator("listen_address", "metrics_listen_address", "health_listen_address")
    @classmethod
    def _is_address(cls, value: str, info: ValidationInfo) -> str:
        if value or info.field_name == "listen_address":
            split_address(value)
        return value


class JournalSettings(Section):
    """Recordings of calls."""

    mode: Literal["off", "redacted", "full"] = setting("off", alias="JOURNAL", applies="restart")
    """Whether each call's journal is kept in a file. redacted keeps numbers in place of words, and replays to the same
    decisions. full keeps what people say, and needs JOURNAL_WORDS. Off: files are for who asks for them."""
    dir: Path | None = setting(None, applies="restart", allowed="a folder, needed unless JOURNAL is off")
    """Where the files go. A folder on a disk of its own, or an emptyDir with a size limit."""
    max_mb: int = setting(500, unit="MB", applies="restart", ge=1, le=1_000_000)
    """All files together: the oldest are deleted for new ones. A minute of conversation is some 60 kB, so this is five
    days of calls."""
    max_call_mb: int = setting(10, unit="MB", applies="restart", ge=1, le=1_000)
    """One call's file; beyond it the journal is cut off with a marker. Nearly three hours of conversation."""
    words: bool = setting(False, applies="restart")
    """Whether journals may hold what people say. It is personal: off, and JOURNAL=full is refused."""

    @field_validator("mode", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return "off" if value is False else value  # what YAML makes of off
