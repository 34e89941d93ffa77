"""The import direction of the worker, and the size of its files."""

import ast
from pathlib import Path

import speech_worker

ROOT = Path(speech_worker.__file__).parent
PURE = {"collections", "dataclasses", "enum", "html", "math", "re", "struct", "typing"}
MAY_IMPORT = {
    "domain": {"domain"},
    "application": {"domain", "application"},
    "engines": {"domain", "application", "engines"},
    "adapters": {"domain", "application", "adapters"},
}
LONGEST_FILE_LINES = 600
WIRE_FILES = {"riva_wire.py", "riva_asr.py", "riva_tts.py"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def wrong_imports(layer: str, names: set[str]) -> set[str]:
    wrong = set()
    for name in names:
        package, _, rest = name.partition(".")
        if package == "speech_worker":
            if rest.split(".")[0] not in MAY_IMPORT[layer]:
                wrong.add(name)
        elif layer == "domain" and package not in PURE:
            wrong.add(name)
    return wrong


def test_imports_point_inwards() -> None:
    files = [(layer, path) for layer in MAY_IMPORT for path in (ROOT / layer).glob("*.py")]
    assert len(files) > 25
    for layer, path in files:
        assert not wrong_imports(layer, imports(path)), path.name


def test_a_planted_mistake_is_found() -> None:
    assert wrong_imports("domain", {"asyncio", "re", "speech_worker.application.ports"}) == {
        "asyncio", "speech_worker.application.ports",
    }  # fmt: skip
    assert wrong_imports("application", {"speech_worker.engines.child", "numpy"}) == {"speech_worker.engines.child"}


def test_messages_of_riva_stop_in_their_adapters() -> None:
    for path in ROOT.glob("*/*.py"):
        if any(name.startswith("riva.client.proto") for name in imports(path)):
            assert path.name in WIRE_FILES


def test_files_stay_small() -> None:
    for path in (*ROOT.glob("**/*.py"), *Path(__file__).parent.glob("**/*.py")):
        assert len(path.read_text("utf-8").splitlines()) < LONGEST_FILE_LINES, path.name
