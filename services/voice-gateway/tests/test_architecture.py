"""How the code hangs together, read from the source: imports run one way, and nothing grows too large.

Each rule is also tried on a planted mistake, so that a rule that finds nothing is known to look.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[2]

PACKAGES = {
    "voice_gateway": "voice-gateway",
    "speech_worker": "speech-worker",
    "offline_responder": "responder",
    "voice_fakes": "fakes",
    "voice_clients": "clients",
    "servicekit": "servicekit",
}

SHARED = {"servicekit", "voice_contracts"}
"""What every service may import of this repository."""

PURE = {
    "__future__", "abc", "array", "bisect", "collections", "copy", "dataclasses", "datetime", "difflib", "enum",
    "fractions", "functools", "hashlib", "heapq", "html", "itertools", "json", "math", "operator", "re", "statistics",
    "string", "struct", "types", "typing", "unicodedata",
}  # fmt: skip
"""What a domain may import beside itself: nothing with a clock, a task, a file, a socket or a log in it."""

ARRAYS = {"numpy"}
"""Also pure. The speech worker's domain is made of audio."""

NUMERIC_DOMAINS = {"speech_worker"}

PROTOBUF = ("google.protobuf", "google.rpc", "grpc", "voice_contracts", "riva", "grpc_health", "grpc_reflection")

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MAX_CLASS_ATTRIBUTES = 15


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    source: str

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def layer(self) -> str:
        """Second part of the name: "domain", "application", "adapters", "server" ..."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    def imports(self) -> Iterator[str]:
        """Dotted names that are imported, also inside functions."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    base = ".".join([*self.name.split(".")[: -node.level], *([base] if base else [])])
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def modules() -> list[Module]:
    """Every source file that we write."""
    found = []
    for package, service in PACKAGES.items():
        root = SERVICES / service / "src"
        for path in sorted((root / package).rglob("*.py")):
            dotted = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found.append(Module(dotted, path.read_text(encoding="utf-8")))
    return found


# ---- rules: each gives a sentence for every mistake -----------------------------------------------------------------


def services_meet_in_the_contract(module: Module) -> Iterator[str]:
    """A service imports no other service."""
    for name in module.imports():
        package = name.partition(".")[0]
        if package in {*PACKAGES, "voice_contracts"} - SHARED - {module.package}:
            yield f"{module.name} imports {name} of another service"
        if module.package == "servicekit" and package in {*PACKAGES, "voice_contracts"} - {"servicekit"}:
            yield f"{module.name} imports {name}: what is shared knows no service"


def domain_is_pure(module: Module) -> Iterator[str]:
    """A domain imports itself and what is pure."""
    if module.layer != "domain":
        return
    allowed = PURE | (ARRAYS if module.package in NUMERIC_DOMAINS else set())
    for name in module.imports():
        ours = name.startswith(f"{module.package}.domain") or f"{module.package}.domain".startswith(name)
        if not ours and name.partition(".")[0] not in allowed:
            yield f"{module.name} imports {name}"


INNER = {
    "domain": {"application", "adapters", "engines", "server", "settings", "testing", "__main__"},
    "application": {"adapters", "engines", "server", "settings", "testing", "__main__"},
    "adapters": {"server", "settings", "testing", "__main__"},
    "engines": {"adapters", "server", "testing", "__main__"},
    "server": {"testing", "__main__"},
    "settings": {"adapters", "engines", "server", "testing", "__main__"},
}
"""What each layer must not import of its own service."""


def imports_run_one_way(module: Module) -> Iterator[str]:
    """__main__ -> server -> adapters, engines -> application -> domain."""
    for name in module.imports():
        parts = name.split(".")
        if parts[0] == module.package and len(parts) > 1 and parts[1] in INNER.get(module.layer, set()):
            yield f"{module.name} imports {name}, which lies further out"


def protobuf_stops_in_adapters(module: Module) -> Iterator[str]:
    """Message classes and gRPC are not seen by domain and application."""
    if module.layer in {"domain", "application"}:
        for name in module.imports():
            if any(name == part or name.startswith(f"{part}.") for part in PROTOBUF):
                yield f"{module.name} imports {name}"


def only_the_wire_knows_the_contract(module: Module) -> Iterator[str]:
    """In the gateway, the contract's classes are known to the wire, to what serves it and to the trial call."""
    may = {f"voice_gateway.adapters.{name}" for name in ("wire", "grpc_service", "grpc_server", "trial_call")}
    if module.package == "voice_gateway" and module.name not in may:
        for name in module.imports():
            if name.startswith("voice_contracts"):
                yield f"{module.name} imports {name}"


