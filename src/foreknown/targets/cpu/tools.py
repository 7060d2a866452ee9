"""The host's own small library (runtime/tools.c): packing, checksums, and what the machine can do.

Compiled on first use and kept in the user's cache.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.targets.cpu.toolchain import RUNTIME, cached_shared_object, find_target

Array = NDArray[Any]
CHECKSUM_PIECE = 16 << 20
"""Bytes that are hashed together; pieces are hashed on all threads and their sums added."""


@cache
def library() -> ctypes.CDLL:
    """The library, compiled for this machine if it is not there yet."""
    made = cached_shared_object((RUNTIME / "tools.c").read_text(), find_target("host"))
    tools = ctypes.CDLL(str(made))
    tools.fk_multiply_add.argtypes = (ctypes.c_int64, ctypes.c_float)
    tools.fk_multiply_add.restype = ctypes.c_float
    return tools


def _pointer(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def panels(matrix: Array) -> Array:
    """[n, k] of 2 or 4 byte elements to [n / 16, k, 16], zeros after the last row."""
    n, k = matrix.shape
    matrix = np.ascontiguousarray(matrix)
    packed = np.empty((-(-n // 16), k, 16), matrix.dtype)
    pack = {2: library().fk_pack_u16, 4: library().fk_pack_u32}[matrix.itemsize]
    pack(_pointer(matrix), _pointer(packed), ctypes.c_int64(n), ctypes.c_int64(k))
    return packed


def is_finite(array: Array) -> bool:
    """Whether no element of f32, or of bf16 bits in uint16, is NaN or infinite."""
    array = np.ascontiguousarray(array)
    check = {2: library().fk_finite_bf16, 4: library().fk_finite_f32}[array.itemsize]
    return bool(check(_pointer(array), ctypes.c_int64(array.size)))


def checksum(data: Array, tools: ctypes.CDLL, n_threads: int = 2) -> int:
    """64 bits over uint8[n], at the speed of memory.

    Args:
        tools: any library that exports fk_checksum: this one, or a compiled program.
    """
    return _checksum(data.size, lambda start, end: data[start:end], tools, n_threads)


def file_checksum(path: Path, n_threads: int = 2) -> int:
    """`checksum` of a file's bytes, reading a piece at a time so that none stays in memory."""

    def piece(start: int, end: int) -> Array:
        return np.fromfile(path, np.uint8, end - start, offset=start)

    return _checksum(path.stat().st_size, piece, library(), n_threads)


def _checksum(
    size: int, piece: Callable[[int, int], Array], tools: ctypes.CDLL, n_threads: int
) -> int:
    tools.fk_checksum.restype = ctypes.c_uint64
    starts = range(0, max(size, 1), CHECKSUM_PIECE)
    sums = [0] * len(starts)

    def work(thread: int) -> None:
        for i in range(thread, len(starts), n_threads):
            data = piece(starts[i], min(starts[i] + CHECKSUM_PIECE, size))
            own = tools.fk_checksum(_pointer(data), ctypes.c_uint64(data.size))
            sums[i] = (own * (2 * i + 1)) & (2**64 - 1)

    on_threads(work, n_threads)
    return sum(sums) & (2**64 - 1)


def on_threads(work: Callable[[int], None], n_threads: int) -> float:
    """Run `work(thread)` on several threads at once; returns the seconds until all are done."""
    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, n_threads)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def read_gb_s(working_set_bytes: int, n_threads: int, seconds: float = 0.1) -> float:
    """Bandwidth of reading a working set of that size over and over, in 1e9 bytes a second."""
    share = max(4096, working_set_bytes // n_threads // 512 * 512)
    memory = [np.ones(share, np.uint8) for _ in range(n_threads)]
    tools, times = library(), 1

    def work(thread: int) -> None:
        tools.fk_read(_pointer(memory[thread]), ctypes.c_int64(share), ctypes.c_int64(times))

    while True:
        elapsed = on_threads(work, n_threads)
        if elapsed >= seconds / 2:
            return share * n_threads * times / elapsed / 1e9
        times = max(times * 2, int(times * seconds / max(elapsed, 1e-6)))


def f32_gflop_s(n_threads: int, seconds: float = 0.1) -> float:
    """Multiply-adds in f32, counted as two operations, in 1e9 a second."""
    tools, times = library(), 100_000

    def work(thread: int) -> None:
        tools.fk_multiply_add(times, 0.5)

    on_threads(work, n_threads)
    elapsed = on_threads(work, n_threads)
    times = max(times, int(times * seconds / max(elapsed, 1e-6)))
    return times * 24 * 16 * 2 * n_threads / on_threads(work, n_threads) / 1e9
