"""The command: one ready line, a clean stop, and one sentence for a bad setting."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI

pytestmark = pytest.mark.edge


@asynccontextmanager
async def command(*arguments: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "offline_responder",
        *arguments,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_its_port_answers_and_stops(stop: signal.Signals) -> None:
    async with command(RESPONDER_LISTEN_ADDRESS="127.0.0.1:0", RESPONDER_TOKEN_INTERVAL_MS="0") as process:
        assert process.stdout is not None
        ready: dict[str, Any] = json.loads(await process.stdout.readline())
        assert (ready["event"], ready["model"]) == ("ready", "offline-rules")
        async with AsyncOpenAI(base_url=ready["base_url"], api_key="none", max_retries=0) as client:
            done = await client.chat.completions.create(
                model="offline-rules", messages=[{"role": "user", "content": "two plus two"}]
            )
        assert done.choices[0].message.content == "Two plus two is four."
        process.send_signal(stop)
        assert await process.wait() == 0
        rest = [json.loads(line)["event"] for line in (await process.stdout.read()).splitlines()]
        assert rest == ["stopping", "stopped"]


async def test_an_answer_under_way_is_finished_after_sigterm() -> None:
    environ = {
        "RESPONDER_LISTEN_ADDRESS": "127.0.0.1:0",
        "RESPONDER_FIRST_TOKEN_MS": "0",
        "RESPONDER_TOKEN_INTERVAL_MS": "5",
    }
    async with command(**environ) as process:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        async with AsyncOpenAI(base_url=ready["base_url"], api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="offline-rules", messages=[{"role": "user", "content": "count to forty"}], stream=True
            )
            chunks: list[Any] = []
            async for chunk in stream:
                if not chunks:
                    process.send_signal(signal.SIGTERM)
                chunks.append(chunk)
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "environ", "part"),
    [
        ([], {"RESPONDER_LISTEN_ADDRESS": "8000"}, "RESPONDER_LISTEN_ADDRESS is '8000'"),
        ([], {"RESPONDER_FIRST_TOKEN_MS": "-1"}, "RESPONDER_FIRST_TOKEN_MS is '-1'"),
        (["--settings-file", "none.yaml"], {}, "none.yaml can't be read"),
        (["--listen-address", "192.0.2.1:0"], {}, "Cannot listen on 192.0.2.1:0"),
    ],
)
async def test_bad_settings_get_a_sentence(arguments: list[str], environ: dict[str, str], part: str) -> None:
    async with command(*arguments, **environ) as process:
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert part in errors.decode()
        assert "Traceback" not in errors.decode()
