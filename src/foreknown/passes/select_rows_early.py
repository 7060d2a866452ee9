"""Chooses rows as early as it can, so that the rest runs on R rows and not on T.

    before:  %3 = linear %x, %head : f32[T,1000]
             %5 = select_rows %3, %rows : f32[R,1000]
    after:   %4 = select_rows %x, %rows : f32[R,64]
             %5 = linear %4, %head : f32[R,1000]

What some state or an output needs of every token is computed of every token and selected there;
everything else, in a transformer all that follows the last attention, runs on selected rows
alone. Nothing is computed twice: a value is either of T or of R, or both by selection. A slice of
what every token has is selected after slicing, so that no more than needed is copied.
"""

from __future__ import annotations

from foreknown.graph.ir import Graph, Node, R, Shape, T, make, topological
from foreknown.graph.ops import PAST
from foreknown.passes.rewrite import rebuilt


def select_rows_early(graph: Graph) -> Graph:
    """The graph with every `select_rows` at the smallest set of values that must be of T."""
    of_every_token = _needed_of_every_token(graph)
    selected: dict[Node, Node] = {}
    rows = make("rows")

    def of_selected(node: Node) -> Node:
        """The rows R of a value of T whose arguments are done."""
        sliced = node.op == "slice" and node.args[0] in of_every_token
        if node in of_every_token or not node.args or sliced:
            return make("select_rows", node, rows) if node.rows is T else node
        if node.op in {"reshape", "broadcast"}:
            shape: Shape = (R, *node.shape[1:])
            return make(node.op, selected[node.args[0]], shape=shape)
        return rebuilt(node, [selected[a] for a in node.args])

    built: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.rows is not R:
            built[node] = node
        elif node.op == "select_rows":
            for inner in _until(node.args[0], of_every_token, selected):
                selected[inner] = of_selected(inner) if inner.rows is T else inner
            built[node] = selected[node.args[0]]
        else:
            built[node] = rebuilt(node, [built[a] for a in node.args])
    return Graph(graph.name, {name: built[node] for name, node in graph.outputs.items()})


def _needed_of_every_token(graph: Graph) -> set[Node]:
    """The past, what it reads, and outputs of T: these are computed whatever is selected."""
    roots = [n for n in graph.nodes if n.op in PAST]
    roots += [n for n in graph.outputs.values() if n.rows is not R]
    return set(topological(roots))


def _until(node: Node, of_every_token: set[Node], done: dict[Node, Node]) -> list[Node]:
    """What is to be selected for a node, arguments first; stops at what every token has."""
    order: list[Node] = []
    stack = [(node, False)]
    seen: set[Node] = set()
    while stack:
        top, ready = stack.pop()
        if ready:
            order.append(top)
        elif top not in seen and top not in done:
            seen.add(top)
            stack.append((top, True))
            if top not in of_every_token:
                stack.extend((a, False) for a in top.args)
    return order
