"""Operations along static axes: sums, means, norms, softmax, sorting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from foreknown.capture.lower import past, scores
from foreknown.capture.lower.elementwise import as_value, cast, elementwise, number, truth
from foreknown.capture.lower.layout import Tokens, Value, node_shape, reshape_node
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import make


def reduce(op: str, x: Value, dim: Any, keepdim: bool) -> Value:
    """An IR reduction over tensor axes; all of them if `dim` is None or empty."""
    dims = [dim] if isinstance(dim, int) else list(dim or range(x.rank))
    axes = sorted({d % x.rank for d in dims}) if x.rank else []
    if any(isinstance(x.sizes[a], Tokens) for a in axes):
        raise UnsupportedOp("a reduction over tokens")
    wide = [a for a in axes if x.axes[a] != ()]
    node = x.node
    if wide:
        node = make(op, node, axes=tuple(x.node_axis(a) for a in wide))
    kept = tuple(() if i in axes else g for i, g in enumerate(x.axes))
    node = reshape_node(node, node_shape(kept))
    if not keepdim:
        kept = tuple(g for i, g in enumerate(x.axes) if i not in axes)
    return Value(node, kept)


def count(x: Value, dim: Any) -> int:
    dims = [dim] if isinstance(dim, int) else list(dim or range(x.rank))
    return math.prod(x.sizes[d] for d in dims)  # type: ignore[misc]


@rule("aten.sum")
def _sum(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    if scores.involved(x):
        raise UnsupportedOp("a sum over pairs of tokens")
    return reduce("sum", as_value(x, low.result_dtype()), dim, keepdim)


@rule("aten.mean")
def _mean(
    low: Lowering, x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Value:
    x = cast(x, "f32")
    return number("div", reduce("sum", x, dim, keepdim), float(count(x, dim)))


@rule("aten.prod")
def _prod(
    low: Lowering, x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Value:
    return reduce("prod", as_value(x, low.result_dtype()), dim, keepdim)


@rule("aten.amax")
def _amax(low: Lowering, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    if scores.involved(x):
        return scores.row_extreme(x, dim, keepdim)
    return reduce("amax", x, dim, keepdim)


@rule("aten.amin")
def _amin(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return reduce("amin", x, dim, keepdim)


@rule("aten.max", "aten.min")
def _extreme(
    low: Lowering, x: Any, dim: Any = None, keepdim: bool = False, other: Any = None
) -> Any:
    assert low.node is not None
    name = str(low.node.target)
    op = "max" if name.startswith("aten.max") else "min"
    if other is not None:
        if scores.involved(x, other):
            return scores.binary(low, op, x, other, 1)
        dtype = low.result_dtype()
        return elementwise(op, as_value(x, dtype), as_value(other, dtype))
    if scores.involved(x):
        extreme = scores.row_extreme(x, dim, keepdim)
        return (extreme, None)
    values = reduce(f"a{op}", x, dim, keepdim)
    if dim is None:
        return values
    return values, _arg(x if op == "max" else Value(make("neg", x.node), x.axes), dim, keepdim)


@rule("aten.argmax")
def _argmax(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    if dim is None:
        raise UnsupportedOp("the place of the largest of all elements")
    return _arg(x, dim, keepdim)


def _arg(x: Value, dim: int, keepdim: bool) -> Value:
    axis = dim % x.rank
    if isinstance(x.sizes[axis], Tokens):
        raise UnsupportedOp("the largest over tokens")
    if x.axes[axis] == ():
        node = make("cast", make("mul", x.node, _zero(x)), dtype="i32")
    else:
        node = make("argmax", x.node, axis=x.node_axis(axis))
    kept = tuple(() if i == axis else g for i, g in enumerate(x.axes))
    node = reshape_node(node, node_shape(kept))
    return Value(node, kept if keepdim else kept[:axis] + kept[axis + 1 :])


def _zero(x: Value) -> Any:
    return as_value(0, x.node.dtype).node


@rule("aten.any")
def _any(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return truth(reduce("amax", cast(truth(x), "i32"), dim, keepdim))


@rule("aten.all")
def _all(low: Lowering, x: Value, dim: Any = None, keepdim: bool = False) -> Value:
    return truth(reduce("amin", cast(truth(x), "i32"), dim, keepdim))


@rule("aten.cumsum")
def _cumsum(low: Lowering, x: Value, dim: int, dtype: Any = None) -> Value:
    axis = dim % x.rank
    x = as_value(x, low.result_dtype())
    if isinstance(x.sizes[axis], Tokens):
        return past.running_sum(x, axis)
    if x.axes[axis] == ():
        return x
    return Value(make("cumsum", x.node, axis=x.node_axis(axis)), x.axes)


@rule("aten.var", "aten.std")
def _var(
    low: Lowering,
    x: Value,
    dim: Any = None,
    correction: float | None = None,
    unbiased: bool = True,
    keepdim: bool = False,
) -> Value:
    assert low.node is not None
    less = (1 if unbiased else 0) if correction is None else correction
    n = count(x, dim)
    mean = number("div", reduce("sum", x, dim, True), float(n))
    apart = elementwise("sub", x, mean)
    square = reduce("sum", elementwise("mul", apart, apart), dim, keepdim)
    result = number("div", square, float(n - less))
    if str(low.node.target).startswith("aten.std"):
        return Value(make("sqrt", result.node), result.axes)
    return result


@rule("aten.linalg_vector_norm", "aten.norm")
def _norm(
    low: Lowering,
    x: Value,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    p: float | None = None,
    dtype: Any = None,
) -> Value:
    order = ord if p is None else p
    if order == 2:
        square = reduce("sum", elementwise("mul", x, x), dim, keepdim)
        return Value(make("sqrt", square.node), square.axes)
    if order == 1:
        return reduce("sum", Value(make("abs", x.node), x.axes), dim, keepdim)
    if order == math.inf:
        return reduce("amax", Value(make("abs", x.node), x.axes), dim, keepdim)
    raise UnsupportedOp(f"the norm of order {order}")


@rule("aten.softmax", "aten._softmax", "aten.special_softmax")
def _softmax(
    low: Lowering, x: Any, dim: int, half_to_float: bool = False, dtype: Any = None
) -> Any:
    if scores.involved(x):
        return scores.softmax(low, x, dim % x.rank)
    top = elementwise("sub", cast(x, "f32"), reduce("amax", cast(x, "f32"), dim, True))
    share = Value(make("exp", top.node), top.axes)
    return elementwise("div", share, reduce("sum", share, dim, True))


@rule("aten.log_softmax", "aten._log_softmax")
def _log_softmax(
    low: Lowering, x: Value, dim: int, half_to_float: bool = False, dtype: Any = None
) -> Value:
    top = elementwise("sub", x, reduce("amax", x, dim, True))
    total = reduce("sum", Value(make("exp", top.node), top.axes), dim, True)
    return elementwise("sub", top, Value(make("log", total.node), total.axes))


@rule("aten.logsumexp")
def _logsumexp(low: Lowering, x: Value, dim: Any, keepdim: bool = False) -> Value:
    top = reduce("amax", x, dim, True)
    apart = elementwise("sub", x, top)
    total = reduce("sum", Value(make("exp", apart.node), apart.axes), dim, keepdim)
    most = top if keepdim else reduce("amax", x, dim, False)
    return elementwise("add", Value(make("log", total.node), total.axes), most)


# Norms of layers


def _standard(x: Value, dims: Sequence[int], eps: float) -> Value:
    n = float(count(x, dims))
    apart = elementwise("sub", x, number("div", reduce("sum", x, dims, True), n))
    square = reduce("sum", elementwise("mul", apart, apart), dims, True)
    spread = number("add", number("div", square, n), eps)
    return elementwise("mul", apart, Value(make("rsqrt", spread.node), spread.axes))


def _affine(x: Value, weight: Value | None, bias: Value | None) -> Value:
    if weight is not None:
        x = elementwise("mul", x, weight)
    return x if bias is None else elementwise("add", x, bias)


@rule("aten.layer_norm")
def _layer_norm(
    low: Lowering,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Value:
    dims = list(range(-len(normalized_shape), 0))
    return _affine(_standard(input, dims, eps), weight, bias)


@rule("aten.native_layer_norm")
def _native_layer_norm(
    low: Lowering,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None,
    bias: Value | None,
    eps: float,
) -> tuple[Value, None, None]:
    return _layer_norm(low, input, normalized_shape, weight, bias, eps), None, None


@rule("aten.rms_norm", "aten._fused_rms_norm")
def _rms_norm(
    low: Lowering,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    eps: float | None = None,
) -> Any:
    assert low.node is not None
    dims = list(range(-len(normalized_shape), 0))
    square = reduce("sum", elementwise("mul", input, input), dims, True)
    mean = number("div", square, float(count(input, dims)))
    spread = number("add", mean, 1.1920928955078125e-07 if eps is None else eps)
    scale = Value(make("rsqrt", spread.node), spread.axes)
    result = _affine(elementwise("mul", input, scale), weight, None)
    return (result, scale) if "_fused" in str(low.node.target) else result


@rule("aten.group_norm")
def _group_norm(
    low: Lowering,
    input: Value,
    num_groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Value:
    from foreknown.capture.lower.layout import reshape

    if input.rank != 2:
        raise UnsupportedOp("a norm of groups that reaches over tokens")
    rows, columns = input.sizes
    assert isinstance(columns, int)
    parts = reshape(input, [rows, num_groups, columns // num_groups])
    result = reshape(_standard(parts, [-1], eps), [rows, columns])
    return _affine(result, weight, bias)


# Order


@rule("aten.topk")
def _topk(
    low: Lowering, x: Value, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Value, Value]:
    return ordered(x, k, dim, largest)


@rule("aten.sort", "aten.argsort")
def _sort(
    low: Lowering, x: Value, dim: int = -1, descending: bool = False, stable: Any = None
) -> Any:
    assert low.node is not None
    size = x.sizes[dim]
    if isinstance(size, Tokens):
        raise UnsupportedOp("tokens put in order")
    values, indices = ordered(x, size, dim, descending)
    return indices if "argsort" in str(low.node.target) else (values, indices)


def ordered(x: Value, k: int, dim: int, largest: bool) -> tuple[Value, Value]:
    from foreknown.capture.lower.layout import normal, permute

    axis = dim % x.rank
    if isinstance(x.sizes[axis], Tokens) or isinstance(k, Tokens):
        raise UnsupportedOp("the largest over tokens")
    if x.axes[axis] == ():
        zero = elementwise("mul", cast(x, "i32"), as_value(0, "i32"))
        return x, zero
    order = [i for i in range(x.rank) if i != axis] + [axis]
    last = permute(x, order)
    back = [order.index(i) for i in range(x.rank)]
    results = []
    for op in ("topk_values", "topk_indices"):
        node = make(op, last.node, k=k, largest=largest)
        axes = (*last.axes[:-1], normal((k,)))
        results.append(permute(Value(reshape_node(node, node_shape(axes)), axes), back))
    return results[0], results[1]
