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

from foreknown.plan.layout import LANES, PANEL_ROWS, panel_bytes
from foreknown.targets.cpu.instructions import write_instructions
from foreknown.targets.cpu.toolchain import RUNTIME, cached_shared_object, find_target

Array = NDArray[Any]
CHECKSUM_PIECE = 16 << 20
"""Bytes that are hashed together; pieces are hashed on all threads and their sums added."""


@cache
def library() -> ctypes.CDLL:
    """The library, compiled for this machine if it is not there yet."""
    source = f'#include "fk.h"\n{write_instructions()}{(RUNTIME / "tools.c").read_text()}'
    made = cached_shared_object(source, find_target("host"))
    tools = ctypes.CDLL(str(made))
    tools.fk_multiply_add.argtypes = (ctypes.c_int64, ctypes.c_float)
    tools.fk_multiply_add.restype = ctypes.c_float
    tools.fk_dot_codes.argtypes = (ctypes.c_int64, ctypes.c_int32)
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


def lowbit_panels(codes: Array, scales: Array, bits: int, group: int) -> Array:
    """Panels of low-bit weights as bytes, laid out as plan/layout.py draws them.

    Args:
        codes: i8[n, k].
        scales: f16[n, k / group].
    """
    n, k = codes.shape
    codes, scales = np.ascontiguousarray(codes), np.ascontiguousarray(scales, np.float16)
    packed = np.empty(-(-n // PANEL_ROWS) * panel_bytes(k, bits, group), np.uint8)
    library().fk_pack_lowbit(
        _pointer(codes),
        _pointer(scales),
        ctypes.c_int64(n),
        ctypes.c_int64(k),
        bits,
        group,
        _pointer(packed),
    )
    return packed


def quantised(
    w: Array, bits: int, group: int, importance: Array | None = None, n_threads: int = 2
) -> tuple[Array, Array]:
    """The bits of `quantise_weights` in graph/quantise.py, at 1e8 weights a second and thread.

    Rows are shared out to the threads. An infinite scale marks a group that must be refused.

    Args:
        w: f32[..., k], finite.
        group: a multiple of 16 that divides k.
        importance: f32[k], or None for all ones.

    Returns:
        int8[..., k] and f16[..., k // group].
    """
    *shape, k = w.shape
    assert group % LANES == 0, group
    assert k % group == 0, (k, group)
    rows = np.ascontiguousarray(w, np.float32).reshape(-1, k)
    codes = np.empty(rows.shape, np.int8)
    scales = np.empty((len(rows), k // group), np.float16)
    weight = None if importance is None else np.ascontiguousarray(importance, np.float32)
    assert weight is None or weight.shape == (k,)
    quantise = library().fk_quantise_weights

    def work(thread: int) -> None:
        start, end = (len(rows) * i // n_threads for i in (thread, thread + 1))
        quantise(
            _pointer(rows[start:end]),
            ctypes.c_int64(end - start),
            ctypes.c_int64(k),
            bits,
            group,
            None if weight is None else _pointer(weight),
            _pointer(codes[start:end]),
            _pointer(scales[start:end]),
        )

    on_threads(work, n_threads)
    return codes.reshape(*shape, k), scales.reshape(*shape, k // group)


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


_flushed: dict[int, list[Array]] = {}


def flush(size: int, n_threads: int) -> None:
    """Read so many bytes of other memory with all threads: caches then hold nothing else."""
    share = size // n_threads // 512 * 512
    memory = _flushed.get(n_threads)
    if memory is None or len(memory[0]) != share:
        memory = _flushed[n_threads] = [np.ones(share, np.uint8) for _ in range(n_threads)]
    tools = library()

    def work(thread: int) -> None:
        tools.fk_read(_pointer(memory[thread]), ctypes.c_int64(share), ctypes.c_int64(1))

    on_threads(work, n_threads)


def f32_gflop_s(n_threads: int, seconds: float = 0.1) -> float:
    """Multiply-adds in f32, counted as two operations, in 1e9 a second."""
    tools = library()
    each = ctypes.c_int64.in_dll(tools, "fk_multiply_adds").value
    return _peak(lambda times: tools.fk_multiply_add(times, 0.5), each, n_threads, seconds)


def int8_gop_s(n_threads: int, seconds: float = 0.1) -> float:
    """Exact multiply-adds of codes of 8 bits and of 4, as two operations, in 1e9 a second."""
    tools = library()
    each = ctypes.c_int64.in_dll(tools, "fk_dots").value
    return _peak(lambda times: tools.fk_dot_codes(times, 3), each, n_threads, seconds)


def _peak(
    run: Callable[[int], object], multiply_adds: int, n_threads: int, seconds: float
) -> float:
    """1e9 operations a second of a loop with so many multiply-adds in each of its turns."""
    times = 100_000

    def work(thread: int) -> None:
        run(times)

    on_threads(work, n_threads)
    elapsed = on_threads(work, n_threads)
    times = max(times, int(times * seconds / max(elapsed, 1e-6)))
    return times * multiply_adds * 2 * n_threads / on_threads(work, n_threads) / 1e9
