"""Law 6: every operation means the same to every executor as to the interpreter.

Tolerances: results that only move, compare or count are equal; others differ by the rounding of
f32 sums and of our own elementary functions, at most 1e-5 of the largest element of the result.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from foreknown.graph import ops
from foreknown.graph.verify import verify
from tests.executors import EXECUTORS, Array, Mix, Outputs, random_weights
from tests.targets.op_cases import GROUPS, VOCABULARY, graph_of

SEED = 20261123
"""Of the batches; printed with a failure."""

CASES = [(g, n) for g in GROUPS for n in graph_of(g).outputs if n != "logits"]
TARGETS = [name for name in EXECUTORS if name != "interpreter"]
LENGTHS = (50, 1, 17, 33)


@cache
def results(executor: str, group: str) -> list[Outputs]:
    graph = verify(graph_of(group))
    steps = Mix(LENGTHS, SEED, VOCABULARY).steps(SEED, interleave=True)
    return EXECUTORS[executor](graph, random_weights(graph), steps)


def close(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if found.dtype != np.float32:
        np.testing.assert_array_equal(found, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    # elementwise results over many magnitudes are held to their own size, not to the largest
    largest = float(np.minimum(finite.max(initial=0.0), 1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6 * largest + 1e-37)


@pytest.mark.parametrize("executor", TARGETS)
@pytest.mark.parametrize(("group", "name"), CASES)
def test_an_executor_agrees_with_the_interpreter(executor: str, group: str, name: str) -> None:
    for step, (found, expected) in enumerate(
        zip(results(executor, group), results("interpreter", group), strict=True)
    ):
        try:
            close(found[name], expected[name])
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, step {step}: {error}") from None


def test_every_operation_is_asked_for() -> None:
    asked = {node.op for name in GROUPS for node in graph_of(name).nodes}
    assert asked == set(ops._RULES) - {"rows"} | {"rows"}


@pytest.mark.parametrize("group", ["views", "lookups", "ordering", "elementwise_i32"])
def test_what_moves_or_counts_is_exact(group: str) -> None:
    """Values that no operation computes in f32 are the interpreter's, bit by bit."""
    for found, expected in zip(results("cpu", group), results("interpreter", group), strict=True):
        for name, value in expected.items():
            if value.dtype != np.float32 or (group, name) in MOVED:
                np.testing.assert_array_equal(found[name], value, err_msg=name)


MOVED = {
    *(("views", n) for n in graph_of("views").outputs if "concat" not in n),
    *(("lookups", n) for n in graph_of("lookups").outputs if n.startswith("take ")),
    *(("ordering", n) for n in graph_of("ordering").outputs if n.startswith("topk_values")),
}
