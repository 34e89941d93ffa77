"""`voice load` as a person runs it, against a gateway on real gRPC."""

import asyncio
import json
import os
import pty
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from client_fake_gateway import FakeGateway, serving
from client_harness import Finished, run_voice, write_question

pytestmark = pytest.mark.edge

SHORT = ("--users", "3", "--duration", "2.5", "--think-time", "0.05-0.1")
ROOMY = ("--max-lag-ms", "1000")  # what is tested here is not the machine


async def load(folder: Path, gateway: FakeGateway, *arguments: str, reshaped: tuple[str, ...] = SHORT) -> Finished:
    """Run it with questions that the fake gateway takes for speech."""
    question = write_question(folder)
    async with serving(gateway) as target:
        return await run_voice(folder, "load", target, "--wav", str(question), *reshaped, *ROOMY, *arguments)


def document(done: Finished) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)
    return found


async def test_callers_speak_hear_hang_up_and_call_again(tmp_path: Path) -> None:
    gateway = FakeGateway()
    done = await load(
        tmp_path, gateway, "--turns", "2", "--duration", "4", "--report", "deep/report", "--fail-over", "error_share=0"
    )
    assert done.status == 0, done
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert lines["scenario"].startswith("scenario   custom: 3 users, ")
    assert "end of speech to first answer audio received" in lines["response"]
    assert lines["generator"].startswith("generator  valid: ")
    report = json.loads((tmp_path / "deep/report/report.json").read_text())
    assert (report["schema"], report["schema_version"], report["valid"]) == ("voice-load-report", 1, True)
    calls, turns = report["calls"], report["turns"]
    assert calls["dialled"] > 3
    assert calls["ended_well"] == calls["connected"] == calls["dialled"]
    assert calls["most_up"] == 3
    assert turns["answered"] == turns["spoken"] >= calls["dialled"]
    assert (turns["failed"], turns["lost"], report["errors"]) == (0, 0, {})
    assert report["response_ms"]["count"] == turns["answered"]
    assert report["response_ms"]["p50"] >= 200, "the fake gateway waits 200 ms of silence"
    assert [stage["stage"] for stage in report["stages"]] == ["endpoint", "llm_first_token", "tts_first_audio"]
    assert report["endpoint_rules"] == {"silence": turns["answered"]}
    assert max(up for _, up in report["series"]["calls_up"]) == 3
    assert len(gateway.heard.configs) == calls["dialled"]
    assert gateway.heard.half_closes == calls["dialled"]
    assert (2, 3200) in gateway.heard.acks, "all of a second answer was heard"
    assert "Where the time went" in (tmp_path / "deep/report/report.html").read_text()
    assert done.err.splitlines()[0].startswith("   0/4 s  ")
    assert "\x1b" not in done.err


async def test_clients_of_the_first_contract_announce_nothing(tmp_path: Path) -> None:
    gateway = FakeGateway()
    done = await load(tmp_path, gateway, "--legacy", "--chunk-ms", "256", "--json", "--quiet")
    assert (done.status, done.err) == (0, "")
    assert document(done)["turns"]["answered"] >= 3
    assert gateway.heard.acks == []
    assert not any(config.capabilities for config in gateway.heard.configs)


async def test_a_crossed_threshold_is_told_and_gives_1(tmp_path: Path) -> None:
    arguments = ("--quiet", "--fail-over", "p95_response_ms=1", "--fail-over", "lost_share=0")
    done = await load(tmp_path, FakeGateway(), *arguments)
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.startswith("voice: p95_response_ms is ")
    assert line.endswith(", and its limit is 1.")


async def test_a_generator_that_is_late_keeps_no_threshold(tmp_path: Path) -> None:
    arguments = ("--quiet", "--max-lag-ms", "0.0001", "--fail-over", "lost_share=1")
    done = await load(tmp_path, FakeGateway(), *arguments)
    assert done.status == 1
    assert "generator  NOT VALID" in done.out
    assert done.err.startswith("voice: The run is not valid: the generator was overloaded")


@pytest.mark.parametrize("retry_after_ms", [60_000, 200])
async def test_refused_calls_are_counted_and_made_again_when_the_gateway_said(
    retry_after_ms: int, tmp_path: Path
) -> None:
    gateway = FakeGateway()
    gateway.script.refuse = grpc.StatusCode.RESOURCE_EXHAUSTED
    gateway.script.retry_after_ms = retry_after_ms
    done = await load(tmp_path, gateway, "--json", "--quiet", "--fail-over", "refused_share=0.5")
    report = document(done)
    assert (done.status, report["calls"]["connected"], report["turns"]["spoken"]) == (1, 0, 0)
    dialled = report["calls"]["dialled"]
    assert dialled == 3 if retry_after_ms == 60_000 else dialled > 3
    assert report["calls"]["refused"] == dialled
    assert report["errors"] == {"GATEWAY_FULL": dialled}


