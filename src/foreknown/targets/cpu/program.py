"""A compiled program in this process: memory it was promised, and `step`.

Loaded with ctypes, so no Python extension is built and the interpreter lock is free in a step.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from foreknown.errors import ArtifactError, DoesNotFit
from foreknown.graph.batch import Batch

_INT32 = ctypes.POINTER(ctypes.c_int32)
_INT64 = ctypes.POINTER(ctypes.c_int64)

MOST_NATIVES = 64
"""Batches whose native form is kept."""


class _Batch(ctypes.Structure):
    """struct fk_batch of runtime/program.h."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("n_rows", ctypes.c_int32),
        ("max_blocks", ctypes.c_int32),
        ("tokens", _INT32),
        ("positions", _INT32),
        ("sequence", _INT32),
        ("block_tables", _INT32),
        ("rows", _INT32),
    )


class _Memory(ctypes.Structure):
    """struct fk_memory of runtime/program.h."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("own", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("scratch_bytes", ctypes.c_uint64),
        ("own_bytes", ctypes.c_uint64),
        ("n_blocks", ctypes.c_uint64),
    )


@dataclass(frozen=True)
class Sizes:
    """What a program must be given, from its plan.

    Attributes:
        vocab_size: columns of the logits.
        context: tokens of the longest sequence.
        max_tokens: T at most in one step.
        max_rows: R at most in one step.
        arena_bytes: values between phases.
        scratch_bytes: for each thread.
        own_bytes: a lone token's rows, for each thread but the first.
        block_bytes: state of 16 tokens.
        logits_offset: where a step leaves the logits in the arena.
        n_phases: calls in one step.
        rewindable: whether positions may be run again: true unless a scan keeps one state a block.
        hidden_offset: where a step leaves the rows that the head reads in the arena.
        hidden_size: elements of such a row; 0: there are none.
    """

    vocab_size: int
    context: int
    max_tokens: int
    max_rows: int
    arena_bytes: int
    scratch_bytes: int
    own_bytes: int
    block_bytes: int
    logits_offset: int
    n_phases: int
    rewindable: bool = True
    hidden_offset: int = 0
    hidden_size: int = 0


class Program:
    """A shared object, its weights and its memory. Not thread-safe: one step at a time."""

    def __init__(
        self,
        shared_object: Path,
        weights: mmap | NDArray[np.uint8],
        sizes: Sizes,
        *,
        n_blocks: int,
        n_threads: int,
    ) -> None:
        try:
            self.library = ctypes.CDLL(str(shared_object))
        except OSError as error:
            raise ArtifactError(
                f"the program could not be loaded: {error}",
                where=str(shared_object),
                remedy="compile the checkpoint again on this machine",
            ) from None
        self.library.fk_open.restype = ctypes.c_void_p
        self.library.fk_step.restype = None
        self.library.fk_step.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Batch), _INT64)
        self.library.fk_close.argtypes = (ctypes.c_void_p,)
        self.library.fk_copy_block.restype = None
        self.library.fk_copy_block.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self.sizes, self.n_blocks, self.n_threads = sizes, n_blocks, n_threads
        self.vocab_size, self.context = sizes.vocab_size, sizes.context
        self.max_tokens, self.max_rows = sizes.max_tokens, sizes.max_rows
        self.rewindable, self.hidden_size = sizes.rewindable, sizes.hidden_size
        self._natives: dict[int, tuple[Batch, _Batch]] = {}
        self._weights = np.frombuffer(weights, np.uint8)
        try:
            self._arena = _aligned(sizes.arena_bytes)
            self._scratch = _aligned(sizes.scratch_bytes * n_threads)
            self._own = _aligned(sizes.own_bytes * (n_threads - 1))
            self._state = _aligned(sizes.block_bytes * n_blocks)
        except MemoryError:
            raise DoesNotFit(
                f"{sizes.block_bytes * n_blocks >> 20} MiB of state could not be had",
                remedy="ask for a shorter context or fewer blocks",
            ) from None
        memory = _Memory(
            self._weights.ctypes.data,
            self._arena.ctypes.data,
            self._scratch.ctypes.data,
            self._own.ctypes.data,
            self._state.ctypes.data,
            sizes.scratch_bytes,
            sizes.own_bytes,
            n_blocks,
        )
        self._handle = self.library.fk_open(ctypes.byref(memory), n_threads)
        if not self._handle:
            raise DoesNotFit(f"{n_threads} threads could not be started")
        self._phase_ns = np.zeros(sizes.n_phases, np.int64)
        self._logits = self._result(sizes.logits_offset, sizes.vocab_size)
        self._hidden = self._result(sizes.hidden_offset, sizes.hidden_size)

    def step(self, batch: Batch) -> NDArray[np.float32]:
        """Run one step; the result, f32[R, vocabulary], is a view that the next step overwrites."""
        self._run(batch, None)
        return self._logits[: len(batch.rows)]

    def timed_step(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """A step and the nanoseconds of each of its phases."""
        self._run(batch, self._phase_ns.ctypes.data_as(_INT64))
        return self._logits[: len(batch.rows)], self._phase_ns.copy()

    def _run(self, batch: Batch, phase_ns: object) -> None:
        known = self._natives.get(id(batch))
        if known is not None:  # an engine gives the same views again and again
            self.library.fk_step(self._handle, ctypes.byref(known[1]), phase_ns)
            return
        arrays = (batch.tokens, batch.positions, batch.sequence, batch.block_tables, batch.rows)
        held = [np.ascontiguousarray(array, np.int32) for array in arrays]
        native = _Batch(
            len(batch.tokens),
            len(batch.rows),
            batch.block_tables.shape[1],
            *(array.ctypes.data_as(_INT32) for array in held),
        )
        if all(array is given for array, given in zip(held, arrays, strict=True)):
            if len(self._natives) == MOST_NATIVES:
                self._natives.clear()
            self._natives[id(batch)] = batch, native  # held, so no other batch has its id
        self.library.fk_step(self._handle, ctypes.byref(native), phase_ns)

    def hidden(self, n_rows: int) -> NDArray[np.float32]:
        """Hidden states f32[n_rows, hidden_size] of the last step's rows, until the next step."""
        return self._hidden[:n_rows]

    def copy_block(self, source: int, destination: int) -> None:
        """Copy the state that one block holds onto another; between steps."""
        self.library.fk_copy_block(self._handle, source, destination)

    def value(self, offset: int, size: int) -> NDArray[np.float32]:
        """Elements of a result that lies at an offset of the arena, until the next step."""
        return self._arena[offset : offset + 4 * size].view(np.float32)

    def _result(self, offset: int, width: int) -> NDArray[np.float32]:
        """A result's rows, f32[max_rows, width], where they lie in the arena."""
        rows = self.sizes.max_rows
        return self.value(offset, rows * width).reshape(rows, width)

    def poison(self) -> None:
        """Fill memory with NaN: a step that reads what it did not write will show it."""
        for memory in (self._arena, self._scratch, self._own, self._state):
            memory.view(np.float32).fill(np.nan)

    def fill_state(self, value: float) -> None:
        """Touch all state, with a number that is none of the slow ones: before measurements."""
        self._state.view(np.float32).fill(value)

    def close(self) -> None:
        """End the program's threads."""
        if self._handle:
            self.library.fk_close(self._handle)
            self._handle = None

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _aligned(size: int) -> NDArray[np.uint8]:
    """Zeroed pages that cost nothing until they are touched, starting on a cache line."""
    whole = np.zeros(max(size, 64) + 64, np.uint8)
    start = -whole.ctypes.data % 64
    return whole[start : start + -(-max(size, 64) // 64) * 64]
