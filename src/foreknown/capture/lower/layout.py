"""How a tensor of PyTorch lies in a node of the graph, and the views that move it.

A graph's rows come first: a node of rows is [T, ...]. In PyTorch the tokens may be any axis, or
part of one. A `Value` is a node and, for every axis of the tensor, the atoms it is made of:

    ()           an axis of one element; the node has no such axis
    (n,)         an axis of n elements
    (o, T, f)    an axis that merges o · T · f elements, the outer and inner factor left out if 1

The node's shape is T (if any axis has it) and then all other atoms in order. So transposing
tokens, and batch axes of one, cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Dim, Literal, Node, Symbol, T, const, make

Group = tuple[Dim, ...]
Axes = tuple[Group, ...]


class Tokens(NamedTuple):
    """A size that depends on the number of tokens: times * T + plus."""

    times: int
    plus: int = 0


Size = int | Tokens


@dataclass(frozen=True)
class Value:
    """A node, and which atoms make up each axis of the tensor it stands for."""

    node: Node
    axes: Axes

    @property
    def rank(self) -> int:
        return len(self.axes)

    @property
    def sizes(self) -> tuple[Size, ...]:
        return tuple(map(group_size, self.axes))

    @property
    def token_axis(self) -> int | None:
        return next((i for i, g in enumerate(self.axes) if T in g), None)

    def tidy(self) -> Value:
        """The same with the node reshaped to exactly its atoms."""
        return Value(reshape_node(self.node, node_shape(self.axes)), self.axes)

    def node_axis(self, axis: int) -> int:
        """The node's axis of a tensor axis that is one atom."""
        (atom,) = self.axes[axis]
        assert isinstance(atom, int)
        before = sum(1 for g in self.axes[:axis] for a in g if isinstance(a, int))
        return before + (self.node.rows is not None)


def group_size(group: Group) -> Size:
    times = math.prod(a for a in group if isinstance(a, int))
    return Tokens(times) if T in group else times


def numbers(*sizes: object) -> tuple[int, ...]:
    """Sizes that must not depend on the number of tokens.

    Raises:
        UnsupportedOp: one does.
    """
    found = tuple(size for size in sizes if isinstance(size, int))
    if len(found) != len(sizes):
        raise UnsupportedOp("a size that depends on the number of tokens")
    return found


def ints(axes: Axes) -> tuple[int, ...]:
    return tuple(a for g in axes for a in g if isinstance(a, int))


def node_shape(axes: Axes) -> tuple[Dim, ...]:
    rows = any(T in g for g in axes)
    return ((T,) if rows else ()) + ints(axes)


def normal(group: Sequence[Dim]) -> Group:
    """At most one number on either side of T, none of them 1."""
    if T in group:
        at = list(group).index(T)
        outer, inner = group_size(tuple(group[:at])), group_size(tuple(group[at + 1 :]))
        return (*((outer,) if outer != 1 else ()), T, *((inner,) if inner != 1 else ()))
    size = group_size(tuple(group))
    return (size,) if size != 1 else ()  # type: ignore[return-value]


def constant(node: Node) -> Value:
    """A node of no rows, with its shape as it is."""
    axes: Axes = tuple(normal((d,)) for d in node.shape)
    return Value(reshape_node(node, ints(axes)), axes)


def reshape_node(node: Node, shape: Sequence[Dim]) -> Node:
    shape = tuple(shape)
    while node.op == "reshape":
        (node,) = node.args
    if node.shape == shape:
        return node
    if node.op == "const":
        literal = node.attrs["value"]
        assert isinstance(literal, Literal)
        return const(literal.array.reshape(numbers(*shape)))
    return make("reshape", node, shape=shape)


