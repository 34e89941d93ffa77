"""Licence pages are what the pins say, and no image carries copyleft."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "licenses.py"


@pytest.fixture(scope="module")
def licenses() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licenses", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["licenses"] = module
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date() -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, timeout=50, check=False
    )
    assert (ended.stderr, ended.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("GPL-3.0-or-later", True), ("AGPL-3.0", True), ("GNU General Public License v3", True), ("unknown", True),
        ("CC-BY-NC-4.0", True), ("LGPL-2.1-or-later", False), ("MIT", False), ("Apache-2.0 AND MIT", False),
        ("BSD-3-Clause", False),
    ],
)  # fmt: skip
def test_what_an_image_may_not_carry(licenses: ModuleType, licence: str, refused: bool) -> None:
    row = licenses.Row(licenses.Pin("x", "1", ""), licence, True)
    assert bool(licenses.refusals("gateway", [row])) == refused


def test_the_copyleft_voice_is_in_no_image(licenses: ModuleType) -> None:
    for file in licenses.IMAGES.values():
        names = {pin.name for pin in licenses.pins_of(licenses.ROOT / "requirements" / file)}
        assert "espeakng-loader" not in names
        assert "av" not in names
