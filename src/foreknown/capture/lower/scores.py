"""Attention that a model writes out: softmax(q·kᵀ · scale + mask)·v, followed until it is whole.

A product of each token with every other becomes `Scores`, which is no value of the graph: it
remembers what was multiplied and what was done to it since. Scaling, a soft cap, masks, biases and
sinks are noted; a softmax turns it into shares; a product of shares with values is the IR's
`attend`. Whatever else is done to it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.fx import Node as FxNode

from foreknown.capture.lower import layout, masks
from foreknown.capture.lower.layout import Size, Tokens, Value, node_shape, normal, reshape_node
from foreknown.capture.lower.lowering import Lowering
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, T

LEFT, RIGHT = "left", "right"
Group = tuple[Any, ...]  # (), (n,), (LEFT,) or (RIGHT,)


@dataclass(frozen=True)
class Scores:
    """Products of tokens with tokens, [.., left tokens, right tokens] in the order of `axes`.

    left and right are [T, heads, width]; numbers in `axes` multiply to the heads, in order.
    """

    left: Node
    right: Node
    axes: tuple[Group, ...]
    scale: float = 1.0
    cap: float | None = None  # tanh was applied, and then a factor of this
    parts: tuple[masks.Part, ...] = ()
    sinks: Node | None = None
    extended: bool = False  # the sinks are still a column of it
    keys: str | None = None  # the side a softmax went over: these are shares now

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def heads(self) -> int:
        return int(self.left.shape[1])  # type: ignore[arg-type]


@dataclass(frozen=True)
class RowExtreme:
    """The largest score of each row: subtracted before a softmax, it changes nothing."""

    of: Scores


def involved(*values: Any) -> bool:
    """Whether something of pairs of tokens is among them."""
    return any(isinstance(v, (Scores, RowExtreme, FxNode)) for v in values)


def product(a: Value, b: Value) -> Scores:
    """a[.., tokens, width] times b[.., width, tokens].

    Raises:
        UnsupportedOp: tokens are on more axes than that.
    """
    if a.axes[-2] != (T,) or b.axes[-1] != (T,) or T in a.axes[-1] or T in b.axes[-2]:
        raise UnsupportedOp("each token with every other token, and not as attention")
    batch = []
    for x, y in zip(a.axes[:-2], b.axes[:-2], strict=True):
        if T in x or T in y or (x != y and x != () and y != ()):
            raise UnsupportedOp("each token with every other token, and not as attention")
        batch.append(x or y)
    sizes = [layout.group_size(g) for g in batch]
    left = layout.expand(a, [*sizes, *a.sizes[-2:]])
    right = layout.expand(b, [*sizes, *b.sizes[-2:]])
    heads = math.prod(s for s in sizes if isinstance(s, int))
    width = a.sizes[-1]
    assert isinstance(width, int)
    return Scores(
        reshape_node(left.node, (T, heads, width)),
        reshape_node(right.node, (T, heads, width)),
        (*batch, (LEFT,), (RIGHT,)),
    )


# Views


def reshape(x: object, sizes: Sequence[Size]) -> Scores:
    x = _scores(x)
    left = [atom for group in x.axes for atom in group]
    groups: list[Group] = []
    for size in sizes:
        if isinstance(size, Tokens):
            if not left or isinstance(left[0], int) or size.times != 1:
                raise UnsupportedOp("a view of pairs of tokens that merges them")
            groups.append((left.pop(0),))
            continue
        want, have = size, 1
        while have != want:
            atom = left.pop(0) if left else None
            if not isinstance(atom, int):
                raise UnsupportedOp("a view of pairs of tokens that merges them")
            if want % (have * atom) == 0:
                have *= atom
            elif atom % (want // have) == 0:
                left.insert(0, atom // (want // have))
                have = want
            else:
                raise UnsupportedOp("a view of pairs of tokens that cuts heads")
        groups.append((want,) if want != 1 else ())
    return replace(x, axes=tuple(groups))


def insert_axis(x: object, axis: int) -> Scores:
    x = _scores(x)
    return replace(x, axes=(*x.axes[:axis], (), *x.axes[axis:]))


def permute(x: object, order: Sequence[int]) -> Scores:
    x = _scores(x)
    heads = [i for i in order if x.axes[i] and isinstance(x.axes[i][0], int)]
    if heads != sorted(heads):
        raise UnsupportedOp("heads of pairs of tokens in another order")
    return replace(x, axes=tuple(x.axes[i] for i in order))


def sliced(x: object, axis: int, start: Any, end: Any, step: int, sizes: Sequence[Size]) -> Scores:
    x = _scores(x)
    if x.axes[axis] in ((LEFT,), (RIGHT,)) and step == 1 and (start or 0) == 0:
        last = Tokens(1, 1) if x.extended else Tokens(1)
        if x.extended and x.keys and (x.keys,) == x.axes[axis]:
            if sizes[axis] == Tokens(1):
                return replace(x, extended=False)
        elif sizes[axis] in (last, Tokens(1)):
            return x
    elif x.axes[axis] not in ((LEFT,), (RIGHT,)):
        size = x.axes[axis][0] if x.axes[axis] else 1
        if sizes[axis] == size and step == 1:
            return x
    raise UnsupportedOp("a part of the pairs of tokens")


def selected(x: object, axis: int, index: Any, sizes: Sequence[Size]) -> Scores:
    x = _scores(x)
    if x.axes[axis] != ():
        raise UnsupportedOp("a part of the pairs of tokens")
    return replace(x, axes=x.axes[:axis] + x.axes[axis + 1 :])


# What is done to scores


def binary(low: Lowering, op: str, a: Any, b: Any, alpha: float) -> Any:
    """a op alpha * b, with scores on either side."""
    if isinstance(b, RowExtreme):
        if op == "sub" and b.of == a:
            return a
        raise UnsupportedOp("the largest score of a row used otherwise than before a softmax")
    if isinstance(b, Scores) and op in {"add", "mul", "max"} and not isinstance(a, Scores):
        if alpha != 1:
            b = (
                replace(b, scale=b.scale * alpha)
                if not b.parts and b.cap is None
                else _scores(None)
            )
        a, b, alpha = b, a, 1
    a = _scores(a)
    if isinstance(b, Scores):
        raise UnsupportedOp("scores of two products joined")
    _before_softmax(a)
    factor = _number(b)
    if op in {"mul", "div"}:
        if factor is None and op == "mul" and (isinstance(b, FxNode) or low.traced(b) in low.known):
            return _with_part(low, a, b, "gate", 1.0)
        if factor is None:
            raise UnsupportedOp("scores scaled by a value that is not one number")
        return _scale(a, factor if op == "mul" else 1 / factor)
    if op == "max":
        if factor is not None and factor <= masks.HIDDEN:
            return a
        raise UnsupportedOp("scores bounded from below")
    if op in {"add", "sub"}:
        times = alpha if op == "add" else -alpha
        if factor is not None:  # the same for all keys
            return a
        return _with_part(low, a, b, "add", times)
    raise UnsupportedOp(f"{op} of scores")


def _scale(x: Scores, factor: float) -> Scores:
    if factor <= 0:
        raise UnsupportedOp(f"scores scaled by {factor}")
    if any(p.kind == "gate" for p in x.parts):
        raise UnsupportedOp("scores scaled after they were multiplied by a mask")
    parts = tuple(replace(p, times=p.times * factor) for p in x.parts)
    if x.cap is not None:
        return replace(x, cap=x.cap * factor, parts=parts)
    return replace(x, scale=x.scale * factor, parts=parts)


def unary(op: str, x: object) -> Scores:
    x = _scores(x)
    _before_softmax(x)
    if op == "tanh" and not x.parts and x.cap is None:
        return replace(x, cap=1.0)
    raise UnsupportedOp(f"{op} of scores")


def clamp(x: object, lowest: Any, highest: Any) -> Scores:
    x = _scores(x)
    if highest is None and isinstance(lowest, int | float) and lowest <= masks.HIDDEN:
        return x
    raise UnsupportedOp("scores bounded")


def choose(low: Lowering, condition: Any, a: Any, b: Any) -> Scores:
    """Scores where a known condition holds (or does not), hidden elsewhere."""
    kind = "keep" if isinstance(a, Scores) else "hide"
    x, other = (a, b) if kind == "keep" else (b, a)
    x = _scores(x)
    _before_softmax(x)
    fill = _number(other)
    if fill is None or fill > masks.GATED:
        raise UnsupportedOp("scores replaced by something that does not hide them")
    return _with_part(low, x, condition, kind, 1.0)


def _with_part(low: Lowering, x: Scores, part: Any, kind: str, times: float) -> Scores:
    node = part if isinstance(part, FxNode) else low.traced(part)
    if node is None or node not in low.known:
        raise UnsupportedOp("a mask or bias that depends on the tokens' values")
    return replace(x, parts=(*x.parts, masks.Part(node, kind, times, _arranged(x, low))))


def _arranged(x: Scores, low: Lowering) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Turns an array that broadcasts with the scores into [heads or 1, left or 1, right or 1]."""
    axes, heads = x.axes, x.heads

    def arrange(array: NDArray[Any]) -> NDArray[Any]:
        array = array.reshape((1,) * (len(axes) - array.ndim) + array.shape)
        if array.ndim != len(axes):
            raise UnsupportedOp("a mask of more axes than the scores have")
        of_heads = [i for i, g in enumerate(axes) if g and isinstance(g[0], int)]
        if any(array.shape[i] != 1 for i in of_heads):
            shape = list(array.shape)
            for i in of_heads:
                shape[i] = axes[i][0]
            array = np.broadcast_to(array, shape)
        rest = [i for i, g in enumerate(axes) if g == ()]
        if any(array.shape[i] != 1 for i in rest):
            raise UnsupportedOp("a mask larger than the scores")
        order = [*rest, *of_heads, axes.index((LEFT,)), axes.index((RIGHT,))]
        turned = array.transpose(order)
        count = math.prod(turned.shape[:-2])
        assert count in (1, heads)
        return turned.reshape(count, *turned.shape[-2:])

    return arrange