def reshape(x: Value, sizes: Sequence[Size]) -> Value:
    """The same elements in the same order under other sizes.

    Raises:
        UnsupportedOp: the token axis would have to be cut.
    """
    left: list[Dim] = [a for g in x.axes for a in g]
    groups: list[Group] = []
    for size in sizes:
        group: list[Dim] = []
        want = size.times if isinstance(size, Tokens) else size
        tokens = isinstance(size, Tokens)
        if isinstance(size, Tokens) and size.plus:
            raise UnsupportedOp(f"a view of {size.times}·T + {size.plus} elements")
        while want != 1 or tokens:
            if not left:
                raise UnsupportedOp("a view with other elements than its source")
            atom = left.pop(0)
            if isinstance(atom, Symbol):
                if not tokens:
                    raise UnsupportedOp("a view that cuts the token axis")
                tokens = False
                group.append(atom)
            elif want % atom == 0:
                want //= atom
                group.append(atom)
            elif want != 1 and atom % want == 0:
                left.insert(0, atom // want)
                group.append(want)
                want = 1
            else:
                raise UnsupportedOp(f"a view that cuts an axis of {atom} into {want}")
        groups.append(normal(group))
    if left:
        raise UnsupportedOp("a view with other elements than its source")
    axes = tuple(groups)
    return Value(reshape_node(x.node, node_shape(axes)), axes)


def permute(x: Value, order: Sequence[int]) -> Value:
    axes = tuple(x.axes[i] for i in order)
    numbered = []
    counter = 1 if x.node.rows else 0
    for group in x.axes:
        numbered.append([counter + i for i in range(sum(isinstance(a, int) for a in group))])
        counter += len(numbered[-1])
    moved = [i for axis in order for i in numbered[axis]]
    full = ([0] if x.node.rows else []) + moved
    node = x.node if full == sorted(full) else make("permute", x.node, axes=tuple(full))
    return Value(node, axes)


def insert_axis(x: Value, axis: int) -> Value:
    return Value(x.node, (*x.axes[:axis], (), *x.axes[axis:]))


def drop_axis(x: Value, axis: int) -> Value:
    assert x.axes[axis] == ()
    return Value(x.node, x.axes[:axis] + x.axes[axis + 1 :])


def expand(x: Value, sizes: Sequence[Size]) -> Value:
    """Axes of one element repeated, new axes put in front."""
    padded: Axes = ((),) * (len(sizes) - x.rank) + x.axes
    target: list[Group] = []
    for group, size in zip(padded, sizes, strict=True):
        if size == group_size(group):
            target.append(group)
        elif group != ():
            raise UnsupportedOp(f"an axis of {group_size(group)} expanded to {size}")
        elif isinstance(size, Tokens):
            if size.plus:
                raise UnsupportedOp(f"an axis expanded to {size.times}·T + {size.plus}")
            target.append(normal((T, size.times)))
        else:
            target.append((size,))
    axes = tuple(target)
    if axes == padded:
        return Value(x.node, padded)
    if sum(T in g for g in axes) > 1:
        raise UnsupportedOp("a value of tokens expanded over tokens again")
    spread = spaced(Value(x.node, padded), axes)
    shape = node_shape(axes)
    return Value(spread if spread.shape == shape else make("broadcast", spread, shape=shape), axes)


def spaced(x: Value, axes: Axes) -> Node:
    """The node of x with ones where `axes` has atoms and x none; same rank on both sides."""
    shape: list[Dim] = [T] if x.node.rows else []
    for own, full in zip(x.axes, axes, strict=True):
        if own == full:
            shape += [a for a in own if isinstance(a, int)]
        else:
            assert own == ()
            shape += [1 for a in full if isinstance(a, int)]
    if not x.node.rows:
        while shape and shape[0] == 1:
            shape.pop(0)
    return reshape_node(x.node, shape)


def align(values: Sequence[Value]) -> tuple[list[Node], Axes]:
    """Nodes that broadcast against each other as the tensors do, and the axes of the result.

    Raises:
        UnsupportedOp: two values have their tokens on different axes.
    """
    rank = max(v.rank for v in values)
    padded = [Value(v.node, ((),) * (rank - v.rank) + v.axes) for v in values]
    axes: list[Group] = []
    for i in range(rank):
        wide = {v.axes[i] for v in padded} - {()}
        if len(wide) > 1:
            sizes = sorted(map(str, wide))
            raise UnsupportedOp(f"an axis where {' meets '.join(sizes)}")
        axes.append(wide.pop() if wide else ())
    if sum(T in g for g in axes) > 1:
        raise UnsupportedOp("each token with every other token")
    result = tuple(axes)
    return [spaced(v, result) for v in padded], result
