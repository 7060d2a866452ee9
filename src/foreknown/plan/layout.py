"""How values lie in memory: items, rows between phases, panels of matrices, in bytes.

row of quantise    int8 [k], then for each group its f32 scale, then its i32 start
any other row      its elements, row-major
panel of lowbit    32 output rows; for each group of k: their f16 scales, then their codes,
                   16 rows to a 64-byte line of [row][4 bytes]: with 8 bits k to k+3, plus 128;
                   with 4 bits places in the book, k to k+3 in the low halves of the bytes and
                   k+4 to k+7 in the high ones
"""

from __future__ import annotations

from math import prod

from foreknown.graph.ir import Node

ALIGNMENT = 64
LANES = 16
PANEL_ROWS = 32
"""Output rows of a panel of low-bit weights: two vectors of 16 lanes, read as one stream."""
ITEM_BYTES = {"f32": 4, "i32": 4, "bool": 1}
STORED_BYTES = {**ITEM_BYTES, "bf16": 2}
SCALE_BYTES = 2


def row_bytes(value: Node) -> int:
    """Bytes of one row of a value where phases hand it on."""
    if value.op == "quantise":
        return value.row_size + 8 * (value.row_size // value.integer("group"))
    return value.row_size * ITEM_BYTES[value.dtype]


def padded(n: int, multiple: int) -> int:
    """n rounded up to a multiple."""
    return -(-n // multiple) * multiple


def panel_bytes(k: int, bits: int, group: int) -> int:
    """Bytes of one panel of low-bit weights."""
    return PANEL_ROWS * (k * bits // 8 + k // group * SCALE_BYTES)


def matrix_bytes(node: Node, stored: str) -> int:
    """Bytes of a constant in panels: all of its matrices, with their padding."""
    *count, n, k = node.row_shape
    if node.op == "lowbit":
        panels = padded(n, PANEL_ROWS) // PANEL_ROWS
        return prod(count) * panels * panel_bytes(k, node.integer("bits"), node.integer("group"))
    return prod(count) * padded(n, LANES) * k * STORED_BYTES[stored]
