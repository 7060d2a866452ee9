"""Removes operations whose result is one of their arguments, bit for bit.

    before:  %1 = reshape %0 {shape=[T,8]} : f32[T,8]        # %0 is f32[T,8]
             %2 = mul %1, 1.0 : f32[T,8]
             %3 = neg %2 : f32[T,8]
             %4 = neg %3 : f32[T,8]
    after:   %0

Adding +0.0 stays: it turns -0.0 into +0.0. Adding -0.0 and subtracting +0.0 go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.graph.ir import Graph, Literal, Node, make
from foreknown.graph.ops import REDUCTION
from foreknown.passes.rewrite import rewrite


def drop_no_ops(graph: Graph) -> Graph:
    """The graph without operations that do nothing."""
    return rewrite(graph, RULES)


def _view_of_all(node: Node) -> Node | None:
    if node.op in {"reshape", "broadcast", "slice"} and node.shape == node.args[0].shape:
        return node.args[0]
    if node.op == "permute" and node.attrs["axes"] == tuple(range(len(node.shape))):
        return node.args[0]
    if node.op == "concat" and len(node.args) == 1:
        return node.args[0]
    return None


def _reduction_of_one(node: Node) -> Node | None:
    if node.op in REDUCTION and node.shape == node.args[0].shape:
        return node.args[0]
    return None


def _cast_of_a_truth(node: Node) -> Node | None:
    """bool to anything and on is bool to the last; other casts may round."""
    if node.op != "cast":
        return None
    (x,) = node.args
    if x.dtype == node.dtype:
        return x
    if x.op == "cast" and x.args[0].dtype == "bool":
        return make("cast", x.args[0], dtype=node.dtype)
    return None


_UNDOES_ITSELF = frozenset({"neg", "not"})
_ONCE_IS_ENOUGH = frozenset({"abs", "floor", "ceil", "round", "sign"})
_OF_ITSELF = frozenset({"max", "min", "and", "or"})


def _twice(node: Node) -> Node | None:
    if node.op in _UNDOES_ITSELF and node.args[0].op == node.op:
        return node.args[0].args[0]
    if node.op in _ONCE_IS_ENOUGH and node.args[0].op == node.op:
        return node.args[0]
    if node.op in _OF_ITSELF and node.args[0] is node.args[1]:
        return node.args[0]
    return None


_COMMUTATIVE = frozenset({"add", "mul", "and", "or"})
_LEAVES_ALONE: Mapping[str, Callable[[NDArray[Any]], bool]] = {
    "add": lambda c: bool(np.all(c == 0) and (c.dtype.kind == "i" or np.all(np.signbit(c)))),
    "sub": lambda c: bool(np.all(c == 0) and not np.any(np.signbit(c))),
    "mul": lambda c: bool(np.all(c == 1)),
    "div": lambda c: bool(np.all(c == 1)),
    "pow": lambda c: bool(np.all(c == 1)),
    "and": lambda c: bool(np.all(c)),
    "or": lambda c: not np.any(c),
}
"""Which constants on the right of an operation leave its left operand as it is."""


def _neutral_element(node: Node) -> Node | None:
    leaves_alone = _LEAVES_ALONE.get(node.op)
    if leaves_alone is None:
        return None
    a, b = node.args
    orders = [(a, b), (b, a)] if node.op in _COMMUTATIVE else [(a, b)]
    for x, other in orders:
        array = _array(other)
        if x.shape == node.shape and array is not None and leaves_alone(array):
            return x
    return None


def _array(node: Node) -> NDArray[Any] | None:
    value = node.attrs.get("value")
    return value.array if isinstance(value, Literal) else None


def _choice_already_made(node: Node) -> Node | None:
    if node.op != "where":
        return None
    condition, a, b = node.args
    known = _array(condition)
    if a is b or (known is not None and known.all()):
        chosen = a
    elif known is not None and not known.any():
        chosen = b
    else:
        return None
    return chosen if chosen.shape == node.shape else make("broadcast", chosen, shape=node.shape)


RULES = (
    _view_of_all,
    _reduction_of_one,
    _cast_of_a_truth,
    _twice,
    _neutral_element,
    _choice_already_made,
)
