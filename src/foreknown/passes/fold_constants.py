"""Evaluates constant expressions that no weight takes part in.

    before:  %0 = const {value=2.0} : f32[]
             %1 = const {value=[1.0,3.0]} : f32[2]
             %2 = mul %0, %1 : f32[2]
    after:   %2 = const {value=[2.0,6.0]} : f32[2]

Expressions of weights stay: they are evaluated when the weights are packed. So does what would
grow: a result may be no larger than what it is made of, or 4096 elements.
"""

from __future__ import annotations

from foreknown.graph.interpret import evaluate
from foreknown.graph.ir import Graph, Node, const
from foreknown.passes.rewrite import rewrite

SMALL_ELEMENTS = 4096


def fold_constants(graph: Graph) -> Graph:
    """The graph with constants in place of expressions of constants."""
    return rewrite(graph, RULES)


def _folded(node: Node) -> Node | None:
    if not node.args or node.rows is not None or any(a.op != "const" for a in node.args):
        return None
    if node.row_size > max(SMALL_ELEMENTS, sum(a.row_size for a in node.args)):
        return None
    return const(evaluate(node), node.dtype)


RULES = (_folded,)
