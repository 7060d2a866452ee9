"""The intermediate representation: a step of a model as a graph of immutable nodes.

    graph     := "graph" name "{" line* "return" output ("," output)* "}"
    line      := "%"id "=" op (operand ("," operand)*)? attrs? (":" type)?
    operand   := "%"id
    output    := name "=" "%"id
    attrs     := "{" key "=" value ("," key "=" value)* "}"
    value     := int | float | "true" | "false" | "none" | string | dim | "@"digest
               | "[" (value ("," value)*)? "]"
    type      := dtype "[" (dim ("," dim)*)? "]"
    dtype     := "f32" | "i32" | "bool"
    dim       := int | "T" | "R"

    leaf      := tokens | positions | rows                       what a step is given
               | weight {name, shape, stored}                    a tensor of the checkpoint
               | const {value}                                   elements, or an array's digest
    unary     := neg | abs | exp | expm1 | log | log1p | sqrt | rsqrt | tanh | sigmoid | erf
               | sin | cos | floor | ceil | round | sign | not | bf16
    binary    := add | sub | mul | div | mod | pow | max | min
               | eq | ne | lt | le | gt | ge | and | or
    choice    := where(condition, then, else) | cast {dtype}
    view      := reshape {shape} | permute {axes} | slice {axis, start, stop, step}
               | concat {axis} | broadcast {shape}
    reduction := sum | prod | amax | amin {axes} | argmax | cumsum {axis}
    ordering  := topk_values | topk_indices {k, largest}         along the last axis
    lookup    := take(table, index) | gather | scatter {axis}
    rounding  := quantise(x) {group}                  rows to 8 bits, a scale for each group
               | lowbit(w, importance?) {bits, group} a constant matrix to 4 or 8 bits
    product   := linear(x, w) | matmul(a, b) | experts(x, w, index)
    past      := attend(q, k, v, sinks?, bias?) {scale, window, chunk, softcap, sinks, bias}
               | shift {n} | scan(decay, input, (out, in)?)
    choosing  := select_rows(x, rows)

A value either belongs to tokens (its first dimension is T), to selected rows (R), or to no
row at all (a constant). Rows are always the *first* dimension and no operation but the three
of `past` reads another token's row: that is law 2, and `verify` proves it of every graph.
dtype and shape are derived by `ops.infer`, never stored beside it. Nodes are interned: two
nodes built alike are one object, so `is` is equality and common subexpressions cannot exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray


class Symbol(Enum):
    """A dimension known only when a step runs."""

    T = "T"  # tokens of the step
    R = "R"  # rows whose logits are wanted

    def __repr__(self) -> str:
        return self.value


T, R = Symbol.T, Symbol.R
Dim = int | Symbol
Shape = tuple[Dim, ...]
DTYPES: Mapping[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "i32": np.dtype(np.int32),
    "bool": np.dtype(np.bool_),
}


class Literal:
    """An array held by a `const` node; compared by content."""

    __slots__ = ("array", "digest")

    def __init__(self, array: NDArray[Any]) -> None:
        array = np.array(array, order="C")  # a copy; ascontiguousarray would make rank 0 rank 1
        array.flags.writeable = False
        self.array = array
        kind = f"{array.dtype.str}{array.shape}".encode()
        self.digest = hashlib.sha256(kind + array.tobytes()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"@{self.digest}"


Attr = int | float | bool | str | None | Literal | Symbol | tuple[Any, ...]


class Node:
    """One operation and its result. Build nodes with `make`, never directly."""

    __slots__ = ("__weakref__", "args", "attrs", "dtype", "op", "shape")

    op: str
    args: tuple[Node, ...]
    attrs: Mapping[str, Attr]
    dtype: str
    shape: Shape

    @property
    def rows(self) -> Symbol | None:
        """T or R where the value belongs to rows, None for a constant."""
        first = self.shape[0] if self.shape else None
        return first if isinstance(first, Symbol) else None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row (of the whole value, for a constant)."""
        dims = self.shape[1:] if self.rows else self.shape
        return tuple(d for d in dims if isinstance(d, int))

    @property
    def row_size(self) -> int:
        """Elements in one row (in the whole value, for a constant)."""
        size = 1
        for d in self.row_shape:
            size *= d
        return size

    def integer(self, name: str) -> int:
        """An attribute that is an integer."""
        value = self.attrs[name]
        assert isinstance(value, int), f"{name} of {self!r}"
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        value = self.attrs[name]
        assert isinstance(value, tuple), f"{name} of {self!r}"
        return tuple(int(v) for v in value)

    def number(self, name: str) -> float:
        """An attribute that is a number; none counts as zero."""
        value = self.attrs[name]
        assert value is None or isinstance(value, int | float), f"{name} of {self!r}"
        return float(value or 0.0)

    def __repr__(self) -> str:
        dims = ",".join(map(repr, self.shape))
        return f"<{self.op} : {self.dtype}[{dims}]>"


