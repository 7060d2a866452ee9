"""Hypothesis strategies: graphs that obey every rule, and batches to run them on.

Graphs are grown node by node from a pool of values; an operation that does not take what it is
offered is simply not added, so nothing here repeats the rules of shapes. Arithmetic is kept tame
(no exp of a product of products), so that a rewrite is never judged on overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreknown.errors import GraphError
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.graph.ir import Graph, Node, R, T, const, make

VOCABULARY = 11
CONTEXT = 40
WIDTHS = (2, 3, 4, 6)


def random_weights(graph: Graph, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """An array for each weight of a graph, of modest size, the same for the same name and seed."""
    found = {}
    for node in graph.nodes:
        if node.op == "weight":
            name = str(node.attrs["name"])
            rng = np.random.default_rng([seed, *name.encode()])
            found[name] = rng.normal(size=node.shape).astype(np.float32)
    return found


@st.composite
def graphs(draw: st.DrawFn, steps: int = 14) -> Graph:
    """A graph whose output "logits" is of selected rows."""
    grower = _Grower(draw)
    for _ in range(draw(st.integers(1, steps))):
        grower.grow()
    of_tokens = [n for n in dict.fromkeys(grower.pool) if n.rows is T and n.dtype == "f32"]
    used = [of_tokens[i] for i in draw(st.sets(st.integers(0, len(of_tokens) - 1), min_size=1))]
    flat = [make("reshape", n, shape=(T, n.row_size)) for n in used]
    hidden = make("concat", *flat, axis=1) if len(flat) > 1 else used[0]
    logits = make("select_rows", hidden, make("rows"))
    for _ in range(draw(st.integers(0, 3))):
        size = len(grower.pool)
        grower.pool += [logits] * 3
        grower.grow(last=True)
        new = [n for n in grower.pool[size:] if n.rows is R and n.dtype == "f32"]
        logits = new[-1] if new else logits
        del grower.pool[size:]
    return Graph("random", {"logits": logits})


@st.composite
def batches(draw: st.DrawFn) -> tuple[Batch, ...]:
    """Steps that run two or three sequences to their ends, in chunks drawn at random."""
    lengths = [draw(st.integers(1, CONTEXT - 1)) for _ in range(draw(st.integers(1, 3)))]
    return schedule(lengths, lambda left: draw(st.integers(0, left)))


def schedule(lengths: list[int], chunk: Callable[[int], int], seed: int = 0) -> tuple[Batch, ...]:
    """Steps over sequences of those lengths; `chunk` says how many tokens are next, of those left.

    Blocks are handed out in a scattered order. All rows are selected.
    """
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, VOCABULARY, n).astype(np.int32) for n in lengths]
    per_sequence = -(-CONTEXT // BLOCK_TOKENS)
    tables = rng.permutation(len(lengths) * per_sequence).astype(np.int32)
    tables = tables.reshape(len(lengths), per_sequence)
    done = [0] * len(lengths)
    steps = []
    idle = 0
    while any(d < n for d, n in zip(done, lengths, strict=True)):
        counts = [min(chunk(n - d), n - d) for d, n in zip(done, lengths, strict=True)]
        if idle == 3:
            counts = [n - d for d, n in zip(done, lengths, strict=True)]
        if not any(counts):
            idle += 1
            continue
        spans = [(s, range(done[s], done[s] + c)) for s, c in enumerate(counts) if c]
        positions = np.array([p for _, span in spans for p in span], np.int32)
        sequence = np.array([s for s, span in spans for _ in span], np.int32)
        tokens = np.array([texts[s][p] for s, span in spans for p in span], np.int32)
        rows = np.arange(len(tokens), dtype=np.int32)
        steps.append(Batch(tokens, positions, sequence, tables, rows))
        done = [d + c for d, c in zip(done, counts, strict=True)]
    return tuple(steps)


class _Grower:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        embed = make("weight", name="embed", shape=(VOCABULARY, 4), stored="f32")
        self.pool: list[Node] = [
            make("tokens"),
            make("positions"),
            make("cast", make("positions"), dtype="f32"),
            make("take", embed, make("tokens")),
            const(0.5),
            const(0.0),
            const(1.0),
            const(np.linspace(-1, 1, 4)),
        ]
        self.weights = 0

    def pick(self, *keep: Callable[[Node], bool]) -> Node:
        """A value of the pool, later ones first; all of `keep` hold of it."""
        pool = [n for n in reversed(self.pool) if all(k(n) for k in keep)]
        if not pool:
            raise GraphError("nothing of that kind yet")
        return self.draw(st.sampled_from(pool))

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def weight(self, *shape: int) -> Node:
        self.weights += 1
        stored = self.one_of("f32", "bf16")
        return make("weight", name=f"w{self.weights}", shape=shape, stored=stored)

    def grow(self, last: bool = False) -> None:
        ways = [self.unary, self.binary, self.compare, self.view, self.reduce, self.order]
        ways += [self.lookup, self.linear, self.matmul, self.experts]
        if not last:
            ways += [self.attend, self.shift, self.scan]
        try:
            node = self.draw(st.sampled_from(ways))()
        except GraphError:
            return
        if node.row_size <= 256 and len(node.shape) <= 5:
            self.pool.append(node)

    def rank(self, x: Node) -> int:
        return len(x.shape)

    def axis(self, x: Node) -> int:
        first = 1 if x.rows else 0
        if len(x.shape) <= first:
            raise GraphError("no axis inside a row")
        return self.integer(first, len(x.shape) - 1)

    def unary(self) -> Node:
        x = self.pick(_is_f32)
        op = self.one_of("neg", "abs", "tanh", "sigmoid", "erf", "sin", "cos", "floor", "round")
        return make(str(op), x)

    def binary(self) -> Node:
        op = self.one_of("add", "sub", "mul", "max", "min")
        if self.one_of(True, False):
            return make(op, self.pick(_is_f32), self.pick(_is_f32))
        return make(op, self.pick(_is_f32), const(float(self.integer(-1, 2))))

    def compare(self) -> Node:
        a, b = self.pick(_is_f32), self.pick(_is_f32)
        kind = self.one_of("where", "cast", "bool", "div", "i32")
        if kind == "i32":
            i = self.pick(_is_i32)
            return make("mod", i, const(self.integer(1, 5)))
        if kind == "div":
            return make("div", a, make("add", const(1.0), make("abs", b)))
        if kind == "cast":
            return make("cast", make("cast", a, dtype="i32"), dtype="f32")
        condition = make(self.one_of("lt", "ge", "ne"), a, b)
        if kind == "bool":
            return make("cast", make("not", condition), dtype="f32")
        return make("where", condition, a, self.pick(_is_f32))

    def view(self) -> Node:
        x = self.pick()
        kind = self.one_of("merge", "split", "unit", "permute", "slice", "concat", "broadcast")
        first = (x.rows,) if x.rows else ()
        if kind == "merge":
            return make("reshape", x, shape=(*first, x.row_size))
        if kind == "split":
            half = x.row_size // 2
            return make("reshape", x, shape=(*first, 2, half))
        if kind == "unit":
            at = self.integer(len(first), len(x.shape))
            return make("reshape", x, shape=(*x.shape[:at], 1, *x.shape[at:]))
        if kind == "permute":
            inner = list(range(len(first), len(x.shape)))
            axes = self.draw(st.permutations(inner))
            return make("permute", x, axes=(*range(len(first)), *axes))
        axis = self.axis(x)
        size = x.shape[axis]
        assert isinstance(size, int)
        if kind == "slice":
            start = self.integer(0, size - 1)
            stop, step = self.integer(start + 1, size), self.integer(1, 2)
            return make("slice", x, axis=axis, start=start, stop=stop, step=step)
        if kind == "concat":
            return make("concat", x, self.pick(lambda n: n.shape == x.shape), axis=axis)
        wide = tuple(3 if d == 1 else d for d in x.shape)
        return make("broadcast", x, shape=wide if x.rows else (T, *wide))

    def reduce(self) -> Node:
        x = self.pick(_is_f32)
        axis = self.axis(x)
        kind = self.one_of("sum", "amax", "amin", "argmax", "cumsum")
        if kind in {"argmax", "cumsum"}:
            return make(kind, x, axis=axis)
        return make(kind, x, axes=(axis,))

    def order(self) -> Node:
        x = self.pick(_is_f32, lambda n: len(n.row_shape) >= 1)
        k = self.integer(1, x.row_shape[-1])
        kind = self.one_of("topk_values", "topk_indices")
        return make(kind, x, k=k, largest=self.one_of(True, False))

    def lookup(self) -> Node:
        kind = self.one_of("take", "gather", "scatter", "take_position")
        if kind == "take":
            return make("take", self.weight(VOCABULARY, 3), make("tokens"))
        if kind == "take_position":
            return make("take", self.weight(CONTEXT, 4), make("positions"))
        x = self.pick(_is_f32, lambda n: n.rows is not None)
        axis = self.axis(x)
        if axis != len(x.shape) - 1:
            raise GraphError("topk gives indices along the last axis")
        index = make("topk_indices", x, k=self.integer(1, x.row_shape[-1]), largest=True)
        if kind == "gather":
            return make("gather", x, index, axis=axis)
        return make("scatter", x, index, make("gather", x, index, axis=axis), axis=axis)

    def linear(self) -> Node:
        x = self.pick(_is_f32, lambda n: n.rows is not None and len(n.row_shape) >= 1)
        k = x.row_shape[-1]
        n = self.one_of(*WIDTHS)
        if len(x.row_shape) >= 2 and self.one_of(True, False):
            return make("linear", x, self.weight(x.row_shape[-2], n, k))
        return make("linear", x, self.weight(n, k))

    def matmul(self) -> Node:
        x = self.pick(_is_f32, lambda n: len(n.row_shape) >= 2)
        last = len(x.shape) - 1
        axes = (*range(last - 1), last, last - 1)
        return make("matmul", x, make("permute", x, axes=axes))

    def experts(self) -> Node:
        x = self.pick(_is_f32, lambda n: n.rows is not None and len(n.row_shape) == 1)
        index = make("topk_indices", x, k=self.integer(1, min(2, x.row_shape[0])), largest=True)
        return make("experts", x, self.weight(3, 4, x.row_shape[0]), index)

    def attend(self) -> Node:
        x = self.pick(_is_f32, lambda n: n.rows is T)
        x = make("reshape", x, shape=(T, x.row_size))
        q = make("reshape", make("linear", x, self.weight(4, x.row_size)), shape=(T, 2, 2))
        k = make("reshape", make("linear", x, self.weight(2, x.row_size)), shape=(T, 1, 2))
        extra = []
        sinks, bias = self.one_of(True, False), self.one_of(True, False)
        if sinks:
            extra.append(self.weight(2))
        if bias:
            extra.append(self.weight(2, 5))
        return make(
            "attend",
            q,
            k,
            make("neg", k),
            *extra,
            scale=0.5,
            window=self.one_of(None, 1, 4),
            chunk=self.one_of(None, 3),
            softcap=self.one_of(None, 2.0),
            sinks=sinks,
            bias=bias,
        )

    def shift(self) -> Node:
        return make("shift", self.pick(lambda n: n.rows is T), n=self.integer(1, 3))

    def scan(self) -> Node:
        x = self.pick(_is_f32, lambda n: n.rows is T)
        decay = const(0.5) if self.one_of(True, False) else make("sigmoid", x)
        if len(x.row_shape) < 2 or self.one_of(True, False):
            return make("scan", decay, x)
        widest = make("amax", x, axes=(len(x.shape) - 1,))
        vector = make("tanh", make("reshape", widest, shape=x.shape[:-1]))
        return make("scan", decay, x, vector, make("mul", vector, const(0.125)))


def _is_f32(node: Node) -> bool:
    return node.dtype == "f32"


def _is_i32(node: Node) -> bool:
    return node.dtype == "i32"
