"""Turns what depends on positions alone into tables, one row for each position of the context.

    before:  %1 = positions : i32[T]
             %2 = cast %1 {dtype="f32"} : f32[T]
             %3 = reshape %2 {shape=[T,1]} : f32[T,1]
             %4 = mul %3, %inverse_frequency : f32[T,32]
             %5 = cos %4 : f32[T,32]
    after:   %0 = const {value=@7d3…} : f32[4096,32]
             %1 = positions : i32[T]
             %5 = take %0, %1 : f32[T,32]

It pays where there is a function like cos to save, or three operations; a table of more than
64 MiB is not made. Views on top are left on top, so tables are as narrow as they can be.
Embeddings of positions, `take(weight, positions)`, are tables already.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreknown.errors import GraphError
from foreknown.graph.batch import Batch
from foreknown.graph.interpret import run
from foreknown.graph.ir import DTYPES, Graph, Node, T, const, make, topological
from foreknown.graph.ops import LEAF, PAST, VIEW
from foreknown.graph.state import State

MAX_TABLE_BYTES = 64 << 20
CHUNK_POSITIONS = 4096
"""Positions evaluated at once: it bounds the memory of what lies between."""

COSTLY = frozenset({"exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sin", "cos", "pow"})
CHEAP_OPS = 3
NARROW = VIEW - {"slice"}
"""Views whose argument is no larger than their result."""


def tabulate_positions(graph: Graph, context: int) -> Graph:
    """The graph with tables of `context` rows where they pay.

    Raises:
        GraphError: the model has no value for some position of the context.
    """
    only = _of_positions_only(graph)
    results = set(graph.outputs.values())
    tables: dict[Node, Node] = {}
    for node in graph.nodes:
        used_outside = node in results or any(u not in only for u in graph.users[node])
        if node in only and used_outside:
            root = _beneath_views(node)
            if root not in tables and _pays(root, only, context):
                tables[root] = make("take", _table(root, context), make("positions"))
    return graph.rewrite(tables)


def _of_positions_only(graph: Graph) -> set[Node]:
    found: set[Node] = set()
    for node in graph.nodes:
        if node.op == "positions" or (
            node.rows is T
            and node.op not in PAST
            and node.op not in LEAF
            and all(a in found or _is_known(a) for a in node.args)
        ):
            found.add(node)
    return found


def _is_known(node: Node) -> bool:
    return node.rows is None and all(n.op != "weight" for n in topological([node]))


def _beneath_views(node: Node) -> Node:
    while node.args[:1] and node.args[0].rows and len(set(node.args)) == 1 and node.op in NARROW:
        node = node.args[0]
    return node


def _pays(root: Node, only: set[Node], context: int) -> bool:
    table_bytes = context * root.row_size * DTYPES[root.dtype].itemsize
    if table_bytes > MAX_TABLE_BYTES or root.op == "positions":
        return False
    computed = [n for n in topological([root]) if n in only and n.op not in VIEW | LEAF]
    return len(computed) >= CHEAP_OPS or any(n.op in COSTLY for n in computed)


def _table(root: Node, context: int) -> Node:
    graph = Graph("table", {"rows": root})
    parts: list[NDArray[np.float32]] = []
    for start in range(0, context, CHUNK_POSITIONS):
        positions = np.arange(start, min(start + CHUNK_POSITIONS, context), dtype=np.int32)
        zeros = np.zeros_like(positions)
        batch = Batch(zeros, positions, zeros, zeros[None], zeros)
        try:
            parts.append(run(graph, batch, {}, State(0))["rows"])
        except GraphError as error:
            raise GraphError(
                f"the model has no value for some of the positions {start} to {positions[-1]}",
                where=error.where,
                remedy="compile with a shorter --context",
            ) from error
    return const(np.concatenate(parts), root.dtype)
