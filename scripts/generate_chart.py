"""Write what the chart has of others: README.md and values.schema.json from values.yaml, files/settings.json from the
gateway's settings.

Usage: generate_chart.py [OUTPUT_FOLDER]

A comment right above a key of values.yaml says what the key is. A line of it that begins with "@" gives the type where
the default does not tell it: @integer 1..10, @number 0..2, @integer? (or empty), @integerOrPercent?, @tag (a number
is text), @enum a b, @strings (a mapping of scalars), @settings (the same, and lists), @object, @list, @schema {JSON}.
"# ---- Title ----" begins a section of the README; the comment after it, up to the first key, is its text.
"""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from servicekit.settings import describe
from voice_gateway.settings import GatewaySettings

CHART = Path(__file__).parents[1] / "helm/voice-workflow"
MARK = "<!-- values -->"
SECTION = re.compile(r"# ---- (.+) ----$")
MAX_SHOWN_CHARACTERS = 60
"""Of a default in the README."""

SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"]}
SCALAR_OR_LIST: dict[str, Any] = {"type": ["string", "number", "boolean", "array"]}


@dataclass(slots=True)
class Value:
    """One key of values.yaml."""

    path: tuple[str, ...]
    default: Any
    text: str
    hint: str
    section: str
    keys: list["Value"] = field(default_factory=list)
    """Of a mapping whose keys are documented one by one."""

    @property
    def dotted(self) -> str:
        return ".".join(self.path)


def read_values(file: Path) -> tuple[list[Value], dict[str, str]]:
    """All keys, and the text of each section. Raises ValueError where a value has no comment."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{file} holds no keys")
    sections = section_texts(lines)
    return list(_keys(root, (), lines)), sections


def section_texts(lines: list[str]) -> dict[str, str]:
    """The comment that stands directly below each section's title."""
    titles = ((number, match[1]) for number, line in enumerate(lines) if (match := SECTION.match(line)))
    return {title: " ".join(line[2:] for line in _block_after(lines, number + 1)) for number, title in titles}


def _block_after(lines: list[str], start: int) -> Iterator[str]:
    for line in lines[start:]:
        if not line.startswith("# "):
            return
        yield line


