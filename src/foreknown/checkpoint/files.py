"""Reads the small text files of a checkpoint, bounded in size, with errors a person can act on.

Knows nothing of what the files mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foreknown.errors import CheckpointError

MIB = 1024 * 1024
CONFIG_LIMIT_BYTES = 16 * MIB
FETCH_AGAIN = "fetch the file again, or save the checkpoint again where it was made"


def read_text(path: Path, limit_bytes: int = CONFIG_LIMIT_BYTES) -> str:
    """The whole of a UTF-8 file, line ends as they are read in text mode.

    Raises:
        CheckpointError: absent, unreadable, not a regular file, above `limit_bytes`, not UTF-8.
    """
    try:
        if not path.exists():
            raise CheckpointError(
                f"{path.name} is missing",
                where=str(path),
                remedy="give the directory of a complete checkpoint",
            )
        if not path.is_file():
            raise CheckpointError(
                f"{path.name} is not a file", where=str(path), remedy="put the file in its place"
            )
        size_bytes = path.stat().st_size
        if size_bytes > limit_bytes:
            raise CheckpointError(
                f"{path.name} has {size_bytes:,} bytes, above the bound of {limit_bytes:,}",
                where=str(path),
                remedy="check that this is the right file; a file of this kind is far smaller",
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{path.name} is not UTF-8 text (byte {error.start})",
            where=str(path),
            remedy=FETCH_AGAIN,
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"{path.name} cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="check that the file exists and that you may read it",
        ) from None


def parse_json_object(text: str, path: Path) -> dict[str, Any]:
    """The JSON object in `text`, which was read from `path`.

    Raises:
        CheckpointError: not JSON, nested too deep, or not an object.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path.name} is not JSON: {error.msg}",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            remedy=FETCH_AGAIN,
        ) from None
    except (RecursionError, ValueError):
        raise CheckpointError(
            f"{path.name} is nested too deep or holds a number too long",
            where=str(path),
            remedy=FETCH_AGAIN,
        ) from None
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path.name} holds a JSON {type(value).__name__}, not an object",
            where=str(path),
            remedy=FETCH_AGAIN,
        )
    return value


def read_json_object(path: Path, limit_bytes: int = CONFIG_LIMIT_BYTES) -> dict[str, Any]:
    """The JSON object a file holds; errors as `read_text` and `parse_json_object`."""
    return parse_json_object(read_text(path, limit_bytes), path)


def read_json_object_if_present(path: Path) -> Mapping[str, Any]:
    """As `read_json_object`, and an empty mapping where there is no such file."""
    return read_json_object(path) if path.exists() else {}
