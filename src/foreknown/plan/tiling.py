"""Chooses how a product with low-bit weights is cut: how many panels stay in a core's cache.

With many rows, a block of panels is gone over by tile after tile of rows. Of two kinds of traffic
one is paid for each block (all rows are read again), the other for each tile (the block is read
again), so the block should be as large as stays in the cache beside a tile's rows.

    bytes from beyond the cache = rows k (panels / block)  +  weights        if the block fits
"""

from __future__ import annotations

from dataclasses import dataclass

from foreknown.plan.layout import panel_bytes

CACHE_BYTES = 512 << 10
"""What a core surely has for itself in its second-level cache."""
CODES_BYTES = 64 << 10
"""Left for the rows of a tile."""


@dataclass(frozen=True)
class Tiling:
    """How a product is cut.

    Attributes:
        block_panels: panels that tiles of rows go over before the next panels are read.
    """

    block_panels: int


def choose_tiling(k: int, bits: int, group: int) -> Tiling:
    """The cut of a product with rows of k elements."""
    return Tiling(max(1, (CACHE_BYTES - CODES_BYTES) // panel_bytes(k, bits, group)))
