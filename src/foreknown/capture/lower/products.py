"""Contractions: rows with weights, rows with rows of the same token, and the experts of a token."""

from __future__ import annotations

from typing import Any

from foreknown.capture.lower import scores
from foreknown.capture.lower.elementwise import elementwise, number
from foreknown.capture.lower.layout import (
    Axes,
    Group,
    Value,
    insert_axis,
    ints,
    node_shape,
    normal,
    numbers,
    permute,
    reshape,
    reshape_node,
)
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, T, make


@rule("aten.linear")
def _linear(low: Lowering, input: Value, weight: Value, bias: Value | None = None) -> Value:
    if weight.node.rows:
        raise UnsupportedOp("a weight that depends on tokens")
    result = contract_last(input, weight)
    return result if bias is None else elementwise("add", result, bias)


def contract_last(x: Value, w: Value) -> Value:
    """x[..., k] with w[n, k] gives [..., n]."""
    n, k = numbers(*w.sizes)
    matrix = reshape_node(w.node, (n, k))
    rows = reshape_node(x.node, (*node_shape(x.axes[:-1]), *((1,) if k == 1 else (k,))))
    if T in x.axes[-1]:
        raise UnsupportedOp("a weighted sum over tokens")
    axes = (*x.axes[:-1], normal((n,)))
    return Value(reshape_node(make("linear", rows, matrix), node_shape(axes)), axes)


@rule("aten.addmm")
def _addmm(
    low: Lowering, x: Value, mat1: Value, mat2: Value, beta: float = 1, alpha: float = 1
) -> Any:
    product = multiply(low, mat1, mat2)
    if alpha != 1:
        product = number("mul", product, alpha)
    return elementwise("add", x if beta == 1 else number("mul", x, beta), product)


@rule("aten.baddbmm")
def _baddbmm(
    low: Lowering, x: Any, batch1: Value, batch2: Value, beta: float = 1, alpha: float = 1
) -> Any:
    product = multiply(low, batch1, batch2)
    if scores.involved(product):
        product = scores.binary(low, "mul", product, float(alpha), 1)
        if beta == 0:
            return product
        return scores.binary(low, "add", product, x, float(beta))
    return elementwise("add", number("mul", x, beta), number("mul", product, alpha))


@rule("aten.mm", "aten.bmm", "aten.mv", "aten.dot")
def _mm(low: Lowering, x: Any, mat2: Any = None, vec: Any = None, tensor: Any = None) -> Any:
    other = next(o for o in (mat2, vec, tensor) if o is not None)
    return multiply(low, x, other)


@rule("aten.matmul")
def _matmul(low: Lowering, x: Any, other: Any) -> Any:
    return multiply(low, x, other)


def multiply(low: Lowering, a: Any, b: Any) -> Any:
    """torch.matmul: contract the last axis of a with the last but one of b.

    Raises:
        UnsupportedOp: it would mix tokens in a way that is not attention.
    """
    if scores.involved(a, b):
        return scores.weighted(low, a, b)
    drop_first, drop_last = a.rank == 1, b.rank == 1
    a = insert_axis(a, 0) if drop_first else a
    b = insert_axis(b, 1) if drop_last else b
    rank = max(a.rank, b.rank)
    a = Value(a.node, ((),) * (rank - a.rank) + a.axes)
    b = Value(b.node, ((),) * (rank - b.rank) + b.axes)
    result = _multiply(low, a, b)
    if isinstance(result, Value) and (drop_first or drop_last):
        sizes = list(result.sizes)
        if drop_last:
            sizes.pop(-1)
        if drop_first:
            sizes.pop(-1 if drop_last else -2)
        result = reshape(result, sizes)
    return result


def _multiply(low: Lowering, a: Value, b: Value) -> Any:
    if T in a.axes[-2] and T in b.axes[-1]:
        return scores.product(a, b)
    if T in a.axes[-1] or T in b.axes[-2]:
        raise UnsupportedOp("a sum over tokens")
    if b.node.rows is None:
        return _by_weight(a, b)
    if a.node.rows is None:  # (b^T a^T)^T
        turned = _by_weight(_turn(b), _turn(a))
        return _turn(turned)
    return _per_row(a, b)


