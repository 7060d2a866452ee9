"""Dataclasses from tables that people may have edited: every field is there and of its type.

Knows nothing of machines: whether a value makes sense is for those who hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")
Table = dict[str, Any]
MOST_WHOLE = 1 << 63
LONGEST_SHOWN = 40


class Wrong(ValueError):
    """What is wrong with a table, where its file is not known."""


def read_fields(kind: type[T], table: Table, place: str = "", **read: object) -> T:
    """A dataclass from a table.

    Args:
        kind: its fields have types of `READERS`, but for those that are `read` already.
        place: of the table in its file; "": it is the whole file.

    Raises:
        Wrong: a field that is missing, unknown, or not of its type.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    values = dict(read)
    for name, field in known.items():
        if name not in read and (name in table or field.default is MISSING):
            values[name] = read_value(table, name, str(field.type), place)
    require_known(table, known, place)
    return kind(**values)


def read_value(table: Table, name: str, wanted: str, place: str = "") -> Any:
    """A table's value of a type of `READERS`.

    Raises:
        Wrong: it is missing, or not of that type.
    """
    read, expected = READERS[wanted]
    if name not in table:
        raise Wrong(f"{_named(name, place)} is missing, where {expected} is expected")
    try:
        return read(table[name])
    except TypeError:
        found = shown(table[name])
        raise Wrong(f"{_named(name, place)} is {found}, where {expected} is expected") from None


def require_known(table: Table, known: Iterable[str], place: str = "") -> None:
    """Refuse what nobody reads.

    Raises:
        Wrong: says what is known.
    """
    known = list(known)
    if unknown := [name for name in table if name not in known]:
        raise Wrong(f"{_named(unknown[0], place)} is unknown: known are {', '.join(known)}")


def shown(value: object) -> str:
    """A value in a message, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _named(name: str, place: str) -> str:
    name = name if name.isidentifier() and len(name) <= LONGEST_SHOWN else shown(name)
    return f"{name} of {place}" if place else name


def _is(kind: type[T]) -> Callable[[object], T]:
    def read(value: object) -> T:
        if not isinstance(value, kind):
            raise TypeError
        return value

    return read


def _whole(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= MOST_WHOLE:
        raise TypeError
    return value


def _number(value: object) -> float:
    return value if isinstance(value, float) else float(_whole(value))


def _pair(value: object) -> tuple[int, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError
    return _whole(value[0]), _number(value[1])


def _each(read: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    listed = _is(list)
    return lambda value: tuple(map(read, listed(value)))


READERS: dict[str, tuple[Callable[[object], Any], str]] = {
    "str": (_is(str), "text"),
    "bool": (_is(bool), "true or false"),
    "int": (_whole, "a whole number"),
    "float": (_number, "a number"),
    "Table": (_is(dict), "a table"),
    "tuple[str, ...]": (_each(_is(str)), "a list of texts"),
    "tuple[int, ...]": (_each(_whole), "a list of whole numbers"),
    "tuple[float, ...]": (_each(_number), "a list of numbers"),
    "tuple[Table, ...]": (_each(_is(dict)), "a list of tables"),
    "tuple[tuple[int, float], ...]": (
        _each(_pair),
        "a list of pairs, a whole number and a number each",
    ),
}
"""By a type's name: how a value of it is read, and what a person is to write."""
