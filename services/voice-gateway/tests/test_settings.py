"""Settings of the gateway: keys, sources, refusals."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from servicekit.settings import SettingsError, describe
from voice_gateway.application.config import CallConfig
from voice_gateway.application.messages import Overrides
from voice_gateway.domain.policy import Finalize
from voice_gateway.settings import OVERRIDABLE, GatewaySettings, changed_keys, load, to_call_config

KEPT = {
    "ASR_LANGUAGE": "en-US",
    "ASR_SAMPLE_RATE": "16000",
    "LLM_MODEL": "meta/llama-3.1-8b-instruct",
    "LLM_TEMPERATURE": "0.5",
    "LLM_MAX_TOKENS": "1024",
    "TTS_VOICE": "",
    "TTS_SAMPLE_RATE": "16000",
}
"""Keys that operators' files hold, and their defaults."""


def refused(file: Path | None = None, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ=environ, file=file)
    return str(caught.value)


def test_the_known_keys_keep_names_and_defaults() -> None:
    docs = {doc.key: doc for doc in describe(GatewaySettings)}
    assert {key: docs[key].default for key in KEPT} == KEPT
    assert docs.keys() >= {"LLM_SYSTEM_PROMPT", "RIVA_URI", "ASR_URI", "TTS_URI", "LLM_BASE_URL"}
    assert {key for key, doc in docs.items() if doc.secret} == {
        "LLM_API_KEY",
        "LLM_FALLBACK_API_KEY",
        "NVIDIA_API_KEY",
        "NGC_API_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    }


def test_every_key_says_what_it_is_and_when_it_applies() -> None:
    for doc in describe(GatewaySettings):
        assert doc.description.endswith("."), doc.key
        assert doc.applies in {"at once", "next turn", "next call", "restart"}, doc.key


def test_defaults_are_those_of_the_application() -> None:
    assert replace(to_call_config(load(environ={})), revision="default") == CallConfig()


def test_everything_a_call_reads_can_be_set() -> None:
    """Each tunable value has a key: changing every key changes every value."""
    changed = {
        doc.key: {
            "true": "false", "false": "true", "auto": "half_close", "en-US": "de-DE", "-15.0": "-9",
        }.get(doc.default) or (str(float(doc.default) * 0.9) if "." in doc.default else str(int(doc.default) + 1))
        if doc.default.replace(".", "").replace("-", "").isdigit() or doc.default in {"true", "false", "auto", "en-US"}
        else "other"
        for doc in describe(GatewaySettings)
        if doc.applies not in {"at once", "restart"}
    }  # fmt: skip
    changed |= {
        "ASR_SAMPLE_RATE": "8000", "PHRASE_MAX_CHARACTERS": "199", "ALLOWED_OVERRIDES": "tts_voice",
        "ASR_LANGUAGE": "de-DE", "TTS_LANGUAGE": "fr-FR", "MAX_CHUNK_BYTES": "2000", "LOG_WORDS": "true",
        "PLAYOUT_FRAME_MS": "50",
    }  # fmt: skip
    before, after = CallConfig(), to_call_config(load(environ=changed))
    for part in fields(CallConfig):
        old, new = getattr(before, part.name), getattr(after, part.name)
        if hasattr(old, "__dataclass_fields__"):
            same = [name.name for name in fields(old) if getattr(old, name.name) == getattr(new, name.name)]
            assert same == [], part.name
        else:
            assert old != new, part.name


def test_numbers_may_be_quoted_and_a_prompt_may_be_in_any_language(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    prompt = "You are a Hindi-speaking assistant. Respond in Hindi."
    file.write_text(
        yaml.safe_dump(
            {"LLM_TEMPERATURE": "0.7", "LLM_MAX_TOKENS": 512, "ASR_SAMPLE_RATE": "8000", "LLM_SYSTEM_PROMPT": prompt}
        )
    )
    settings = load(environ={"GATEWAY_CONFIG": str(file), "LLM_TEMPERATURE": "0.1"})
    assert (settings.llm.temperature, settings.llm.max_tokens, settings.asr.sample_rate) == (0.7, 512, 8_000)
    assert settings.llm.system_prompt == prompt


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("LLM_TEMPERATURE", "hot", "allowed is a number from 0 to 2."),
        ("ASR_SAMPLE_RATE", "44100", "allowed is 8000, 16000, 32000 or 48000."),
        ("ASR_FINALIZE", "perhaps", "allowed is auto, force_eou or half_close."),
        ("RIVA_URI", "http://riva:50051", "allowed is host:port without a scheme, for example riva-api:50051."),
        ("RIVA_TLS_CA_FILE", "/nowhere.pem", "no such file; allowed is a PEM file that exists, or empty."),
        ("LLM_BASE_URL", "nim-llm:8000", "allowed is an http or https address, for example http://nim-llm:8000/v1."),
        ("GATEWAY_LISTEN_ADDRESS", "50051", "allowed is host:port with a port of 0 to 65535, for example"),
        ("ALLOWED_OVERRIDES", "voice", f"voice is not among: {', '.join(OVERRIDABLE)}."),
        ("MAX_CALLS", "0", "allowed is a whole number from 1 to 10000."),
        ("LOG_LEVEL", "loud", "allowed is debug, info, warning or error."),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(key: str, value: str, sentence: str) -> None:
    assert refused(None, **{key: value}).startswith(f"{key} is '{value}' (from the environment); {sentence}")


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"TURN_CONFIRM_MS": "50"}, "TURN_CONFIRM_MS is 50; allowed is TURN_ONSET_MS, which is 100, or more."),
        ({"ENDPOINT_SILENCE_MS": "200", "TURN_SOFT_END_MS": "300"}, "TURN_SOFT_END_MS is 300; allowed is"),
        ({"PHRASE_FIRST_MIN_CHARACTERS": "100"}, "PHRASE_FIRST_MIN_CHARACTERS is 100; allowed is"),
        ({"PHRASE_MIN_CHARACTERS": "100", "PHRASE_MAX_CHARACTERS": "50"}, "PHRASE_MIN_CHARACTERS is 100; allowed is"),
        ({"SLOW_CONSUMER_END_MS": "1000"}, "SLOW_CONSUMER_END_MS is 1000; allowed is"),
        ({"JOURNAL": "redacted"}, "JOURNAL_DIR is not set; JOURNAL=redacted needs it."),
        ({"JOURNAL": "full", "JOURNAL_DIR": "x"}, "JOURNAL is full; allowed is off or redacted, unless JOURNAL_WORDS"),
        ({"JOURNAL_MAX_MB": "5"}, "JOURNAL_MAX_CALL_MB is 10; allowed is JOURNAL_MAX_MB, which is 5, or less."),
        ({"BACKENDS": "hosted"}, "NVIDIA_API_KEY is not set; BACKENDS=hosted needs it."),
        ({"RIVA_URI": "127.0.0.1:50051"}, "GATEWAY_LISTEN_ADDRESS is 127.0.0.1:50051, where the gateway also looks"),
        ({"TTS_URI": "127.0.0.1:50051"}, "GATEWAY_LISTEN_ADDRESS is 127.0.0.1:50051, where the gateway also looks"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(environ: dict[str, str], sentence: str) -> None:
    assert refused(None, **environ).startswith(sentence)


def test_calls_are_not_recorded_unless_asked(tmp_path: Path) -> None:
    assert load(environ={}).journal.mode == "off"
    file = tmp_path / "gateway.yaml"
    file.write_text("JOURNAL: off\n")  # which YAML reads as false
    assert load(environ={}, file=file).journal.mode == "off"
    full = load(environ={"JOURNAL": "full", "JOURNAL_WORDS": "true", "JOURNAL_DIR": "journals"}).journal
    assert (full.mode, full.dir) == ("full", Path("journals"))


def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "LLM_TEMPRATURE").write_text("0.7")
    assert refused(tmp_path) == f"LLM_TEMPRATURE in {tmp_path} is not a known key; did you mean LLM_TEMPERATURE?"