def joined(low: Lowering, tensors: Sequence[Any], dim: int) -> Scores:
    """Scores with a column of sinks."""
    x = next(t for t in tensors if isinstance(t, Scores)) if involved(*tensors) else None
    if not isinstance(x, Scores) or len(tensors) != 2 or tensors[0] is not x or x.sinks is not None:
        raise UnsupportedOp("pairs of tokens joined with something else")
    column = tensors[1]
    if not isinstance(column, Value) or column.rank != x.rank or dim % x.rank != x.rank - 1:
        raise UnsupportedOp("pairs of tokens joined with something else")
    node = column.node
    while node.op in {"broadcast", "reshape"} and node.rows:
        (node,) = node.args
    if node.rows or column.axes[-1] != () or x.axes[-1] not in ((LEFT,), (RIGHT,)):
        raise UnsupportedOp("pairs of tokens joined with something else")
    if math.prod(node.shape) != x.heads:  # type: ignore[arg-type]
        raise UnsupportedOp("sinks that are not one for each head")
    return replace(x, sinks=reshape_node(node, (x.heads,)), extended=True)


def row_extreme(x: object, dim: Any, keepdim: bool) -> RowExtreme:
    x = _scores(x)
    dims = dim if isinstance(dim, int) else dim[0] if dim and len(dim) == 1 else None
    if dims is None or not keepdim or x.axes[dims] not in ((LEFT,), (RIGHT,)):
        raise UnsupportedOp("an extreme of scores")
    return RowExtreme(x)


