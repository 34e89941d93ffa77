"""Settings: sources, precedence and sentences."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from servicekit.settings import SettingsError, describe, load_settings, read_keys, split_address


class Asr(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    language: Annotated[str, Field(min_length=2, max_length=20)] = "en-US"
    sample_rate: int = Field(default=16_000, ge=8_000, le=48_000, json_schema_extra={"unit": "Hz"})
    """Rate of the audio.
    16 kHz is what the models were trained on."""


class Tree(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, coerce_numbers_to_str=True
    )

    asr: Asr = Asr()
    level: Literal["debug", "info"] = Field(default="info", alias="LOG_LEVEL")
    api_key: SecretStr = SecretStr("")
    temperature: float = Field(default=0.5, ge=0, le=2, allow_inf_nan=False)
    gain: float = Field(default=1.0, gt=0)
    fast: bool = False
    address: str = "127.0.0.1:1"
    names: frozenset[str] = frozenset({"b", "a"})

    @field_validator("names", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value

    @field_validator("address")
    @classmethod
    def _has_port(cls, value: str) -> str:
        if ":" not in value:
            raise ValueError("allowed is host:port")
        return value


def problems(file: Path | None = None, **environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(Tree, file=file, environ=environ)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    return caught.value.problems


def test_the_file_wins_over_the_environment_and_both_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("ASR_SAMPLE_RATE: 8000\nTEMPERATURE: '0.7'\n")
    tree = load_settings(
        Tree, file=file, environ={"ASR_SAMPLE_RATE": "44100", "ASR_LANGUAGE": "hi-IN", "PATH": "x", "FAST": ""}
    )
    assert (tree.asr.sample_rate, tree.asr.language, tree.temperature, tree.level) == (8_000, "hi-IN", 0.7, "info")
    assert tree.fast is False


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERATURE", "1.5")
    monkeypatch.setenv("ASR", '{"language": "de"}')
    assert load_settings(Tree, file=None, environ={}) == load_settings(Tree, file=None, environ={"TEMPERATURE": "0.5"})


def test_a_mounted_directory_has_one_file_per_key(tmp_path: Path) -> None:
    revision = tmp_path / "..2026"
    revision.mkdir()
    (revision / "ASR_LANGUAGE").write_text("de-DE\n")
    (revision / "NAMES").write_text("x,y")
    (tmp_path / "..data").symlink_to("..2026")
    for key in ("ASR_LANGUAGE", "NAMES"):
        (tmp_path / key).symlink_to(f"..data/{key}")
    tree = load_settings(Tree, file=tmp_path, environ={})
    assert (tree.asr.language, tree.names) == ("de-DE", frozenset({"x", "y"}))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("ASR_SAMPLE_RATE", "abc", "allowed is a whole number from 8000 to 48000"),
        ("ASR_SAMPLE_RATE", "96000", "allowed is a whole number from 8000 to 48000"),
        ("TEMPERATURE", "nan", "allowed is a number from 0 to 2"),
        ("GAIN", "0", "allowed is a number above 0"),
        ("LOG_LEVEL", "loud", "allowed is debug or info"),
        ("FAST", "perhaps", "allowed is true or false"),
        ("ASR_LANGUAGE", "x", "allowed is text of 2 to 20 characters"),
        ("ADDRESS", "nowhere", "allowed is host:port"),
    ],
)
def test_a_wrong_value_gets_one_sentence(key: str, value: str, sentence: str) -> None:
    assert problems(None, **{key: value}) == (f"{key} is '{value}' (from the environment); {sentence}.",)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("TEMPERATUR: 1\nzzz: 1\nFAST: maybe\n")
    assert problems(file, GAIN="-1") == (
        f"TEMPERATUR in {file} is not a known key; did you mean TEMPERATURE?",
        f"zzz in {file} is not a known key.",
        "GAIN is '-1' (from the environment); allowed is a number above 0.",
        f"FAST is 'maybe' (from {file}); allowed is true or false.",
    )


def test_a_long_value_is_shortened() -> None:
    (sentence,) = problems(TEMPERATURE="9" * 500)
    assert len(sentence) < 200


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("API_KEY: [nvapi-secret]\n")
    (sentence,) = problems(file)
    assert sentence.startswith("API_KEY is (hidden)")
    assert "nvapi-secret" not in sentence
    assert "nvapi-secret" not in repr(load_settings(Tree, file=None, environ={"API_KEY": "nvapi-secret"}))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("- a\n- b\n", "holds no keys"), ("a: [1\nb: 2\n", "is not valid YAML (line 2)"), (None, "can't be read")],
)
def test_a_broken_file_is_one_sentence(content: str | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    if content is not None:
        file.write_text(content)
    (said,) = problems(file)
    assert said.startswith(f"{file} {sentence}")


def test_a_file_of_a_folder_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "LLM_MODEL").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"/LLM_MODEL is not UTF-8\.$"):
        read_keys(tmp_path)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("# nothing yet\n")
    assert load_settings(Tree, file=file, environ={}) == load_settings(Tree, file=None, environ={})


def test_every_key_can_be_described() -> None:
    docs = {doc.key: doc for doc in describe(Tree)}
    assert list(docs) == [
        "ASR_LANGUAGE", "ASR_SAMPLE_RATE", "LOG_LEVEL", "API_KEY", "TEMPERATURE", "GAIN", "FAST", "ADDRESS", "NAMES",
    ]  # fmt: skip
    rate = docs["ASR_SAMPLE_RATE"]
    assert (rate.default, rate.unit, rate.applies, rate.path) == ("16000", "Hz", "", ("asr", "sample_rate"))
    assert rate.description == "Rate of the audio. 16 kHz is what the models were trained on."
    assert (docs["API_KEY"].secret, docs["API_KEY"].default) == (True, "")
    assert (docs["FAST"].default, docs["NAMES"].default) == ("false", "a,b")
    assert docs["NAMES"].allowed == "a comma-separated list of: text"


def test_addresses_are_split() -> None:
    assert split_address("127.0.0.1:50051") == ("127.0.0.1", 50051)
    assert split_address("[::1]:0") == ("::1", 0)


@pytest.mark.parametrize(
    "address", ["", "host", ":1", "host:", "host:65536", "host:-1", "host:x", "host:\u0661", "::1:5"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"allowed is host:port|written in brackets"):
        split_address(address)
