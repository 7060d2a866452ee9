"""Reads questions from files: JSON lines, or one JSON document; bounded, with clear faults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foreknown.errors import RequestError

LONGEST_LINE = 16 << 20
LARGEST_FILE = 64 << 20
"""Bytes; of a file of lines, only those that are wanted are read."""

Record = Mapping[str, Any]


def lines(path: Path, most: int) -> list[tuple[str, Record]]:
    """The first records of a file with a JSON object on each line, each with where it stands.

    Raises:
        RequestError: the file cannot be read, a line is no JSON object, or too long.
    """
    found: list[tuple[str, Record]] = []
    number = 0
    try:
        with path.open("rb") as file:
            while len(found) < most and (raw := file.readline(LONGEST_LINE + 1)):
                number += 1
                where = f"{path}, line {number}"
                if len(raw) > LONGEST_LINE:
                    raise _fault("the line has more than 16 MiB", where)
                if raw.strip():
                    found.append((where, _object(raw, where)))
    except OSError as error:
        raise _unread(path, error) from None
    return found


def document(path: Path) -> Record:
    """The JSON object that a file is.

    Raises:
        RequestError: it cannot be read, is no JSON object, or too large.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise _fault("the file has more than 64 MiB", str(path))
        return _object(path.read_bytes(), str(path))
    except OSError as error:
        raise _unread(path, error) from None


def text(record: Record, field: str, where: str) -> str:
    """A field's text; a number or a truth value is written as JSON has it.

    Raises:
        RequestError: there is none, or it is empty.
    """
    value = record.get(field)
    if isinstance(value, (bool, int, float)):
        value = json.dumps(value)
    if not isinstance(value, str) or not value.strip():
        raise missing(record, field, "a text", where)
    return value


def missing(record: Record, field: str, expected: str, where: str) -> RequestError:
    """What is said of a field that does not hold what is expected."""
    names = ", ".join(list(map(str, record))[:20]) or "none"
    return RequestError(
        f"{field!r} is not {expected}", where=where, remedy=f"name one of its fields: {names}"
    )


def _object(raw: bytes, where: str) -> Record:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _fault(f"this is not JSON: {error}", where) from None
    if not isinstance(found, dict):
        raise _fault(f"this is a JSON {type(found).__name__}, not an object", where)
    return found


def _fault(what: str, where: str) -> RequestError:
    return RequestError(what, where=where, remedy="correct the file, or name another")


def _unread(path: Path, error: OSError) -> RequestError:
    return RequestError(
        f"the task's file cannot be read: {error.strerror or error}",
        where=str(path),
        remedy="give the path of a file with questions",
    )
