"""The whole product with real speech: processes, wire protocols, engines. What it says is recognised again."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jiwer
import pytest
import riva.client
from processes import BIN, Stack, embedded_stack

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "services/speech-worker/tests/audio"
pytestmark = [pytest.mark.edge, pytest.mark.speech]

ENGINE_WORD_ERRORS = 0.4
"""Word errors allowed when a demo recogniser hears a demo voice: 12 % is typical, and the sentences are short."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with embedded_stack() as running:
        yield running


def say(stack: Stack, out: Path, *arguments: str | Path) -> dict[str, Any]:
    command = [BIN / "voice", "say", *arguments, "--target", stack.gateway.address, "--out", out, "--json"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=58)
    assert result.returncode == 0, result.stdout + result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_spoken_question_is_answered_aloud(stack: Stack, tmp_path: Path) -> None:
    told = say(stack, tmp_path / "answer.wav", AUDIO / "what-is-seven-times-six.wav")
    turn = told["turns"][0]
    assert turn["transcript"] == "what is seven times six"
    assert "forty two" in turn["answer"].lower()
    # What came out of the loudspeaker is recognised by the same server through NVIDIA's own client.
    heard = recognise(stack.speech.address, tmp_path / "answer.wav")
    spoken = spoken_words(turn["answer"])
    assert jiwer.wer(spoken, heard) <= ENGINE_WORD_ERRORS, f"spoken {spoken!r}, heard {heard!r}"


def test_a_name_is_remembered_within_a_call(stack: Stack, tmp_path: Path) -> None:
    told = say(stack, tmp_path / "answer.wav", AUDIO / "my-name-is-sarah.wav", AUDIO / "what-is-my-name.wav", "--fast")
    assert [turn["transcript"] for turn in told["turns"]] == ["my name is sarah", "what is my name"]
    assert "sarah" in told["turns"][1]["answer"].lower()


def test_the_gateway_names_its_backends(stack: Stack) -> None:
    command = [str(BIN / "voice"), "check", "--target", stack.gateway.address, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stdout
    document = json.loads(result.stdout)
    assert document["ok"]
    assert {backend["kind"] for backend in document["backends"]} == {"asr", "llm", "tts"}


def recognise(server: str, path: Path) -> str:
    """The words of a WAV, by NVIDIA's client."""
    service = riva.client.ASRService(riva.client.Auth(uri=server))
    config = riva.client.RecognitionConfig(language_code="en-US", max_alternatives=1, verbatim_transcripts=True)
    response = service.offline_recognize(path.read_bytes(), config)
    return " ".join(result.alternatives[0].transcript.strip() for result in response.results).lower()


def spoken_words(text: str) -> str:
    """The answer as a recogniser writes it: lower case, no marks."""
    words = text.lower().replace("-", " ")
    return "".join(character for character in words if character.isalpha() or character in " '")