def _turn(x: Value) -> Value:
    order = list(range(x.rank))
    order[-2:] = order[-1], order[-2]
    return permute(x, order)


def _by_weight(a: Value, b: Value) -> Value:
    """Rows a[..., m, k] with a constant b[..., k, n]."""
    batch = range(a.rank - 2)
    if all(b.axes[i] == () for i in batch):
        matrix = Value(b.node, b.axes[-2:])
        return contract_last(a, permute(matrix, [1, 0]))
    if any(T in a.axes[i] and b.axes[i] != () for i in batch):
        raise UnsupportedOp("a weight for each token")
    # Groups: linear wants the weight's batch axes just before k, and all other axes before them.
    grouped = [i for i in batch if b.axes[i] != ()]
    free = [i for i in batch if b.axes[i] == ()]
    for i in grouped:
        if a.axes[i] == ():
            raise UnsupportedOp("one input for the weights of several groups")
    order = [*free, a.rank - 2, *grouped, a.rank - 1]
    moved = permute(a, order)
    weight = permute(b, [*free, *grouped, b.rank - 1, b.rank - 2])
    groups = tuple(a.axes[i] for i in grouped)
    k, n = numbers(*b.sizes[-2:])
    rows = reshape_node(moved.node, (*node_shape(moved.axes[:-1]), k))
    matrices = reshape_node(weight.node, (*ints(groups), n, k))
    axes = (*moved.axes[:-1], normal((n,)))
    result = Value(reshape_node(make("linear", rows, matrices), node_shape(axes)), axes)
    # now [free, m, grouped, n]; back to [batch, m, n]
    back = [order.index(i) if i != a.rank - 1 else a.rank - 1 for i in range(a.rank)]
    return permute(result, back)


def _per_row(a: Value, b: Value) -> Value:
    """Both of rows: a matmul for each token."""
    batch: list[Group] = []
    for x, y in zip(a.axes[:-2], b.axes[:-2], strict=True):
        if x != y and x != () and y != ():
            raise UnsupportedOp("tokens on different axes of a product")
        batch.append(x or y)
    if sum(T in g for g in (*batch, a.axes[-2], b.axes[-1])) > 1:
        raise UnsupportedOp("each token with every other token")
    if T in a.axes[-2] or T in b.axes[-1]:
        return _token_on_matrix_axis(a, b)
    k, m, n = a.sizes[-1], a.sizes[-2], b.sizes[-1]
    left = reshape_node(a.node, (*_spread(a.axes[:-2], batch), m, k))  # type: ignore[arg-type]
    right = reshape_node(b.node, (*_spread(b.axes[:-2], batch), k, n))  # type: ignore[arg-type]
    axes: Axes = (*batch, normal((m,)), normal((n,)))  # type: ignore[arg-type]
    return Value(reshape_node(make("matmul", left, right), node_shape(axes)), axes)


def _spread(own: Axes, full: list[Group]) -> tuple[Any, ...]:
    shape: list[Any] = [T]
    for x, y in zip(own, full, strict=True):
        shape += [a if x else 1 for a in y if isinstance(a, int)]
    return tuple(shape)


def _token_on_matrix_axis(a: Value, b: Value) -> Value:
    """a[..., T, k] with b[..., k, n] where b also depends on tokens, on a batch axis: refused."""
    raise UnsupportedOp("tokens on different axes of a product")


@rule("foreknown.experts")
def _experts(low: Lowering, x: Value, w: Value, index: Value) -> Value:
    chosen, (_, n, k) = numbers(index.sizes[1])[0], numbers(*w.sizes)
    places = reshape_node(index.node, (T, chosen))
    if x.rank == 2:
        rows: Node = reshape_node(x.node, (T, k))
    else:
        rows = reshape_node(x.node, (T, chosen, k))
    matrices = reshape_node(w.node, w.sizes)  # type: ignore[arg-type]
    axes: Axes = ((T,), normal((chosen,)), normal((n,)))
    if index.axes[0] != (T,):
        raise UnsupportedOp("experts chosen for something else than tokens")
    return Value(reshape_node(make("experts", rows, matrices, places), node_shape(axes)), axes)
