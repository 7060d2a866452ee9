"""Decides which rows of a phase are held in arrays and which are computed where they are used.

Held are a phase's outputs, whatever reduces or reorders a row, and what would otherwise be
computed more than once for an element. Views and single-use elementwise nodes cost nothing inline.
"""

from __future__ import annotations

from collections import defaultdict

from foreknown.graph.ir import Node
from foreknown.graph.ops import ELEMENTWISE
from foreknown.plan.phases import Phase, held

INLINE_VIEWS = frozenset("permute slice broadcast take select_rows shift gather".split())
READS_AN_ARRAY = frozenset("topk_values topk_indices argmax gather quantise".split())


def choose_stored(phase: Phase) -> set[Node]:
    """Nodes whose row is held in an array, by counting how often each element would be computed."""
    stored: set[Node] = set(phase.outputs)
    members = set(phase.nodes)
    computed: dict[Node, int] = defaultdict(int)
    for slot in phase.stores:
        for value in slot.values:
            computed[held(value)] += value.row_size
    for node in phase.nodes:
        if node.op in READS_AN_ARRAY and held(node.args[0]) in members:
            stored.add(held(node.args[0]))
    for node in reversed(phase.nodes):
        if node.op in INLINE_VIEWS:
            holds = node.op == "take" and computed[node] > node.row_size
        elif node.op in ELEMENTWISE:
            holds = computed[node] > node.row_size
        else:
            holds = True
        if holds:
            stored.add(node)
        times = node.row_size if node in stored else computed[node]
        for arg in node.args:
            factor = 1
            if node.op in {"sum", "prod", "amax", "amin", "cumsum"}:
                factor = max(1, arg.row_size // node.row_size)
            elif node.op == "matmul":
                factor = max(1, int(arg.shape[-1]) * 16)  # type: ignore[arg-type]
            if node.op == "concat":
                computed[held(arg)] += arg.row_size
            else:
                computed[held(arg)] += times * factor
    return stored
