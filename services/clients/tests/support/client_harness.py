"""The `voice` command as a real process, and sound files for it."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from client_fake_gateway import silence, tone

from voice_clients.audio_file import write_wav

COMMAND_TIMEOUT_S = 40.0


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str


async def run_voice(folder: Path, *arguments: str, **environ: str) -> Finished:
    """Run `voice` in `folder` and wait for its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "voice_clients",
        *arguments,
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1", "VOICE_GATEWAY_TARGET": "", **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


def write_question(folder: Path, name: str = "question.wav", *, rate: int = 16_000) -> Path:
    """0.3 s of what the fake gateway takes for speech, 0.1 s of silence."""
    path = folder / name
    write_wav(path, tone(0.3, rate) + silence(0.1, rate), rate)
    return path
