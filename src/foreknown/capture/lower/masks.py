"""Recognises what a mask or a position bias says, by its values at pairs of positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.fx import Node as FxNode

from foreknown.capture.lower.lowering import Lowering
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, const

FULL_PAIRS = 2048  # contexts up to this are compared pair by pair
HIDDEN = -1e20  # what is added to a score to hide it is less than this
GATED = -1e3  # as hidden as this is a score of nought: e^-1000 is 0 in f32


@dataclass(frozen=True)
class Visible:
    """Which keys a token sees beside being causal, and what is added to its scores."""

    window: int | None = None
    chunk: int | None = None
    bias: Node | None = None  # [heads or 1, distance]

    def within(self, window: int, context: int) -> Visible:
        """Only the last `window` keys of those."""
        if window >= context:
            return self
        return replace(self, window=min(window, self.window or window))


@dataclass(frozen=True)
class Part:
    """One of the masks and biases of an attention.

    kind: "add" (to the scores, `times` itself), "keep" (where true), "hide" (where true), or
        "gate" (multiplied with: ones, and zeros that another part must hide).
    arrange: turns its values into [heads or 1, left or 1, right or 1].
    """

    node: FxNode
    kind: str = "add"
    times: float = 1.0
    arrange: Callable[[NDArray[Any]], NDArray[Any]] | None = None

    def values(
        self, low: Lowering, context: int, rows: tuple[int, ...] | None
    ) -> NDArray[np.float32]:
        """What is added to the scores, [heads or 1, queries or 1, keys or 1]."""
        array = low.known.array(self.node, context, rows)
        array = self.arrange(array) if self.arrange else array.reshape(-1, *array.shape[-2:])
        if self.kind == "gate" and not np.isin(array, (0, 1)).all():
            raise UnsupportedOp("scores multiplied by more than zeros and ones")
        if array.dtype == np.bool_ or self.kind != "add":
            array = array != 0
            keep = ~array if self.kind == "hide" else array
            return np.where(keep, np.float32(0), np.float32(-np.inf))
        result: NDArray[np.float32] = array.astype(np.float32)
        return result if self.times == 1 else result * np.float32(self.times)


def recognise(low: Lowering, parts: Sequence[Part], causal: bool, swapped: bool = False) -> Visible:
    """What the sum of several masks and biases means.

    Args:
        causal: whether later tokens are hidden beside what the parts hide.
        swapped: whether the parts are arranged keys first.

    Raises:
        UnsupportedOp: it sees later tokens, or is no window, chunk or bias by distance.
    """
    if not parts:
        return Visible()
    context = low.context
    rows: tuple[int, ...] | None = None
    if context > FULL_PAIRS:
        if all(low.known.marked(p.node) for p in parts) and not swapped:
            rows = _sample(context, set().union(*(low.known.integers(p.node) for p in parts)))
        else:
            context = _enough(low, parts)
    count = context if rows is None else len(rows)
    hidden, gates = np.zeros((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    by_key: NDArray[Any] | None = None
    for part in parts:
        values = part.values(low, context, rows)
        if swapped:
            values = values.swapaxes(1, 2)
        if values.shape[1] not in (1, count) or values.shape[2] not in (1, context):
            raise UnsupportedOp(f"a mask of {values.shape}")
        if values.shape[2] == 1:
            raise UnsupportedOp("a mask that is the same for all keys")
        if part.kind == "gate":
            gates = gates + values
            continue
        if values.shape[1] == 1 and (values > HIDDEN).all():
            if context < low.context:
                values = part.values(low, low.context, None)
            by_key = values[:, 0] + (0 if by_key is None else by_key)
        else:
            hidden = hidden + values
    if (np.where(gates < 0, hidden, -np.inf) > GATED).any():
        raise UnsupportedOp("scores multiplied by zero, and not hidden")
    hidden = hidden + gates
    hidden = np.broadcast_to(hidden, (hidden.shape[0], count, context))
    visible = classify(hidden, context, rows, causal)
    if visible.bias is not None and context < low.context:
        raise UnsupportedOp(f"a position bias that is known up to {context} tokens only")
    if by_key is None:
        return visible
    if visible.bias is not None:
        raise UnsupportedOp("two position biases")
    return replace(visible, bias=const(_slopes(by_key)))


def _slopes(by_key: NDArray[Any]) -> NDArray[np.float32]:
    """bias[heads, distance] of a bias by the key's position, which must be a slope a head."""
    n = by_key.shape[1]
    last = by_key[:, -1:]
    slope = (last - by_key[:, :1]) / (n - 1)
    line = by_key[:, :1] + slope * np.arange(n)
    if not (np.abs(line - by_key) <= 1e-6 * max(1.0, float(np.abs(by_key).max()))).all():
        raise UnsupportedOp("a position bias that depends on more than the distance")
    slopes: NDArray[np.float32] = (-slope * np.arange(n)).astype(np.float32)
    return slopes


