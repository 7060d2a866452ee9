"""Parses and checks the header of one safetensors file, without touching its weights.

Layout (https://github.com/huggingface/safetensors#format): 8 bytes, little endian, the length N of
the header; N bytes of JSON, {name: {dtype, shape, data_offsets: [begin, end]}}; then the bytes of
the tensors, without holes, `data_offsets` counted from their start.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foreknown.errors import CheckpointError

HEADER_LIMIT_BYTES = 100 * 1000 * 1000

ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}

_FETCH = "fetch this file again, or save the checkpoint again where it was made"


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies: `size_bytes` bytes at `offset_bytes` from the start of `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset_bytes: int
    size_bytes: int


class _Repeated(ValueError):
    """A name that occurs twice in one JSON object."""


def read_header(path: Path) -> tuple[TensorEntry, ...]:
    """Every tensor of one file, in the order of their bytes.

    Raises:
        CheckpointError: the file is absent or truncated, its header is too long or not as the
            format says, a name occurs twice, bytes overlap, are missing, or do not fit the shape.
    """
    try:
        with path.open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            length = file.read(8)
            if len(length) < 8:
                raise _damaged(path, f"{path.name} is truncated: {file_bytes} bytes, no header")
            header_bytes = int.from_bytes(length, "little")
            if header_bytes > HEADER_LIMIT_BYTES:
                raise _damaged(
                    path,
                    f"{path.name} announces a header of {header_bytes:,} bytes, above the bound of "
                    f"{HEADER_LIMIT_BYTES:,}; it is damaged or no safetensors file",
                )
            if 8 + header_bytes > file_bytes:
                raise _damaged(
                    path,
                    f"{path.name} is truncated: {file_bytes:,} bytes, and its header alone "
                    f"needs {8 + header_bytes:,}",
                )
            text = file.read(header_bytes)
    except OSError as error:
        raise CheckpointError(
            f"{path.name} cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="check that the file exists and that you may read it",
        ) from None
    entries = [
        _entry(path, name, value, 8 + header_bytes)
        for name, value in _parse(path, text).items()
        if name != "__metadata__"
    ]
    entries.sort(key=lambda entry: (entry.offset_bytes, entry.size_bytes))
    _check_layout(path, entries, 8 + header_bytes, file_bytes)
    return tuple(entries)


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_repeats)
    except _Repeated as error:
        raise _damaged(path, f"{path.name} names tensor {error} twice") from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"the header of {path.name} is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise _damaged(path, f"the header of {path.name} is not a JSON object")
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(repr(next(name for name in names if names.count(name) > 1)))
    return value


def _entry(path: Path, name: str, value: Any, data_start: int) -> TensorEntry:
    if not isinstance(value, dict):
        raise _damaged(path, f"tensor {name!r} has no description in the header")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if dtype not in ITEM_BYTES:
        raise CheckpointError(
            f"tensor {name!r} is stored as {dtype!r}, which is not read",
            where=str(path),
            remedy=f"save the checkpoint again as one of {', '.join(ITEM_BYTES)}",
        )
    if not (isinstance(shape, list) and all(_is_count(size) for size in shape)):
        raise _damaged(path, f"tensor {name!r} has no sensible shape: {shape!r}")
    if not (
        isinstance(offsets, list)
        and len(offsets) == 2
        and all(_is_count(offset) for offset in offsets)
        and offsets[0] <= offsets[1]
    ):
        raise _damaged(path, f"tensor {name!r} has no sensible data_offsets: {offsets!r}")
    begin, end = offsets
    needed = math.prod(shape) * ITEM_BYTES[dtype]
    if end - begin != needed:
        raise _damaged(
            path,
            f"tensor {name!r} has {end - begin:,} bytes, but {dtype} {shape} takes {needed:,}",
        )
    return TensorEntry(name, dtype, tuple(shape), path, data_start + begin, needed)


def _check_layout(path: Path, entries: list[TensorEntry], start: int, file_bytes: int) -> None:
    position = start
    for entry in entries:
        if entry.offset_bytes + entry.size_bytes > file_bytes:
            raise _damaged(
                path,
                f"{path.name} is truncated: tensor {entry.name!r} ends at byte "
                f"{entry.offset_bytes + entry.size_bytes:,} of {file_bytes:,}",
            )
        if entry.offset_bytes < position:
            raise _damaged(path, f"tensor {entry.name!r} overlaps the tensor before it")
        if entry.offset_bytes > position:
            raise _damaged(
                path, f"{entry.offset_bytes - position:,} stray bytes before tensor {entry.name!r}"
            )
        position += entry.size_bytes
    if position != file_bytes:
        raise _damaged(path, f"{path.name} has {file_bytes - position:,} stray bytes at its end")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(what, where=str(path), remedy=_FETCH)
