"""Graphs that ask an executor for the meaning of every operation, many of them in one program.

A group is a function that returns named results; each result becomes an output of one graph, so
a group costs one compile. Inputs are rows of constant tables, chosen by the step's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from foreknown.graph import ops
from foreknown.graph.ir import Graph, Node, T, const, make

VOCABULARY = 29
Group = Callable[[], dict[str, Node]]
GROUPS: dict[str, Group] = {}

SPECIAL = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 1.5, 2.5, -2.5, 3.0, 1e-3, 10.0, 100.0),
    *(1e-40, -1e-40, 1.17549435e-38, 3e38, -3e38, math.inf, -math.inf, math.nan),
)
INTEGERS = (0, 1, -1, 2, 3, -3, 7, -7, 16, 100, 2**24 + 1, -(2**24) - 3, 2**31 - 1, -(2**31))


def group(function: Group) -> Group:
    GROUPS[function.__name__] = function
    return function


def graph_of(name: str) -> Graph:
    """The graph of a group; its logits are one of its f32 results of tokens."""
    outputs = dict(GROUPS[name]())
    logits = x(3, seed=999)
    return Graph(name, {**outputs, "logits": make("select_rows", logits, make("rows"))})


def table(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Node:
    rng = np.random.default_rng([seed, *shape])
    return const(rng.uniform(low, high, shape).astype(np.float32))


def x(*shape: int, seed: int = 0, low: float = -2.0, high: float = 2.0) -> Node:
    """f32[T, *shape], even in the interval."""
    values = table(VOCABULARY, *shape, seed=seed, low=low, high=high)
    return make("take", values, make("tokens"))


def special(n: int, seed: int) -> Node:
    """f32[T, n], half of it zeros, denormals, infinities and their like."""
    rng = np.random.default_rng(seed)
    shape = (VOCABULARY, n)
    tame = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 2, shape)
    values = np.where(rng.random(shape) < 0.5, rng.choice(SPECIAL, shape), tame)
    return make("take", const(values.astype(np.float32)), make("tokens"))


def integers(*shape: int, seed: int = 0, low: int | None = None, high: int = 0) -> Node:
    """i32[T, *shape], from INTEGERS or even in [low, high)."""
    rng = np.random.default_rng([seed, *shape])
    whole = (VOCABULARY, *shape)
    values = rng.choice(INTEGERS, whole) if low is None else rng.integers(low, high, whole)
    return make("take", const(values.astype(np.int32)), make("tokens"))


def booleans(*shape: int, seed: int = 0) -> Node:
    rng = np.random.default_rng([seed, *shape])
    return make("take", const(rng.random((VOCABULARY, *shape)) < 0.5), make("tokens"))


def weight(name: str, *shape: int, stored: str = "f32") -> Node:
    return make("weight", name=name, shape=shape, stored=stored)


def f32(x: Node) -> Node:
    return make("cast", x, dtype="f32")


def attend(*args: Node, **attrs: Any) -> Node:
    every = {"window": None, "chunk": None, "softcap": None, "sinks": False, "bias": False}
    return make("attend", *args, **{**every, "scale": 0.3, **attrs})


# Elementwise


@group
def unary_f32() -> dict[str, Node]:
    a = special(64, 1)
    found = {op: make(op, a) for op in sorted(ops.FLOAT_UNARY | {"neg", "abs", "sign"})}
    small = make("where", make("lt", make("abs", a), const(3e38)), a, const(math.nan))
    found |= {op: make(op, small) for op in ("sin", "cos")}  # undefined beyond 1e5
    near = x(50, seed=2, low=-1e-2, high=1e-2)
    wide = x(50, seed=3, low=-90.0, high=90.0)
    for op in sorted(ops.FLOAT_UNARY):
        found[f"{op} near zero"] = make(op, near)
        found[f"{op} wide"] = make(op, wide)
    return found


@group
def binary_f32() -> dict[str, Node]:
    a, b = special(96, 3), special(96, 4)
    found = {op: make(op, a, b) for op in sorted((ops.ARITHMETIC - {"mod"}) | ops.COMPARISON)}
    c, d = x(33, seed=5, low=-50.0, high=50.0), x(33, seed=6, low=0.3, high=9.0)
    found["mod"] = make("mod", c, d)
    found["mod of a negative divisor"] = make("mod", c, make("neg", d))
    found["mod of infinity"] = make("mod", c, const(math.inf))
    found["mod whole"] = make("mod", make("round", c), make("ceil", d))
    for power in (2.0, 0.5, 3.0, -1.0, 0.0):
        found[f"pow {power}"] = make("pow", a, const(power))
    found["pow -0.5"] = make("pow", make("abs", a), const(-0.5))
    found["pow of a positive base"] = make("pow", d, x(33, seed=7, low=-8.0, high=8.0))
    nested = a
    for _ in range(12):  # written out at each use this would be 4096 terms
        nested = make("pow", nested, const(2.0))
    found["pow of pow"] = nested
    return found


@group
def elementwise_i32() -> dict[str, Node]:
    a, b = integers(80, seed=1), integers(80, seed=2)
    names = sorted((ops.ARITHMETIC - {"pow"}) | ops.COMPARISON)
    found = {op: make(op, a, b) for op in names}
    found |= {op: make(op, a) for op in ("neg", "abs", "sign")}
    found["pow"] = make("pow", integers(40, seed=3), integers(40, seed=4, low=0, high=6))
    found["max of sums"] = make("max", make("add", a, b), make("sub", a, b))
    found["position"] = make("add", make("mul", make("positions"), const(3)), make("tokens"))
    return found


@group
def elementwise_bool() -> dict[str, Node]:
    a, b = booleans(21, seed=1), booleans(21, seed=2)
    found = {op: make(op, a, b) for op in ("and", "or", "eq", "ne", "lt", "le", "gt", "ge")}
    return found | {"not": make("not", a)}


@group
def casts() -> dict[str, Node]:
    values = np.array([0.0, -0.0, 0.99, -0.99, 1.5, -1.5, 2e9, -2e9, 2**31 - 128, -(2**31)])
    a = make("take", const(np.resize(values, (VOCABULARY, 10)).astype(np.float32)), make("tokens"))
    found = {}
    for name, value in {"f32": a, "i32": integers(18), "bool": booleans(18)}.items():
        for to in ("f32", "i32", "bool"):
            found[f"{name} to {to}"] = make("cast", value, dtype=to)
    found["nan to bool"] = make("cast", special(30, 8), dtype="bool")
    return found


@group
def choices() -> dict[str, Node]:
    c, a, b = booleans(5, 1, seed=1), x(5, 7, seed=2), x(1, 7, seed=3)
    found = {"broadcast": make("where", c, a, b)}
    found["constant condition"] = make("where", const(np.arange(7) % 2 == 0), a, b)
    mask = make("lt", a, const(0.0))
    found["constants chosen"] = make("where", mask, const(-math.inf), const(1.0))
    found["nan not chosen"] = make("where", mask, make("abs", a), make("sqrt", a))
    found["integers"] = make("where", mask, const(3), integers(5, 7, seed=4))
    found["booleans"] = make("where", mask, const(True), booleans(5, 7, seed=5))
    return found


@group
def broadcasting() -> dict[str, Node]:
    a, b = x(3, 1, 5, seed=1), x(1, 4, 1, seed=2)
    return {
        "rows with rows": make("add", a, b),
        "constant vector": make("mul", a, table(5, seed=3)),
        "constant matrix": make("sub", b, table(4, 6, seed=4)),
        "constant with a row axis": make("add", a, table(1, 3, 4, 5, seed=5)),
        "constant of rank 0": make("mul", const(np.float32(0.1)), a),
        "constant of one element": make("mul", const(np.full((1, 1), 0.1, np.float32)), a),
        "positions": make("mul", make("reshape", f32(make("positions")), shape=(T, 1)), x(6)),
        "broadcast of rows": make("broadcast", b, shape=(T, 2, 4, 3)),
        "broadcast of a constant": make("broadcast", table(4, 1), shape=(T, 3, 4, 2)),
        "broadcast of tokens": make("broadcast", make("tokens"), shape=(T,)),
    } | {"broadcast of broadcast": make("exp", make("broadcast", a, shape=(T, 3, 2, 5)))}


# Views


def _permuted(a: Node, *axes: int) -> Node:
    return make("permute", a, axes=(0, *(i + 1 for i in axes)))


def _slice(a: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    return make("slice", a, axis=axis, start=start, stop=stop, step=step)


@group
def views() -> dict[str, Node]:
    a = x(6, 10, 7, seed=1)
    swapped = _permuted(a, 2, 0, 1)
    wide = make("broadcast", x(1, 5, seed=2), shape=(T, 3, 5))
    joined = make("concat", wide, x(3, 4, seed=3), wide, axis=2)
    deep = make("reshape", a, shape=(T, 2, 3, 5, 2, 7))
    found = {
        "permute": swapped,
        "merge after permute": make("reshape", swapped, shape=(T, 42, 10)),
        "flatten after permute": make("reshape", swapped, shape=(T, 420)),
        "split after permute": make("reshape", swapped, shape=(T, 7, 2, 3, 5, 2)),
        "other split after permute": make("reshape", swapped, shape=(T, 4, 15, 7)),
        "permute of rank 5": _permuted(deep, 4, 2, 0, 3, 1),
        "flatten of rank 5": make("reshape", _permuted(deep, 4, 2, 0, 3, 1), shape=(T, 420)),
        "strided slice": _slice(a, 2, 1, 10, 3),
        "strided slice after permute": _slice(_slice(swapped, 1, 0, 7, 2), 3, 3, 10, 4),
        "slice of concat of broadcast": _slice(joined, 2, 3, 12),
        "strided slice of concat": _slice(joined, 2, 1, 14, 5),
        "concat along the first axis": make("concat", x(2, 3, seed=4), x(5, 3, seed=5), axis=1),
        "concat of one": make("concat", a, axis=1),
        "concat of permuted": make("concat", swapped, make("exp", swapped), axis=1),
        "slice of one": make("reshape", _slice(a, 1, 4, 5), shape=(T, 70)),
        "unit axes": make("reshape", a, shape=(T, 1, 6, 1, 70, 1)),
        "reshape of reshape": make("reshape", make("reshape", a, shape=(T, 60, 7)), shape=(T, 420)),
        "rank 1": make("reshape", x(1, 1, seed=6), shape=(T,)),
        "tokens as a column": f32(make("reshape", make("tokens"), shape=(T, 1))),
        "integers": make("reshape", _permuted(integers(3, 5), 1, 0), shape=(T, 15)),
        "booleans": make("concat", booleans(3, seed=1), booleans(4, seed=2), axis=1),
    }
    # the same, read by elements in nested loops: divisions of sums of loop variables
    turned = make("reshape", swapped, shape=(T, 4, 15, 7))
    found["awkward broadcast"] = make("mul", turned, table(15, 1, seed=8))
    found["awkward product"] = make("mul", turned, x(4, 1, 7, seed=9))
    found["awkward sum"] = make("sum", turned, axes=(2,))
    found["awkward slice"] = _slice(make("exp", turned), 2, 1, 15, 4)
    found["awkward permute"] = _permuted(turned, 2, 0, 1)
    found["awkward concat"] = make("concat", turned, _slice(turned, 2, 3, 8), axis=2)
    found["awkward matmul"] = make("matmul", turned, table(7, 5, seed=10))
    again = make("reshape", _permuted(turned, 1, 2, 0), shape=(T, 12, 35))
    found["awkward twice"] = make("add", again, table(12, 1, seed=11))
    rolled = make("concat", _slice(a, 2, 3, 10), _slice(a, 2, 0, 3), axis=2)
    found["roll"] = make("add", rolled, a)
    found["window sums"] = make("add", _slice(a, 2, 0, 8), _slice(a, 2, 2, 10))
    return found


# Reductions and ordering


@group
def reductions() -> dict[str, Node]:
    found = {}
    for n in (1, 3, 16, 17, 100):
        a = x(n, seed=n, low=-1.5, high=1.5)
        for op in ("sum", "prod", "amax", "amin"):
            found[f"{op} of {n}"] = make(op, a, axes=(1,))
    b = x(5, 18, 3, seed=2, low=-1.5, high=1.5)
    for op in ("sum", "amax", "amin", "prod"):
        for axes in ((1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3), (3, 1)):
            found[f"{op} over {axes}"] = make(op, b, axes=axes)
    whole = integers(4, 17, seed=5, low=-9, high=9)
    large = integers(4, 17, seed=6)
    for op in ("amax", "amin", "sum"):
        for axes in ((1,), (2,), (1, 2)):
            found[f"{op} of integers over {axes}"] = make(op, whole, axes=axes)
            found[f"{op} of large integers over {axes}"] = make(op, large, axes=axes)
    least = make("add", make("mul", whole, const(0)), const(-(2**31)))
    found["amax of the least integer"] = make("amax", least, axes=(2,))
    flags = booleans(3, 4, seed=3)
    for op in ("amax", "amin"):
        found[f"{op} of booleans"] = make(op, flags, axes=(2,))
    never = make("and", flags, make("not", flags))
    found["amax of false"] = make("amax", never, axes=(1, 2))
    odd = special(40, 7)
    found["amax with nan"] = make("amax", odd, axes=(1,))
    found["amin with nan"] = make("amin", odd, axes=(1,))
    found["sum of a permuted square"] = make(
        "sum", _permuted(make("mul", b, b), 2, 0, 1), axes=(3,)
    )
    found["norm"] = make(
        "mul", b, make("rsqrt", make("add", make("sum", make("mul", b, b), axes=(3,)), const(1e-5)))
    )
    return found


@group
def running_sums() -> dict[str, Node]:
    a = x(4, 17, 3, seed=1)
    found = {f"cumsum along {axis}": make("cumsum", a, axis=axis) for axis in (1, 2, 3)}
    found["integers"] = make("cumsum", integers(9, seed=2, low=-5, high=5), axis=1)
    found["of one"] = make("cumsum", x(1, seed=3), axis=1)
    found["of a difference"] = make("cumsum", make("sub", a, make("exp", a)), axis=2)
    found["decay"] = make("exp", make("cumsum", make("neg", make("abs", a)), axis=2))
    return found


def _tied(*shape: int, seed: int) -> Node:
    return f32(integers(*shape, seed=seed, low=-2, high=3))


@group
def ordering() -> dict[str, Node]:
    found = {}
    for n, k in ((1, 1), (5, 2), (17, 17), (40, 8)):
        for name, a in (("", x(2, n, seed=n)), (" of ties", _tied(2, n, seed=n))):
            for largest in (True, False):
                for op in ("topk_values", "topk_indices"):
                    found[f"{op} {k} of {n}{name} {largest}"] = make(op, a, k=k, largest=largest)
    for axis in (1, 2, 3):
        found[f"argmax along {axis}"] = make("argmax", _tied(4, 6, 5, seed=3), axis=axis)
    found["argmax of integers"] = make("argmax", integers(30, seed=4), axis=1)
    found["argmax of nan"] = make("argmax", special(30, 9), axis=1)
    found["argmax of computed"] = make("argmax", make("tanh", x(9, seed=5)), axis=1)
    shared = make("mul", x(24, seed=6), const(3.0))
    best = make("topk_indices", shared, k=4, largest=True)
    found["gather of topk"] = make("gather", make("sigmoid", shared), best, axis=1)
    scores = make("gather", shared, best, axis=1)
    top = make("exp", make("sub", scores, make("amax", scores, axes=(1,))))
    found["renormalised"] = make("div", top, make("sum", top, axes=(1,)))
    grouped = make("reshape", shared, shape=(T, 4, 6))
    two = make("topk_values", grouped, k=2, largest=True)
    chosen = make(
        "topk_indices",
        make("reshape", make("sum", two, axes=(2,)), shape=(T, 4)),
        k=2,
        largest=True,
    )
    zeros = make("mul", make("reshape", make("sum", two, axes=(2,)), shape=(T, 4)), const(0.0))
    ones = make("add", make("gather", zeros, chosen, axis=1), const(1.0))
    mask = make("scatter", zeros, chosen, ones, axis=1)
    found["groups limited"] = make("mul", grouped, make("reshape", mask, shape=(T, 4, 1)))
    return found


# Lookups


@group
def lookups() -> dict[str, Node]:
    tokens, positions = make("tokens"), make("positions")
    bf16 = weight("table.bf16", 40, 5, stored="bf16")
    index = make("mod", make("add", make("mul", tokens, const(7)), positions), const(40))
    matrix = weight("table.tied", 40, 7, stored="bf16")
    found = {
        "take bf16": make("take", bf16, tokens),
        "take at a computed index": make("take", bf16, index),
        "take with two axes of indices": make("take", bf16, integers(3, 2, low=0, high=40)),
        "take by position": make("take", table(128, 3), positions),
        "take from a vector": make("take", table(VOCABULARY), tokens),
        "take integers": make("take", const(np.arange(200).reshape(50, 4) * 100001 % 997), tokens),
        "take booleans": make("take", const(np.arange(87).reshape(29, 3) % 2 == 0), tokens),
        "take three axes": make("take", table(VOCABULARY, 2, 3, 4), tokens),
        "take from one row": make("take", table(1, 6), make("mul", tokens, const(0))),
        "take f16": make("take", weight("table.f16", 30, 4, stored="f16"), tokens),
        "take tied": make("take", matrix, index),
        "linear tied": make("linear", x(7, seed=1), matrix),
        "tied matrix times rows": make("mul", x(40, 7, seed=2), matrix),
        "take of an expression": make("take", make("mul", bf16, const(2.0)), tokens),
    }
    a = x(3, 11, 4, seed=3)
    for axis, shape in ((1, (5, 11, 4)), (2, (3, 6, 4)), (3, (3, 11, 9))):
        which = integers(*shape, seed=axis, low=0, high=(3, 11, 4)[axis - 1])
        found[f"gather along {axis}"] = make("gather", a, which, axis=axis)
        found[f"gather computed along {axis}"] = make("gather", make("exp", a), which, axis=axis)
        source = make("tanh", x(*shape, seed=10 + axis))
        found[f"scatter along {axis}"] = make("scatter", a, which, source, axis=axis)
    fixed = make("take", const(np.arange(VOCABULARY * 4).reshape(-1, 4) % 6), tokens)
    found["gather from a constant"] = make("gather", table(6, 4), fixed, axis=0)
    found["scatter integers"] = make(
        "scatter",
        integers(9, seed=7),
        integers(5, seed=8, low=0, high=9),
        integers(5, seed=9),
        axis=1,
    )
    return found


# Products


@group
def linears() -> dict[str, Node]:
    found = {}
    for n, k in ((1, 1), (5, 3), (17, 1), (33, 100), (140, 20)):
        for stored in ("f32", "bf16"):
            w = weight(f"w.{n}.{k}.{stored}", n, k, stored=stored)
            found[f"{n} x {k} {stored}"] = make("linear", x(k, seed=k), w)
    found["leading axes"] = make("linear", x(3, 2, 7, seed=1), weight("w.lead", 5, 7))
    found["groups"] = make("linear", x(3, 6, seed=2), weight("w.groups", 3, 19, 6, stored="bf16"))
    found["groups of two axes"] = make("linear", x(2, 3, 6, seed=3), weight("w.2.3", 2, 3, 5, 6))
    found["leading axes and groups"] = make("linear", x(4, 3, 6, seed=4), weight("w.lg", 3, 18, 6))
    found["one group"] = make("linear", x(2, 1, 6, seed=4), weight("w.one", 1, 5, 6))
    found["f16"] = make("linear", x(9, seed=5), weight("w.f16", 9, 9, stored="f16"))
    joined = make(
        "concat", weight("w.a", 5, 9, stored="bf16"), weight("w.b", 20, 9, stored="bf16"), axis=0
    )
    found["joined"] = make("linear", x(9, seed=5), joined)
    turned = make("permute", weight("w.turned", 9, 30, stored="bf16"), axes=(1, 0))
    found["turned"] = make("linear", x(9, seed=5), turned)
    found["scaled"] = make(
        "linear", x(9, seed=5), make("mul", weight("w.scaled", 8, 9), const(0.5))
    )
    found["of a constant matrix"] = make("linear", x(9, seed=5), table(6, 9))
    found["of a constant number"] = make("linear", x(1, seed=5), const(np.full((1, 1), 2.5)))
    hidden = make("tanh", found["33 x 100 f32"])
    found["chained"] = make("linear", hidden, weight("w.chained", 4, 33))
    found["of a view"] = make("linear", _permuted(x(4, 6, seed=6), 1, 0), weight("w.view", 3, 4))
    found["of a slice"] = make("linear", _slice(hidden, 1, 1, 33, 4), weight("w.slice", 3, 8))
    return found


def quantise(a: Node, size: int) -> Node:
    return make("quantise", a, group=size)


def lowbit(w: Node, bits: int, size: int) -> Node:
    return make("lowbit", w, bits=bits, group=size)


@group
def low_bits() -> dict[str, Node]:
    found = {}
    for bits, size in ((4, 32), (4, 64), (8, 32), (8, 64)):
        for n, k in ((1, 1), (31, 3), (32, 2), (33, 5), (70, 1), (200, 4)):
            w = weight(f"l.{bits}.{size}.{n}.{k}", n, k * size, stored="bf16" if n > 32 else "f32")
            a = quantise(x(k * size, seed=k), size)
            found[f"{n} x {k * size} in {bits} bits, groups of {size}"] = make(
                "linear", a, lowbit(w, bits, size)
            )
    table = lowbit(weight("l.table", VOCABULARY, 96), 4, 32)
    eight = lowbit(weight("l.table8", VOCABULARY, 96), 8, 32)
    row = quantise(x(96, seed=7), 32)
    found["take"] = make("take", table, make("tokens"))
    found["take of 8 bits"] = make("take", eight, make("tokens"))
    found["tied"] = make("linear", row, table)
    found["codes as values"] = make("mul", row, const(2.0))
    found["codes of a view"] = make("neg", quantise(_permuted(x(4, 32, seed=8), 1, 0), 4))
    found["codes of a product"] = make(
        "neg", quantise(found["200 x 128 in 4 bits, groups of 32"], 8)
    )
    found["leading axes"] = make(
        "linear", quantise(x(3, 64, seed=9), 32), lowbit(weight("l.lead", 40, 64), 4, 32)
    )
    experts = lowbit(weight("l.experts", 5, 40, 64), 4, 64)
    index = integers(3, seed=10, low=-1, high=6)
    found["experts"] = make("experts", quantise(x(64, seed=11), 64), experts, index)
    own = quantise(x(3, 64, seed=12), 64)
    found["experts with own x"] = make("experts", own, experts, index)
    tame = make("min", make("max", special(64, seed=13), const(-50.0)), const(50.0))
    uneven = quantise(tame, 32)  # zeros, denormals, NaN
    found["special rows"] = make("linear", uneven, lowbit(weight("l.special", 20, 64), 4, 32))
    found["in bf16"] = make("bf16", special(50, seed=14))
    return found


@group
def matmuls() -> dict[str, Node]:
    a, b = x(2, 3, 5, seed=1), x(2, 5, 4, seed=2)
    return {
        "rows with rows": make("matmul", a, b),
        "broadcast": make("matmul", x(1, 3, 5, seed=3), b),
        "constant right": make("matmul", a, table(5, 18, seed=4)),
        "constant batch": make("matmul", a, table(2, 5, 3, seed=5)),
        "constant left": make("matmul", table(7, 2, seed=6), make("reshape", a, shape=(T, 2, 15))),
        "constant with a row axis": make("matmul", a, table(1, 2, 5, 3, seed=7)),
        "weight": make("matmul", a, weight("m.right", 5, 6, stored="bf16")),
        "inner of one": make("matmul", x(3, 1, seed=8), x(1, 3, seed=9)),
        "outer of one": make("matmul", x(1, 20, seed=8), x(20, 1, seed=9)),
        "transposed": make("matmul", a, _permuted(a, 0, 2, 1)),
        "computed": make("matmul", make("exp", a), make("tanh", b)),
        "matmul of matmul": make("matmul", make("matmul", a, b), _permuted(b, 0, 2, 1)),
    }


@group
def expert_choices() -> dict[str, Node]:
    w = weight("e.f32", 6, 18, 5)
    half = weight("e.bf16", 6, 7, 5, stored="bf16")
    index = integers(3, seed=1, low=0, high=6)
    outside = integers(3, seed=2, low=-2, high=9)
    tied = weight("e.tied", 4, 3, 2)
    return {
        "shared x": make("experts", x(5, seed=3), w, index),
        "own x": make("experts", x(3, 5, seed=4), w, index),
        "bf16": make("experts", x(3, 5, seed=4), half, index),
        "outside": make("experts", x(5, seed=3), w, outside),
        "outside with own x": make("experts", x(3, 5, seed=4), half, outside),
        "one": make("experts", x(1, 5, seed=4), half, integers(1, seed=5, low=0, high=6)),
        "chosen by token": make(
            "experts",
            x(5, seed=3),
            weight("e.token", VOCABULARY, 4, 5),
            make("reshape", make("tokens"), shape=(T, 1)),
        ),
        "also read": make("mul", x(4, 3, 2, seed=6), tied),
        "tied": make("experts", x(2, seed=7), tied, integers(2, seed=8, low=0, high=4)),
        "second layer": make(
            "experts", make("experts", x(5, seed=3), w, index), weight("e.down", 6, 5, 18), index
        ),
    }


# The past


def _in_bf16(a: Node) -> Node:
    return make("bf16", a)


def _in_codes(a: Node) -> Node:
    return quantise(a, a.row_shape[-1])


def _qkv(heads: int, groups: int, width: int, value_width: int, seed: int) -> tuple[Node, ...]:
    q, k = x(heads, width, seed=seed), x(groups, width, seed=seed + 1)
    return q, k, x(groups, value_width, seed=seed + 2)


@group
def attention() -> dict[str, Node]:
    plain = _qkv(4, 4, 16, 16, 1)
    shared = _qkv(6, 2, 12, 20, 5)
    odd = _qkv(3, 1, 1, 5, 9)
    sinks, bias = weight("a.sinks", 6, stored="bf16"), weight("a.bias", 6, 11, stored="bf16")
    found = {
        "plain": attend(*plain),
        "groups": attend(*shared),
        "odd": attend(*odd, scale=1.0),
        "wide": attend(*_qkv(2, 1, 70, 33, 13), scale=0.1),
        "sinks": attend(*shared, weight("a.sinks.f32", 6), sinks=True),
        "sinks in bf16": attend(*shared, sinks, sinks=True),
        "soft cap": attend(*shared, softcap=1.5),
        "bias": attend(*shared, weight("a.bias.f32", 6, 4), bias=True),
        "bias in bf16": attend(*shared, bias, bias=True),
        "sinks and bias": attend(*shared, sinks, bias, sinks=True, bias=True),
        "negative scale": attend(*shared, scale=-0.2),
        "other queries": attend(x(6, 12, seed=17), *shared[1:]),  # the same keys and values
        "keys as values": attend(shared[0], shared[1], shared[1]),
        "one head with a constant sink": attend(*_qkv(1, 1, 3, 4, 20), table(1), sinks=True),
    }
    doubled = make("mul", found["plain"], const(2.0))
    found["attend of attend"] = attend(doubled, make("tanh", doubled), plain[2])
    turned = _permuted(make("reshape", x(60, seed=30), shape=(T, 10, 6)), 1, 0)
    found["of views"] = attend(turned, make("exp", turned), turned, scale=0.02)
    return found


@group
def attention_to_a_part() -> dict[str, Node]:
    shared = _qkv(6, 2, 12, 20, 5)
    sinks, bias = weight("a.sinks", 6, stored="bf16"), weight("a.bias", 6, 11, stored="bf16")
    found = {}
    for n in (1, 2, 15, 16, 17, 40):
        found[f"window {n}"] = attend(*shared, window=n)
        found[f"chunk {n}"] = attend(*shared, chunk=n)
    found["window and chunk"] = attend(*shared, window=9, chunk=24)
    found["everything"] = attend(
        *shared, sinks, bias, window=20, softcap=3.0, sinks=True, bias=True
    )
    return found


def _attention_in(kept: str, form: Callable[[Node], Node]) -> dict[str, Node]:
    found = {}
    for heads, groups in ((4, 4), (6, 2), (8, 1), (12, 1), (9, 1), (2, 2)):
        q, k, v = (form(a) for a in _qkv(heads, groups, 32, 64, 40 + heads))
        q = q if kept == "int8" else q.args[0]
        found[f"{kept}, {heads} heads, {groups} groups"] = attend(q, k, v)
        found[f"{kept}, {heads} heads, {groups} groups, window"] = attend(q, k, v, window=20)
    return found


@group
def attention_in_bf16() -> dict[str, Node]:
    return _attention_in("bf16", _in_bf16)


@group
def attention_in_codes() -> dict[str, Node]:
    return _attention_in("int8", _in_codes)


@group
def shifts() -> dict[str, Node]:
    a = x(3, 5, seed=1)
    found = {f"by {n}": make("shift", a, n=n) for n in (1, 2, 3, 16, 17, 40)}
    found["computed"] = make("shift", make("exp", a), n=1)
    found["of shift"] = make("shift", make("mul", make("shift", a, n=1), const(2.0)), n=2)
    found["tokens"] = make("shift", make("tokens"), n=1)
    found["integers"] = make("shift", integers(4, seed=2), n=2)
    found["booleans"] = make("shift", booleans(4, seed=3), n=2)
    found["view"] = make("shift", make("reshape", _permuted(a, 1, 0), shape=(T, 15)), n=1)
    found["reshaped"] = make("shift", make("reshape", a, shape=(T, 15)), n=1)
    found["linear"] = make("shift", make("linear", x(4, seed=4), weight("s.w", 6, 4)), n=1)
    taps = [make("mul", make("shift", a, n=n), const(0.5**n)) for n in (1, 2, 3)]
    found["convolution"] = make("add", make("add", a, taps[0]), make("add", taps[1], taps[2]))
    return found


@group
def scans() -> dict[str, Node]:
    def decay(*shape: int, seed: int) -> Node:
        return make("sigmoid", x(*shape, seed=seed))

    a = x(4, 6, seed=1)
    key, value = make("mul", x(3, 5, seed=2), const(0.3)), x(3, 5, 7, seed=3)
    found = {
        "plain": make("scan", decay(4, 6, seed=4), a),
        "broadcast decay": make("scan", decay(4, 1, seed=5), a),
        "broadcast input": make("scan", decay(4, 6, seed=4), x(4, 1, seed=6)),
        "constant decay": make("scan", table(6, seed=7, low=0.1, high=0.9), a),
        "number": make("scan", const(0.5), a),
        "vector": make("scan", const(0.5), x(37, seed=8)),
        "one": make("scan", const(0.5), x(1, seed=8)),
        "of rank 1": make("scan", const(0.5), make("reshape", x(1, seed=8), shape=(T,))),
        "three axes": make("scan", decay(3, 5, 1, seed=9), value),
        "first axis of one": make("scan", decay(1, 5, 1, seed=9), x(1, 5, 4, seed=10)),
        "rank one": make("scan", decay(3, 1, 1, seed=11), value, make("neg", key), key),
        "rank one of one head": make(
            "scan",
            decay(1, 1, 1, seed=11),
            x(1, 5, 7, seed=12),
            x(1, 5, seed=13, high=0.2, low=0.0),
            x(1, 5, seed=14, high=0.2, low=-0.2),
        ),
        "rank one of a matrix": make(
            "scan",
            decay(5, 1, seed=15),
            x(5, 7, seed=16),
            x(5, seed=17, high=0.2, low=0.0),
            x(5, seed=18, high=0.2, low=-0.2),
        ),
        "rank one of four axes": make(
            "scan",
            decay(2, 3, 1, 1, seed=15),
            x(2, 3, 5, 4, seed=16),
            x(2, 3, 5, seed=17, high=0.2, low=0.0),
            x(2, 3, 5, seed=18, high=0.2, low=-0.2),
        ),
    }
    outer = make(
        "mul",
        make("reshape", x(3, 5, seed=19), shape=(T, 3, 5, 1)),
        make("reshape", x(3, 7, seed=20), shape=(T, 3, 1, 7)),
    )
    found["outer product"] = make("scan", decay(3, 5, 1, seed=21), outer)
    found["of a scan"] = make("scan", const(0.9), make("tanh", found["plain"]))
    found["of a view"] = make("scan", const(0.5), _permuted(a, 1, 0))
    found["read by rows"] = make(
        "sum", make("mul", found["three axes"], x(3, 5, 1, seed=22)), axes=(2,)
    )
    return found


# Choosing


@group
def selections() -> dict[str, Node]:
    rows = make("rows")
    a = x(4, 6, seed=1)

    def select(value: Node) -> Node:
        return make("select_rows", value, rows)

    chosen = select(make("tanh", a))
    return {
        "rows": chosen,
        "tokens": select(make("tokens")),
        "positions": make("mul", select(make("positions")), const(2)),
        "view": select(make("reshape", _permuted(a, 1, 0), shape=(T, 24))),
        "reshaped": select(make("reshape", a, shape=(T, 24))),
        "booleans": select(booleans(3)),
        "linear after": make("linear", chosen, weight("r.w", 19, 6)),
        "linear before": select(make("linear", a, weight("r.v", 19, 6, stored="bf16"))),
        "softmax after": make("exp", make("sub", chosen, make("amax", chosen, axes=(2,)))),
        "two selections": make("add", chosen, select(make("exp", a))),
        "experts after": make(
            "experts",
            select(x(6, seed=3)),
            weight("r.e", 4, 5, 6),
            select(integers(2, seed=2, low=0, high=4)),
        ),
        "matmul after": make("matmul", chosen, table(6, 3)),
        "topk after": make("topk_indices", chosen, k=3, largest=True),
        "take after": make("take", table(VOCABULARY, 3), select(make("tokens"))),
    }
