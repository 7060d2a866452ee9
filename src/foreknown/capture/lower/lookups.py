"""Operations that choose by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foreknown.capture.lower.elementwise import as_value, cast, elementwise
from foreknown.capture.lower.layout import (
    Tokens,
    Value,
    constant,
    expand,
    insert_axis,
    node_shape,
    permute,
    reshape,
    reshape_node,
)
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import T, const, make


def take(table: Value, index: Value) -> Value:
    """Rows of a constant table: axis 0 of the table becomes the axes of the index."""
    if table.node.rows:
        raise UnsupportedOp("rows of a value of tokens")
    size = table.sizes[0]
    assert isinstance(size, int)
    rows = reshape_node(table.node, (size, *node_shape(table.axes[1:])))
    return Value(make("take", rows, cast(index, "i32").node), (*index.axes, *table.axes[1:]))


@rule("aten.embedding")
def _embedding(
    low: Lowering,
    weight: Value,
    indices: Value,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    return take(weight, indices)


@rule("aten.index_select")
def _index_select(low: Lowering, x: Value, dim: int, index: Value) -> Value:
    return _take_axis(x, dim % x.rank, index)


def _take_axis(x: Value, axis: int, index: Value) -> Value:
    """x with an axis replaced by the axes of an index."""
    if isinstance(x.sizes[axis], Tokens):
        raise UnsupportedOp("tokens chosen by index")
    order = [axis, *(i for i in range(x.rank) if i != axis)]
    if x.node.rows is None:
        taken = take(permute(x, order), index)
    elif index.node.rows is None and index.node.op == "const":
        # the same choice for every token: slices joined
        from foreknown.capture.lower.views import cut, join

        numbers = np.asarray(index.node.attrs["value"].array).reshape(-1)  # type: ignore[union-attr]
        size = x.sizes[axis]
        parts = [cut(x, axis, int(i) % size, int(i) % size + 1) for i in numbers]  # type: ignore[operator]
        joined = join(parts, axis) if len(parts) > 1 else parts[0]
        sizes = [*x.sizes[:axis], *index.sizes, *x.sizes[axis + 1 :]]
        return reshape(joined, sizes)
    else:
        raise UnsupportedOp("a choice that differs between tokens")
    n = index.rank
    places = list(range(n, n + axis)) + list(range(n)) + list(range(n + axis, taken.rank))
    return permute(taken, places)


@rule("aten.index")
def _index(low: Lowering, x: Value, indices: Sequence[Value | None]) -> Value:
    given = [(i, index) for i, index in enumerate(indices) if index is not None]
    if any(index.node.dtype == "bool" for _, index in given):
        raise UnsupportedOp("a choice by a mask")
    if len(given) > 1:
        raise UnsupportedOp("a choice by several indices at once")
    ((axis, index),) = given
    if isinstance(x.sizes[axis], Tokens):
        return _tokens_by_position(x, axis, index)
    return _take_axis(x, axis, index)


def _tokens_by_position(x: Value, axis: int, index: Value) -> Value:
    if index.node.op == "positions" and index.axes == ((T,),) and x.axes[axis] == (T,):
        return x
    raise UnsupportedOp("tokens chosen by index")


@rule("aten.gather")
def _gather(low: Lowering, x: Value, dim: int, index: Value, sparse_grad: bool = False) -> Value:
    axis = dim % x.rank
    if isinstance(x.sizes[axis], Tokens):
        raise UnsupportedOp("tokens chosen by index")
    if x.axes[axis] == ():
        return expand(x, index.sizes)
    if x.node.rows is None and all(g == () for i, g in enumerate(x.axes) if i != axis):
        return take(Value(x.node, (x.axes[axis],)), index)
    wide = insert_axis(index, axis) if index.rank < x.rank else index
    # beside the axis both must have the same extent, which PyTorch allows to be cut short
    sizes = list(wide.sizes)
    for i, (have, want) in enumerate(zip(x.sizes, sizes, strict=True)):
        if i != axis and have != want:
            raise UnsupportedOp("a gather from a part of its source")
    source, places = _same_rows(x, wide, axis)
    at = Value(source, x.axes).node_axis(axis)
    size = wide.sizes[axis]
    shape = _with(source.shape, at, size)
    node = make("gather", source, reshape_node(places, shape), axis=at)
    return Value(reshape_node(node, node_shape(wide.axes)), wide.axes)


def _with(shape: tuple[Any, ...], at: int, size: Any) -> tuple[Any, ...]:
    return (*shape[:at], size, *shape[at + 1 :])


def _same_rows(x: Value, index: Value, axis: int) -> tuple[Any, Any]:
    source, places = x.node, cast(index, "i32").node
    if source.rows is None and places.rows is not None:
        source = make("broadcast", source, shape=(T, *source.shape))
    return source, places


@rule("aten.scatter")
def _scatter(
    low: Lowering,
    x: Value,
    dim: int,
    index: Value,
    src: Value | None = None,
    value: float | None = None,
    reduce: str | None = None,
) -> Value:
    if reduce is not None:
        raise UnsupportedOp(f"scattering with {reduce!r}")
    axis = dim % x.rank
    if isinstance(x.sizes[axis], Tokens):
        raise UnsupportedOp("tokens placed by index")
    source = expand(as_value(value if src is None else src, x.node.dtype), index.sizes)
    if x.axes[axis] == ():
        return source
    rows = index.node.rows
    into = x.node
    if into.rows is None and rows is not None:
        into = make("broadcast", into, shape=(rows, *into.shape))
        x = Value(into, tuple(g or i for g, i in zip(x.axes, index.axes, strict=True)))
    at = Value(
        into, tuple(index.axes[i] if i != axis else x.axes[i] for i in range(x.rank))
    ).node_axis(axis)
    shape = _with(into.shape, at, index.sizes[axis])
    places = reshape_node(cast(index, "i32").node, shape)
    node = make("scatter", into, places, reshape_node(source.node, shape), axis=at)
    axes = tuple(index.axes[i] if i != axis else x.axes[i] for i in range(x.rank))
    return Value(node, axes)


@rule("aten.one_hot")
def _one_hot(low: Lowering, x: Value, num_classes: int = -1) -> Value:
    size = low.result_sizes()[-1]
    if isinstance(size, Tokens):
        raise UnsupportedOp("as many classes as tokens")
    classes = constant(const(np.arange(size, dtype=np.int32)))
    return cast(elementwise("eq", insert_axis(x, x.rank), classes), "i32")


@rule("aten.bucketize", "aten.searchsorted")
def _bucketize(low: Lowering, **options: Any) -> Value:
    raise UnsupportedOp("a search in sorted values")
