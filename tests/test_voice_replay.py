"""`voice replay` as a person runs it, on journals of a gateway that really ran, also of one that was killed."""

import asyncio
import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from processes import BIN, Service, gateway_for, service

from voice_contracts import voice_workflow_pb2 as pb
from voice_contracts import voice_workflow_pb2_grpc as pb_grpc
from voice_gateway.domain.journal import VERSION

pytestmark = [pytest.mark.edge]

WAIT_S = 30.0


def voice(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "voice_clients", *arguments], capture_output=True, text=True, timeout=WAIT_S, check=False
    )


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    script = tmp_path_factory.mktemp("fakes") / "script.yaml"
    script.write_text(yaml.safe_dump({"llm": {"replies": ["Canary. It is noon."]}}))
    with service(
        "fakes", "voice-fakes", "--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0", "--script", str(script)
    ) as running:
        yield running


async def typed_turn(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = pb_grpc.VoiceGatewayStub(channel).StreamAudio(timeout=WAIT_S)
        await call.write(pb.ClientMessage(config=pb.VoiceConfig(session_id="canary")))
        await call.write(pb.ClientMessage(text_input="Tell me about the canary."))
        while (await call.read()).event.type != pb.END_OF_TURN:
            pass
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass


def record(fakes: Service, folder: Path, *, die: bool) -> Path:
    """The journal of one typed turn; where the gateway is to die, it does so after the turn."""
    base_url = f"http://127.0.0.1:{fakes.ready['llm_port']}/v1"
    with gateway_for(
        f"127.0.0.1:{fakes.ready['riva_port']}", base_url, JOURNAL="redacted", JOURNAL_DIR=str(folder)
    ) as gateway:
        if die:
            asyncio.run(_dying_turn(gateway))
        else:
            asyncio.run(typed_turn(gateway.address))
    (path,) = folder.iterdir()
    return path


async def _dying_turn(gateway: Service) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        call: Any = pb_grpc.VoiceGatewayStub(channel).StreamAudio(timeout=WAIT_S)
        await call.write(pb.ClientMessage(config=pb.VoiceConfig()))
        await call.write(pb.ClientMessage(text_input="Tell me about the canary."))
        while (await call.read()).event.type != pb.END_OF_TURN:
            pass
        gateway.process.send_signal(signal.SIGKILL)
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    gateway.process.wait(WAIT_S)


@pytest.fixture(scope="module")
def journal(fakes: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(fakes, tmp_path_factory.mktemp("journals"), die=False)


def test_a_gateway_records_when_told_to_and_keeps_no_words(journal: Path) -> None:
    assert journal.name.endswith(".jsonl")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    data = journal.read_text(encoding="utf-8").lower()
    assert "canary" not in data
    assert "noon" not in data
    head = json.loads(data.splitlines()[0])
    assert (head["journal"], head["words"], head["gateway"]) == (VERSION, "redacted", "0.1.0")
    assert head["call_id"] in journal.name
    assert json.loads(data.splitlines()[-1])["outcome"] == "ok"


def test_replay_prints_the_timeline(journal: Path) -> None:
    done = voice("replay", str(journal))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("call ")
    assert any("TextTurn" in line and "thinking" in line and "StartReply" in line for line in lines)
    assert any(line.startswith("turn 1: answered, ended by text, ") for line in lines)
    assert lines[-1] == "The call ended ok, and the replay came to the same end."
    assert "\x1b" not in done.stdout


def test_replay_writes_a_picture_for_its_owner_only(journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "call.html"
    done = voice("replay", str(journal), "--html", str(out))
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"The picture is in {out}."
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_replay_gives_one_json_document(journal: Path) -> None:
    whole = json.loads(voice("replay", str(journal), "--json").stdout)
    assert whole["ok"] is True
    assert whole["head"]["words"] == "redacted"
    assert [turn["rule"] for turn in whole["turns"]] == ["text"]
    part = json.loads(voice("replay", str(journal), "--json", "--from", "0", "--to", "1").stdout)
    assert 0 < len(part["rows"]) < len(whole["rows"])


def test_replay_gives_every_action_a_line(journal: Path) -> None:
    lines = voice("replay", str(journal), "--actions").stdout.splitlines()
    assert any(line.strip().startswith("-> StartReply turn=1 generation=") for line in lines)


def test_a_gateway_that_was_killed_leaves_a_journal_that_replays(fakes: Service, tmp_path: Path) -> None:
    path = record(fakes, tmp_path / "journals", die=True)
    assert path.name.endswith(".jsonl.part")
    done = voice("replay", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "TextTurn" in done.stdout
    assert "The journal has no outcome" in done.stdout or "the process died there" in done.stdout


def test_a_damaged_journal_is_told_with_the_line(journal: Path, tmp_path: Path) -> None:
    lines = journal.read_text(encoding="utf-8").splitlines()
    lines[4] = lines[4][:10] + "\udcff"
    path = tmp_path / "damaged.jsonl"
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    done = voice("replay", str(path))
    assert done.returncode == 1
    assert "Line 5 is damaged (a line is not JSON" in done.stdout
    assert f"{len(lines) - 5} more lines were not read." in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"journal": 9}', f"cannot be replayed: journal version 9 is not {VERSION}, the one that can be read."),
        ("hello", "cannot be replayed: a line is not JSON: Expecting value."),
        ("", "cannot be replayed: the first line is not the head of a journal."),
        (None, "cannot be read: No such file or directory."),
    ],
)
def test_what_is_no_journal_is_refused_with_a_sentence(content: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_text(content)
    done = voice("replay", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"voice: {path} {says}\n"


def test_bad_arguments_are_refused_with_a_sentence(journal: Path, tmp_path: Path) -> None:
    done = voice("replay", str(journal), "--from", "5", "--to", "5")
    assert (done.returncode, done.stderr) == (2, "voice: --from 5 is not before --to 5.\n")
    done = voice("replay", str(journal), "--html", str(tmp_path))
    assert (done.returncode, done.stderr) == (2, f"voice: {tmp_path} cannot be written: Is a directory.\n")


def test_the_installed_command_has_it() -> None:
    done = subprocess.run(
        [str(BIN / "voice"), "replay", "--help"], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0
    assert "--html" in done.stdout


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"JOURNAL": "redacted"}, "JOURNAL_DIR is not set; JOURNAL=redacted needs it."),
        ({"JOURNAL": "redacted", "JOURNAL_DIR": "/dev/null/journals"}, "Cannot start: Not a directory."),
    ],
)
def test_a_gateway_that_cannot_record_does_not_start(environ: dict[str, str], sentence: str) -> None:
    done = subprocess.run(
        [str(BIN / "voice-gateway"), "--listen-address", "127.0.0.1:0"], capture_output=True, text=True, check=False,
        timeout=WAIT_S, env={"PATH": "/usr/bin:/bin", **_python_path(), "METRICS_LISTEN_ADDRESS": "", **environ},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == sentence


def _python_path() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}
