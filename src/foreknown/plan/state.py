"""What a model remembers of a sequence, in blocks of 16 tokens, and how a block is laid out.

    attend    for each group of heads its keys, then for each group its values:
              keys    f32 or bf16 [width][16]; int8 [width / 4][16][4] plus 128, then f32 scale [16]
              values  f32 or bf16 [16][value width, padded to 16]; int8 likewise, then scale [16]
    shift     rows [16][row], the input of each token
    scan      the state after the last token of the block that was run

State is keyed by what is kept, so layers that keep the same values share one slot. The format
follows from what is kept, too: a value that was rounded to bf16 or to 8 bits is stored so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.graph.ir import Node
from foreknown.plan.layout import ALIGNMENT, ITEM_BYTES, LANES, STORED_BYTES, padded

Kept = Literal["f32", "bf16", "int8"]


@dataclass(frozen=True)
class StateSlot:
    """What one node of the past keeps for every token: the rows of `values`.

    Attributes:
        kind: attend keeps keys and values, shift its input, scan its last state.
        values: the nodes whose rows are kept; (k, v) for attend.
    """

    kind: Literal["attend", "shift", "scan"]
    values: tuple[Node, ...]


def state_slot(node: Node) -> StateSlot:
    """The state that a node of `PAST` reads; nodes that keep the same values share it."""
    if node.op == "attend":
        return StateSlot("attend", node.args[1:3])
    if node.op == "shift":
        return StateSlot("shift", node.args[:1])
    return StateSlot("scan", (node,))


def kept_as(value: Node) -> Kept:
    """The format in which attention keeps a value."""
    if value.op == "quantise":
        return "int8"
    return "bf16" if value.op == "bf16" else "f32"


def group_bytes(value: Node, width: int) -> int:
    """Bytes of a block's keys, or values, of one group of heads."""
    if kept_as(value) == "int8":
        return BLOCK_TOKENS * (width + 4)
    return BLOCK_TOKENS * width * STORED_BYTES[kept_as(value)]


def block_bytes(slot: StateSlot) -> int:
    """Bytes of one block of a slot."""
    if slot.kind == "attend":
        keys, values = slot.values
        groups, width = keys.row_shape
        wide = padded(values.row_shape[1], LANES)
        return groups * (group_bytes(keys, width) + group_bytes(values, wide))
    (value,) = slot.values
    rows = BLOCK_TOKENS if slot.kind == "shift" else 1
    return padded(rows * value.row_size * ITEM_BYTES[value.dtype], ALIGNMENT)
