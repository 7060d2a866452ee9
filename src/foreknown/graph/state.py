"""What a model remembers between steps, as arrays: the interpreter's blocks of 16 tokens."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.graph.ir import DTYPES

Array = NDArray[Any]


class State:
    """What a model remembers between steps, in blocks of 16 tokens, one array for each state key.

    `attend` keeps its pair (k, v), so layers that share keys and values share state; `shift` keeps
    the value that it shifts, `scan` its own. Arrays are [n_blocks, 16, *row_shape], one row a
    token; for a scan [n_blocks, *state_shape], the state after the last token that was run in a
    block. They are created when first used, full of poison.
    """

    def __init__(self, n_blocks: int) -> None:
        self.n_blocks = n_blocks
        self.arrays: dict[Hashable, Array] = {}

    def array(self, key: Hashable, shape: tuple[int, ...], dtype: str = "f32") -> Array:
        """The array of a key: [n_blocks, *shape]."""
        if key not in self.arrays:
            poison = {"f32": np.nan, "i32": np.iinfo(np.int32).min, "bool": False}[dtype]
            self.arrays[key] = np.full((self.n_blocks, *shape), poison, DTYPES[dtype])
        return self.arrays[key]


def runs(batch: Batch) -> Iterator[tuple[Array, Array, int, Array]]:
    """For each sequence: its tokens' indices in the batch, their positions, and where all of its
    positions up to the last lie (block * 16 + offset), from the first of them."""
    for sequence in np.unique(batch.sequence):
        index = np.flatnonzero(batch.sequence == sequence)
        positions = batch.positions[index]
        every = np.arange(positions[-1] + 1)
        blocks = batch.block_tables[sequence, every // BLOCK_TOKENS]
        yield index, positions, int(positions[0]), blocks * BLOCK_TOKENS + every % BLOCK_TOKENS


def stored(state: State, key: Hashable, batch: Batch, x: Array, dtype: str) -> Array:
    """Write this step's rows into their blocks; returns all rows, [n_blocks * 16, *row_shape]."""
    array = state.array(key, (BLOCK_TOKENS, *x.shape[1:]), dtype)
    block = batch.block_tables[batch.sequence, batch.positions // BLOCK_TOKENS]
    array[block, batch.positions % BLOCK_TOKENS] = x
    return array.reshape(-1, *x.shape[1:])
