"""Knows which block holds the state of which text.

A text is named by a digest of all its tokens: that of the blocks before, chained with its own. So
equal digests mean equal tokens from the first on, and by law 3 equal state, whoever computed it.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_DIGEST_BYTES = 16


def root_digest(salt: str) -> bytes:
    """Of the empty text; texts with different salts have nothing in common."""
    return blake2b(salt.encode(), digest_size=_DIGEST_BYTES).digest()


def chained_digest(parent: bytes, tokens: NDArray[np.int32]) -> bytes:
    """Of a text that ends in these tokens, a block of them or fewer, after those of `parent`."""
    return blake2b(parent + tokens.tobytes(), digest_size=_DIGEST_BYTES).digest()


class PrefixCache:
    """Digests of texts, and the blocks that hold the state of their ends.

    A block has a digest when it is full, and may have some for its first few tokens: whatever is
    written behind them does not change these.

    Attributes:
        blocks: digest → block.
        digests: block → its digests; only blocks that have any.
    """

    def __init__(self) -> None:
        self.blocks: dict[bytes, int] = {}
        self.digests: dict[int, list[bytes]] = {}

    def register(self, digest: bytes, block: int) -> None:
        """Take note of what a block holds; of two that hold the same, the first is kept."""
        if digest not in self.blocks:
            self.blocks[digest] = block
            self.digests.setdefault(block, []).append(digest)

    def forget(self, block: int) -> None:
        """Take note that a block will hold something else."""
        for digest in self.digests.pop(block, ()):
            del self.blocks[digest]
