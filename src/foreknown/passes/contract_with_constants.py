"""Writes a product with a constant matrix as `linear`, which targets lay out and stream.

before:  %w = weight {name="w", shape=[8,16], stored="bf16"} : f32[8,16]
         %2 = matmul %x, %w : f32[T,4,16]                 # %x is f32[T,4,8]
after:   %3 = permute %w {axes=[1,0]} : f32[16,8]
         %2 = linear %x, %3 : f32[T,4,16]
"""

from __future__ import annotations

from foreknown.graph.ir import Graph, Node, make
from foreknown.passes.rewrite import rewrite


def contract_with_constants(graph: Graph) -> Graph:
    """The graph with no `matmul` of rows by a constant matrix."""
    return rewrite(graph, (_as_linear,))


def _as_linear(node: Node) -> Node | None:
    if node.op != "matmul":
        return None
    x, w = node.args
    while w.op == "broadcast" and w.args[0].rows is None and len(w.args[0].shape) == 2:
        (w,) = w.args
    if x.rows is None or w.rows is not None:
        return None
    rank = len(w.shape)
    transposed = make("permute", w, axes=(*range(rank - 2), rank - 1, rank - 2))
    if rank == 2:
        return make("linear", x, transposed)
    if x.shape[-2] != 1 or x.shape[-rank:-2] != w.shape[:-2]:
        return None
    vector = make("reshape", x, shape=(*x.shape[:-2], x.shape[-1]))
    return make("reshape", make("linear", vector, transposed), shape=node.shape)
