"""What a model remembers of a sequence, in blocks of 16 tokens, and how a block is laid out.

    attend    keys [group][width][16], then values [group][16][value width, rounded up to 16]
    shift     rows [16][row], the input of each token
    scan      the state after the last token of the block that was run

State is keyed by what is kept, so layers that keep the same values share one slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.graph.ir import Node

ALIGNMENT = 64
LANES = 16
ITEM_BYTES = {"f32": 4, "i32": 4, "bool": 1}


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


def block_bytes(slot: StateSlot) -> int:
    """Bytes of one block of a slot."""
    if slot.kind == "attend":
        keys, values = slot.values
        groups, width = keys.row_shape
        padded = -(-values.row_shape[1] // LANES) * LANES
        return groups * BLOCK_TOKENS * (width + padded) * ITEM_BYTES["f32"]
    (value,) = slot.values
    rows = BLOCK_TOKENS if slot.kind == "shift" else 1
    size = rows * value.row_size * ITEM_BYTES[value.dtype]
    return -(-size // ALIGNMENT) * ALIGNMENT