def _enough(low: Lowering, parts: Sequence[Part]) -> int:
    """A number of positions that shows every bound written in the mask's code."""
    numbers = set().union(*(low.known.integers(p.node) for p in parts))
    between = [n for n in numbers if FULL_PAIRS // 2 <= n < low.context]
    if between:
        raise UnsupportedOp(f"a mask that may change after {min(between)} tokens")
    return FULL_PAIRS


def _sample(context: int, numbers: set[int]) -> tuple[int, ...]:
    """Query positions that tell windows and chunks apart: around every bound, and spread evenly."""
    rows = {0, 1, 2, context - 2, context - 1, *range(0, context, max(1, context // 16))}
    for n in sorted(n for n in numbers if 1 < n < context)[:8]:
        rows |= {m + d for m in (n, 2 * n, 3 * n) for d in (-1, 0, 1)}
    return tuple(sorted(r for r in rows if 0 <= r < context))


def classify(
    table: NDArray[np.float32], context: int, rows: tuple[int, ...] | None, causal: bool
) -> Visible:
    """The meaning of scores' additions [heads or 1, queries, keys] at the given query positions."""
    query = np.arange(context) if rows is None else np.asarray(rows)
    key = np.arange(context)
    seen = table > HIDDEN
    if np.isnan(table).any():
        raise UnsupportedOp("a mask with values that are no numbers")
    if not (seen == seen[:1]).all():
        raise UnsupportedOp("a mask that differs between heads")
    seen = seen[0]
    below = key[None, :] <= query[:, None]
    if causal:
        seen = seen & below
    if (seen & ~below).any():
        raise UnsupportedOp("attention to later tokens")
    if not seen.any(axis=1).all():
        raise UnsupportedOp("a mask that hides every key")
    first = seen.argmax(axis=1)
    visible = _bounds(query, first, context)
    if not np.array_equal(seen, below & (key[None, :] >= first[:, None])):
        raise UnsupportedOp("a mask that is neither causal nor a window nor in chunks")
    added = np.where(seen, table, 0)
    if not added.any():
        return visible
    if rows is not None:
        raise UnsupportedOp("a position bias of which only a sample is known")
    return replace(visible, bias=const(_by_distance(added, seen)))


def _bounds(query: NDArray[Any], first: NDArray[Any], context: int) -> Visible:
    if not first.any():
        return Visible()
    cut = first > 0
    window = int((query[cut] - first[cut]).max()) + 1
    if np.array_equal(first, np.maximum(0, query - window + 1)):
        return Visible(window=window)
    chunk = int(np.gcd.reduce(first[cut]))
    if chunk > 1 and np.array_equal(first, query // chunk * chunk):
        return Visible(chunk=chunk)
    raise UnsupportedOp("a mask that is neither causal nor a window nor in chunks")


def _by_distance(added: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """bias[heads, distance]; what is the same for all keys of a query does not change a softmax.

    Raises:
        UnsupportedOp: the bias depends on more than the distance.
    """
    n = added.shape[1]
    own = np.diagonal(added, axis1=1, axis2=2)[:, :, None]
    relative = added.astype(np.float64) - own
    last = relative[:, n - 1, ::-1]  # by distance, from 0
    distance = np.arange(n)[:, None] - np.arange(n)[None, :]
    expected = last[:, np.maximum(distance, 0)]
    tolerance = 1e-6 * max(1.0, float(np.abs(added).max()))
    if not (np.abs(np.where(seen, relative - expected, 0)) <= tolerance).all():
        raise UnsupportedOp("a position bias that depends on more than the distance")
    return last.astype(np.float32)
