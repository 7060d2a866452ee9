"""Holds matrices in 4 or 8 bits and multiplies them with rows of 8 bits; keeps state in fewer.

    before:  %y = linear %x, %w : f32[T,256]
    after:   %a = quantise %x {group=64} : f32[T,128]
             %b = lowbit %w {bits=4, group=64} : f32[256,128]
             %y = linear %a, %b : f32[T,256]

    before:  %c = attend %q, %k, %v {...}
    after:   %s = quantise %q {group=64}  %t = quantise %k {group=64}  %u = quantise %v {group=64}
             %c = attend %s, %t, %u {...}

Rows that come out of a norm are as large in each column as the norm's gain makes them, so errors
of a column's weights matter by the square of it: that is the importance that rounding weighs them
by, where a graph shows one.

The graph says what is rounded, and where: the interpreter computes with the very same numbers as
a target, which keeps integers and scales instead. A matrix that cannot be held so stays as it is;
`why_not` tells why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foreknown.graph.ir import Graph, Node, const, has_weight, make
from foreknown.passes.rewrite import rebuilt

StateFormat = Literal["f32", "bf16", "int8"]
Importance = Mapping[Node, NDArray[np.float32]]
GROUPS = (64, 32)
"""Elements of k that may share a scale: the first that is not larger than asked for and divides k.
Groups of 64 take a quarter of a bit less for each weight, and err by a fifth more."""
LEAST_OUTPUTS = 16
"""A matrix with fewer (a router, a gate) saves nothing and decides much."""
STATE_LANES = 16


def products(graph: Graph) -> dict[Node, Node]:
    """Every matrix that few bits can hold and rows are multiplied with, and those rows."""
    found: dict[Node, Node] = {}
    for node in graph.nodes:
        w = matrix(node)
        if w is not None and node.op != "take" and why_not(node) is None:
            found.setdefault(w, node.args[0])
    return found


def lower_weights(
    graph: Graph, bits: int, group: int = 32, importance: Importance | None = None
) -> Graph:
    """The graph with every matrix that allows it, and the table of tokens, in few bits.

    Args:
        bits: 4 or 8.
        group: how many elements of k share a scale, at most.
        importance: of a matrix's columns, f32[k]; the norm's gain tells it otherwise.
    """
    held: dict[Node, Node] = {}
    for node in graph.nodes:  # products first: what they tell of a table's columns, lookups do not
        w = matrix(node)
        if w is not None and why_not(node) is None and (w not in held or node.op != "take"):
            known = (const(importance[w]),) if importance and w in importance else _gain(node)
            held[w] = make("lowbit", w, *known, bits=bits, group=_group(w, group))
    built: dict[Node, Node] = {}
    for node in graph.nodes:
        args = [built[a] for a in node.args]
        w = matrix(node)
        if w is not None and why_not(node) is None:
            args[node.args.index(w)] = held[w]
            if node.op != "take":
                args[0] = make("quantise", args[0], group=held[w].attrs["group"])
        built[node] = rebuilt(node, args)
    return Graph(graph.name, {name: built[node] for name, node in graph.outputs.items()})


def why_not(node: Node) -> str | None:
    """Why the matrix that a node reads cannot be held in few bits; None if it can.

    Args:
        node: a linear, experts or take.
    """
    w = matrix(node)
    if w is None:
        return "it is not read as a matrix"
    if not has_weight(w):
        return "it is not trained"
    if len(w.shape) != (3 if node.op == "experts" else 2):
        return "it is one of several that meet parts of a row"
    *_, n, k = w.row_shape
    if _group(w, GROUPS[-1]) == 0:
        return f"its rows of {k} are not a multiple of {GROUPS[-1]}"
    if n < LEAST_OUTPUTS:
        return f"it has only {n} outputs"
    return None


def lower_state(graph: Graph, stored: StateFormat) -> Graph:
    """The graph with keys and values kept in bf16 or int8; heads of odd widths stay in f32."""
    if stored == "f32":
        return graph
    built: dict[Node, Node] = {}
    for node in graph.nodes:
        args = [built[a] for a in node.args]
        if node.op == "attend":
            widths = [a.row_shape[-1] for a in args[:3]]
            if stored == "bf16":
                args[1:3] = [make("bf16", a) for a in args[1:3]]
            elif all(w % STATE_LANES == 0 for w in widths):
                args[:3] = [make("quantise", a, group=a.row_shape[-1]) for a in args[:3]]
        built[node] = rebuilt(node, args)
    return Graph(graph.name, {name: built[node] for name, node in graph.outputs.items()})


def matrix(node: Node) -> Node | None:
    """The constant matrix that a node multiplies rows with, or looks tokens up in."""
    if node.rows is None:
        return None
    if node.op in {"linear", "experts"} and node.args[0].rows is not None:
        return node.args[1]
    if node.op == "take" and node.args[1].op == "tokens":
        return node.args[0]
    return None


def _gain(node: Node) -> tuple[Node, ...]:
    """The square of the gain that a product's rows were multiplied with, column by column."""
    x = node.args[0]
    if node.op == "take" or x.op != "mul":
        return ()
    gains = [a for a in x.args if a.rows is None and a.shape == x.shape[-1:] and has_weight(a)]
    return tuple(make("mul", gain, gain) for gain in gains[:1])


def _group(w: Node, most: int) -> int:
    return next((g for g in GROUPS if g <= most and w.row_shape[-1] % g == 0), 0)
