"""Reads weights.bin into large pages.

Every step reads all weights once, faster than the processor can look up small pages: in pages of
2 MiB a lone token's step moves up to 1.4 times the bytes a second (docs/log.md, 12). A mapped file
comes in pages of 4 KiB, so the weights are read into memory of their own, by all threads at once.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.format import COMPILE_AGAIN
from foreknown.errors import ArtifactError, DoesNotFit
from foreknown.targets.cpu.tools import on_threads

LARGE_PAGE_BYTES = 2 << 20
PIECE_BYTES = 8 << 20
"""What a thread reads at a time."""


def read_weights(path: Path, size: int, n_threads: int) -> NDArray[np.uint8]:
    """A file's bytes, uint8[size], starting on a large page if the system has them.

    Raises:
        ArtifactError: the file is missing, cannot be read or has another size.
        DoesNotFit: the memory could not be had.
    """
    weights = large_pages(size)
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise ArtifactError(
                    f"weights.bin has {found} bytes instead of {size}",
                    where=str(path),
                    remedy=COMPILE_AGAIN,
                )
            _fill(weights, file.fileno(), n_threads)
    except OSError as error:
        raise ArtifactError(
            f"weights.bin cannot be read: {error}", where=str(path), remedy=COMPILE_AGAIN
        ) from None
    return weights


def large_pages(size: int) -> NDArray[np.uint8]:
    """Memory for uint8[size], zero, in large pages to its last byte if the system has them.

    Raises:
        DoesNotFit: it could not be had.
    """
    n_pages = -(-max(size, 1) // LARGE_PAGE_BYTES) + 1  # one more, for where they begin
    try:
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # shared memory has no large pages
        whole = mmap.mmap(-1, n_pages * LARGE_PAGE_BYTES, flags=private)
    except (OSError, ValueError) as error:
        raise DoesNotFit(
            f"{size >> 20} MiB of weights could not be had: {error}",
            remedy="use a smaller format or a larger machine",
        ) from None
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a system without large pages runs all the same
            whole.madvise(mmap.MADV_HUGEPAGE)
    memory = np.frombuffer(whole, np.uint8)
    start = -memory.ctypes.data % LARGE_PAGE_BYTES
    return memory[start : start + size]


def _fill(weights: NDArray[np.uint8], file: int, n_threads: int) -> None:
    """Each thread reads every n-th piece; what the file lacks by then stays zero, and shows."""
    errors: list[OSError] = []

    def work(thread: int) -> None:
        try:
            for start in range(thread * PIECE_BYTES, len(weights), n_threads * PIECE_BYTES):
                end = min(start + PIECE_BYTES, len(weights))
                while start < end:
                    count = os.preadv(file, [weights[start:end].data], start)
                    if count == 0:
                        return
                    start += count
        except OSError as error:
            errors.append(error)

    on_threads(work, n_threads)
    if errors:
        raise errors[0]
