"""The domain of the fakes knows no clock, no loop and no edge."""

import ast
from pathlib import Path

import voice_fakes

PURE = {"collections", "dataclasses", "math"}


def test_domain_is_pure() -> None:
    paths = list((Path(voice_fakes.__file__).parent / "domain").glob("*.py"))
    assert paths
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in PURE or name.startswith("voice_fakes.domain"), (path.name, name)
