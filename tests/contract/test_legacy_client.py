"""A client generated from the first contract alone, in a process of its own, against a real gateway and fakes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import Service, gateway_for, service

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
QUESTION = ROOT / "services/speech-worker/tests/audio/what-time-is-it.wav"
pytestmark = [pytest.mark.edge]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client and the code generated for it."""
    folder = tmp_path_factory.mktemp("legacy")
    (folder / "first_contract.proto").write_text((HERE / "first_contract.proto").read_text())
    (folder / "legacy_client.py").write_text((HERE / "legacy_client.py").read_text())
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        "-I.",
        "--python_out=.",
        "--grpc_python_out=.",
        "first_contract.proto",
    ]
    subprocess.run(command, cwd=folder, check=True, timeout=30)
    return folder


@pytest.fixture(scope="module")
def gateway() -> Iterator[Service]:
    with (
        service("fakes", "voice-fakes", "--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0") as fakes,
        gateway_for(
            f"127.0.0.1:{fakes.ready['riva_port']}", f"http://127.0.0.1:{fakes.ready['llm_port']}/v1"
        ) as running,
    ):
        yield running


def call(client: Path, gateway: Service, pace: str, ending: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "legacy_client.py", gateway.address, str(QUESTION), pace, ending],
        cwd=client, capture_output=True, text=True, check=False, timeout=55,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize(("pace", "ending"), [("fast", "close"), ("paced", "break")])
def test_a_deployed_client_is_served_as_ever(client: Path, gateway: Service, pace: str, ending: str) -> None:
    answer = call(client, gateway, pace, ending)
    received = answer["received"]
    assert answer["unknown"] == 0, "nothing that the first contract does not explain"
    transcripts = [text for kind, text, *_ in received if kind == "transcript_chunk"]
    assert transcripts
    assert all(text.endswith("...") for text in transcripts[:-1])
    assert transcripts[-1]
    assert not transcripts[-1].endswith("...")
    events = [item[1] for item in received if item[0] == "event"]
    assert events[:4] == ["LISTENING", "PROCESSING", "SPEAKING", "END_OF_TURN"]
    text = "".join(item[1] for item in received if item[0] == "llm_response_chunk")
    audio = bytes.fromhex("".join(item[1] for item in received if item[0] == "audio_chunk"))
    # The fake voice speaks 60 ms a character at the caller's rate of 16 kHz.
    assert len(audio) / 2 / 16 == pytest.approx(len(text) * 60, rel=0.05)
    kinds = [item[1] if item[0] == "event" else item[0] for item in received]
    assert kinds.index("SPEAKING") < kinds.index("audio_chunk")
    last_audio = len(kinds) - 1 - kinds[::-1].index("audio_chunk")
    assert last_audio < kinds.index("END_OF_TURN")
    if ending == "close":
        assert answer["status"] == "OK"
        assert kinds[-1] == "END_OF_TURN"
