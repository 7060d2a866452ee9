"""The operations: what each takes, and the dtype and shape that follow.

Shapes follow NumPy's broadcasting with one rule more: a value of rows has its rows first, so
two values of rows must have the same rank, while a constant is aligned with the last axes.
Axes count the row axis: axis 0 of a value of rows is T (or R), and only `past` may touch it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from foreknown.errors import GraphError
from foreknown.graph.ir import Dim, Literal, Node, R, Shape, Symbol, T


def _ops(names: str) -> frozenset[str]:
    return frozenset(names.split())


FLOAT_UNARY = _ops("exp expm1 log log1p sqrt rsqrt tanh sigmoid erf sin cos floor ceil round bf16")
UNARY = FLOAT_UNARY | {"neg", "abs", "sign", "not"}
ARITHMETIC = _ops("add sub mul div mod pow max min")
COMPARISON = _ops("eq ne lt le gt ge")
LOGICAL = frozenset({"and", "or"})
BINARY = ARITHMETIC | COMPARISON | LOGICAL
ELEMENTWISE = UNARY | BINARY | {"where", "cast"}
VIEW = _ops("reshape permute slice concat broadcast")
REDUCTION = _ops("sum prod amax amin")
PAST = frozenset({"attend", "shift", "scan"})
LEAF = frozenset({"tokens", "positions", "rows", "weight", "const"})

Attrs = Mapping[str, Any]
Inferred = tuple[str, Shape]
_RULES: dict[str, Callable[[tuple[Node, ...], Attrs], Inferred]] = {}


def infer(op: str, args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    """dtype and shape of a node to be.

    Raises:
        GraphError: unknown operation, wrong arguments or shapes that do not fit.
    """
    rule = _RULES.get(op)
    if rule is None:
        raise GraphError(f"there is no operation named {op!r}", remedy="see graph/ir.py's grammar")
    try:
        return rule(args, attrs)
    except GraphError:
        raise
    except (KeyError, ValueError, IndexError, TypeError, AssertionError) as error:
        raise GraphError(
            f"{op} does not take {', '.join(map(repr, args)) or 'no arguments'} with {dict(attrs)}",
            where=f"{type(error).__name__}: {error}",
        ) from error


def _rule(*names: str) -> Callable[[Any], Any]:
    def register(function: Callable[[tuple[Node, ...], Attrs], Inferred]) -> Any:
        for name in names:
            _RULES[name] = function
        return function

    return register


def _require(truth: bool, message: str) -> None:
    if not truth:
        raise ValueError(message)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """NumPy's rule, with rows kept first.

    Raises:
        ValueError: the shapes do not fit, or values of rows differ in rank.
    """
    with_rows = [s for s in shapes if s and isinstance(s[0], Symbol)]
    rank = max(map(len, shapes))
    if with_rows:
        _require(len({len(s) for s in with_rows}) == 1, "values of rows differ in rank")
        _require(rank == len(with_rows[0]), "a constant has more axes than the rows have")
        _require(
            all(len(s) < rank or s in with_rows or s[0] == 1 for s in shapes),
            "a constant reaches into the row axis",
        )
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    result: list[Dim] = []
    for dims in zip(*padded, strict=True):
        wide = {d for d in dims if d != 1}
        _require(len(wide) <= 1, f"dimensions {dims} do not fit")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def _axis(x: Node, axis: int) -> int:
    _require(isinstance(axis, int) and 0 <= axis < len(x.shape), f"axis {axis} of {x!r}")
    return axis


def _static(dim: Dim) -> int:
    _require(isinstance(dim, int), f"{dim} is not a static dimension")
    assert isinstance(dim, int)
    return dim


def _size(shape: Shape) -> tuple[Symbol | None, int]:
    rows = shape[0] if shape and isinstance(shape[0], Symbol) else None
    size = 1
    for d in shape[1:] if rows else shape:
        size *= _static(d)
    return rows, size


@_rule("tokens", "positions")
def _per_token(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    _require(not args and not attrs, "a leaf")
    return "i32", (T,)


@_rule("rows")
def _rows(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    _require(not args and not attrs, "a leaf")
    return "i32", (R,)


@_rule("weight")
def _weight(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    _require(not args and set(attrs) == {"name", "shape", "stored"}, "name, shape and stored")
    _require(attrs["stored"] in {"f32", "bf16", "f16", "i32"}, "stored as f32, bf16, f16 or i32")
    return ("i32" if attrs["stored"] == "i32" else "f32"), tuple(map(_static, attrs["shape"]))


@_rule("const")
def _const(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    value = attrs["value"]
    _require(not args and isinstance(value, Literal), "a Literal")
    kinds = {"float32": "f32", "int32": "i32", "bool": "bool"}
    return kinds[value.array.dtype.name], value.array.shape


@_rule("neg", "abs", "sign")
def _unary(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _require(not attrs and x.dtype in {"f32", "i32"}, "numbers")
    return x.dtype, x.shape


@_rule(*FLOAT_UNARY)
def _float_unary(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _require(not attrs and x.dtype == "f32", "f32")
    return x.dtype, x.shape


@_rule("not")
def _not(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _require(not attrs and x.dtype == "bool", "bool")
    return x.dtype, x.shape


@_rule(*ARITHMETIC)
def _arithmetic(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    a, b = args
    _require(not attrs and a.dtype == b.dtype != "bool", "numbers of one dtype")
    return a.dtype, broadcast_shapes(a.shape, b.shape)


@_rule(*COMPARISON)
def _comparison(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    a, b = args
    _require(not attrs and a.dtype == b.dtype, "dtypes differ")
    return "bool", broadcast_shapes(a.shape, b.shape)


@_rule(*LOGICAL)
def _logical(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    a, b = args
    _require(not attrs and a.dtype == b.dtype == "bool", "bool")
    return "bool", broadcast_shapes(a.shape, b.shape)


@_rule("where")
def _where(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    condition, a, b = args
    _require(condition.dtype == "bool" and a.dtype == b.dtype, "bool, and two of a dtype")
    return a.dtype, broadcast_shapes(condition.shape, a.shape, b.shape)


@_rule("cast")
def _cast(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _require(attrs["dtype"] in {"f32", "i32", "bool"}, "a dtype")
    return attrs["dtype"], x.shape


@_rule("reshape")
def _reshape(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    shape = tuple(attrs["shape"])
    _require(_size(x.shape) == _size(shape), "the number of elements in a row changes")
    return x.dtype, shape


@_rule("permute")
def _permute(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _require(sorted(attrs["axes"]) == list(range(len(x.shape))), "a permutation of the axes")
    return x.dtype, tuple(x.shape[a] for a in attrs["axes"])


@_rule("slice")
def _slice(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    axis = _axis(x, attrs["axis"])
    start, stop, step = attrs["start"], attrs["stop"], attrs["step"]
    _require(0 <= start < stop <= _static(x.shape[axis]) and step > 0, "a range in the axis")
    return x.dtype, (*x.shape[:axis], -(-(stop - start) // step), *x.shape[axis + 1 :])


@_rule("concat")
def _concat(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    first = args[0]
    axis = _axis(first, attrs["axis"])
    rest = [(x.shape[:axis], x.shape[axis + 1 :], x.dtype) for x in args]
    _require(all(r == rest[0] for r in rest), "parts differ beside the axis")
    total = sum(_static(x.shape[axis]) for x in args)
    return first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :])


@_rule("broadcast")
def _broadcast(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    shape = tuple(attrs["shape"])
    _require(broadcast_shapes(x.shape, shape) == shape, "shapes do not fit")
    return x.dtype, shape


@_rule(*REDUCTION)
def _reduction(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    axes = {_axis(x, a) for a in attrs["axes"]}
    return x.dtype, tuple(1 if i in axes else d for i, d in enumerate(x.shape))


@_rule("argmax")
def _argmax(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    axis = _axis(x, attrs["axis"])
    return "i32", tuple(1 if i == axis else d for i, d in enumerate(x.shape))


@_rule("cumsum")
def _cumsum(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _axis(x, attrs["axis"])
    return x.dtype, x.shape


def _topk_rule(dtype: str | None) -> Callable[[tuple[Node, ...], Attrs], Inferred]:
    def rule(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
        (x,) = args
        _require(isinstance(attrs["largest"], bool), "largest is true or false")
        _require(0 < attrs["k"] <= _static(x.shape[-1]), "k within the last axis")
        return dtype or x.dtype, (*x.shape[:-1], attrs["k"])

    return rule


_RULES["topk_values"], _RULES["topk_indices"] = _topk_rule(None), _topk_rule("i32")


@_rule("take")
def _take(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    table, index = args
    _require(table.rows is None and index.dtype == "i32", "a constant table and i32 indices")
    return table.dtype, (*index.shape, *table.shape[1:])


@_rule("gather")
def _gather(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    x, index = args
    axis = _axis(x, attrs["axis"])
    _require(index.dtype == "i32", "i32 indices")
    _require(_without(x, axis) == _without(index, axis), "shapes differ beside the axis")
    return x.dtype, index.shape


@_rule("scatter")
def _scatter(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    x, index, source = args
    axis = _axis(x, attrs["axis"])
    _require(index.dtype == "i32" and source.dtype == x.dtype, "i32 indices, one dtype")
    _require(index.shape == source.shape, "an index for each value")
    _require(_without(x, axis) == _without(index, axis), "shapes differ beside the axis")
    return x.dtype, x.shape


def _without(x: Node, axis: int) -> Shape:
    return x.shape[:axis] + x.shape[axis + 1 :]


@_rule("quantise")
def _quantise(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _require(x.dtype == "f32" and x.rows is not None and len(x.shape) >= 2, "rows of f32")
    _require(attrs["group"] > 0 and _static(x.shape[-1]) % attrs["group"] == 0, "whole groups")
    return "f32", x.shape


@_rule("lowbit")
def _lowbit(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    w, *importance = args
    _require(w.dtype == "f32" and w.rows is None and len(w.shape) >= 2, "a constant matrix of f32")
    _require(len(importance) <= 1, "a matrix and perhaps the importance of its columns")
    _require(all(a.shape == w.shape[-1:] and a.dtype == "f32" for a in importance), "a number each")
    _require(attrs["bits"] in {4, 8}, "4 or 8 bits")
    _require(attrs["group"] > 0 and _static(w.shape[-1]) % attrs["group"] == 0, "whole groups")
    return "f32", w.shape


@_rule("linear")
def _linear(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    x, w = args
    *groups, n, k = w.shape
    lead, own = x.shape[:-1], len(groups)
    _require(w.rows is None and x.dtype == w.dtype == "f32", "f32 rows and a constant matrix")
    _require(x.shape[-1] == k, f"{x.shape[-1]} columns meet {k}")
    _require(not own or lead[len(lead) - own :] == tuple(groups), "groups differ")
    _require(x.rows is None or len(lead) > own, "groups reach into the row axis")
    return "f32", (*lead, n)


@_rule("matmul")
def _matmul(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    a, b = args
    _require(a.dtype == b.dtype == "f32", "f32")
    _require(len(a.shape) >= 2 and len(b.shape) >= 2 and a.shape[-1] == b.shape[-2], "inner size")
    for x in args:
        _require(x.rows is None or len(x.shape) >= 3, "rows are a batch axis")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return "f32", (*batch, a.shape[-2], b.shape[-1])


@_rule("experts")
def _experts(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    x, w, index = args
    _, n, k = w.shape
    _require(x.dtype == w.dtype == "f32", "f32 rows and matrices")
    _require(w.rows is None and index.dtype == "i32" and len(index.shape) == 2, "i32[rows, chosen]")
    _require(x.shape in {(index.shape[0], k), (*index.shape, k)}, "x[rows, k] or [rows, chosen, k]")
    return "f32", (*index.shape, n)


@_rule("attend")
def _attend(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    q, k, v, *extra = args
    _require({"scale", "window", "chunk", "softcap", "sinks", "bias"} == set(attrs), "attributes")
    _require(len(extra) == bool(attrs["sinks"]) + bool(attrs["bias"]), "sinks and bias as declared")
    _require(q.rows is k.rows is v.rows is T, "rows of tokens")
    _require(all(a.dtype == "f32" for a in args), "f32")
    _, heads, width = q.shape
    _, groups, key_width = k.shape
    _, value_groups, value_width = v.shape
    _require(width == key_width and groups == value_groups, "queries, keys and values fit")
    _require(_static(heads) % _static(groups) == 0, "heads are a multiple of key-value heads")
    if attrs["sinks"]:
        _require(extra[0].shape == (heads,), "a sink for each head")
    if attrs["bias"]:
        _require(len(extra[-1].shape) == 2 and extra[-1].shape[0] == heads, "bias[heads, distance]")
    return "f32", (T, heads, value_width)


@_rule("shift")
def _shift(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    (x,) = args
    _require(x.rows is T and attrs["n"] > 0, "rows of tokens, n > 0")
    return x.dtype, x.shape


@_rule("scan")
def _scan(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    decay, value, *rank_one = args
    _require(len(rank_one) in {0, 2} and value.rows is T, "decay, input and no or two vectors")
    _require(all(a.dtype == "f32" for a in args), "f32")
    shape = broadcast_shapes(decay.shape, value.shape)
    for vector in rank_one:
        _require(len(shape) >= 3 and vector.shape[:-1] == shape[:-2], "vectors of the state's axes")
    if rank_one:
        out, into = rank_one
        _require(out.shape[-1] == into.shape[-1] == shape[-2], "vectors along the state's rows")
    return "f32", shape


@_rule("select_rows")
def _select_rows(args: tuple[Node, ...], attrs: Attrs) -> Inferred:
    x, rows = args
    _require(x.rows is T and rows.shape == (R,) and rows.dtype == "i32", "rows of tokens, i32[R]")
    return x.dtype, (R, *x.shape[1:])
