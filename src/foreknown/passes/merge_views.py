"""Merges chains of reshapes, permutes, slices, concats and broadcasts into fewer of them.

before:  %1 = reshape %0 {shape=[T,2,4]} : f32[T,2,4]
         %2 = reshape %1 {shape=[T,1,8]} : f32[T,1,8]
after:   %2 = reshape %0 {shape=[T,1,8]} : f32[T,1,8]

before:  %2 = concat %0, %1 {axis=1} : f32[T,12]         # %0 is f32[T,8]
         %3 = slice %2 {axis=1, start=8, step=1, stop=12} : f32[T,4]
after:   %1

before:  %1 = broadcast %0 {shape=[T,8,64]} : f32[T,8,64]     # %0 is f32[T,1,64]
         %2 = mul %1, %q : f32[T,8,64]
after:   %2 = mul %0, %q : f32[T,8,64]
"""

from __future__ import annotations

from foreknown.errors import GraphError
from foreknown.graph.ir import Graph, Node, Shape, make
from foreknown.graph.ops import ELEMENTWISE
from foreknown.passes.rewrite import rewrite


def merge_views(graph: Graph) -> Graph:
    """The graph with views merged, and broadcasts left out where an operation does them anyway."""
    return rewrite(graph, RULES)


def _view_of_its_like(node: Node) -> Node | None:
    """reshape of reshape, broadcast of broadcast, permute of permute: the last says it all."""
    if node.op not in {"reshape", "broadcast", "permute"} or node.args[0].op != node.op:
        return None
    (inner,) = node.args
    (x,) = inner.args
    if node.op == "permute":
        return make(
            "permute", x, axes=tuple(inner.integers("axes")[a] for a in node.integers("axes"))
        )
    return make(node.op, x, shape=node.shape)


def _permute_that_moves_ones(node: Node) -> Node | None:
    if node.op != "permute":
        return None
    (x,) = node.args
    moved = [a for a in node.integers("axes") if x.shape[a] != 1]
    return make("reshape", x, shape=node.shape) if moved == sorted(moved) else None


def _permute_of_broadcast(node: Node) -> Node | None:
    if node.op != "permute" or node.args[0].op != "broadcast":
        return None
    (x,) = node.args[0].args
    if len(x.shape) != len(node.shape):
        return None
    return make("broadcast", make("permute", x, **node.attrs), shape=node.shape)


def _reshape_of_one_number(node: Node) -> Node | None:
    """A row that repeats one number does so in any shape."""
    if node.op != "reshape" or node.args[0].op != "broadcast":
        return None
    (x,) = node.args[0].args
    if x.row_size != 1:
        return None
    one: Shape = (x.rows, *[1] * (len(node.shape) - 1)) if x.rows else ()
    return make("broadcast", make("reshape", x, shape=one), shape=node.shape)


def _slice_in_least_words(node: Node) -> Node | None:
    """`stop` just after the last element, and no step where there is one element."""
    if node.op != "slice":
        return None
    axis, start, _, step = _slice(node)
    count = _length(node, axis)
    least = _sliced(node.args[0], axis, start, step if count > 1 else 1, count)
    return least if least.attrs != node.attrs else None


def _slice_of_slice(node: Node) -> Node | None:
    if node.op != "slice" or node.args[0].op != "slice":
        return None
    axis, start, _, step = _slice(node)
    inner_axis, inner_start, _, inner_step = _slice(node.args[0])
    if axis != inner_axis:
        return None
    first = inner_start + start * inner_step
    return _sliced(node.args[0].args[0], axis, first, step * inner_step, _length(node, axis))


def _slice_of_concat(node: Node) -> Node | None:
    """Only the parts that it touches."""
    if node.op != "slice" or node.args[0].op != "concat":
        return None
    axis, start, stop, step = _slice(node)
    if axis != node.args[0].attrs["axis"]:
        return None
    offset, touched = 0, []
    for part in node.args[0].args:
        length = _length(part, axis)
        low, high = max(start, offset), min(stop, offset + length)
        if low < high:
            touched.append((part, low - offset, high - low))
        offset += length
    if len(touched) == 1:
        part, first, _ = touched[0]
        return _sliced(part, axis, first, step, _length(node, axis))
    if step > 1 or len(touched) == len(node.args[0].args):
        return None
    return make("concat", *(_sliced(p, axis, f, 1, n) for p, f, n in touched), axis=axis)


