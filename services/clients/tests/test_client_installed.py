"""Commands that other installed packages bring: found, run, left out where they are broken."""

from pathlib import Path

import pytest
from client_harness import run_voice

pytestmark = pytest.mark.edge

GOOD = """
def add(commands):
    parser = commands.add_parser("greet", help="say hello")
    parser.add_argument("name")
    return lambda arguments: print("hello", arguments.name) or 7
"""


def install(folder: Path, name: str, source: str, *entries: str) -> None:
    """A package, as an installer would leave it in `folder`."""
    (folder / f"{name}.py").write_text(source)
    told = folder / f"{name}-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[voice.commands]\n" + "\n".join(entries) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that processes of this test import from as well."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    return folder


async def test_a_command_of_another_package_is_found_and_run(site: Path, tmp_path: Path) -> None:
    install(site, "greeter", GOOD, "greet = greeter:add")
    done = await run_voice(tmp_path, "--help")
    assert "greet" in done.out
    assert "say hello" in done.out
    done = await run_voice(tmp_path, "greet", "world")
    assert (done.status, done.out, done.err) == (7, "hello world\n", "")


async def test_it_is_absent_where_the_package_is_not_installed(tmp_path: Path) -> None:
    done = await run_voice(tmp_path, "--help")
    assert (done.status, done.err) == (0, "")
    assert "greet" not in done.out
    done = await run_voice(tmp_path, "greet", "world")
    assert done.status == 2
    assert "invalid choice: 'greet'" in done.err


@pytest.mark.parametrize("entry", ["greet = greeter:missing", "greet = nowhere:add", "greet = greeter:add_broken"])
async def test_a_broken_command_is_told_and_takes_no_other_away(entry: str, site: Path, tmp_path: Path) -> None:
    install(site, "greeter", GOOD + "\ndef add_broken(commands):\n    raise RuntimeError('oh')\n", entry)
    done = await run_voice(tmp_path, "--help")
    assert done.status == 0
    assert "check" in done.out
    (line,) = done.err.splitlines()
    assert line.startswith("voice: the command 'greet' cannot be used (")


async def test_a_command_of_voice_itself_cannot_be_replaced(site: Path, tmp_path: Path) -> None:
    install(site, "greeter", GOOD.replace('"greet"', '"check"'), "check = greeter:add")
    done = await run_voice(tmp_path, "check", "--target", "127.0.0.1:9")
    assert done.status == 3
