"""What one step is given: a flat batch of tokens from many sequences, and where their past lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreknown.errors import RequestError

BLOCK_TOKENS = 16
"""Tokens whose state one block holds."""


@dataclass(frozen=True)
class Batch:
    """T tokens of S sequences, in any mix, with R of them wanted as logits.

    Tokens of one sequence come in ascending, contiguous positions; their past (all positions
    below the first of them) was computed by earlier steps into the same blocks.

    Attributes:
        tokens: i32[T], vocabulary ids.
        positions: i32[T], position of each token in its own sequence, from 0.
        sequence: i32[T], which row of `block_tables` a token belongs to.
        block_tables: i32[S, max_blocks], block ids; block b of a sequence holds its positions
            16 b to 16 b + 15. Entries past the last token are not read.
        rows: i32[R], indices into the T tokens.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    sequence: NDArray[np.int32]
    block_tables: NDArray[np.int32]
    rows: NDArray[np.int32]

    def check(self, vocab_size: int, context: int, n_blocks: int) -> None:
        """Refuse what a step must not be given; native code trusts its batch.

        Raises:
            RequestError: a token, position, sequence, block or row is out of range.
        """
        n_sequences, max_blocks = self.block_tables.shape
        bounds = (
            ("a token id", self.tokens, vocab_size),
            ("a position", self.positions, min(context, max_blocks * BLOCK_TOKENS)),
            ("a sequence", self.sequence, n_sequences),
            ("a selected row", self.rows, len(self.tokens)),
            ("a block", self.block_tables[self.sequence, self.positions // BLOCK_TOKENS], n_blocks),
        )
        for name, values, limit in bounds:
            if values.size and not (values.min() >= 0 and values.max() < limit):
                worst = int(values.min() if values.min() < 0 else values.max())
                raise RequestError(f"{name} of a batch is {worst}, outside 0 to {limit - 1}")


def single(tokens: list[int], start: int = 0, rows: list[int] | None = None) -> Batch:
    """One sequence in blocks 0, 1, 2, …: tokens at positions `start` onwards, all rows wanted."""
    n = len(tokens)
    blocks = -(-(start + n) // BLOCK_TOKENS)
    return Batch(
        tokens=np.asarray(tokens, np.int32),
        positions=np.arange(start, start + n, dtype=np.int32),
        sequence=np.zeros(n, np.int32),
        block_tables=np.arange(blocks, dtype=np.int32)[None],
        rows=np.asarray(range(n) if rows is None else rows, np.int32),
    )
