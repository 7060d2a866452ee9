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

TARGETS = [name for name in EXECUTORS if name != "interpreter"]
LENGTHS = (50, 1, 17, 33)

COMPUTED = ("awkward", "concat of permuted")
MOVED = {
    *(("views", n) for n in graph_of("views").outputs if not n.startswith(COMPUTED)),
    *(("lookups", n) for n in graph_of("lookups").outputs if n.startswith("take ")),
    *(("ordering", n) for n in graph_of("ordering").outputs if n.startswith("topk_values")),
}
"""What only moves values, which must come out with all their bits."""


@cache
def results(executor: str, group: str) -> list[Outputs]:
    graph = verify(graph_of(group))
    steps = Mix(LENGTHS, SEED, VOCABULARY).steps(SEED, interleave=True)
    return EXECUTORS[executor](graph, random_weights(graph), steps)


def close(found: Array, expected: Array, moved: bool) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if moved or found.dtype != np.float32:
        np.testing.assert_array_equal(found, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    # elementwise results over many magnitudes are held to their own size, not to the largest
    largest = float(np.minimum(finite.max(initial=0.0), 1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6 * largest + 1e-37)


@pytest.mark.parametrize("executor", TARGETS)
@pytest.mark.parametrize("group", GROUPS)
def test_an_executor_agrees_with_the_interpreter(executor: str, group: str) -> None:
    """One test a group, so that its program is compiled once, whichever worker runs it."""
    wrong: dict[str, str] = {}
    for step, (found, expected) in enumerate(
        zip(results(executor, group), results("interpreter", group), strict=True)
    ):
        for name, value in expected.items():
            try:
                close(found[name], value, (group, name) in MOVED)
            except AssertionError as error:
                wrong.setdefault(name, f"{name}, seed {SEED}, step {step}: {error}")
    assert not wrong, "\n".join(wrong.values())


def test_every_operation_is_asked_for() -> None:
    asked = {node.op for name in GROUPS for node in graph_of(name).nodes}
    assert asked == set(ops._RULES)
