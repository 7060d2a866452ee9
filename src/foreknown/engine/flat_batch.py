"""Lays the chunks of a step out as one flat batch, in arrays that are made once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.scheduler import Chunk
from foreknown.graph.batch import Batch


class FlatBatch:
    """Room for the largest step. A batch is valid until the next `fill`."""

    def __init__(self, max_tokens: int, max_rows: int, tables: NDArray[np.int32]) -> None:
        self._tokens = np.zeros(max_tokens, np.int32)
        self._positions = np.zeros(max_tokens, np.int32)
        self._sequence = np.zeros(max_tokens, np.int32)
        self._rows = np.zeros(max_rows, np.int32)
        self._tables = tables

    def fill(self, chunks: list[Chunk]) -> Batch:
        """The batch of these chunks, one after the other; rows are those that give a token."""
        n_tokens = n_rows = 0
        for sequence, count in chunks:
            start = sequence.n_computed
            if count == 1:
                self._tokens[n_tokens] = sequence.tokens[start]
                self._positions[n_tokens] = start
                self._sequence[n_tokens] = sequence.table
            else:
                here = slice(n_tokens, n_tokens + count)
                self._tokens[here] = sequence.tokens[start : start + count]
                self._positions[here] = np.arange(start, start + count, dtype=np.int32)
                self._sequence[here] = sequence.table
            n_tokens += count
            if start + count == sequence.n_tokens:
                self._rows[n_rows] = n_tokens - 1
                n_rows += 1
        return Batch(
            tokens=self._tokens[:n_tokens],
            positions=self._positions[:n_tokens],
            sequence=self._sequence[:n_tokens],
            block_tables=self._tables,
            rows=self._rows[:n_rows],
        )
