"""The weights of a checkpoint: found by name, mapped and not read, released when done with.

Knows nothing of what a tensor is for, nor of which files make a checkpoint (see shards.py).
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foreknown.checkpoint.header import TensorEntry
from foreknown.errors import CheckpointError

# What NumPy has no name for keeps its bits: bfloat16 as uint16, the 8-bit floats as uint8.
_NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "F8_E4M3": "u1",
    "F8_E5M2": "u1",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_TO_F32 = ("F32", "BF16", "F16", "F64")
_BLOCK_ITEMS = 1 << 20


@dataclass(frozen=True)
class StoredTensor:
    """A read-only view into the mapped file.

    `array` has the checkpoint's shape; `dtype` says what its items are, because bfloat16 comes as
    uint16 and the 8-bit floats as uint8.
    """

    dtype: str
    array: npt.NDArray[Any]


class TensorStore(Mapping[str, TensorEntry]):
    """Every tensor of a checkpoint by name; weights are touched only by the `read` methods."""

    def __init__(self, entries: Iterable[TensorEntry], directory: Path) -> None:
        self.directory = directory
        self._entries: dict[str, TensorEntry] = {}
        self._maps: dict[Path, mmap.mmap] = {}
        for entry in entries:
            other = self._entries.get(entry.name)
            if other is not None:
                raise CheckpointError(
                    f"tensor {entry.name!r} is in two files",
                    where=f"{other.file} and {entry.file}",
                    remedy="remove the file that does not belong to this checkpoint",
                )
            self._entries[entry.name] = entry

    def __getitem__(self, name: str) -> TensorEntry:
        try:
            return self._entries[name]
        except KeyError:
            raise _MissingTensor(name, self.directory) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(entry.size_bytes for entry in self._entries.values())

    def read(self, name: str) -> StoredTensor:
        """A tensor as it is stored, without a copy.

        Raises:
            CheckpointError: no such tensor, or its file can no longer be mapped.
        """
        entry = self[name]
        dtype = np.dtype(_NUMPY[entry.dtype])
        if entry.size_bytes == 0:
            empty: npt.NDArray[Any] = np.empty(entry.shape, dtype)
            empty.flags.writeable = False
            return StoredTensor(entry.dtype, empty)
        flat = np.frombuffer(
            self._map(entry), dtype, entry.size_bytes // dtype.itemsize, entry.offset_bytes
        )
        return StoredTensor(entry.dtype, flat.reshape(entry.shape))

    def read_f32(self, name: str) -> npt.NDArray[np.float32]:
        """A floating-point tensor in float32: a view if it is stored so, else a new array.

        Raises:
            CheckpointError: no such tensor, or not one of F32, BF16, F16, F64.
        """
        stored = self.read(name)
        if stored.dtype not in _TO_F32:
            raise CheckpointError(
                f"tensor {name!r} is stored as {stored.dtype}, where a float is expected",
                where=str(self[name].file),
                remedy=f"save the checkpoint again with this tensor as one of {', '.join(_TO_F32)}",
            )
        if stored.dtype == "BF16":
            bits = np.empty(stored.array.shape, np.uint32)
            np.left_shift(stored.array, 16, out=bits, dtype=np.uint32)
            return bits.view(np.float32)
        with np.errstate(over="ignore"):
            return stored.array.astype(np.float32, copy=False)

    def require_shape(self, name: str, shape: tuple[int, ...]) -> TensorEntry:
        """The entry of a tensor that must have this shape.

        Raises:
            CheckpointError: no such tensor, or of another shape.
        """
        entry = self[name]
        if entry.shape != shape:
            raise CheckpointError(
                f"tensor {name!r} has the shape {list(entry.shape)}, "
                f"but config.json calls for {list(shape)}",
                where=str(entry.file),
                remedy="use the config.json and the weights of one and the same checkpoint",
            )
        return entry

    def require_finite(self, name: str) -> None:
        """Reads a tensor through, in blocks, for values that no model can compute with.

        Raises:
            CheckpointError: no such tensor, or it holds a NaN or an infinity.
        """
        stored = self.read(name)
        items = stored.array.reshape(-1)
        for begin in range(0, items.size, _BLOCK_ITEMS):
            block = items[begin : begin + _BLOCK_ITEMS]
            if stored.dtype == "BF16":
                wrong = (block & 0x7F80) == 0x7F80  # an exponent of ones
            elif stored.dtype in _TO_F32:
                wrong = ~np.isfinite(block)
            else:
                return
            if wrong.any():
                at = np.unravel_index(begin + int(wrong.argmax()), stored.array.shape)
                raise CheckpointError(
                    f"tensor {name!r} holds a NaN or an infinity, first at "
                    f"{[int(index) for index in at]}",
                    where=str(self[name].file),
                    remedy="fetch this file again; if it is so at its source, training went wrong",
                )

    def release(self, name: str) -> None:
        """Gives the pages of a tensor back, so that memory does not grow with the model.

        Views stay valid: a later access maps the bytes again from the file.
        """
        entry = self[name]
        mapped = self._maps.get(entry.file)
        if mapped is None or entry.size_bytes == 0 or not hasattr(mapped, "madvise"):
            return
        begin = entry.offset_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        mapped.madvise(mmap.MADV_DONTNEED, begin, entry.offset_bytes + entry.size_bytes - begin)

    def fingerprint(self) -> str:
        """32 hex digits that change with names, dtypes, shapes, file sizes or modification times.

        No weight is read: two calls on an untouched checkpoint agree, in milliseconds.
        """
        digest = hashlib.blake2b(digest_size=16)
        for name in sorted(self._entries):
            entry = self._entries[name]
            digest.update(
                f"{name}\0{entry.dtype}\0{entry.shape}\0{entry.file.name}\0{entry.offset_bytes}\n".encode()
            )
        for file in sorted({entry.file for entry in self._entries.values()}):
            try:
                status = file.stat()
            except OSError as error:
                raise _unreadable(file, error) from None
            digest.update(f"{file.name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def _map(self, entry: TensorEntry) -> mmap.mmap:
        mapped = self._maps.get(entry.file)
        if mapped is None:
            try:
                with entry.file.open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise _unreadable(entry.file, error) from None
            self._maps[entry.file] = mapped
        if entry.offset_bytes + entry.size_bytes > len(mapped):
            raise _unreadable(entry.file, "it became shorter since its header was read")
        return mapped


class _MissingTensor(CheckpointError, KeyError):
    """Also a KeyError, so that `Mapping.get` works."""

    def __init__(self, name: str, directory: Path) -> None:
        super().__init__(
            f"tensor {name!r} is not in the checkpoint",
            where=str(directory),
            remedy="use the config.json and the weights of one and the same checkpoint",
        )

    __str__ = Exception.__str__


def _unreadable(file: Path, error: object) -> CheckpointError:
    return CheckpointError(
        f"{file.name} cannot be mapped: {error}",
        where=str(file),
        remedy="check that the file is there, whole, and not changed while it is in use",
    )