def _keys(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        here = (*path, str(key.value))
        text, hint, section = _comment(lines, key.start_mark.line)
        default = yaml.safe_load(yaml.serialize(value))
        found = Value(here, default, text, hint, section)
        if isinstance(value, yaml.MappingNode) and value.value and hint == "":
            found.keys = list(_keys(value, here, lines))
        elif not text:
            raise ValueError(f"{found.dotted} has no comment that says what it is")
        yield found


def _comment(lines: list[str], line: int) -> tuple[str, str, str]:
    """Text, hint and section of the key that stands at `line`."""
    block: list[str] = []
    above = line - 1
    while above >= 0 and (stripped := lines[above].strip()).startswith("#") and not SECTION.match(lines[above]):
        block.insert(0, stripped[1:].strip())
        above -= 1
    in_title = above >= 0 and SECTION.match(lines[above]) is not None and bool(block)
    hints = [part[1:] for part in block if part.startswith("@")]
    text = "" if in_title else " ".join(part for part in block if not part.startswith("@"))
    section = next((match[1] for number in range(line, -1, -1) if (match := SECTION.match(lines[number]))), "")
    return text, hints[0] if hints else "", section


# ---- schema ----------------------------------------------------------------------------------------------------------


def schema_page(values: list[Value]) -> str:
    """values.schema.json: no key that is not in values.yaml."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of voice-workflow",
        **_mapping(values),
    }
    # What Helm hands to every chart.
    schema["properties"]["global"] = {"type": "object"}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _mapping(values: list[Value]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {value.path[-1]: _schema(value) for value in values},
    }


def _schema(value: Value) -> dict[str, Any]:
    schema = _mapping(value.keys) if value.keys else _leaf(value)
    return {"description": value.text, **schema} if value.text else schema


def _leaf(value: Value) -> dict[str, Any]:
    if value.hint:
        return _hinted(value)
    match value.default:
        case bool():
            return {"type": "boolean"}
        case int():
            return _number("integer", "", optional=False)
        case float():
            return _number("number", "", optional=False)
        case str():
            return {"type": "string"}
        case _:
            raise ValueError(f"{value.dotted} needs a hint: its default does not tell its type")


def _hinted(value: Value) -> dict[str, Any]:
    kind, _, rest = value.hint.partition(" ")
    match kind.rstrip("?"):
        case "integer" | "number" as number:
            return _number(number, rest, optional=kind.endswith("?"))
        case "integerOrPercent":
            return {"type": ["integer", "string"], "minimum": 0, "pattern": "^([0-9]+|[0-9]{1,2}%|100%)?$"}
        case "tag":
            return {"type": ["string", "number"]}
        case "enum":
            return {"type": "string", "enum": rest.split()}
        case "strings":
            return {"type": "object", "additionalProperties": SCALAR}
        case "settings":
            keys = {"pattern": "^[A-Z][A-Z0-9_]*$"}
            return {"type": "object", "propertyNames": keys, "additionalProperties": SCALAR_OR_LIST}
        case "object":
            return {"type": "object"}
        case "list":
            return {"type": "array"}
        case "schema":
            return dict(json.loads(rest))
    raise ValueError(f"{value.dotted} has the unknown hint @{value.hint}")


def _number(kind: str, bounds: str, *, optional: bool) -> dict[str, Any]:
    """A number, or the same in quotes. Bounds hold for numbers; the gateway itself refuses quoted ones beyond them."""
    digits = "[0-9]+" if kind == "integer" else r"[0-9]+(\.[0-9]+)?"
    schema: dict[str, Any] = {"type": [kind, "string"], "pattern": f"^({digits}){'?' if optional else ''}$"}
    low, _, high = bounds.partition("..")
    if low:
        schema["minimum"] = json.loads(low)
    if high:
        schema["maximum"] = json.loads(high)
    return schema


# ---- README ----------------------------------------------------------------------------------------------------------


def readme_page(template: str, values: list[Value], sections: dict[str, str]) -> str:
    """The template with a table for each section in the place of its mark."""
    parts = []
    for title, text in sections.items():
        rows = [row for value in values if value.section == title for row in _rows(value)]
        head = "| Value | Default | What it is |\n| --- | --- | --- |"
        parts.append("\n\n".join(part for part in (f"### {title}", text, "\n".join([head, *rows])) if part))
    return template.replace(MARK, "\n\n".join(parts))


def _rows(value: Value) -> Iterator[str]:
    if value.keys:
        if value.text:
            yield f"| **`{value.dotted}`** | | {_cell(value.text)} |"
        for inner in value.keys:
            yield from _rows(inner)
        return
    yield f"| `{value.dotted}` | {_default(value.default)} | {_cell(_described(value))} |"


def _described(value: Value) -> str:
    """What is said of it, and what is allowed where that is a list or a range."""
    kind, _, rest = value.hint.partition(" ")
    allowed = ""
    if kind == "enum":
        allowed = f"Allowed: {', '.join(rest.split())}."
    elif rest and kind.rstrip("?") in {"integer", "number"}:
        low, _, high = rest.partition("..")
        allowed = f"Allowed: {low} to {high}." if high else f"Allowed: {low} or more."
    return " ".join(part for part in (value.text, allowed) if part)


def _default(default: Any) -> str:
    if default in ("", None):
        return "empty"
    text = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    return f"`{text}`" if len(text) <= MAX_SHOWN_CHARACTERS else "see values.yaml"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# ---- settings --------------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """When a change of each setting takes effect, for the templates. Secrets are not for a ConfigMap, and left out."""
    known = {doc.key: {"applies": doc.applies} for doc in describe(GatewaySettings) if not doc.secret}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(known.items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(folder: Path) -> None:
    """Write all three. Raises ValueError for a mistake in values.yaml."""
    values, sections = read_values(CHART / "values.yaml")
    (folder / "files").mkdir(parents=True, exist_ok=True)
    template = (CHART / "README.template.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(readme_page(template, values, sections), encoding="utf-8")
    (folder / "values.schema.json").write_text(schema_page(values), encoding="utf-8")
    (folder / "files/settings.json").write_text(settings_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CHART)