def test_hosted_needs_a_key_and_nothing_else() -> None:
    settings = load(environ={"BACKENDS": "hosted", "NVIDIA_API_KEY": "nvapi-1"})
    assert (settings.riva.uri, settings.riva.tls) == ("grpc.nvcf.nvidia.com:443", True)
    assert settings.llm.base_url == "https://integrate.api.nvidia.com/v1"
    assert settings.asr.function_id
    assert settings.tts.function_id
    assert settings.tts.voice.startswith("Magpie-Multilingual.EN-US.")
    assert settings.llm_key == settings.speech_key(settings.asr.function_id) == "nvapi-1"


def test_hosted_stands_below_every_other_source(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("BACKENDS: hosted\nTTS_VOICE: Mine\n")
    settings = load(environ={"NGC_API_KEY": "nvapi-2", "ASR_FUNCTION_ID": "f", "LLM_API_KEY": "l"}, file=file)
    assert (settings.tts.voice, settings.asr.function_id, settings.llm_key) == ("Mine", "f", "l")
    assert settings.speech_key("f") == "nvapi-2"


@pytest.mark.parametrize(
    "base_url", ["http://nim-llm:8000/v1", "https://nvidia.com.example.net/v1", "http://integrate.api.nvidia.com/v1"]
)
def test_nvidias_key_goes_to_nvidia_only_and_never_in_the_clear(base_url: str) -> None:
    settings = load(environ={"NVIDIA_API_KEY": "nvapi-1", "LLM_BASE_URL": base_url})
    assert settings.llm_key == ""
    assert settings.speech_key("") == settings.speech_key("f") == ""


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    secret = "nvapi-very-secret"
    environ = {"NVIDIA_API_KEY": secret, "NGC_API_KEY": secret, "LLM_API_KEY": secret}
    settings = load(environ=environ)
    assert secret not in repr(settings)
    assert secret not in settings.model_dump_json()
    assert secret not in refused(None, LLM_TEMPERATURE="9", **environ)


def test_a_revision_follows_the_values_and_nothing_else() -> None:
    first = to_call_config(load(environ={}))
    same = to_call_config(load(environ={"LLM_TEMPERATURE": "0.50", "MAX_CALLS": "7", "NVIDIA_API_KEY": "x"}))
    other = to_call_config(load(environ={"LLM_TEMPERATURE": "0.51"}))
    assert first.revision == same.revision != other.revision
    assert len(first.revision) == 12


def test_overridable_names_are_those_of_the_contract() -> None:
    assert set(OVERRIDABLE) == {field.name for field in fields(Overrides)}


def test_a_speech_service_of_its_own() -> None:
    settings = load(environ={"ASR_URI": "asr:50051", "TTS_URI": "dns:///tts:50051", "ASR_FINALIZE": "half_close"})
    assert (settings.asr.uri, settings.tts.uri) == ("asr:50051", "dns:///tts:50051")
    assert to_call_config(settings).turn.finalize is Finalize.HALF_CLOSE


# ---- lists of backends, breakers, apologies -------------------------------------------------------------------------


def test_fallbacks_are_lists_in_the_environment_and_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    urls = ["http://two:8000/v1#llama", "https://three/v1"]
    file.write_text(yaml.safe_dump({"LLM_FALLBACKS": urls, "ASR_FALLBACKS": ["two:1", "unix:/run/three"]}))
    from_file = load(environ={}, file=file)
    from_environ = load(environ={"LLM_FALLBACKS": ", ".join(urls), "ASR_FALLBACKS": "two:1,unix:/run/three"})
    for settings in (from_file, from_environ):
        assert settings.llm.fallbacks == tuple(urls)
        assert settings.asr.fallbacks == ("two:1", "unix:/run/three")
        assert settings.tts.fallbacks == ()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("LLM_FALLBACKS", "two:8000", "allowed is an http or https address"),
        ("LLM_FALLBACKS", "http://two/v1#", "a model's name follows #"),
        ("LLM_FALLBACKS", "http://user:key@two/v1", "allowed is an http or https address"),
        ("LLM_FALLBACKS", "http://127.0.0.1:8000/v1", "which is tried first anyway"),
        ("ASR_FALLBACKS", "http://two:50051", "allowed is host:port without a scheme"),
        ("ASR_FALLBACKS", "two", "allowed is host:port"),
        ("ASR_FALLBACKS", "127.0.0.1:50052", "which is tried first anyway"),
        ("TTS_FALLBACKS", "two:1,two:1", "an entry is there twice"),
        ("TTS_FALLBACKS", ",".join(f"two:{port}" for port in range(1, 9)), "it has 8 entries; allowed are 7 at most"),
        ("TTS_FALLBACKS", "127.0.0.1:50051", "where the gateway also looks for speech services"),
        ("BREAKER_FAILURES", "0", "allowed is a whole number from 1 to 100"),
        ("BREAKER_LONGEST_PAUSE_MS", "500", "allowed is BREAKER_FIRST_PAUSE_MS, which is 1000, or more"),
        ("APOLOGY_LLM", "x" * 201, "a text has 201 characters; allowed are 200 in each language"),
        ("APOLOGY_TTS", "Sorry. | de: " + "x" * 201, "a text has 201 characters; allowed are 200 in each language"),
        ("APOLOGY_EARCON", "perhaps", "allowed is true or false"),
    ],
)
def test_a_broken_ladder_is_refused(key: str, value: str, said: str) -> None:
    sentence = refused(None, **{key: value})
    assert key in sentence or "GATEWAY_LISTEN_ADDRESS" in sentence
    assert said in sentence


