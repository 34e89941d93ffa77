"""Scripts, the log, the control endpoint and the command."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from voice_fakes import EventLog, FakesOptions, Script, ScriptError, now_ms, parse_script, read_script, serving_fakes
from voice_fakes.script import changed_script


def test_an_empty_script_plays_the_defaults() -> None:
    assert parse_script("") == Script()
    assert Script().llm.first_token_ms == 120
    assert Script().asr.final_after_speech_end_ms == 300
    assert Script().tts.first_chunk_ms == 80


def test_scripts_survive_a_round_trip() -> None:
    script = parse_script("llm: {replies: [one, [a, b]], faults: [{kind: reset, after_tokens: 3, skip: 1, times: 2}]}")
    assert parse_script(json.dumps(script.model_dump())) == script
    assert [script.llm.faults[0].strikes(number) for number in range(4)] == [False, True, True, False]


def test_changes_are_laid_over_key_by_key() -> None:
    script = changed_script(parse_script("llm: {first_token_ms: 1, token_interval_ms: 2}"), "llm: {first_token_ms: 5}")
    assert (script.llm.first_token_ms, script.llm.token_interval_ms) == (5, 2)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("llm: {first_token_ms: -1}", "'llm.first_token_ms' is '-1'"),
        ("llm: {replies: []}", "'llm.replies' is '[]'"),
        ("asr: {faults: [{kind: explode}]}", "asr.faults.0"),
        ("asr: {fauts: []}", "'asr.fauts'"),
        ("- 1", "mapping"),
        ("{", "neither valid YAML nor JSON"),
    ],
)
def test_bad_scripts_are_refused_with_a_sentence(text: str, part: str) -> None:
    with pytest.raises(ScriptError, match=r".") as caught:
        parse_script(text)
    assert part in str(caught.value)


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"none\.yaml cannot be read"):
        read_script(tmp_path / "none.yaml")


async def test_the_log_file_holds_every_event(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    async with EventLog(path) as log:
        before_ms = now_ms()
        log.add("llm", "token", 3, index=0)
        log.add("asr", "speech_end", 4, t_ms=12.0)
        log.clear()
        log.add("llm", "token", 3, index=1)
        assert len(log) == 1
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["token", "speech_end", "token"]
    assert lines[0]["t_ms"] >= round(before_ms, 3)
    assert lines[1] == {"t_ms": 12.0, "source": "asr", "event": "speech_end", "request": 4}


async def test_waiting_for_events() -> None:
    log = EventLog()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(log.wait_for("llm", "token", count=2))
        await asyncio.sleep(0)
        for index in range(2):
            log.add("llm", "token", 0, index=index)
            await asyncio.sleep(0)
    assert len(waiting.result()) == 2
    with pytest.raises(TimeoutError):
        await log.wait_for("llm", "finished", timeout_s=0.01)


@pytest.mark.edge
async def test_the_control_endpoint_changes_a_running_fake() -> None:
    options = FakesOptions(riva=None, control="127.0.0.1:0")
    async with serving_fakes(parse_script("llm: {first_token_ms: 0, token_interval_ms: 0}"), options) as running:
        chat = f"http://127.0.0.1:{running.llm_port}/v1/chat/completions"
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{running.control_port}") as control:
            async with control.patch("/script", data="llm: {replies: [changed]}") as response:
                assert (await response.json())["llm"]["first_token_ms"] == 0
            async with control.post(chat, json=body) as response:
                assert (await response.json())["choices"][0]["message"]["content"] == "changed"
            async with control.get("/log", params={"source": "llm", "event": "finished"}) as response:
                assert [json.loads(line)["tokens"] for line in (await response.text()).splitlines()] == [1]
            async with control.post("/script", data="llm: {replies: 7}") as response:
                assert response.status == 400
                assert "llm.replies" in (await response.json())["error"]
            async with control.post("/reset") as response:
                assert (await response.json())["llm"]["replies"] != ["changed"]
            async with control.get("/log") as response:
                assert await response.text() == ""
            async with control.get("/now") as response:
                assert (await response.json())["t_ms"] <= now_ms()


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice_fakes", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.edge
async def test_the_command_serves_all_and_stops_on_sigterm(tmp_path: Path) -> None:
    script, log = tmp_path / "script.yaml", tmp_path / "log.jsonl"
    script.write_text("llm: {first_token_ms: 0, token_interval_ms: 0, replies: [hi]}")
    addresses = ["--riva", "127.0.0.1:0", "--llm", "127.0.0.1:0", "--control", "127.0.0.1:0"]
    async with command(*addresses, "--script", str(script), "--log", str(log)) as process:
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(await process.stdout.readline())
        assert ready["event"] == "ready"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ready['riva_port']}") as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{ready['llm_port']}/v1/chat/completions", json=body) as response,
        ):
            assert "hi" in await response.text()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["request", "token", "finished"]


@pytest.mark.edge
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "nothing to serve"),
        (["--llm", "8000"], "'8000' is no host:port"),
        (["--llm", "127.0.0.1:0", "--script", "none.yaml"], "none.yaml cannot be read"),
    ],
)
async def test_bad_arguments_get_a_sentence(arguments: list[str], part: str) -> None:
    async with command(*arguments) as process:
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert part in errors.decode()
