"""Operations that move elements: views, slices, joins, repetition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foreknown.capture.lower import past, scores
from foreknown.capture.lower.elementwise import as_value, elementwise
from foreknown.capture.lower.layout import (
    Size,
    Tokens,
    Value,
    drop_axis,
    expand,
    insert_axis,
    permute,
    reshape,
)
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import T, const, make

FAR = 1 << 62


@rule(
    "aten.view",
    "aten._unsafe_view",
    "aten.reshape",
    "aten.unflatten",
    "aten.flatten",
    "aten.view_as",
    "aten.reshape_as",
    "aten.view_copy",
    "aten._reshape_copy",
)
def _view(low: Lowering, x: Any, **options: Any) -> Any:
    if scores.involved(x):
        return scores.reshape(x, low.result_sizes())
    if options.get("dtype") is not None:
        raise UnsupportedOp("the bits of one dtype read as another")
    return reshape(x, low.result_sizes())


@rule("aten.squeeze", "aten.squeeze_copy")
def _squeeze(low: Lowering, x: Any, dim: Any = None) -> Any:
    if scores.involved(x):
        return scores.reshape(x, low.result_sizes())
    return reshape(x, low.result_sizes())


@rule("aten.unsqueeze", "aten.unsqueeze_copy")
def _unsqueeze(low: Lowering, x: Any, dim: int) -> Any:
    if scores.involved(x):
        return scores.insert_axis(x, dim % (x.rank + 1))
    return insert_axis(x, dim % (x.rank + 1))


@rule("aten.permute", "aten.permute_copy")
def _permute(low: Lowering, x: Any, dims: Sequence[int]) -> Any:
    order = [d % x.rank for d in dims]
    return scores.permute(x, order) if scores.involved(x) else permute(x, order)


@rule("aten.transpose", "aten.transpose_copy", "aten.swapaxes")
def _transpose(low: Lowering, x: Any, dim0: int, dim1: int) -> Any:
    order = list(range(x.rank))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return scores.permute(x, order) if scores.involved(x) else permute(x, order)


@rule("aten.t", "aten.numpy_T", "aten.mT", "aten.t_copy")
def _t(low: Lowering, x: Value) -> Value:
    order = list(range(x.rank))
    if x.rank >= 2:
        order[-2:] = order[-1], order[-2]
    return permute(x, order)


@rule("aten.movedim")
def _movedim(low: Lowering, x: Value, source: Sequence[int], destination: Sequence[int]) -> Value:
    sources = [s % x.rank for s in ([source] if isinstance(source, int) else source)]
    places = [d % x.rank for d in ([destination] if isinstance(destination, int) else destination)]
    rest = iter(i for i in range(x.rank) if i not in sources)
    at = dict(zip(places, sources, strict=True))
    return permute(x, [at[i] if i in at else next(rest) for i in range(x.rank)])


@rule("aten.expand", "aten.broadcast_to", "aten.expand_as", "aten.expand_copy")
def _expand(low: Lowering, x: Any, **options: Any) -> Any:
    if scores.involved(x):
        return scores.reshape(x, low.result_sizes())
    return expand(x, low.result_sizes())


# Slices


def cut(x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """A range of an axis that is no token axis."""
    size = x.sizes[axis]
    if isinstance(size, Tokens):
        raise UnsupportedOp("a range of the tokens")
    if start == 0 and stop == size and step == 1:
        return x
    count = -(-(stop - start) // step)
    if count <= 0:  # nothing, which may yet be joined with something
        return Value(const(0.0), (*x.axes[:axis], (0,), *x.axes[axis + 1 :]))
    if size == 1:
        return x
    node = make("slice", x.node, axis=x.node_axis(axis), start=start, stop=stop, step=step)
    group = (count,) if count > 1 else ()
    axes = (*x.axes[:axis], group, *x.axes[axis + 1 :])
    from foreknown.capture.lower.layout import node_shape, reshape_node

    return Value(reshape_node(node, node_shape(axes)), axes)


def bounds(size: int, start: int | None, stop: int | None) -> tuple[int, int]:
    start, stop = start or 0, FAR if stop is None else stop
    start = max(0, start + size) if start < 0 else min(start, size)
    stop = max(0, stop + size) if stop < 0 else min(stop, size)
    return start, stop


@rule("aten.slice", "aten.slice_copy")
def _slice(
    low: Lowering, x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    if scores.involved(x):
        return scores.sliced(x, dim % x.rank, start, end, step, low.result_sizes())
    axis = dim % x.rank
    size = x.sizes[axis]
    result = low.result_sizes()[axis]
    if isinstance(x, past.Padded):
        if axis != x.axis or step != 1:
            raise UnsupportedOp("a part of padded tokens")
        if result == size:
            return x
        if isinstance(start, Tokens) or (isinstance(start, int) and start < 0):
            # counted from the end: T + plus of all of them are left
            return x.cut(size.plus - (result.plus if isinstance(result, Tokens) else 0), result)
        return x.cut(start or 0, result)
    if isinstance(size, Tokens):
        return _slice_tokens(x, axis, size, start or 0, end, step, result)
    if isinstance(result, Tokens):
        return _first_rows(low, x, axis, start or 0, end, step, result)
    if isinstance(start, Tokens) or isinstance(end, Tokens):
        if result == size and step == 1:
            return x
        raise UnsupportedOp("a range that depends on the number of tokens")
    first, last = bounds(size, start, end)
    return cut(x, axis, first, last, step)


def _slice_tokens(
    x: Value, axis: int, size: Tokens, start: Any, end: Any, step: int, result: Size
) -> Any:
    if result == size and step == 1:  # all of them, however they are counted
        return x
    counted = isinstance(start, int) and start >= 0 and step == 1
    if isinstance(result, Tokens) and result.times == 1 and counted:
        return past.Padded(x, axis, -start, result)  # to be joined with what was before
    raise UnsupportedOp(f"the tokens from {start} to {end} in steps of {step}")


def _first_rows(
    low: Lowering, x: Value, axis: int, start: Any, end: Any, step: int, result: Tokens
) -> Value:
    """The first T rows of a table are its rows at the positions."""
    if x.node.rows or result != Tokens(1) or step != 1 or not isinstance(start, int) or start < 0:
        raise UnsupportedOp("a range that depends on the number of tokens")
    if end != Tokens(1, start):
        raise UnsupportedOp("a range that depends on the number of tokens")
    return rows_at_positions(x, axis, start)


def rows_at_positions(x: Value, axis: int, start: int) -> Value:
    order = [axis, *(i for i in range(x.rank) if i != axis)]
    table = permute(x, order)
    index = make("positions")
    if start:
        index = make("add", index, const(start))
    node = make("take", table.node, index)
    back = [order.index(i) for i in range(x.rank)]
    return permute(Value(node, ((T,), *table.axes[1:])), back)


@rule("aten.select", "aten.select_copy")
def _select(low: Lowering, x: Any, dim: int, index: Any) -> Any:
    if scores.involved(x):
        return scores.selected(x, dim % x.rank, index, low.result_sizes())
    axis = dim % x.rank
    size = x.sizes[axis]
    if isinstance(size, Tokens) or not isinstance(index, int):
        raise UnsupportedOp("one token chosen from a step")
    index %= size
    return drop_axis(cut(x, axis, index, index + 1), axis)


@rule("aten.narrow")
def _narrow(low: Lowering, x: Value, dim: int, start: int, length: int) -> Value:
    return cut(x, dim % x.rank, start, start + length)


@rule("aten.split", "aten.split_with_sizes", "aten.split_copy")
def _split(
    low: Lowering, x: Value, split_size: Any = None, split_sizes: Any = None, dim: int = 0
) -> tuple[Value, ...]:
    axis = dim % x.rank
    size = x.sizes[axis]
    if isinstance(size, Tokens):
        raise UnsupportedOp("tokens split into parts")
    if split_size is None:
        split_size = split_sizes
    if isinstance(split_size, int):
        split_size = [min(split_size, size - i) for i in range(0, size, split_size)]
    return _parts(x, axis, split_size)


def _parts(x: Value, axis: int, sizes: Sequence[int]) -> tuple[Value, ...]:
    result, start = [], 0
    for size in sizes:
        result.append(cut(x, axis, start, start + size))
        start += size
    return tuple(result)


@rule("aten.chunk", "aten.tensor_split")
def _chunk(low: Lowering, x: Value, chunks: int = 0, dim: int = 0, **options: Any) -> Any:
    axis = dim % x.rank
    assert low.node is not None
    sizes = [low.size(part.shape[axis]) for part in low.node.meta["val"]]
    if any(isinstance(s, Tokens) for s in sizes):
        raise UnsupportedOp("tokens split into parts")
    return _parts(x, axis, sizes)  # type: ignore[arg-type]


@rule("aten.unbind", "aten.unbind_copy")
def _unbind(low: Lowering, x: Value, dim: int = 0) -> tuple[Value, ...]:
    axis = dim % x.rank
    size = x.sizes[axis]
    if isinstance(size, Tokens):
        raise UnsupportedOp("tokens taken one by one")
    return tuple(drop_axis(cut(x, axis, i, i + 1), axis) for i in range(size))


# Joins


@rule("aten.cat", "aten.concat", "aten.concatenate")
def _cat(low: Lowering, tensors: Sequence[Any], dim: int = 0) -> Any:
    if scores.involved(*tensors):
        return scores.joined(low, tensors, dim)
    dtype = low.result_dtype()
    tensors = [t for t in tensors if 0 not in t.sizes]
    axis = dim % tensors[0].rank
    if len(tensors) > 1 and any(isinstance(t.sizes[axis], Tokens) for t in tensors):
        return past.join_tokens(tensors, axis)
    return join([as_value(t, dtype) for t in tensors], axis)


def join(parts: Sequence[Value], axis: int) -> Value:
    if len(parts) == 1:
        return parts[0]
    if any(isinstance(p.sizes[axis], Tokens) for p in parts):
        raise UnsupportedOp("more tokens joined to the tokens of a step")
    total = sum(p.sizes[axis] for p in parts)  # type: ignore[misc]
    rest = list(max((p.axes for p in parts), key=lambda axes: sum(T in g for g in axes)))
    for p in parts:  # every part at its full extent
        rest = [a if a != () else b for a, b in zip(rest, p.axes, strict=True)]
    nodes = []
    for p in parts:
        size = p.sizes[axis]
        assert isinstance(size, int)
        axes = (*rest[:axis], (size,), *rest[axis + 1 :])
        whole = expand(p, [_size(g) if i != axis else size for i, g in enumerate(axes)])
        shape = [T] if any(T in g for g in axes) else []
        shape += [a for g in axes for a in g if isinstance(a, int)]  # type: ignore[misc]
        from foreknown.capture.lower.layout import reshape_node

        nodes.append(reshape_node(whole.node, shape))
    full = (*rest[:axis], (total,), *rest[axis + 1 :])
    at = Value(nodes[0], (*rest[:axis], (2,), *rest[axis + 1 :])).node_axis(axis)
    return Value(make("concat", *nodes, axis=at), full)


def _size(group: tuple[Any, ...]) -> Size:
    from foreknown.capture.lower.layout import group_size

    return group_size(group)


@rule("aten.slice_scatter")
def _slice_scatter(
    low: Lowering,
    x: Value,
    src: Value,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> Value:
    """x with a range of an axis replaced."""
    axis = dim % x.rank
    size = x.sizes[axis]
    if isinstance(size, Tokens):
        if (start or 0) == 0 and step == 1 and src.sizes[axis] == size:
            return src
        raise UnsupportedOp("some tokens replaced")
    if step != 1:
        raise UnsupportedOp("every other element replaced")
    first, last = bounds(size, start, end)
    return _replaced(x, as_value(src, x.node.dtype), axis, first, last)


def _replaced(x: Value, new: Value, axis: int, first: int, last: int) -> Value:
    size = x.sizes[axis]
    assert isinstance(size, int)
    parts = [new]
    if first:
        parts.insert(0, cut(x, axis, 0, first))
    if last < size:
        parts.append(cut(x, axis, last, size))
    return join(parts, axis)


@rule("aten.select_scatter")
def _select_scatter(low: Lowering, x: Value, src: Value, dim: int, index: Any) -> Value:
    axis = dim % x.rank
    size = x.sizes[axis]
    if isinstance(size, Tokens) or not isinstance(index, int):
        raise UnsupportedOp("one token replaced")
    index %= size
    return _replaced(x, insert_axis(as_value(src, x.node.dtype), axis), axis, index, index + 1)


@rule("aten.stack")
def _stack(low: Lowering, tensors: Sequence[Value], dim: int = 0) -> Value:
    dtype = low.result_dtype()
    axis = dim % (tensors[0].rank + 1)
    return join([insert_axis(as_value(t, dtype), axis) for t in tensors], axis)


@rule("aten.repeat", "aten.tile")
def _repeat(
    low: Lowering, x: Value, repeats: Sequence[Any] = (), dims: Sequence[Any] = ()
) -> Value:
    times = list(repeats or dims)
    times = [1] * (x.rank - len(times)) + times
    x = Value(x.node, ((),) * (len(times) - x.rank) + x.axes)
    for axis, n in enumerate(times):
        if not isinstance(n, int):
            raise UnsupportedOp("repetition by the number of tokens")
        if n != 1:
            x = _tiled(x, axis, n)
    return x


def _tiled(x: Value, axis: int, n: int) -> Value:
    """An axis repeated whole, n times."""
    wide = insert_axis(x, axis)
    sizes = list(wide.sizes)
    sizes[axis] = n
    size = x.sizes[axis]
    merged = Tokens(size.times * n) if isinstance(size, Tokens) else size * n
    return reshape(expand(wide, sizes), [*x.sizes[:axis], merged, *x.sizes[axis + 1 :]])


@rule("aten.repeat_interleave")
def _repeat_interleave(
    low: Lowering, x: Value, repeats: Any, dim: int | None = None, **_: Any
) -> Value:
    if not isinstance(repeats, int) or dim is None:
        raise UnsupportedOp("repetition by a number that is not fixed")
    axis = dim % x.rank
    wide = insert_axis(x, axis + 1)
    sizes = list(wide.sizes)
    sizes[axis + 1] = repeats
    return reshape(expand(wide, sizes), low.result_sizes())


@rule("aten.roll")
def _roll(low: Lowering, x: Value, shifts: Sequence[int], dims: Sequence[int] = ()) -> Value:
    for n, dim in zip(shifts, dims, strict=True):
        axis = dim % x.rank
        size = x.sizes[axis]
        if isinstance(size, Tokens):
            raise UnsupportedOp("tokens rolled around")
        n %= size
        if n:
            x = join([cut(x, axis, size - n, size), cut(x, axis, 0, size - n)], axis)
    return x


@rule("aten.flip")
def _flip(low: Lowering, x: Value, dims: Sequence[int]) -> Value:
    for dim in dims:
        axis = dim % x.rank
        size = x.sizes[axis]
        if isinstance(size, Tokens):
            raise UnsupportedOp("tokens in reverse")
        x = join([cut(x, axis, i, i + 1) for i in reversed(range(size))], axis)
    return x


@rule("aten.pad", "aten.constant_pad_nd")
def _pad(
    low: Lowering, x: Value, pad: Sequence[int], mode: str = "constant", value: Any = 0
) -> Any:
    if mode != "constant":
        raise UnsupportedOp(f"padding by {mode!r}")
    return past.pad(low, x, list(pad), value or 0)


@rule("<built-in function getitem>")
def _getitem(low: Lowering, x: Any, other: int) -> Any:
    return x[other]


@rule("aten.unfold")
def _unfold(low: Lowering, x: Value, dimension: int, size: int, step: int) -> Value:
    axis = dimension % x.rank
    count = x.sizes[axis]
    if isinstance(count, Tokens):
        raise UnsupportedOp("windows that slide over tokens")
    parts = [insert_axis(cut(x, axis, i, i + size), axis) for i in range(0, count - size + 1, step)]
    joined = join(parts, axis)
    order = [i for i in range(joined.rank) if i != axis + 1] + [axis + 1]
    return permute(joined, order)


@rule("aten.tril", "aten.triu")
def _triangle(low: Lowering, x: Value, diagonal: int = 0) -> Value:
    import numpy as np

    assert low.node is not None
    rows, columns = x.sizes[-2:]
    if isinstance(rows, Tokens) or isinstance(columns, Tokens):
        raise UnsupportedOp("a triangle over tokens")
    ones = np.ones((rows, columns), bool)
    kept = np.tril(ones, diagonal) if "tril" in str(low.node.target) else np.triu(ones, diagonal)
    from foreknown.capture.lower.layout import constant

    keep = constant(const(kept))
    return elementwise("where", keep, x, as_value(0, x.node.dtype))