def test_apologies_may_be_a_mapping_of_languages(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(
        yaml.safe_dump({"APOLOGY_LLM": {"en": "One moment.", "ja": "少々お待ちください。"}, "APOLOGY_ASR": ""})
    )
    apology = to_call_config(load(environ={}, file=file)).apology
    assert apology.text("llm", "ja-JP", configured_language="en-US") == "少々お待ちください。"
    assert apology.text("llm", "en-GB", configured_language="en-US") == "One moment."
    assert apology.text("asr", "en-US", configured_language="en-US") == ""
    assert load(environ={"CANNED_SPEECH_DIR": str(tmp_path)}).failure.apology.directory == tmp_path


ACCOUNT = {"POD_NAME": "p", "POD_NAMESPACE": "n", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("files", "environ", "sentence"),
    [
        (["TLS_CERT_FILE"], {}, "TLS_KEY_FILE is not set; TLS_CERT_FILE needs it."),
        (["TLS_KEY_FILE"], {}, "TLS_CERT_FILE is not set; TLS_KEY_FILE needs it."),
        (["TLS_CLIENT_CA_FILE"], {}, "TLS_CERT_FILE is not set; TLS_CLIENT_CA_FILE needs it, since callers show"),
        ([], {"AUTH_MODE": "api_key"}, "AUTH_API_KEYS_FILE is not set; AUTH_MODE=api_key needs it."),
        ([], {"AUTH_MODE": "jwt"}, "AUTH_JWT_PUBLIC_KEY_FILE is not set; AUTH_MODE=jwt needs it."),
        (
            ["AUTH_JWT_PUBLIC_KEY_FILE"],
            {"AUTH_MODE": "jwt"},
            "AUTH_JWT_AUDIENCE is not set; AUTH_MODE=jwt needs it, or",
        ),
        (
            [],
            {"HEALTH_LISTEN_ADDRESS": "127.0.0.1:8080"},
            "HEALTH_LISTEN_ADDRESS is 127.0.0.1:8080, which is METRICS_LISTEN_ADDRESS already; allowed is another",
        ),
        (
            [],
            {**ACCOUNT, "POD_NAME": "", "POD_DELETION_COST": "true"},
            "POD_NAME is not set; POD_DELETION_COST=true needs it.",
        ),
        (
            [],
            {**ACCOUNT, "KUBERNETES_SERVICE_HOST": "", "KUBERNETES_EVENTS": "true"},
            "KUBERNETES_SERVICE_HOST is not set; KUBERNETES_EVENTS=true needs it.",
        ),
    ],
)
def test_an_edge_that_cannot_be_is_refused(
    tmp_path: Path, files: list[str], environ: dict[str, str], sentence: str
) -> None:
    file = tmp_path / "some"
    file.write_text("")
    assert refused(None, **dict.fromkeys(files, str(file)), **environ).startswith(sentence)


@pytest.mark.parametrize("key", ["TLS_CERT_FILE", "AUTH_API_KEYS_FILE", "AUTH_JWT_PUBLIC_KEY_FILE"])
def test_a_file_that_is_not_there_is_refused(key: str) -> None:
    assert refused(None, **{key: "/nowhere"}).startswith(f"{key} is '/nowhere' (from the environment); no such file;")


def test_a_prompt_is_not_shown_where_it_is_refused() -> None:
    for key in ("LLM_SYSTEM_PROMPT", "CONVERSATION_GREETING"):
        assert refused(None, **{key: "private " * 5_000}).startswith(
            f"{key} is (hidden) (from the environment); allowed"
        )


def test_keys_that_differ_are_named() -> None:
    before = load(environ={})
    after = load(environ={"LLM_TEMPERATURE": "0.1", "MAX_CALLS": "7", "TLS_CERT_FILE": ""})
    assert changed_keys(before, after) == ("LLM_TEMPERATURE", "MAX_CALLS")
    assert changed_keys(before, after, applies="restart") == ("MAX_CALLS",)