def softmax(low: Lowering, x: object, dim: int) -> Scores:
    x = _scores(x)
    _before_softmax(x)
    if x.axes[dim] not in ((LEFT,), (RIGHT,)):
        raise UnsupportedOp("a softmax of scores that is not over keys")
    return replace(x, keys=x.axes[dim][0])


def weighted(low: Lowering, a: Any, b: Any) -> Value:
    """Shares times values: the attention is whole."""
    from foreknown.capture.lower.past import attend

    turned = isinstance(b, Scores)
    x, value = (b, a) if turned else (a, b)
    x = _scores(x)
    if not isinstance(value, Value) or x.keys is None or x.extended:
        raise UnsupportedOp("scores multiplied before their softmax")
    query_side = LEFT if x.keys == RIGHT else RIGHT
    ends = x.axes[-2:]
    if ends != ((x.keys,), (query_side,)) if turned else ends != ((query_side,), (x.keys,)):
        raise UnsupportedOp("shares summed over their queries")
    if value.rank < x.rank:
        value = Value(value.node, ((),) * (x.rank - value.rank) + value.axes)
    token_axis, width_axis = (-1, -2) if turned else (-2, -1)
    if value.axes[token_axis] != (T,) or T in value.axes[width_axis]:
        raise UnsupportedOp("shares multiplied with something else than a value a token")
    batch = [normal(g) for g in x.axes[:-2]]
    for own, wide in zip(value.axes[:-2], batch, strict=True):
        if own not in ((), wide):
            raise UnsupportedOp("values with other heads than their shares")
    sizes = [layout.group_size(g) for g in batch]
    value = layout.expand(value, [*sizes, *value.sizes[-2:]])
    width = value.sizes[width_axis]
    assert isinstance(width, int)
    values = reshape_node(value.node, (T, x.heads, width))
    query, key = (x.left, x.right) if x.keys == RIGHT else (x.right, x.left)
    visible = masks.recognise(low, x.parts, causal=False, swapped=x.keys == LEFT)
    if not x.parts:
        raise UnsupportedOp("attention to later tokens")
    scale = x.scale if x.cap is None else x.scale * x.cap
    node = attend(low, query, key, values, visible, scale, x.cap, x.sinks)
    out_width = normal((width,))
    axes = (*batch, out_width, (T,)) if turned else (*batch, (T,), out_width)
    return Value(reshape_node(node, node_shape(axes)), axes)