_interned: WeakValueDictionary[tuple[Any, ...], Node] = WeakValueDictionary()


def _attr_key(value: Attr) -> Any:
    """Tell 1, 1.0 and True apart, which compare equal in Python."""
    if isinstance(value, tuple):
        return tuple(map(_attr_key, value))
    return (type(value).__name__, repr(value) if isinstance(value, float) else value)


def _plain(value: Any) -> Attr:
    """NumPy's scalars as Python's, lists as tuples: one spelling for each value."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    if isinstance(value, np.generic):
        return _plain(value.item())
    plain: Attr = value
    return plain


def make(op: str, *args: Node, **attrs: Attr) -> Node:
    """The one node of that operation, arguments and attributes.

    Raises:
        GraphError: the operation does not exist or does not take these arguments.
    """
    from foreknown.graph.ops import infer

    attrs = {k: _plain(v) for k, v in attrs.items()}
    items = tuple(sorted(attrs.items()))
    key = (op, tuple(map(id, args)), tuple((k, _attr_key(v)) for k, v in items))
    found = _interned.get(key)
    if found is not None:
        return found
    dtype, shape = infer(op, args, attrs)
    node = Node()
    node.op, node.args, node.attrs, node.dtype, node.shape = op, args, dict(items), dtype, shape
    _interned[key] = node
    return node


def const(value: float | int | bool | NDArray[Any], dtype: str | None = None) -> Node:
    """A constant; in text a small one is written out, a larger one by its digest."""
    if dtype is None:
        dtype = _dtype_of(value)
    array = np.asarray(value).astype(DTYPES[dtype])
    return make("const", value=Literal(array))


def _dtype_of(value: Any) -> str:
    kind = np.asarray(value).dtype.kind
    return {"f": "f32", "i": "i32", "u": "i32", "b": "bool"}[kind]


def has_weight(node: Node) -> bool:
    """Whether an expression reads a tensor of the checkpoint."""
    return node.op == "weight" or any(map(has_weight, node.args))


@dataclass(frozen=True)
class Graph:
    """A step: named results over the leaves they reach."""

    name: str
    outputs: Mapping[str, Node]

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node once, arguments before users, in a stable order."""
        return tuple(topological(self.outputs.values()))

    @cached_property
    def users(self) -> Mapping[Node, tuple[Node, ...]]:
        """For each node, the nodes that take it as an argument."""
        found: dict[Node, list[Node]] = {n: [] for n in self.nodes}
        for node in self.nodes:
            for arg in dict.fromkeys(node.args):
                found[arg].append(node)
        return {n: tuple(u) for n, u in found.items()}

    def rewrite(self, replacement: Mapping[Node, Node]) -> Graph:
        """The same graph with nodes exchanged, and everything above them rebuilt."""
        return Graph(self.name, substitute(self.outputs, replacement))


def topological(outputs: Iterable[Node]) -> Iterator[Node]:
    """Nodes reachable from `outputs`, arguments first; deep graphs need no recursion."""
    seen: set[Node] = set()
    for output in outputs:
        stack: list[tuple[Node, bool]] = [(output, False)]
        while stack:
            node, ready = stack.pop()
            if node in seen:
                continue
            if ready:
                seen.add(node)
                yield node
            else:
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(node.args) if a not in seen)


def substitute(outputs: Mapping[str, Node], replacement: Mapping[Node, Node]) -> dict[str, Node]:
    """Outputs with `replacement` applied at every depth; a replacement is itself final."""
    built: dict[Node, Node] = {}
    for node in topological(outputs.values()):
        if node in replacement:
            built[node] = replacement[node]
        elif any(built[a] is not a for a in node.args):
            built[node] = make(node.op, *(built[a] for a in node.args), **dict(node.attrs))
        else:
            built[node] = node
    return {name: built[node] for name, node in outputs.items()}
