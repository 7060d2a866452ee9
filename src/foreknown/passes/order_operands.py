"""Puts the operands of commutative operations in one order, so that interning sees them alike.

    before:  %2 = mul %0, %1 : f32[T,8]
             %3 = mul %1, %0 : f32[T,8]
             %4 = add %2, %3 : f32[T,8]
    after:   %2 = mul %0, %1 : f32[T,8]
             %4 = add %2, %2 : f32[T,8]

Of two orders the first in the graph stays, so that layers written alike stay alike; constants
come last. max and min keep theirs: they are not commutative in the sign of zero.
"""

from __future__ import annotations

from foreknown.graph.ir import Graph, Node
from foreknown.passes.rewrite import rebuilt

COMMUTATIVE = frozenset({"add", "mul", "eq", "ne", "and", "or"})


def order_operands(graph: Graph) -> Graph:
    """The graph with one of each pair of commuted operations."""
    built: dict[Node, Node] = {}
    first: dict[tuple[str, frozenset[Node]], Node] = {}
    for node in graph.nodes:
        args = [built[a] for a in node.args]
        if node.op in COMMUTATIVE:
            args.sort(key=lambda a: a.rows is None)
            new = rebuilt(node, args)
            built[node] = first.setdefault((node.op, frozenset(args)), new)
        else:
            built[node] = rebuilt(node, args)
    return Graph(graph.name, {name: built[node] for name, node in graph.outputs.items()})