def nothing_is_too_large(module: Module) -> Iterator[str]:
    """Files, functions and classes have bounds."""
    lines = module.source.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{module.name} has {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{module.name}.{node.name} has {length} lines"
        elif isinstance(node, ast.ClassDef):
            names = attributes(node)
            if len(names) > MAX_CLASS_ATTRIBUTES:
                yield f"{module.name}.{node.name} has {len(names)} attributes"


def attributes(node: ast.ClassDef) -> set[str]:
    """Names annotated in the class body, and names set on self in its methods. Enum members are not attributes."""
    names = {
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and ast.unparse(inner.value) == "self":
            names.add(inner.attr)
    return names


RULES = [
    services_meet_in_the_contract,
    domain_is_pure,
    imports_run_one_way,
    protobuf_stops_in_adapters,
    only_the_wire_knows_the_contract,
    nothing_is_too_large,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_code_keeps_the_rule(rule: object) -> None:
    assert callable(rule)
    assert [sentence for module in modules() for sentence in rule(module)] == []


def test_every_package_was_found() -> None:
    found = modules()
    assert {module.package for module in found} == set(PACKAGES)
    assert {module.layer for module in found} >= {"domain", "application", "adapters", "engines", "server", "settings"}
    assert sum(module.source.count("\n") for module in found) > 5_000


PLANTED = [
    (services_meet_in_the_contract, "voice_gateway.adapters.x", "import speech_worker"),
    (services_meet_in_the_contract, "voice_clients.x", "def f():\n    from voice_gateway.domain import errors"),
    (services_meet_in_the_contract, "servicekit.x", "from voice_contracts import voice_workflow_pb2"),
    (domain_is_pure, "voice_gateway.domain.x", "import asyncio"),
    (domain_is_pure, "voice_gateway.domain.x", "from time import monotonic"),
    (domain_is_pure, "voice_gateway.domain.x", "import numpy"),
    (domain_is_pure, "speech_worker.domain.x", "from servicekit.logs import get_logger"),
    (domain_is_pure, "voice_gateway.domain.x", "from ..application import ports"),
    (imports_run_one_way, "voice_gateway.application.x", "from voice_gateway.adapters.wire import decode"),
    (imports_run_one_way, "voice_gateway.application.x", "from voice_gateway import settings"),
    (imports_run_one_way, "voice_gateway.adapters.x", "import voice_gateway.server"),
    (imports_run_one_way, "voice_gateway.server", "from voice_gateway.testing import world"),
    (imports_run_one_way, "speech_worker.application.x", "from ..engines import flite"),
    (protobuf_stops_in_adapters, "voice_gateway.application.x", "from voice_contracts import voice_workflow_pb2"),
    (protobuf_stops_in_adapters, "speech_worker.application.x", "import grpc.aio"),
    (only_the_wire_knows_the_contract, "voice_gateway.adapters.x", "from voice_contracts import voice_workflow_pb2"),
    (nothing_is_too_large, "voice_gateway.domain.x", "\n" * 601),
    (nothing_is_too_large, "voice_gateway.domain.x", "def f():\n" + "    f()\n" * 60),
    (nothing_is_too_large, "voice_gateway.domain.x", "class C:\n" + "".join(f"    a{n}: int\n" for n in range(16))),
    (
        nothing_is_too_large,
        "voice_gateway.domain.x",
        "class C:\n    def __init__(self):\n" + "".join(f"        self.a{n} = self.b.c = 1\n" for n in range(16)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "source"), PLANTED)
def test_a_planted_mistake_is_found(rule: object, name: str, source: str) -> None:
    assert callable(rule)
    assert len(list(rule(Module(name, source)))) >= 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_allowed_is_not_found(rule: object) -> None:
    assert callable(rule)
    allowed = [
        Module("voice_gateway.domain.x", "import math\nfrom voice_gateway.domain.errors import GatewayError"),
        Module("voice_gateway.application.x", "import asyncio\nfrom servicekit.logs import get_logger"),
        Module("voice_gateway.adapters.wire", "from voice_contracts import voice_workflow_pb2"),
        Module("voice_gateway.server", "from voice_gateway.settings import load"),
        Module("speech_worker.domain.x", "import numpy as np"),
    ]
    assert [sentence for module in allowed for sentence in rule(module)] == []