def _scores(x: Any) -> Scores:
    if not isinstance(x, Scores):
        raise UnsupportedOp("pairs of tokens")
    return x


def _before_softmax(x: Scores) -> None:
    if x.keys is not None:
        raise UnsupportedOp("shares changed after their softmax")


def _number(x: Any) -> float | None:
    """A number, or a constant of one element."""
    if isinstance(x, int | float):
        return float(x)
    if isinstance(x, Value) and x.node.op == "const" and x.node.shape == ():
        return float(x.node.attrs["value"].array)  # type: ignore[union-attr]
    return None


# Keys and values repeated for the heads that share them


def without_repeats(key: Node, value: Node) -> tuple[Node, Node]:
    """Keys and values once for each group of heads, if both are repeated alike."""
    short_key, short_value = _unrepeated(key), _unrepeated(value)
    if short_key is None or short_value is None or short_key.shape[1] != short_value.shape[1]:
        return key, value
    return short_key, short_value


def _unrepeated(node: Node) -> Node | None:
    """x [T, g, d] of x broadcast to [T, g, n, d] and viewed as [T, g·n, d]."""
    if node.op == "reshape":
        (node,) = node.args
    if node.op != "broadcast":
        return None
    (source,) = node.args
    shape = node.shape
    if source.shape[:1] != (T,) or len(source.shape) != len(shape):
        return None
    wide = [i for i, (a, b) in enumerate(zip(source.shape, shape, strict=True)) if a != b]
    if len(wide) != 1 or wide[0] != len(shape) - 2:
        return None
    groups = math.prod(d for d in shape[1 : wide[0]] if isinstance(d, int))
    return reshape_node(source, (T, groups, shape[-1]))
