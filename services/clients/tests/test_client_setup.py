"""scripts/setup_mac_client.sh, run for real into a folder of its own."""

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from client_fake_gateway import FakeGateway, serving

pytestmark = [pytest.mark.edge, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "setup_mac_client.sh"
UV = ROOT / ".bootstrap" / "bin" / "uv"
SETUP_S = 180.0


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


async def run(*command: str, stdin: bytes = b"", cwd: Path | None = None, **environ: str) -> Done:
    keep = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH", "UV"}}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**keep, "VOICE_GATEWAY_TARGET": "", **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SETUP_S):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_one_line_makes_a_folder_in_which_uv_runs_the_client(tmp_path: Path) -> None:
    folder = tmp_path / "voice client"
    done = await run(str(SCRIPT), str(folder), UV=str(UV))
    assert (done.status, done.err) == (0, "")
    assert f'"{folder}/tunnel.sh" user@headnode' in done.out
    assert os.access(folder / "tunnel.sh", os.X_OK)
    assert f'cd "{folder}" && uv run test_mic_client.py' in done.out
    pins = {line.split()[0] for line in (ROOT / "requirements" / "client.txt").read_text().splitlines() if "==" in line}
    lock = (folder / "uv.lock").read_text()
    for pin in pins - {pin for pin in pins if pin.startswith("numpy")}:
        name, _, version = pin.partition("==")
        assert f'name = "{name}"\nversion = "{version}"' in lock

    uv_run = [str(UV), "run", "--quiet", "--offline", "--frozen", "test_mic_client.py"]
    unreachable = await run(*uv_run, "--check", "--target", "localhost:1", cwd=folder)
    assert unreachable.status == 3
    assert "Nothing listens at localhost:1" in unreachable.err
    gateway = FakeGateway()
    async with serving(gateway) as target:
        talk = [*uv_run, "--text", "--no-speaker", "--target", target]
        talked = await run(*talk, stdin=b"hello\n", cwd=folder)
    assert (talked.status, talked.err) == (0, "")
    assert gateway.heard.texts == ["hello"]

    shutil.rmtree(folder / "packages" / "clients" / "src" / "voice_clients")
    again = await run(str(SCRIPT), str(folder), UV=str(UV))  # updates, and mends
    assert again.status == 0
    assert (folder / "packages" / "clients" / "src" / "voice_clients" / "caller.py").exists()


async def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = await run(str(SCRIPT), str(tmp_path), UV=str(UV))
    assert done.status == 1
    assert done.err.startswith(f"setup_mac_client: {tmp_path} holds other files")
    assert names_in(tmp_path) == ["thesis.txt"]


async def test_an_old_python_gets_a_sentence(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = await run(str(SCRIPT), str(tmp_path / "client"), PYTHON=str(old), UV=str(UV))
    assert done.status == 1
    assert f"{old} is not Python 3.11 or newer. macOS: brew install python@3.12" in done.err
    assert not (tmp_path / "client").exists()


async def test_the_wrapper_says_where_it_belongs() -> None:
    done = await run("python3", "-S", "-E", str(ROOT / "scripts" / "test_mic_client.py"))
    assert done.status == 1
    assert (
        done.err == "The client is not installed here: run this in the folder that scripts/setup_mac_client.sh made.\n"
    )
