"""Lends blocks of state to sequences; knows nothing of what lies in them."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.sequence import Sequence
from foreknown.graph.batch import BLOCK_TOKENS


def blocks_for(n_tokens: int) -> int:
    """Blocks that hold the state of this many tokens."""
    return -(-n_tokens // BLOCK_TOKENS)


class BlockManager:
    """Block tables, and who holds which block.

    A block is free or held by one or more sequences (several will share a prefix); it is free
    again when the last lets go of it.

    Attributes:
        tables: i32[max_sequences, max_blocks]; a running sequence has one row of it. Given to
            steps as it is, so no table is copied.
        references: how many sequences hold each block.
        free_blocks: ids, in the order they will be lent.
        free_tables: rows of `tables` that no sequence has.
    """

    def __init__(self, n_blocks: int, max_sequences: int, max_blocks: int) -> None:
        self.n_blocks = n_blocks
        self.tables: NDArray[np.int32] = np.zeros((max_sequences, max_blocks), np.int32)
        self.references = [0] * n_blocks
        self.free_blocks = deque(range(n_blocks))
        self.free_tables = list(reversed(range(max_sequences)))

    def can_allocate(self, n_tokens: int) -> bool:
        """Whether a new sequence could have a table and blocks for this many tokens."""
        return bool(self.free_tables) and blocks_for(n_tokens) <= len(self.free_blocks)

    def allocate(self, sequence: Sequence) -> None:
        """Give a sequence a table, and blocks for all its tokens."""
        sequence.table = self.free_tables.pop()
        for _ in range(blocks_for(sequence.n_tokens)):
            self._lend(sequence)

    def needs_block(self, sequence: Sequence) -> bool:
        """Whether a running sequence has more tokens than its blocks hold."""
        return self.places_left(sequence) < 0

    def can_append(self) -> bool:
        return bool(self.free_blocks)

    def append(self, sequence: Sequence) -> None:
        """Give a running sequence one more block."""
        self._lend(sequence)

    def places_left(self, sequence: Sequence) -> int:
        """Tokens more than it has that a running sequence's blocks hold."""
        return sequence.n_blocks * BLOCK_TOKENS - sequence.n_tokens

    def trim(self, sequence: Sequence) -> None:
        """Take back what a running sequence's own tokens do not need."""
        while sequence.n_blocks > blocks_for(sequence.n_tokens):
            sequence.n_blocks -= 1
            block = int(self.tables[sequence.table, sequence.n_blocks])
            if self._is_last_to_let_go(block):
                self.free_blocks.appendleft(block)  # likely to be asked for again at once

    def free(self, sequence: Sequence) -> None:
        """Take back a sequence's table and blocks."""
        for block in self.tables[sequence.table, : sequence.n_blocks].tolist():
            if self._is_last_to_let_go(block):
                self.free_blocks.append(block)
        self.free_tables.append(sequence.table)
        sequence.table = -1
        sequence.n_blocks = 0

    def _is_last_to_let_go(self, block: int) -> bool:
        self.references[block] -= 1
        return self.references[block] == 0

    def _lend(self, sequence: Sequence) -> None:
        block = self.free_blocks.popleft()
        self.references[block] = 1
        self.tables[sequence.table, sequence.n_blocks] = block
        sequence.n_blocks += 1
