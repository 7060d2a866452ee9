"""Chooses how a product with low-bit weights is cut: how many panels stay in a core's cache.

With many rows, a block of panels is gone over by tile after tile of rows. Of two kinds of traffic
one is paid for each block (all rows are read again), the other for each tile (the block is read
again), so the block should be as large as stays in the cache beside a tile's rows.

    bytes from beyond the cache = rows k (panels / block)  +  weights        if the block fits
"""

from __future__ import annotations

from foreknown.plan.layout import panel_bytes

CACHE_BYTES = 512 << 10
"""What a core surely has for itself in its second-level cache."""
CODES_BYTES = 64 << 10
"""Left for the rows of a tile."""


def block_panels(k: int, bits: int, group: int) -> int:
    """Panels that tiles of rows go over before the next are read, for rows of k elements."""
    return max(1, (CACHE_BYTES - CODES_BYTES) // panel_bytes(k, bits, group))
