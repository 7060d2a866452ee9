"""Joins contractions that share an input into one with the weights stacked.

    before:  %q = linear %x, %wq : f32[T,16]
             %k = linear %x, %wk : f32[T,8]
    after:   %w = concat %wq, %wk {axis=0} : f32[24,32]
             %y = linear %x, %w : f32[T,24]
             %q = slice %y {axis=1, start=0, step=1, stop=16} : f32[T,16]
             %k = slice %y {axis=1, start=16, step=1, stop=24} : f32[T,8]

Only weights stored alike are joined, and only whole matrices (no groups): then the joined one
can be packed as its parts would be. Experts that share input and choice are joined the same way.
"""

from __future__ import annotations

from collections import defaultdict

from foreknown.graph.ir import Graph, Node, make
from foreknown.graph.ops import VIEW
from foreknown.passes.rewrite import rebuilt

_Key = tuple[object, ...]


def join_linears(graph: Graph) -> Graph:
    """The graph with as few contractions as inputs allow."""
    alike: dict[_Key, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        key = _joins_with(node)
        if key is not None:
            alike[key].append(node)
    group = {n: nodes for nodes in alike.values() if len(nodes) > 1 for n in nodes}
    built: dict[Node, Node] = {}
    for node in graph.nodes:
        args = [built[a] for a in node.args]
        built[node] = _part(node, args, group[node]) if node in group else rebuilt(node, args)
    return Graph(graph.name, {name: built[node] for name, node in graph.outputs.items()})


def _joins_with(node: Node) -> _Key | None:
    """Contractions with equal keys can be one."""
    if node.op not in {"linear", "experts"} or node.rows is None:
        return None
    x, w, *index = node.args
    stored = _stored(w)
    if stored is None or len(w.shape) != (2 if node.op == "linear" else 3):
        return None
    return (node.op, x, *index, stored)


def _stored(w: Node) -> object:
    """How a weight lies in the checkpoint, seen through views; None for anything else."""
    if w.op == "weight":
        return w.attrs["stored"]
    if w.op in VIEW and w.op != "broadcast":
        kinds = {_stored(a) for a in w.args}
        return kinds.pop() if len(kinds) == 1 else None
    return None


def _part(node: Node, args: list[Node], group: list[Node]) -> Node:
    """A node of a group as a slice of the joined contraction."""
    weights = [n.args[1] for n in group]
    axis = len(weights[0].shape) - 2
    joined = make(node.op, args[0], make("concat", *weights, axis=axis), *args[2:])
    start = 0
    for other in group:
        if other is node:
            break
        start += _outputs(other)
    last = len(joined.shape) - 1
    return make("slice", joined, axis=last, start=start, stop=start + _outputs(node), step=1)


def _outputs(node: Node) -> int:
    return node.row_shape[-1]
