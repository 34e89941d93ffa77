"""What the fakes do: a tree of plain values, as YAML, JSON or Python. Times in ms, from the event that starts them."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voice_fakes.replies import DEFAULT_REPLIES, DEFAULT_TRANSCRIPTS

Ms = Annotated[float, Field(ge=0, le=3_600_000)]
Count = Annotated[int, Field(ge=0)]
StatusName = Literal[
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "UNAUTHENTICATED",
]


class ScriptError(ValueError):
    """A script that cannot be played; the text names the field, its value and what is allowed."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Fault(_Part):
    """Strikes requests `skip` to `skip + times - 1`, counted from 0 since the script was set; `times` None: all."""

    skip: Count = 0
    times: Count | None = None

    def strikes(self, number: int) -> bool:
        return number >= self.skip and (self.times is None or number < self.skip + self.times)


class AsrRefuse(_Fault):
    """The stream ends with a status before any answer."""

    kind: Literal["refuse"] = "refuse"
    status: StatusName = "RESOURCE_EXHAUSTED"
    message: str = "no more streams"


class AsrReset(_Fault):
    """The stream breaks with a status after some wall time, or after some finals, whichever is given."""

    kind: Literal["reset"] = "reset"
    status: StatusName = "UNAVAILABLE"
    message: str = "stream reset by script"
    after_ms: Ms | None = None
    after_utterances: Count | None = None


class AsrStall(_Fault):
    """From `after_ms` on nothing is answered any more; audio is still read."""

    kind: Literal["stall"] = "stall"
    after_ms: Ms = 0


class AsrGarbage(_Fault):
    """Finals hold control characters and unknown-token marks; each is preceded by a result without alternatives."""

    kind: Literal["garbage"] = "garbage"


class AsrIdleDeath(_Fault):
    """A gap of `gap_ms` without a message kills the stream, as Riva's sequence idle timer does."""

    kind: Literal["idle_death"] = "idle_death"
    gap_ms: Ms = 1000
    status: StatusName = "INVALID_ARGUMENT"
    message: str = "inference request for sequence 1 must specify the START flag on the first request of the sequence"


AsrFault = Annotated[AsrRefuse | AsrReset | AsrStall | AsrGarbage | AsrIdleDeath, Field(discriminator="kind")]


class TimedWord(_Part):
    """A word, and where in its recording it is said."""

    text: Annotated[str, Field(min_length=1)]
    begin_ms: Ms
    end_ms: Ms


class KnownRecording(_Part):
    """A WAV file of 16 bit samples that callers play, at the rate of the streams."""

    path: Annotated[str, Field(min_length=1)]
    words: tuple[TimedWord, ...] = ()
    """In the order of their ends. None: a sound that is not speech, or not understood."""


class _AsrTimes(_Part):
    threshold_rms: Annotated[float, Field(ge=0, le=32768)] = 300.0
    """A 10 ms frame of 16-bit audio above this is speech."""
    first_interim_ms: Ms = 400.0
    """Speech, in audio time, before the first interim."""
    word_interval_ms: Annotated[float, Field(gt=0)] = 250.0
    """Speech between one more word and the next."""
    final_after_speech_end_ms: Ms = 300.0
    """Wall time from the arrival of the last speech frame to the final."""
    two_pass_eou_ms: Ms | None = None
    """Where set, an interim of stability 1 with all words goes out this long after the end of speech."""
    eou_ms: Ms = 20.0
    """From a honoured force_eou to the final."""
    half_close_final_ms: Ms = 10.0
    """From a half-close to the last final."""


class AsrScript(_AsrTimes):
    transcripts: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_TRANSCRIPTS
    """One per utterance, cycled."""
    cycle_per: Literal["server", "stream"] = "server"
    """Whether all streams take from one running list, or each stream starts at the first transcript."""
    honours_force_eou: bool = False
    """The deployed Parakeet models ignore it; the cache-aware ones do not."""
    empty_final: bool = True
    """Whether a stream without any final ends with an empty one."""
    recordings: tuple[KnownRecording, ...] = ()
    """Where there are some, they are found in the audio and their words are what is recognised, each once it was said;
    `transcripts`, `first_interim_ms` and `word_interval_ms` then say nothing. Sound that is not found has no words."""
    word_delay_ms: Ms = 200.0
    """Of recordings: audio time from a word's end to the interim that holds it. Finals hold every word that ended."""
    answers_each_message: bool = True
    """One response per audio message, empty when nothing changed."""
    models: tuple[str, ...] = ("parakeet-0.6b-en-US-asr-streaming-throughput",)
    language_codes: tuple[str, ...] = ("en-US",)
    faults: tuple[AsrFault, ...] = ()


class TtsError(_Fault):
    """The call ends with a status after some chunks."""

    kind: Literal["error"] = "error"
    status: StatusName = "INTERNAL"
    message: str = "synthesis failed by script"
    after_chunks: Count = 0


class TtsStall(_Fault):
    """No chunk follows after `after_chunks`, and the call stays open."""

    kind: Literal["stall"] = "stall"
    after_chunks: Count = 0