def _slice_of_broadcast(node: Node) -> Node | None:
    if node.op != "slice" or node.args[0].op != "broadcast":
        return None
    (x,) = node.args[0].args
    axis, start, _, step = _slice(node)
    own = axis - (len(node.shape) - len(x.shape))
    if own >= 0 and x.shape[own] != 1:
        x = _sliced(x, own, start, step, _length(node, axis))
    return make("broadcast", x, shape=node.shape)


def _concat_of_neighbours(node: Node) -> Node | None:
    """Parts of parts are parts, and slices of one value that adjoin are one slice."""
    if node.op != "concat":
        return None
    axis = node.integer("axis")
    parts: list[Node] = []
    for arg in node.args:
        flat = arg.args if arg.op == "concat" and arg.attrs["axis"] == axis else (arg,)
        for part in flat:
            joined = _adjoining(parts[-1], part, axis) if parts else None
            if joined is not None:
                parts[-1] = joined
            else:
                parts.append(part)
    if tuple(parts) == node.args:
        return None
    return make("concat", *parts, axis=axis) if len(parts) > 1 else parts[0]


def _adjoining(left: Node, right: Node, axis: int) -> Node | None:
    if left.op != "slice" or right.op != "slice" or left.args != right.args:
        return None
    (a, start, stop, step), (b, next_start, _, next_step) = _slice(left), _slice(right)
    if a != axis or b != axis or step != 1 or next_step != 1 or stop != next_start:
        return None
    count = _length(left, axis) + _length(right, axis)
    return _sliced(left.args[0], axis, start, 1, count)


def _operand_broadcast_anyway(node: Node) -> Node | None:
    """An operation broadcasts its own operands; at worst its smaller result is broadcast."""
    if node.op not in ELEMENTWISE | {"matmul"}:
        return None
    bare = tuple(a.args[0] if a.op == "broadcast" else a for a in node.args)
    if bare == node.args:
        return None
    for at, x in enumerate(bare):
        if x is not node.args[at]:
            found = _try(node, (*node.args[:at], x, *node.args[at + 1 :]))
            if found is not None and found.shape == node.shape:
                return found
    found = _try(node, bare) if node.op != "matmul" else None
    return make("broadcast", found, shape=node.shape) if found is not None else None


def _reshape_sinks(node: Node) -> Node | None:
    """rsqrt(reshape(x)) is reshape(rsqrt(x)): further down it meets another and they merge."""
    if node.op not in ELEMENTWISE:
        return None
    reshaped = [a for a in node.args if a.op == "reshape" and a.rows is not None]
    sources = {a.args[0].shape for a in reshaped}
    others = [a for a in node.args if a not in reshaped]
    if len(sources) != 1 or any(a.rows is not None or a.row_size != 1 for a in others):
        return None
    found = _try(node, tuple(a.args[0] if a in reshaped else a for a in node.args))
    if found is None or {found.shape} != sources or {a.shape for a in reshaped} != {node.shape}:
        return None
    return make("reshape", found, shape=node.shape)


def _parts_alike(node: Node) -> Node | None:
    """cos(concat(x, x)) is concat(cos(x), cos(x)): computed once."""
    if node.op not in ELEMENTWISE:
        return None
    for at, arg in enumerate(node.args):
        if arg.op != "concat" or len(set(arg.args)) > 1 or arg.shape != node.shape:
            continue
        axis = arg.integer("axis")
        from_last = len(node.shape) - axis
        others = [x for i, x in enumerate(node.args) if i != at]
        if all(len(x.shape) < from_last or x.shape[-from_last] == 1 for x in others):
            part = _try(node, (*node.args[:at], arg.args[0], *node.args[at + 1 :]))
            if part is not None:
                return make("concat", *[part] * len(arg.args), axis=axis)
    return None


def _try(node: Node, args: tuple[Node, ...]) -> Node | None:
    try:
        return make(node.op, *args, **node.attrs)
    except GraphError:
        return None


def _sliced(x: Node, axis: int, start: int, step: int, count: int) -> Node:
    stop = start + (count - 1) * step + 1
    return make("slice", x, axis=axis, start=start, stop=stop, step=step)


def _slice(node: Node) -> tuple[int, int, int, int]:
    return node.integer("axis"), node.integer("start"), node.integer("stop"), node.integer("step")


def _length(node: Node, axis: int) -> int:
    length = node.shape[axis]
    assert isinstance(length, int)
    return length


RULES = (
    _view_of_its_like,
    _permute_that_moves_ones,
    _permute_of_broadcast,
    _reshape_of_one_number,
    _slice_in_least_words,
    _slice_of_slice,
    _slice_of_concat,
    _slice_of_broadcast,
    _concat_of_neighbours,
    _operand_broadcast_anyway,
    _reshape_sinks,
    _parts_alike,
)
