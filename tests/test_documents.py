"""Documents say what is there: generated pages are fresh, links lead somewhere, README's commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("services/*/README.md"),
        *ROOT.glob("helm/*/*.md"),
    ]
    if ".venv" not in page.parts
)


def test_the_turn_diagram_is_drawn_from_the_table(tmp_path: Path) -> None:
    fresh = tmp_path / "diagram.md"
    subprocess.run([sys.executable, "scripts/generate_diagram.py", str(fresh)], cwd=ROOT, check=True, timeout=30)
    assert (ROOT / "docs/explanation/turn-diagram.md").read_text() == fresh.read_text(), "run `make docs`"


def test_the_licence_lists_are_those_of_the_pins() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/licenses.py", "--check"],
        cwd=ROOT,
        check=False,
        timeout=50,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named <= targets


def test_no_pin_or_document_names_where_it_was_downloaded() -> None:
    for pins in (ROOT / "requirements").glob("*.txt"):
        text = pins.read_text()
        assert "://" not in text, pins.name
        assert "--hash=sha256:" in text, pins.name
