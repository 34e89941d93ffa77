"""The reference pages say what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ("settings.md", "errors.md", "metrics.md")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, str(ROOT / "scripts/generate_reference.py"), str(folder)], check=True, timeout=50)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_as_the_code_makes_it(page: str, made: Path) -> None:
    kept = (ROOT / "docs/reference" / page).read_text(encoding="utf-8")
    assert kept == (made / page).read_text(encoding="utf-8"), "run `make docs`"


def test_all_pages_are_kept(made: Path) -> None:
    assert {page.name for page in made.iterdir()} == set(PAGES)