async def test_a_gateway_that_is_about_to_stop_is_left_after_the_turn(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.go_away = True
    report = document(await load(tmp_path, gateway, "--json", "--quiet", "--duration", "4"))
    assert report["calls"]["dialled"] > 3
    assert report["calls"]["broken"] == 0
    assert report["turns"]["answered"] == report["turns"]["spoken"] <= report["calls"]["dialled"]


@pytest.mark.parametrize(
    ("script", "counted", "reason"),
    [({"mute": True}, "lost", "NO_ANSWER"), ({"error_event": "The model does not answer."}, "failed", "ERROR")],
)
async def test_turns_without_an_answer_have_a_reason(
    script: dict[str, object], counted: str, reason: str, tmp_path: Path
) -> None:
    gateway = FakeGateway()
    for name, value in script.items():
        setattr(gateway.script, name, value)
    done = await load(tmp_path, gateway, "--json", "--quiet", "--answer-timeout", "0.5")
    report = document(done)
    assert report["turns"][counted] == report["turns"]["spoken"] == report["errors"][reason] >= 3
    assert report["response_ms"]["count"] == 0


async def test_calls_that_break_off_are_counted_and_made_again(tmp_path: Path) -> None:
    gateway = FakeGateway()
    gateway.script.break_after_bytes = 16_000
    done = await load(tmp_path, gateway, "--json", "--quiet", "--fail-over", "broken_share=0.1")
    report = document(done)
    assert done.status == 1
    assert report["calls"]["broken"] == report["errors"]["ConnectionLost"] > 0
    assert report["calls"]["dialled"] > 3


async def test_ctrl_c_writes_the_report_of_what_was_measured(tmp_path: Path) -> None:
    gateway = FakeGateway()
    question = write_question(tmp_path)
    async with serving(gateway) as target:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voice_clients", "load", target, "--wav", str(question), "--report", "."),
            *("--users", "2", "--duration", "600", "--think-time", "0.05", *ROOMY),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(30):
                await gateway.heard.ack_of(2, 3200)
                process.send_signal(signal.SIGINT)
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 130
    assert ", ended early" in out.decode()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["run"]["interrupted"] is True
    assert report["turns"]["answered"] >= 2
    assert (report["turns"]["failed"], report["errors"]) == (0, {})
    assert (tmp_path / "report.html").exists()


async def test_on_a_terminal_one_line_is_redrawn(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    question = write_question(tmp_path)
    async with serving(FakeGateway()) as target:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voice_clients", "load", target, "--wav", str(question), *SHORT, *ROOMY),
            stdout=asyncio.subprocess.PIPE,
            stderr=slave,
        )
        os.close(slave)
        try:
            async with asyncio.timeout(30):
                await process.communicate()
            shown = os.read(master, 65_536).decode()
        finally:
            os.close(master)
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0
    assert "\n" not in shown
    assert shown.count("\r\x1b[K") >= 3
    assert shown.endswith("\r\x1b[K"), "the line is gone at the end"
    assert "3/3 calls" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["127.0.0.1:1"], 3, "voice: Nothing listens at 127.0.0.1:1."),
        (["127.0.0.1:1", "--users", "0"], 2, "voice: --users 0: 1 to 1000 is allowed."),
        (["127.0.0.1:1", "--fail-over", "speed=1"], 2, "voice: --fail-over speed=1: speed is not known; there are"),
        (["127.0.0.1:1", "--wav", "nowhere.wav"], 2, "voice: nowhere.wav does not exist."),
        (["127.0.0.1:1", "--report", "/dev/null/x"], 2, "voice: --report /dev/null/x cannot be made"),
        (["127.0.0.1:1", "--scenario", "huge"], 2, "invalid choice: 'huge'"),
    ],
)
async def test_what_cannot_run_says_why(arguments: list[str], status: int, says: str, tmp_path: Path) -> None:
    done = await run_voice(tmp_path, "load", *arguments, "--quiet")
    assert (done.status, done.out) == (status, "")
    assert says in done.err
    assert "Traceback" not in done.err