class TtsEmpty(_Fault):
    """The call succeeds without a sample of audio."""

    kind: Literal["empty"] = "empty"


class TtsSlow(_Fault):
    """Other times for the struck requests."""

    kind: Literal["slow"] = "slow"
    first_chunk_ms: Ms = 2000.0
    speed: Annotated[float, Field(gt=0)] = 0.5


TtsFault = Annotated[TtsError | TtsStall | TtsEmpty | TtsSlow, Field(discriminator="kind")]


class TtsScript(_Part):
    first_chunk_ms: Ms = 80.0
    """From the arrival of a text to its first chunk."""
    chunk_ms: Annotated[float, Field(ge=1)] = 100.0
    """Audio per chunk."""
    speed: Annotated[float, Field(gt=0)] = 5.0
    """Later chunks come this many times faster than they play."""
    ms_per_character: Annotated[float, Field(gt=0)] = 60.0
    leading_silence_ms: Ms = 0.0
    """Silence before the tone: real voices have some."""
    marks: bool = False
    """Whether the audio says in its lowest bits which text and sample it is, and the log where each word stands."""
    native_rate_hz: Annotated[int, Field(ge=8000, le=48000)] = 22050
    """The rate where a request names none."""
    voices: Annotated[tuple[str, ...], Field(min_length=1)] = ("English-US.Female-1", "English-US.Male-1")
    language_codes: tuple[str, ...] = ("en-US",)
    model: str = "fastpitch_hifigan_ensemble-English-US"
    max_characters: Annotated[int, Field(ge=1)] = 2000
    faults: tuple[TtsFault, ...] = ()


class LlmHttpError(_Fault):
    """An HTTP error in OpenAI's shape in place of an answer."""

    kind: Literal["http_error"] = "http_error"
    status: Annotated[int, Field(ge=400, le=599)] = 500
    message: str = "failed by script"
    retry_after_s: Annotated[float, Field(ge=0)] | None = None


class LlmStall(_Fault):
    """No token follows after `after_tokens`, and the connection stays open."""

    kind: Literal["stall"] = "stall"
    after_tokens: Count = 0


class LlmReset(_Fault):
    """The TCP connection is reset after some tokens."""

    kind: Literal["reset"] = "reset"
    after_tokens: Count = 0


class LlmGarbage(_Fault):
    """After some tokens comes an event that is not JSON, and the response ends without [DONE]."""

    kind: Literal["garbage"] = "garbage"
    after_tokens: Count = 0


class LlmSlowHeaders(_Fault):
    """Status line and headers come this late; the tokens wait for them."""

    kind: Literal["slow_headers"] = "slow_headers"
    headers_ms: Ms = 2000.0


LlmFault = Annotated[LlmHttpError | LlmStall | LlmReset | LlmGarbage | LlmSlowHeaders, Field(discriminator="kind")]


class LlmScript(_Part):
    first_token_ms: Ms = 120.0
    """From the arrival of a request to its first token."""
    token_interval_ms: Ms = 10.0
    replies: Annotated[tuple[str | tuple[str, ...], ...], Field(min_length=1)] = DEFAULT_REPLIES
    """One per request, cycled: a list holds tokens, a text is cut into marks and words with their leading space."""
    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("meta/llama-3.1-8b-instruct",)
    refuses_unknown_model: bool = False
    log_messages: bool = False
    """Whether the log holds the messages of each request, as pairs of role and content."""
    log_tokens: bool = True
    """Whether each token is an event of the log; the first and the last always are."""
    faults: tuple[LlmFault, ...] = ()


class Script(_Part):
    asr: AsrScript = AsrScript()
    tts: TtsScript = TtsScript()
    llm: LlmScript = LlmScript()


FaultT = TypeVar("FaultT", bound=_Fault)


def fault_for(faults: tuple[FaultT, ...], number: int) -> FaultT | None:
    """The first fault that strikes request `number`."""
    return next((fault for fault in faults if fault.strikes(number)), None)


def parse_script(text: str) -> Script:
    """A script from YAML or JSON text; what it leaves out keeps its default. Raises ScriptError."""
    return build_script(_load(text))


def read_script(path: Path) -> Script:
    """Raises ScriptError, also when the file cannot be read."""
    try:
        return parse_script(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScriptError(f"The script {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ScriptError(f"The script {path} is not UTF-8 text.") from error


def changed_script(script: Script, text: str) -> Script:
    """The script with the values of a YAML or JSON text laid over it, key by key. Raises ScriptError."""
    changes = _load(text)
    return build_script(_laid_over(script.model_dump(), changes))


def build_script(values: dict[str, Any]) -> Script:
    """Raises ScriptError for the first value that is not allowed."""
    try:
        return Script.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ScriptError(f"'{where}' is {str(first['input'])[:80]!r}: {first['msg']}.") from error


def _load(text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)  # JSON is YAML
    except yaml.YAMLError as error:
        raise ScriptError("The script is neither valid YAML nor JSON.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ScriptError("The script must be a mapping with the keys asr, tts and llm.")
    return values


def _laid_over(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
