"""Lays the chunks of a step out as one flat batch, in arrays that are made once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.chunk import Chunk
from foreknown.engine.sequence import Sequence
from foreknown.graph.batch import Batch


class FlatBatch:
    """Room for the largest step. A batch is valid until the next `fill`."""

    def __init__(self, max_tokens: int, max_rows: int, tables: NDArray[np.int32]) -> None:
        self._tokens = np.zeros(max_tokens, np.int32)
        self._positions = np.zeros(max_tokens, np.int32)
        self._sequence = np.zeros(max_tokens, np.int32)
        self._rows = np.zeros(max_rows, np.int32)
        self._tables = tables
        self._counting = np.arange(max_tokens, dtype=np.int32)
        self._decoding: dict[int, Batch] = {}  # by size; all are views of the same arrays

    def fill(self, chunks: list[Chunk[Sequence]]) -> Batch:
        """The batch of these chunks, one after the other.

        Rows are the last tokens of chunks that give a token, all drafts, and what is read of
        prompts.
        """
        n_tokens = n_rows = 0
        for chunk in chunks:
            sequence, count, drafts = chunk
            start = sequence.n_computed
            first, n_tokens = n_tokens, n_tokens + count + len(drafts)
            if n_tokens == first + 1:
                self._tokens[first] = sequence.tokens[start]
                self._positions[first] = start
                self._sequence[first] = sequence.table
            else:
                self._fill_many(chunk, first, n_tokens)
            if sequence.prompt_rows is not None:
                for row in sequence.prompt_rows.rows(start, count):
                    self._rows[n_rows] = first + row
                    n_rows += 1
            elif start + count == sequence.n_tokens:
                for row in range(n_tokens - len(drafts) - 1, n_tokens):
                    self._rows[n_rows] = row
                    n_rows += 1
        return self._batch(n_tokens, n_rows)

    def _fill_many(self, chunk: Chunk[Sequence], first: int, last: int) -> None:
        sequence, count, drafts = chunk
        start = sequence.n_computed
        self._tokens[first : first + count] = sequence.tokens[start : start + count]
        self._tokens[first + count : last] = drafts
        np.add(self._counting[: last - first], start, out=self._positions[first:last])
        self._sequence[first:last] = sequence.table

    def _batch(self, n_tokens: int, n_rows: int) -> Batch:
        """Views of so many tokens and rows; the same object again for the same decoding step."""
        batch = self._decoding.get(n_tokens) if n_tokens == n_rows else None
        if batch is None:
            batch = Batch(
                tokens=self._tokens[:n_tokens],
                positions=self._positions[:n_tokens],
                sequence=self._sequence[:n_tokens],
                block_tables=self._tables,
                rows=self._rows[:n_rows],
            )
            if n_tokens == n_rows:
                self._decoding[n_tokens] = batch
        return batch
