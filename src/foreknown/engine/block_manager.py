"""Lends blocks of state to sequences, and finds those that hold what a sequence begins with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.prefix_cache import PrefixCache
from foreknown.engine.progress import Progress
from foreknown.engine.sequence import Sequence
from foreknown.graph.batch import BLOCK_TOKENS


def blocks_for(n_tokens: int) -> int:
    """Blocks that hold the state of this many tokens."""
    return -(-n_tokens // BLOCK_TOKENS)


def blocks_to_start(one: Progress) -> int:
    """Blocks without which a sequence does not start: for one token more than it has.

    One that must give way at once need not start.
    """
    return blocks_for(min(one.n_tokens + 1, one.longest))


class Found(NamedTuple):
    """What is computed already of a sequence that is to start.

    Attributes:
        shared: full blocks, from the first token on.
        tail: the block that holds the state of some tokens more, to be copied; -1: none.
        n_tail: how many.
    """

    shared: tuple[int, ...] = ()
    tail: int = -1
    n_tail: int = 0

    @property
    def n_tokens(self) -> int:
        return len(self.shared) * BLOCK_TOKENS + self.n_tail


class BlockManager:
    """Block tables, who holds which block, and what is kept in blocks that nobody holds.

    A block is free or held by one or more sequences; it is free again when the last lets go of
    it. A free block keeps what it held until it is lent again: those that hold nothing of use go
    first, then whichever was let go longest ago.

    Args:
        tails: whether a block that is not full can be shared too, by a copy: not where there is
            one state for a whole block.

    Attributes:
        tables: i32[max_sequences, max_blocks]; a running sequence has one row of it. Given to
            steps as it is, so no table is copied.
        references: for each block, the sequences that hold it and the copies to be made of it.
        blank: free blocks that hold nothing of use; the last is lent first.
        cached: free blocks that are in the prefix cache, in the order they will be lent.
        free_tables: rows of `tables` that no sequence has.
        copies: destination → source, to be made before the next step.
        n_asked: tokens of prompts that were looked for in the prefix cache.
        n_found: those that were there.
    """

    def __init__(
        self, n_blocks: int, max_sequences: int, max_blocks: int, *, tails: bool = True
    ) -> None:
        self.n_blocks = n_blocks
        self.tables: NDArray[np.int32] = np.zeros((max_sequences, max_blocks), np.int32)
        self.references = [0] * n_blocks
        self.blank = list(reversed(range(n_blocks)))
        self.cached: OrderedDict[int, None] = OrderedDict()
        self.free_tables = list(reversed(range(max_sequences)))
        self.prefixes = PrefixCache()
        self.copies: dict[int, int] = {}
        self.n_asked = self.n_found = 0
        self._tails = tails

    @property
    def n_free(self) -> int:
        """Blocks that can be lent."""
        return len(self.blank) + len(self.cached)

    def find(self, sequence: Sequence) -> Found | None:
        """What is there of a sequence that is to start; None if it cannot start now.

        It needs a table, and blocks; see `blocks_to_start`.
        """
        if not self.free_tables:
            return None
        shared = self._find_full(sequence)
        n_wanted = blocks_to_start(sequence) - len(shared)
        n_spare = self.n_free - sum(not self.references[block] for block in shared) - n_wanted
        if n_spare < 0:
            return None
        tail, n_tail = self._find_tail(sequence, len(shared))
        if tail >= 0 and not n_spare and not self.references[tail]:
            tail, n_tail = -1, 0  # the block to be copied is needed for the copy
        return Found(tuple(shared), tail, n_tail)

    def allocate(self, sequence: Sequence, found: Found) -> None:
        """Give a sequence a table, what was found of it, and blocks for the rest of its tokens."""
        sequence.table = self.free_tables.pop()
        for block in found.shared:
            self._hold(block)
            self._enter(sequence, block)
        if found.n_tail:
            self._hold(found.tail)
        for _ in range(blocks_for(sequence.n_tokens) - len(found.shared)):
            self._enter(sequence, self._lend())
        if found.n_tail:
            self.copies[int(self.tables[sequence.table, len(found.shared)])] = found.tail
        sequence.n_computed = found.n_tokens
        sequence.n_registered = len(found.shared)
        if not sequence.has_started and sequence.asks:
            sequence.n_cached = found.n_tokens
            self.n_asked += sequence.n_tokens
            self.n_found += found.n_tokens

    def copy_blocks(self, copy: Callable[[int, int], None]) -> None:
        """Make the copies that sequences wait for.

        Args:
            copy: copies the state of one block, named first, to another.
        """
        while self.copies:
            destination, source = next(iter(self.copies.items()))
            copy(source, destination)
            del self.copies[destination]
            self._release(source)

    def register(self, sequence: Sequence) -> None:
        """Remember the full blocks that a running sequence has computed by now."""
        n_full = sequence.n_computed // BLOCK_TOKENS
        table = self.tables[sequence.table]
        for i in range(sequence.n_registered, n_full):
            self.prefixes.register(sequence.digest(i), int(table[i]))
        sequence.n_registered = n_full

    def register_tail(self, sequence: Sequence, n_tokens: int) -> None:
        """Remember where the last of a running sequence's first n tokens lie, computed by now."""
        n_full, n_tail = divmod(n_tokens, BLOCK_TOKENS)
        if not self._tails or not n_tail:
            return
        block = int(self.tables[sequence.table, n_full])
        if block not in self.copies:  # else its step failed: the block holds nothing yet
            self.prefixes.register(sequence.tail_digest(n_full, n_tail), block)

    def append(self, sequence: Sequence) -> None:
        """Give a running sequence one more block."""
        self._enter(sequence, self._lend())

    def trim(self, sequence: Sequence) -> None:
        """Take back what a running sequence's own tokens do not need."""
        while sequence.n_blocks > blocks_for(sequence.n_tokens):
            sequence.n_blocks -= 1
            self._release(int(self.tables[sequence.table, sequence.n_blocks]))

    def free(self, sequence: Sequence) -> None:
        """Take back a sequence's table and blocks, its end first: more begin as it does."""
        for block in reversed(self.tables[sequence.table, : sequence.n_blocks].tolist()):
            self._release(block)
        self.free_tables.append(sequence.table)
        sequence.table = -1
        sequence.n_blocks = 0

    def _find_full(self, sequence: Sequence) -> list[int]:
        """The longest chain of full blocks that leaves a token to be computed."""
        shared: list[int] = []
        if sequence.reuses:
            for i in range((sequence.n_tokens - 1) // BLOCK_TOKENS):
                block = self.prefixes.blocks.get(sequence.digest(i))
                if block is None:
                    break
                shared.append(block)
        return shared

    def _find_tail(self, sequence: Sequence, n_full: int) -> tuple[int, int]:
        """The block with the most of the tokens that follow, and how many; (-1, 0) without one."""
        if self._tails and sequence.reuses and self.prefixes.blocks:
            longest = min(BLOCK_TOKENS, sequence.n_tokens - n_full * BLOCK_TOKENS) - 1
            for n_tail in range(longest, 0, -1):
                block = self.prefixes.blocks.get(sequence.tail_digest(n_full, n_tail))
                if block is not None:
                    return block, n_tail
        return -1, 0

    def _enter(self, sequence: Sequence, block: int) -> None:
        self.tables[sequence.table, sequence.n_blocks] = block
        sequence.n_blocks += 1

    def _hold(self, block: int) -> None:
        """Hold a block that has a digest, whoever else does."""
        if not self.references[block]:
            del self.cached[block]
        self.references[block] += 1

    def _lend(self) -> int:
        if self.blank:
            block = self.blank.pop()
        else:
            block, _ = self.cached.popitem(last=False)
            self.prefixes.forget(block)
        self.references[block] = 1
        return block

    def _release(self, block: int) -> None:
        self.references[block] -= 1
        if self.references[block]:
            return
        source = self.copies.pop(block, None) if self.copies else None
        if source is not None:
            self._release(source)
        if block in self.prefixes.digests:
            self.cached[block] = None
        else:
            self.blank.append(block)
