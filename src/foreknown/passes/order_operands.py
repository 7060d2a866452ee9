"""Puts the operands of commutative operations in one order, so that interning sees them alike.

    before:  %2 = mul %0, %1 : f32[T,8]
             %3 = mul %1, %0 : f32[T,8]
             %4 = add %2, %3 : f32[T,8]
    after:   %2 = mul %0, %1 : f32[T,8]
             %4 = add %2, %2 : f32[T,8]

The order is that of the graph's own lines, constants last. max and min keep theirs: they are
not commutative in the sign of zero.
"""

from __future__ import annotations

from foreknown.graph.ir import Graph, Node
from foreknown.passes.rewrite import rebuilt

COMMUTATIVE = frozenset({"add", "mul", "eq", "ne", "and", "or"})


def order_operands(graph: Graph) -> Graph:
    """The graph with the operands of commutative operations in order."""
    built: dict[Node, Node] = {}
    line: dict[Node, tuple[bool, int]] = {}
    for node in graph.nodes:
        args = [built[a] for a in node.args]
        if node.op in COMMUTATIVE:
            args.sort(key=line.__getitem__)
        new = built[node] = rebuilt(node, args)
        line.setdefault(new, (new.rows is None, len(line)))
    return Graph(graph.name, {name: built[node] for name, node in graph.outputs.items()})
