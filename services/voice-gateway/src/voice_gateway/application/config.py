"""What a call needs to know of the configuration: frozen values, read again at each turn."""

from dataclasses import dataclass, field
from typing import Protocol

from voice_gateway.domain.apology import ApologyConfig
from voice_gateway.domain.languages import PhraseLists
from voice_gateway.domain.phrases import PhrasePolicy
from voice_gateway.domain.policy import ConversationPolicy, TurnPolicy


@dataclass(frozen=True, slots=True)
class AsrConfig:
    """What is asked of the recogniser."""

    language_code: str = "en-US"
    sample_rate_hz: int = 16_000
    model: str = ""
    """Empty: the server chooses."""
    message_ms: int = 20
    """Audio per upstream message where speech may end: what is spoken last waits for its message to fill. In the middle
    of a sound messages are larger (docs/adr/0007)."""
    preroll_ms: int = 400
    """Audio from before the detected onset that the stream starts with, so that the first phoneme is not lost."""
    open_timeout_ms: int = 3_000
    max_utterance_ms: int = 60_000
    """Un-finalised audio kept for replay; an utterance that grows longer is finalised."""
    reconnects: int = 2
    """New streams tried for one utterance, each given the un-finalised audio again."""


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """What is asked of the language model."""

    model: str = "meta/llama-3.1-8b-instruct"
    temperature: float = 0.5
    max_tokens: int = 1024
    system_prompt: str = "You are a helpful voice assistant. Answer in one to three short spoken sentences."
    history_tokens: int = 3_000
    """Bound of the conversation sent with each request, estimated (see domain/conversation.py)."""
    first_token_timeout_ms: int = 5_000
    token_timeout_ms: int = 5_000
    """Longest wait between two tokens."""


@dataclass(frozen=True, slots=True)
class TtsConfig:
    """What is asked of the synthesiser."""

    voice: str = ""
    """Empty: the server's default voice."""
    language_code: str = "en-US"
    sample_rate_hz: int = 16_000
    model: str = ""
    first_audio_timeout_ms: int = 4_000
    chunk_timeout_ms: int = 4_000
    """Longest wait between two chunks of one phrase."""
    phrases_ahead: int = 2
    """Phrases synthesised ahead of the one that plays. More wastes synthesis when the caller interrupts."""


@dataclass(frozen=True, slots=True)
class PlayoutConfig:
    """How the answer's audio is paced to the caller."""

    frame_ms: int = 100
    """Audio per message, where the lead is at least three times that; else a third of the lead. Writing is the largest
    part of a call's cost, and goes with the number of messages. The first ones of an answer are as short as its audio
    comes."""
    lead_ms: int = 300
    """How far ahead of playback audio is sent to clients that flush when told to; covers their network's jitter."""
    legacy_lead_ms: int = 60
    """The same for clients that cannot flush: what they hear after an interruption is at most this."""
    buffer_ms: int = 10_000
    """Synthesised audio that may wait to be sent; beyond it, synthesis waits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call. Each has an error of its own."""

    max_chunk_bytes: int = 65_536
    max_text_characters: int = 4_000
    max_call_ms: int = 3_600_000
    idle_ms: int = 600_000
    """A call from which nothing arrives for this long ends."""
    run_ahead_ms: int = 2_000
    """A client further ahead of real time than this cannot interrupt; reading slows instead."""
    slow_consumer_pause_ms: int = 5_000
    slow_consumer_end_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class CallConfig:
    """One revision of everything that a call reads."""

    revision: str = "default"
    asr: AsrConfig = field(default_factory=AsrConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    tts: TtsConfig = field(default_factory=TtsConfig)
    turn: TurnPolicy = field(default_factory=TurnPolicy)
    conversation: ConversationPolicy = field(default_factory=ConversationPolicy)
    phrase_lists: PhraseLists = field(default_factory=PhraseLists)
    """What always, and never, interrupts an answer, beside the language's own phrases."""
    phrases: PhrasePolicy = field(default_factory=PhrasePolicy)
    playout: PlayoutConfig = field(default_factory=PlayoutConfig)
    limits: Limits = field(default_factory=Limits)
    apology: ApologyConfig = field(default_factory=ApologyConfig)
    allowed_overrides: frozenset[str] = frozenset(
        {"llm_temperature", "llm_max_tokens", "tts_voice", "endpoint_silence_ms"}
    )
    log_words: bool = False
    """Whether what people say may appear in logs."""


class ConfigSource(Protocol):
    """Where the configuration comes from."""

    def current(self) -> CallConfig:
        """The newest good revision. Cheap: it is called at each turn."""
        ...
