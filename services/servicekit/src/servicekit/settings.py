"""Settings trees read from a file and the environment, and refused with sentences.

A tree is a frozen pydantic-settings class whose fields are values or sections (models of values). Each value has one
key, the same in every source: the names on its path joined by "_" in capitals, after the class's `env_prefix`; or the
field's alias where it is in capitals. `asr: AsrSection` with a field `language` has the key ASR_LANGUAGE.
"""

import difflib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types
import yaml
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from servicekit.addresses import split_address as split_address

S = TypeVar("S", bound=BaseSettings)

MAX_SHOWN_CHARACTERS = 80
"""Of a refused value."""


class SettingsError(Exception):
    """Some values can't be used. `problems` holds one sentence for each; the text has one to a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """One key as a reference page shows it."""

    key: str
    path: tuple[str, ...]
    allowed: str
    default: str
    description: str
    """First what it is, then why this default. From the docstring under the field, or its `description`."""
    unit: str
    applies: str
    """This and `unit` are from the field's `json_schema_extra`; empty where there is none. A true `private` there keeps
    a refused value out of the sentence, as if it were a secret."""
    secret: bool


@dataclass(frozen=True, slots=True)
class _Leaf:
    key: str
    path: tuple[str, ...]
    field: FieldInfo


def load_settings(cls: type[S], *, file: Path | None, environ: Mapping[str, str]) -> S:
    """Read a tree: `file` first, then `environ`, then defaults.

    `file` is a YAML file of keys and values, or a directory with one file per key, as Kubernetes mounts a ConfigMap.
    Every key in it must be known. An empty value in `environ` counts as not set. Raises `SettingsError`.
    """
    leaves = {leaf.key: leaf for leaf in _leaves(cls, str(cls.model_config.get("env_prefix", "")).upper())}
    from_file = {} if file is None else read_keys(file)
    problems = [_unknown(key, file, leaves) for key in from_file if key not in leaves]
    tree: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for key, leaf in leaves.items():
        if key in from_file:
            if from_file[key] == "" and leaf.field.default is None:
                continue  # the only way to say "none" in a ConfigMap
            value, origin[key] = from_file[key], str(file)
        elif environ.get(key):
            value, origin[key] = environ[key], "the environment"
        else:
            continue
        section = tree
        for name in leaf.path[:-1]:
            section = section.setdefault(name, {})
        section[leaf.field.alias or leaf.path[-1]] = value
    try:
        settings = _sealed(cls)(**tree)
    except ValidationError as error:
        by_path = {leaf.path: leaf for leaf in leaves.values()}
        by_path |= {(*leaf.path[:-1], leaf.field.alias): leaf for leaf in leaves.values() if leaf.field.alias}
        problems += [_problem(details, by_path, origin) for details in error.errors(include_url=False)]
    if problems:
        raise SettingsError(problems)
    return cast(S, settings)


def read_keys(source: Path) -> dict[str, Any]:
    """Keys and raw values of a YAML file, or of a directory with one file per key. Raises `SettingsError`."""
    if source.is_dir():
        return _read_folder(source)
    text = _read_text(source)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise SettingsError([f"{source} is not valid YAML{where}."]) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError([f"{source} holds no keys; allowed is one KEY: value to a line."])
    return {str(key): value for key, value in content.items() if value is not None}


def _read_folder(folder: Path) -> dict[str, Any]:
    """A mounted ConfigMap changes all its files at once, by pointing "..data" elsewhere. It is followed once, so that
    all keys are of one revision.
    """
    try:
        data = folder / "..data"
        if data.is_symlink():
            folder = folder / data.readlink()
        files = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    except OSError as error:
        raise SettingsError([f"{folder} can't be read: {error.strerror}."]) from error
    return {file.name: _read_text(file).removesuffix("\n") for file in files}


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError([f"{file} can't be read: {error.strerror}."]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"{file} is not UTF-8."]) from error


def describe(cls: type[BaseSettings]) -> list[SettingDoc]:
    """Every key of a tree, in the order of the fields."""
    return [
        SettingDoc(
            key=leaf.key,
            path=leaf.path,
            allowed=_allowed(leaf.field),
            default=_shown_default(leaf.field),
            description=" ".join((leaf.field.description or "").split()),
            unit=_extra(leaf.field, "unit"),
            applies=_extra(leaf.field, "applies"),
            secret=_is_secret(leaf.field),
        )
        for leaf in _leaves(cls, str(cls.model_config.get("env_prefix", "")).upper())
    ]


@cache
def _sealed(cls: type[BaseSettings]) -> type[BaseSettings]:
    """`cls`, reading nothing by itself: what it is given is all there is."""

    def only_given(
        _cls: Any, _settings_cls: Any, /, init_settings: PydanticBaseSettingsSource, **_: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    return cast(
        type[BaseSettings],
        type(
            cls.__name__,
            (cls,),
            {
                "settings_customise_sources": classmethod(only_given),
                "__module__": cls.__module__,
                "__doc__": cls.__doc__,
                # Only the parent's source holds the fields' docstrings.
                "model_config": {**cls.model_config, "use_attribute_docstrings": False},
            },
        ),
    )


def _leaves(model: type[BaseModel], prefix: str, path: tuple[str, ...] = ()) -> Iterator[_Leaf]:
    for name, field in model.model_fields.items():
        here = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, prefix, here)
        else:
            alias = field.alias if field.alias and field.alias.isupper() else None
            yield _Leaf(alias or prefix + "_".join(here).upper(), here, field)


def _unknown(key: str, file: Path | None, leaves: Mapping[str, _Leaf]) -> str:
    near = difflib.get_close_matches(key.upper(), leaves, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"{key} in {file} is not a known key{hint}"


def _problem(details: Any, by_path: Mapping[tuple[Any, ...], _Leaf], origin: Mapping[str, str]) -> str:
    location: tuple[Any, ...] = tuple(details["loc"])
    cause = details.get("ctx", {}).get("error")
    said = str(cause).rstrip(".") if isinstance(cause, ValueError) else ""
    while location and location not in by_path:
        location = location[:-1]
    if not location:
        return f"{said or details['msg']}."
    leaf = by_path[location]
    if details["type"] == "missing":
        return f"{leaf.key} is not set; allowed is {_allowed(leaf.field)}."
    hidden = _is_secret(leaf.field) or _extra(leaf.field, "private") == "True"
    value = "(hidden)" if hidden else _shown(details["input"])
    source = f" (from {origin[leaf.key]})" if leaf.key in origin else ""
    # A validator's own sentence may quote the value, which a secret's must not.
    reason = said if said and not _is_secret(leaf.field) else f"allowed is {_allowed(leaf.field)}"
    return f"{leaf.key} is {value}{source}; {reason}."


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def _is_secret(field: FieldInfo) -> bool:
    return any(part in {SecretStr, SecretBytes} for part in _parts(field.annotation))


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _shown_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, SecretStr | SecretBytes) or default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, tuple | list | set | frozenset):
        items = sorted(default) if isinstance(default, set | frozenset) else default
        return ",".join(str(item) for item in items)
    return str(default)


def _extra(field: FieldInfo, name: str) -> str:
    extra = field.json_schema_extra
    return str(extra.get(name, "")) if isinstance(extra, dict) else ""


def _allowed(field: FieldInfo) -> str:
    """What a value may be, in words."""
    return _extra(field, "allowed") or _allowed_of(field.annotation, list(field.metadata))


def _allowed_of(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _allowed_of(arguments[0], [*metadata, *arguments[1:]])
    if origin in {Union, types.UnionType}:
        kept = [part for part in arguments if part is not type(None)]
        return " or ".join(_allowed_of(part, metadata) for part in kept)
    if origin is Literal:
        return _listed([str(item) for item in arguments])
    if origin in {tuple, list, set, frozenset}:
        inner = _allowed_of(arguments[0], []) if arguments else "text"
        return f"a comma-separated list of: {inner}"
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return _listed([str(item.value) for item in annotation])
        if issubclass(annotation, bool):
            return "true or false"
        if issubclass(annotation, int):
            return f"a whole number{_bounds(metadata)}"
        if issubclass(annotation, float):
            return f"a number{_bounds(metadata)}"
        if issubclass(annotation, Path):
            return "a path"
    return f"text{_length(metadata)}"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def _bounds(metadata: list[Any]) -> str:
    low = next((item.ge for item in metadata if isinstance(item, annotated_types.Ge)), None)
    high = next((item.le for item in metadata if isinstance(item, annotated_types.Le)), None)
    above = next((item.gt for item in metadata if isinstance(item, annotated_types.Gt)), None)
    below = next((item.lt for item in metadata if isinstance(item, annotated_types.Lt)), None)
    words = []
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        words.append(f"at least {low}")
    if above is not None:
        words.append(f"above {above}")
    if high is not None:
        words.append(f"at most {high}")
    if below is not None:
        words.append(f"below {below}")
    return f" {' and '.join(words)}" if words else ""


def _length(metadata: list[Any]) -> str:
    low = next((item.min_length for item in metadata if isinstance(item, annotated_types.MinLen)), None)
    high = next((item.max_length for item in metadata if isinstance(item, annotated_types.MaxLen)), None)
    if low is not None and high is not None:
        return f" of {low} to {high} characters"
    if high is not None:
        return f" of at most {high} characters"
    if low == 1:
        return " that is not empty"
    return f" of at least {low} characters" if low else ""
