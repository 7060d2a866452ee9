"""Blocks of state, only counted: who lends them where nothing is computed."""

from __future__ import annotations

from collections import OrderedDict

from foreknown.engine.block_manager import Found, blocks_for, blocks_to_start
from foreknown.engine.rehearsed import Rehearsed
from foreknown.graph.batch import BLOCK_TOKENS


class BlockCount:
    """As many blocks as there are, whichever they be; what they held is forgotten.

    Only whoever follows another finds the prompt that both share, and is lent as much all the same.

    Args:
        tails: whether a block that is not full can be shared, by a copy.

    Attributes:
        n_free: blocks that can be lent.
    """

    def __init__(self, n_free: int, *, tails: bool = True) -> None:
        self.n_free = n_free
        self._tails = tails

    def find(self, sequence: Rehearsed) -> Found | None:
        """None if it cannot start now; see `BlockManager.find`."""
        if blocks_to_start(sequence) > self.n_free:
            return None
        if not sequence.follows or sequence.n_output:
            return Found()
        n_shared = sequence.n_tokens - 1
        return Found(n_tail=n_shared if self._tails else n_shared - n_shared % BLOCK_TOKENS)

    def allocate(self, sequence: Rehearsed, found: Found) -> None:
        """Blocks for all that a sequence has so far."""
        n_shared = len(found.shared)
        sequence.n_blocks = n_shared
        self.extend(sequence, blocks_for(sequence.n_tokens) - n_shared)
        sequence.n_computed = found.n_tokens
        if not sequence.has_started:
            sequence.n_cached = sequence.n_computed

    def append(self, sequence: Rehearsed) -> None:
        """One more block for a running sequence."""
        self.extend(sequence, 1)

    def extend(self, sequence: Rehearsed, n_blocks: int) -> None:
        """Some more blocks for a running sequence."""
        sequence.n_blocks += n_blocks
        self.n_free -= n_blocks

    def trim(self, sequence: Rehearsed) -> None:
        """Take back what a running sequence's tokens do not need."""
        self.extend(sequence, blocks_for(sequence.n_tokens) - sequence.n_blocks)

    def free(self, sequence: Rehearsed) -> None:
        """Take back a sequence's blocks."""
        self.extend(sequence, -sequence.n_blocks)

    def register(self, sequence: Rehearsed) -> None:
        """Nothing is remembered."""

    def register_tail(self, sequence: Rehearsed, n_tokens: int) -> None:
        """Nothing is remembered."""


class PrefixCount(BlockCount):
    """Counts, and remembers by their names the blocks that prompts begin with.

    A named block is held by one sequence or more, or by none and free to be lent again: those that
    were let go longest ago go first, after all that have no name.
    """

    def __init__(self, n_free: int, *, tails: bool = True) -> None:
        super().__init__(n_free, tails=tails)
        self._held: dict[int, int] = {}
        self._cached: OrderedDict[int, None] = OrderedDict()

    def find(self, sequence: Rehearsed) -> Found | None:
        shared = []
        for name in sequence.prefix[: (sequence.n_tokens - 1) // BLOCK_TOKENS]:
            if name not in self._held and name not in self._cached:
                break
            shared.append(name)
        n_woken = sum(name in self._cached for name in shared)
        if blocks_to_start(sequence) - len(shared) + n_woken > self.n_free:
            return None
        rest = sequence.n_tokens - 1 - len(shared) * BLOCK_TOKENS
        copied = self._tails and sequence.follows and rest < BLOCK_TOKENS
        return Found(tuple(shared), n_tail=rest if copied else 0)

    def allocate(self, sequence: Rehearsed, found: Found) -> None:
        for name in found.shared:
            if name in self._cached:
                del self._cached[name]
                self.n_free -= 1
            self._held[name] = self._held.get(name, 0) + 1
        sequence.names = list(found.shared)
        super().allocate(sequence, found)

    def extend(self, sequence: Rehearsed, n_blocks: int) -> None:
        super().extend(sequence, n_blocks)
        while len(self._cached) > self.n_free:
            self._cached.popitem(last=False)

    def register(self, sequence: Rehearsed) -> None:
        """Remember the named blocks that a sequence has computed by now, in order."""
        names = sequence.names
        n_full = min(sequence.n_computed // BLOCK_TOKENS, len(sequence.prefix))
        for name in sequence.prefix[len(names) : n_full]:
            if name in self._held or name in self._cached:
                names.append(None)  # somebody else's block has the name; this one is nameless
            else:
                self._held[name] = 1
                names.append(name)

    def free(self, sequence: Rehearsed) -> None:
        n_still_held = 0
        for name in reversed(sequence.names):
            if name is None:
                continue
            self._held[name] -= 1
            if self._held[name]:
                n_still_held += 1
            else:
                del self._held[name]
                self._cached[name] = None
        sequence.names = []
        sequence.n_blocks -= n_still_held
        super().free(sequence)
