"""Applies local rules to a graph, arguments before users, until nothing changes.

A rule looks at one node (and through its arguments) and gives an equal node, or None. Rules must
lead somewhere: each replaces a node by something smaller, or nearer to a fixed form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foreknown.graph.ir import Graph, Node, make, topological

Rule = Callable[[Node], Node | None]


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """The graph with no node left that a rule applies to."""
    while True:
        rewritten = _rewrite_once(graph, rules)
        if rewritten.outputs == graph.outputs:
            return graph
        graph = rewritten


def rebuilt(node: Node, args: Sequence[Node]) -> Node:
    """The same operation on other arguments."""
    if all(a is b for a, b in zip(args, node.args, strict=True)):
        return node
    return make(node.op, *args, **node.attrs)


def _rewrite_once(graph: Graph, rules: Sequence[Rule]) -> Graph:
    built: dict[Node, Node] = {}
    for node in topological(graph.outputs.values()):
        built[node] = _settle(rebuilt(node, [built[a] for a in node.args]), rules)
    return Graph(graph.name, {name: built[node] for name, node in graph.outputs.items()})


def _settle(node: Node, rules: Sequence[Rule]) -> Node:
    while True:
        found = next((n for rule in rules if (n := rule(node)) is not None and n is not node), None)
        if found is None:
            return node
        assert (found.dtype, found.shape) == (node.dtype, node.shape), f"{node!r} became {found!r}"
        node = found
