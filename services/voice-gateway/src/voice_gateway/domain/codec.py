"""Domain values to plain JSON-able data and back, led by their type hints.

Dataclasses become objects tagged with their class name, enums their value, tuples and lists arrays. Nothing is looked
up by a name from the data alone: the expected type decides which classes may appear.
"""

import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints

TAG = "_"


PLAIN = frozenset({type(None), bool, int, float, str})
"""What stays as it is; looked up first, since most values are one of these and checkpoints are made often."""


class MalformedDataError(ValueError):
    """The data does not describe a value of the expected type."""


class UnknownKindError(MalformedDataError):
    """It is a kind of thing that is not known here: an enum's value, or a union's class."""


def encode(value: object) -> Any:
    """Plain data for `value`: None, bool, int, float, str, list or dict."""
    kind: type = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {TAG: kind.__name__, **{name: encode(getattr(value, name)) for name in _field_names(kind)}}
    raise TypeError(f"{type(value).__name__} has no plain form")


def decode(expected: Any, data: Any, *, tolerant: bool = False) -> Any:
    """The value of type `expected` that `data` describes. Fields that are missing take their defaults, so that newer
    code reads older data; unknown fields and values raise MalformedDataError.

    With `tolerant`, older code reads newer data as well: unknown fields are left out, and a field whose value is a kind
    that is not known here (an enum's, or a union's) takes its default, where it has one.
    """
    origin = get_origin(expected)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(expected), data, tolerant)
    if origin in (tuple, list):
        return _decode_sequence(expected, origin, data, tolerant)
    if expected is type(None):
        return _checked(data is None, data, expected, data)
    if isinstance(expected, type) and issubclass(expected, Enum):
        try:
            return expected(data)
        except ValueError as error:
            raise UnknownKindError(str(error)) from error
    if is_dataclass(expected) and isinstance(expected, type):
        return _decode_dataclass(expected, data, tolerant)
    if expected is float:
        return _checked(isinstance(data, int | float) and not isinstance(data, bool), data, expected, data)
    if expected is int:
        return _checked(isinstance(data, int) and not isinstance(data, bool), data, expected, data)
    return _checked(isinstance(data, expected), data, expected, data)


def _decode_union(members: tuple[Any, ...], data: Any, tolerant: bool) -> Any:
    if isinstance(data, dict):
        for member in members:
            if is_dataclass(member) and getattr(member, "__name__", "") == data.get(TAG):
                return decode(member, data, tolerant=tolerant)
        raise UnknownKindError(f"{data.get(TAG)!r} is not one of the expected kinds")
    for member in members:
        try:
            return decode(member, data, tolerant=tolerant)
        except MalformedDataError:
            continue
    raise UnknownKindError(f"{data!r} is none of {members}")


def _decode_sequence(expected: Any, origin: Any, data: Any, tolerant: bool) -> Any:
    if not isinstance(data, list):
        raise MalformedDataError(f"{data!r} is not a list")
    arguments = get_args(expected)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        if len(arguments) != len(data):
            raise MalformedDataError(f"{len(data)} items, {len(arguments)} expected")
        return tuple(decode(kind, item, tolerant=tolerant) for kind, item in zip(arguments, data, strict=True))
    return origin(decode(arguments[0], item, tolerant=tolerant) for item in data)


def _decode_dataclass(expected: Any, data: Any, tolerant: bool) -> Any:
    if not isinstance(data, dict) or data.get(TAG) != expected.__name__:
        raise MalformedDataError(f"{data!r} is not a {expected.__name__}")
    hints = _hints(expected)
    unknown = data.keys() - hints.keys() - {TAG}
    if unknown and not tolerant:
        raise MalformedDataError(f"{expected.__name__} has no field {sorted(unknown)[0]!r}")
    values = {}
    for name, hint in hints.items():
        if name in data:
            try:
                values[name] = decode(hint, data[name], tolerant=tolerant)
            except UnknownKindError:
                if not tolerant or not _has_default(expected, name):
                    raise
    try:
        return expected(**values)
    except TypeError as error:
        raise MalformedDataError(str(error)) from error


@lru_cache(maxsize=128)
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@lru_cache(maxsize=1024)
def _has_default(expected: type, name: str) -> bool:
    (field,) = (field for field in fields(expected) if field.name == name)
    return field.default is not MISSING or field.default_factory is not MISSING


@lru_cache(maxsize=128)
def _hints(expected: type) -> dict[str, Any]:
    return get_type_hints(expected)


def _checked(holds: bool, value: Any, expected: Any, data: Any) -> Any:
    if not holds:
        raise MalformedDataError(f"{data!r} is not a {getattr(expected, '__name__', expected)}")
    return value
