"""The import direction: domain knows nothing, application knows domain, adapters know both."""

import ast
from pathlib import Path

import offline_responder

ROOT = Path(offline_responder.__file__).parent
PURE = {"collections", "dataclasses", "datetime", "difflib", "fractions", "math", "re", "typing"}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_domain_is_pure() -> None:
    for path in (ROOT / "domain").glob("*.py"):
        for name in imports(path):
            assert name.split(".")[0] in PURE or name.startswith("offline_responder.domain"), (path.name, name)


def test_application_knows_only_the_domain() -> None:
    for path in (ROOT / "application").glob("*.py"):
        for name in imports(path):
            assert not name.startswith(("offline_responder.adapters", "offline_responder.server", "aiohttp")), (
                path.name,
                name,
            )
