"""The meaning of every operation, in NumPy: what a target must compute, at leisure.

`run` executes a graph over one `Batch`, as a native program does: any mix of prompt chunks,
single tokens and sequences, with the past read from and written to blocks. It is written to
be read and to be right; it knows nothing of threads, buffers or the order of additions.

Four choices that NumPy does not make for us:
- A sum of many terms (a product of matrices, a reduction, attention) is taken in f64 and rounded
  once, so that the meaning has no order of additions and regrouping one changes nothing.
- State starts as poison (NaN, or the least integer), so reading what no step wrote shows.
- An index out of range is an error here. Native code is given graphs that have none.
- `attend` goes token by token over exactly the keys that token sees, so nothing invisible, not
  even an infinity, can reach it, and its bits do not depend on how a prompt was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.errors import GraphError
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.graph.bf16 import from_bf16, to_bf16
from foreknown.graph.ir import DTYPES, Graph, Literal, Node, Shape, Symbol, T, topological
from foreknown.graph.quantise import dequantise, quantise_rows, quantise_weights
from foreknown.graph.state import State, runs, stored

Array = NDArray[Any]
Weights = Mapping[str, Array] | Callable[[str], Array]


def run(graph: Graph, batch: Batch, weights: Weights, state: State) -> dict[str, Array]:
    """Run one step.

    Args:
        batch: T tokens; their past must have been run into the same blocks of `state`.
        weights: the array of each `weight` node by its name, in any float dtype.
        state: read and updated in place.

    Returns:
        The outputs of the graph, f32 (i32, bool) with T and R as the batch has them.

    Raises:
        GraphError: a weight is missing or of another shape, or an index is out of range.
    """
    return _run(graph.outputs, _Step(weights, batch, state))


def evaluate(node: Node, weights: Weights = MappingProxyType({})) -> Array:
    """The value of a constant expression: one that depends on weights and constants alone.

    Raises:
        GraphError: the expression depends on tokens, or a weight is missing or misshapen.
    """
    return _run({"value": node}, _Step(weights, None, None))["value"]


@dataclass(frozen=True)
class _Step:
    """What operations may look at beside their arguments."""

    weights: Weights
    batch: Batch | None
    state: State | None

    def given(self) -> tuple[Batch, State]:
        if self.batch is None or self.state is None:
            raise GraphError("a constant expression depends on the tokens of a step")
        return self.batch, self.state

    def shape(self, shape: Shape) -> tuple[int, ...]:
        return tuple(self._count(d) if isinstance(d, Symbol) else d for d in shape)

    def _count(self, symbol: Symbol) -> int:
        batch, _ = self.given()
        return len(batch.tokens if symbol is T else batch.rows)


def _run(outputs: Mapping[str, Node], step: _Step) -> dict[str, Array]:
    nodes = tuple(topological(outputs.values()))
    last_use = {arg: i for i, node in enumerate(nodes) for arg in node.args}
    kept = set(outputs.values())
    values: dict[Node, Array] = {}
    with np.errstate(all="ignore"):  # infinities and NaN are values, as they are in native code
        for i, node in enumerate(nodes):
            try:
                value = np.asarray(
                    _MEANING[node.op](step, node, *(values[a] for a in node.args)),
                    DTYPES[node.dtype],
                )
            except _OutOfRange as error:
                raise GraphError("an index is out of range", where=f"{node!r}: {error}") from error
            assert value.shape == step.shape(node.shape), f"{node!r} came out as {value.shape}"
            values[node] = value
            for arg in dict.fromkeys(node.args):
                if last_use[arg] == i and arg not in kept:
                    del values[arg]
    return {name: values[node] for name, node in outputs.items()}


_MEANING: dict[str, Callable[..., Any]] = {}


def _means(*ops: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for op in ops:
            _MEANING[op] = function
        return function

    return register


# Leaves


@_means("tokens", "positions", "rows")
def _given(step: _Step, node: Node) -> Array:
    values: Array = getattr(step.given()[0], node.op)
    return values


@_means("weight")
def _weight(step: _Step, node: Node) -> Array:
    name = str(node.attrs["name"])
    try:
        value = step.weights(name) if callable(step.weights) else step.weights[name]
    except KeyError as error:
        raise GraphError("a weight is missing", where=name) from error
    if value.shape != node.shape:
        raise GraphError(f"a weight of shape {node.shape} came as {value.shape}", where=name)
    return value.astype(DTYPES[node.dtype], copy=False)


@_means("const")
def _const(step: _Step, node: Node) -> Array:
    literal = node.attrs["value"]
    assert isinstance(literal, Literal)
    return literal.array


# Elementwise


def erf(x: Array) -> Array:
    """The error function, exact to f32: 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!, in f64.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.6. All terms have one sign,
    so nothing cancels; beyond |x| = 4 the result rounds to 1 in f32. NaN stays NaN.
    """
    z = np.clip(x.astype(np.float64), -4.0, 4.0)
    square = 2 * z * z
    total = np.ones_like(z)
    for n in range(64, 0, -1):
        total *= square / (2 * n + 1)
        total += 1
    result: Array = (2 / np.sqrt(np.pi) * z * np.exp(-z * z) * total).astype(np.float32)
    return result


_UNARY: dict[str, Callable[[Array], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: np.float32(1) / np.sqrt(x),
    "tanh": np.tanh,
    "sigmoid": lambda x: np.float32(1) / (np.float32(1) + np.exp(-x)),
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,  # half to even
    "sign": np.sign,
    "not": np.logical_not,
    "bf16": lambda x: from_bf16(to_bf16(x)),
}
_BINARY: dict[str, Callable[[Array, Array], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda a, b: np.divide(a, b) if a.dtype.kind == "f" else np.floor_divide(a, b),
    "mod": np.mod,  # the sign of the divisor, as in Python
    "pow": np.power,
    "max": np.maximum,  # NaN wins
    "min": np.minimum,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
}


@_means(*_UNARY)
def _unary(step: _Step, node: Node, x: Array) -> Any:
    return _UNARY[node.op](x)


@_means(*_BINARY)
def _binary(step: _Step, node: Node, a: Array, b: Array) -> Any:
    return _BINARY[node.op](a, b)


@_means("where")
def _where(step: _Step, node: Node, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


@_means("cast")
def _cast(step: _Step, node: Node, x: Array) -> Array:
    return x.astype(DTYPES[node.dtype])  # f32 to i32 drops the fraction


# Views


@_means("reshape")
def _reshape(step: _Step, node: Node, x: Array) -> Array:
    return x.reshape(step.shape(node.shape))


@_means("permute")
def _permute(step: _Step, node: Node, x: Array) -> Array:
    return x.transpose(node.integers("axes"))


@_means("slice")
def _slice(step: _Step, node: Node, x: Array) -> Array:
    taken = slice(node.integer("start"), node.integer("stop"), node.integer("step"))
    view: Array = x[(slice(None),) * node.integer("axis") + (taken,)]
    return view


@_means("concat")
def _concat(step: _Step, node: Node, *parts: Array) -> Array:
    return np.concatenate(parts, axis=node.integer("axis"))


@_means("broadcast")
def _broadcast(step: _Step, node: Node, x: Array) -> Array:
    return np.broadcast_to(x, step.shape(node.shape))


# Reductions, ordering, lookup


@_means("sum", "prod")
def _accumulate(step: _Step, node: Node, x: Array) -> Any:
    reduce = np.sum if node.op == "sum" else np.prod
    return reduce(x, axis=node.integers("axes"), keepdims=True, dtype=_wide(x))


@_means("amax", "amin")
def _extreme(step: _Step, node: Node, x: Array) -> Any:
    return (np.max if node.op == "amax" else np.min)(x, axis=node.integers("axes"), keepdims=True)


@_means("argmax")
def _argmax(step: _Step, node: Node, x: Array) -> Any:
    return np.argmax(x, axis=node.integer("axis"), keepdims=True)  # the lowest index of a tie


@_means("cumsum")
def _cumsum(step: _Step, node: Node, x: Array) -> Array:
    return np.cumsum(x, axis=node.integer("axis"), dtype=_wide(x))


@_means("topk_values", "topk_indices")
def _topk(step: _Step, node: Node, x: Array) -> Array:
    order = np.argsort(-x if node.attrs["largest"] else x, axis=-1, kind="stable")
    chosen = order[..., : node.integer("k")]  # of a tie, the lowest index first
    return chosen if node.op == "topk_indices" else np.take_along_axis(x, chosen, axis=-1)


@_means("take")
def _take(step: _Step, node: Node, table: Array, index: Array) -> Any:
    _in_range(index, table.shape[0])
    return table[index]


@_means("gather")
def _gather(step: _Step, node: Node, x: Array, index: Array) -> Array:
    axis = node.integer("axis")
    _in_range(index, x.shape[axis])
    return np.take_along_axis(x, index, axis=axis)


@_means("scatter")
def _scatter(step: _Step, node: Node, x: Array, index: Array, source: Array) -> Array:
    axis = node.integer("axis")
    _in_range(index, x.shape[axis])
    result = x.copy()
    into, places, values = (np.moveaxis(a, axis, 0) for a in (result, index, source))
    others: tuple[Array, ...] = tuple(np.indices(into.shape[1:], sparse=True))
    for place, value in zip(places, values, strict=True):  # in order: a later index wins
        into[(place, *others)] = value
    return result


class _OutOfRange(Exception):
    """Which indices met which size."""


def _in_range(index: Array, size: int) -> None:
    if index.size and not (index.min() >= 0 and index.max() < size):
        raise _OutOfRange(f"{index.min()} to {index.max()} of {size}")


# Rounding


@_means("quantise")
def _quantise(step: _Step, node: Node, x: Array) -> Array:
    group = node.integer("group")
    return dequantise(*quantise_rows(x, group), group)


@_means("lowbit")
def _lowbit(step: _Step, node: Node, w: Array, importance: Array | None = None) -> Array:
    group = node.integer("group")
    return dequantise(*quantise_weights(w, node.integer("bits"), group, importance), group)


# Products


@_means("linear")
def _linear(step: _Step, node: Node, x: Array, w: Array) -> Array:
    x, w = x.astype(np.float64), w.astype(np.float64)
    if w.ndim == 2:
        return x @ w.T
    result: Array = np.matmul(w, x[..., None])[..., 0]  # groups: w[..., n, k] meets x[..., k]
    return result


@_means("matmul")
def _matmul(step: _Step, node: Node, a: Array, b: Array) -> Any:
    return np.matmul(a.astype(np.float64), b.astype(np.float64))


@_means("experts")
def _experts(step: _Step, node: Node, x: Array, w: Array, index: Array) -> Array:
    result = np.zeros(step.shape(node.shape))  # no expert of that number: zeros
    for expert in np.unique(index):
        if 0 <= expert < len(w):
            row, place = np.nonzero(index == expert)
            chosen = x[row] if x.ndim == 2 else x[row, place]
            result[row, place] = chosen.astype(np.float64) @ w[expert].T.astype(np.float64)
    return result


# The past


@_means("attend")
def _attend(step: _Step, node: Node, q: Array, k: Array, v: Array, *extra: Array) -> Array:
    batch, state = step.given()
    pair = (node.args[1], node.args[2])
    keys = stored(state, ("keys", pair), batch, k, "f32")
    values = stored(state, ("values", pair), batch, v, "f32")
    sinks = extra[0] if node.attrs["sinks"] else None
    bias = extra[-1] if node.attrs["bias"] else None
    scale = np.float32(node.number("scale"))
    cap = None if node.attrs["softcap"] is None else np.float32(node.number("softcap"))
    heads, groups = q.shape[1], k.shape[1]
    result = np.empty(step.shape(node.shape), np.float32)
    for index, positions, _, places in runs(batch):
        first = _first_visible(node, int(positions[0]))
        seen_keys = keys[places[first:]].transpose(1, 2, 0).astype(np.float64)
        seen_values = values[places[first:]].transpose(1, 0, 2).astype(np.float64)
        for token, position in zip(index, positions, strict=True):
            low = _first_visible(node, int(position))
            seen = slice(low - first, int(position) + 1 - first)
            query = q[token].reshape(groups, heads // groups, -1).astype(np.float64)
            score = scale * (query @ seen_keys[:, :, seen]).reshape(heads, -1)
            if cap is not None:
                score = cap * np.tanh(score / cap)
            if bias is not None:
                distance = np.arange(int(position) - low, -1, -1)
                score = score + bias[:, np.minimum(distance, bias.shape[1] - 1)]
            share = _softmax(score, sinks)
            share = share.reshape(groups, heads // groups, -1)
            result[token] = (share @ seen_values[:, seen]).reshape(heads, -1)
    return result


def _first_visible(node: Node, position: int) -> int:
    window, chunk = node.attrs["window"], node.attrs["chunk"]
    low = 0
    if isinstance(window, int):
        low = max(low, position - window + 1)
    if isinstance(chunk, int):
        low = max(low, position // chunk * chunk)
    return low


def _softmax(score: Array, sinks: Array | None) -> Array:
    """Over the last axis; a sink is one more column whose share is dropped."""
    top = score.max(axis=-1, keepdims=True)
    if sinks is not None:
        top = np.maximum(top, sinks[:, None])
    weight = np.exp(score - top)
    total = weight.sum(axis=-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks[:, None] - top)
    result: Array = weight / total
    return result


@_means("shift")
def _shift(step: _Step, node: Node, x: Array) -> Array:
    batch, state = step.given()
    rows = stored(state, ("shift", node.args[0]), batch, x, node.dtype)
    result = np.zeros_like(x)  # what lies before the start of a sequence
    for index, positions, _, places in runs(batch):
        earlier = positions - node.integer("n")
        result[index[earlier >= 0]] = rows[places[earlier[earlier >= 0]]]
    return result


@_means("scan")
def _scan(step: _Step, node: Node, decay: Array, value: Array, *rank_one: Array) -> Array:
    batch, state = step.given()
    shape = step.shape(node.shape)
    last = state.array(("scan", node), shape[1:])
    decay, value = np.broadcast_to(decay, shape), np.broadcast_to(value, shape)
    result = np.empty(shape, np.float32)
    for index, positions, start, places in runs(batch):
        now = np.zeros(shape[1:], np.float32)
        if start > 0:
            now = last[places[start - 1] // BLOCK_TOKENS]
        for token, position in zip(index, positions, strict=True):
            then = decay[token] * now + value[token]
            if rank_one:
                out, into = (
                    np.asarray(r[token] if r.ndim == len(shape) - 1 else r) for r in rank_one
                )
                then = then + out[..., None] * _dot(into, now)
            now = result[token] = then
            last[places[position] // BLOCK_TOKENS] = now
    return result


def _dot(vector: Array, matrix: Array) -> Array:
    """vectorᵀ matrix over the last axes, kept as [..., 1, columns] and rounded once."""
    wide = vector[..., None, :].astype(np.float64) @ matrix.astype(np.float64)
    result: Array = wide.astype(np.float32)
    return result


# Choosing


@_means("select_rows")
def _select_rows(step: _Step, node: Node, x: Array, rows: Array) -> Any:
    _in_range(rows, len(x))
    return x[rows]


def _wide(x: Array) -> type[np.float64] | np.dtype[Any]:
    return np.float64 if x.dtype == np.float32 else x.dtype


def meanings() -> Iterable[str]:
    """The operations that have a meaning."""
    return _MEANING.keys()
