"""Views of tensors become views of nodes: any chain of them gives what NumPy gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.capture.lower.layout import (
    Tokens,
    Value,
    align,
    expand,
    permute,
    reshape,
)
from foreknown.errors import UnsupportedOp
from foreknown.graph.batch import single
from foreknown.graph.interpret import run
from foreknown.graph.ir import Graph, T, const, make
from foreknown.graph.state import State

N = 5  # tokens
TABLE = np.arange(64 * 24, dtype=np.float32).reshape(64, 24)
WIDTHS = [(24,), (4, 6), (2, 3, 4), (2, 2, 6), (1, 24), (3, 1, 8)]


def rows(width: tuple[int, ...]) -> tuple[Value, np.ndarray]:
    """Rows of a table at the tokens, [1, T, *width], and their values."""
    node = make("take", const(TABLE), make("tokens"))
    value = reshape(Value(node, ((), (T,), (24,))), [1, Tokens(1), *width])
    return value, TABLE[list(range(N))].reshape(1, N, *width)


def numbers(value: Value) -> np.ndarray:
    """What the node holds, in the order of the tensor's axes."""
    graph = Graph("test", {"x": value.node})
    found = run(graph, single(list(range(N))), {}, State(1))["x"]
    atoms = [a for g in value.axes for a in g]
    if T in atoms:
        found = np.moveaxis(found, 0, atoms.index(T))
    return found.reshape(
        [math.prod(N if a is T else a for a in g) for g in value.axes]  # type: ignore[misc]
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_chains_of_views(data: st.DataObject) -> None:
    value, expected = rows(data.draw(st.sampled_from(WIDTHS)))
    for _ in range(data.draw(st.integers(1, 5))):
        kind = data.draw(st.sampled_from(["permute", "merge", "split", "expand"]))
        sizes = list(value.sizes)
        if kind == "permute":
            order = data.draw(st.permutations(range(value.rank)))
            value, expected = permute(value, order), expected.transpose(order)
            continue
        if kind == "merge" and value.rank > 1:
            at = data.draw(st.integers(0, value.rank - 2))
            pair = sizes[at : at + 2]
            size = math.prod(s.times if isinstance(s, Tokens) else s for s in pair)
            merged = Tokens(size) if any(isinstance(s, Tokens) for s in pair) else size
            sizes[at : at + 2] = [merged]
        elif kind == "split":
            at = data.draw(st.integers(0, value.rank - 1))
            if isinstance(sizes[at], int) and sizes[at] % 2 == 0:
                sizes[at : at + 1] = [2, sizes[at] // 2]
        elif 1 in sizes:
            sizes[sizes.index(1)] = 3
            value = expand(value, sizes)
            expected = np.broadcast_to(
                expected, [s if isinstance(s, int) else s.times * N for s in sizes]
            )
            continue
        value = reshape(value, sizes)
        expected = expected.reshape([s if isinstance(s, int) else s.times * N for s in sizes])
    np.testing.assert_array_equal(numbers(value), expected)


def test_the_token_axis_is_never_cut() -> None:
    value, _ = rows((24,))
    with pytest.raises(UnsupportedOp):
        reshape(value, [2, 12, Tokens(1)])
    with pytest.raises(UnsupportedOp):
        reshape(permute(value, [0, 2, 1]), [Tokens(1), 24, 2])


def test_tokens_never_meet_other_tokens() -> None:
    value, _ = rows((24,))
    with pytest.raises(UnsupportedOp):
        align([value, permute(value, [0, 2, 1])])
    with pytest.raises(UnsupportedOp, match="over tokens again"):
        expand(Value(value.node, (*value.axes, ())), [1, Tokens(1), 24, Tokens(1)])
