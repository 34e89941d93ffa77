"""What the chart has of others is fresh, and says what it should."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import CHART, ROOT

from servicekit.settings import describe
from voice_gateway.settings import GatewaySettings

_spec = importlib.util.spec_from_file_location("generate_chart", ROOT / "scripts/generate_chart.py")
assert _spec is not None
assert _spec.loader is not None
generate_chart: Any = importlib.util.module_from_spec(_spec)
sys.modules["generate_chart"] = generate_chart  # where its dataclasses look for themselves
_spec.loader.exec_module(generate_chart)

MADE = ("README.md", "values.schema.json", "files/settings.json")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chart")
    subprocess.run([sys.executable, "scripts/generate_chart.py", str(folder)], cwd=ROOT, check=True, timeout=50)
    return folder


@pytest.mark.parametrize("name", MADE)
def test_a_generated_file_is_fresh(name: str, fresh: Path) -> None:
    assert (CHART / name).read_text() == (fresh / name).read_text(), "run `make docs`"


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def test_the_readme_has_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    readme = (CHART / "README.md").read_text()
    documented = set(re.findall(r"^\| `([\w.]+)` \|", readme, flags=re.MULTILINE))
    # Some values are shown whole, as a pod has them.
    missing = {
        dotted
        for path in leaves(values)
        if not any(".".join(path[:length]) in documented for length in range(1, len(path) + 1))
        for dotted in [".".join(path)]
    }
    assert missing == set()
    assert len(documented) > 100


def test_the_schema_lets_no_key_through_that_values_yaml_lacks() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(part: dict[str, Any], known: Any, path: str) -> None:
        if "properties" not in part:
            return
        assert part["additionalProperties"] is False, path
        assert set(part["properties"]) - {"global"} == set(known), path
        for key, inner in part["properties"].items():
            if key != "global":
                compare(inner, known[key], f"{path}.{key}")

    compare(schema, values, "")


def test_every_value_is_used_by_a_template() -> None:
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    values, _ = generate_chart.read_values(CHART / "values.yaml")

    def all_of(value: Any) -> Iterator[Any]:
        yield value
        for inner in value.keys:
            yield from all_of(inner)

    unused = {
        each.dotted
        for value in values
        for each in all_of(value)
        # The numbers of probes are copied as they stand.
        if not re.search(rf"\b{each.path[-1]}\b", templates) and ".probes." not in each.dotted
    }
    assert unused == set()


def test_a_value_without_a_comment_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# ---- One ----\n\n# What it is.\na: 1\nb: 2\n")
    with pytest.raises(ValueError, match="b has no comment"):
        generate_chart.read_values(file)


def test_hints_make_types(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# A.\n# @integer? 1..9\na: ''\n# B.\n# @enum x y\nb: x\n# C.\nc: true\n# D.\n# @what\nd: 1\n")
    values, _ = generate_chart.read_values(file)
    made = json.loads(generate_chart.schema_page(values[:3]))["properties"]
    assert made["a"] == {
        "description": "A.", "type": ["integer", "string"], "pattern": "^([0-9]+)?$", "minimum": 1, "maximum": 9,
    }  # fmt: skip
    assert made["b"]["enum"] == ["x", "y"]
    assert made["c"]["type"] == "boolean"
    with pytest.raises(ValueError, match="unknown hint @what"):
        generate_chart.schema_page(values)


def test_settings_that_are_secrets_are_not_for_the_config_map() -> None:
    known = set(json.loads((CHART / "files/settings.json").read_text()))
    secret = {doc.key for doc in describe(GatewaySettings) if doc.secret}
    assert secret
    assert known & secret == set()
    refused = re.search(r"\$secret := list (.+?) -}}", (CHART / "templates/validate.yaml").read_text())
    assert refused is not None
    assert set(re.findall(r'"(\w+)"', refused[1])) == secret


def test_each_shape_of_ci_is_named_by_a_comment() -> None:
    for file in (CHART / "ci").iterdir():
        assert file.read_text().startswith("# "), file.name
