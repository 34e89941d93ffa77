"""The contract as files: linted, never broken, and what is generated from it is up to date."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from voice_contracts import voice_workflow_pb2 as new

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")
FIRST = ROOT / "tests/contract/first_contract.proto"
pytestmark = pytest.mark.edge


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=50
    )


def test_the_contract_is_lint_free() -> None:
    result = run(BUF, "lint", "proto")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("baseline", ["first", "released"])
def test_the_contract_breaks_no_client(baseline: str, tmp_path: Path) -> None:
    against = _module(tmp_path, FIRST if baseline == "first" else ROOT / "proto/baseline/voice_workflow.proto.txt")
    result = run(BUF, "breaking", "proto", "--against", against)
    assert result.returncode == 0, result.stdout


def test_the_breaking_change_check_can_fail(tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    changed.mkdir()
    text = (ROOT / "proto/voice_workflow.proto").read_text()
    assert "bytes audio_chunk = 3;" in text
    (changed / "voice_workflow.proto").write_text(text.replace("bytes audio_chunk = 3;", "bytes audio_chunk = 30;"))
    (changed / "buf.yaml").write_text((ROOT / "proto/buf.yaml").read_text())
    result = run(BUF, "breaking", changed, "--against", _module(tmp_path, FIRST))
    assert result.returncode != 0
    assert "audio_chunk" in result.stdout


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    result = run(ROOT / "scripts/generate_stubs.sh", tmp_path)
    assert result.returncode == 0, result.stderr
    kept = ROOT / "services/contracts/src/voice_contracts"
    for fresh in sorted((tmp_path / "voice_contracts").iterdir()):
        assert fresh.read_text() == (kept / fresh.name).read_text(), f"{fresh.name}: run `make proto`"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("ClientMessage", {"config": 1, "audio_chunk": 2, "text_input": 3}),
        ("VoiceConfig", {"language_code": 1, "session_id": 2, "sample_rate": 3}),
        ("ServerMessage", {"transcript_chunk": 1, "llm_response_chunk": 2, "audio_chunk": 3, "event": 4}),
        ("ServerEvent", {"type": 1, "message": 2}),
    ],
)
def test_field_numbers_are_those_of_deployed_clients(message: str, fields: dict[str, int]) -> None:
    descriptor = new.DESCRIPTOR.message_types_by_name[message]
    assert {name: descriptor.fields_by_name[name].number for name in fields} == fields


def test_messages_of_the_first_contract_are_the_same_bytes(tmp_path: Path) -> None:
    """Encoded by either contract, what both can say is one and the same."""
    old = _first_contract(tmp_path)
    config: dict[str, Any] = {"language_code": "hi-IN", "session_id": "s", "sample_rate": 44_100}
    pairs = [
        (
            old("ClientMessage")(config=old("VoiceConfig")(**config)),
            new.ClientMessage(config=new.VoiceConfig(**config)),
        ),
        (old("ClientMessage")(audio_chunk=b"\x01\x02"), new.ClientMessage(audio_chunk=b"\x01\x02")),
        (old("ClientMessage")(text_input="नमस्ते"), new.ClientMessage(text_input="नमस्ते")),
        (old("ServerMessage")(transcript_chunk="what..."), new.ServerMessage(transcript_chunk="what...")),
        (old("ServerMessage")(llm_response_chunk="It"), new.ServerMessage(llm_response_chunk="It")),
        (old("ServerMessage")(audio_chunk=b"\x00"), new.ServerMessage(audio_chunk=b"\x00")),
    ]
    for number in range(6):
        event = new.ServerEvent(type=number, message="m")  # type: ignore[arg-type]
        pairs.append(
            (old("ServerMessage")(event=old("ServerEvent")(type=number, message="m")), new.ServerMessage(event=event))
        )
    for before, after in pairs:
        assert before.SerializeToString() == after.SerializeToString()


def _module(folder: Path, source: Path) -> Path:
    module = folder / source.stem
    module.mkdir(exist_ok=True)
    (module / "voice_workflow.proto").write_text(source.read_text())
    (module / "buf.yaml").write_text("version: v2\n")
    return module


def _first_contract(folder: Path):  # type: ignore[no-untyped-def]
    """Message classes of the first contract, in a descriptor pool of their own: both contracts use the same names."""
    out = folder / "first.binpb"
    result = run(sys.executable, "-m", "grpc_tools.protoc", f"-I{FIRST.parent}", f"-o{out}", FIRST.name)
    assert result.returncode == 0, result.stderr
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(files.file[0])
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"voice_workflow.{name}"))
