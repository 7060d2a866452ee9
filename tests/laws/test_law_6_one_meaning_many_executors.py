"""Law 6: the interpreter defines every operation, and every executor is asked for each of them.

What each operation means is compared in tests/targets/test_ops.py, which runs on every executor;
here is that nothing is left out, that random graphs agree too, and that what a target cannot do
it refuses by name before anything runs.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from foreknown.errors import GraphError, UnsupportedOp
from foreknown.graph import ops
from foreknown.graph.interpret import meanings
from foreknown.graph.ir import Graph, Node, T, make
from foreknown.graph.verify import verify
from foreknown.plan.plan import make_plan
from foreknown.targets.cpu.source import generate
from tests.executors import EXECUTORS, LIMITS, Array, Mix, cpu, interpreter, random_weights
from tests.graph.random_graphs import VOCABULARY, graphs
from tests.targets import test_ops
from tests.targets.op_cases import GROUPS, attend, booleans, graph_of, integers, weight, x


def test_every_operation_has_a_meaning() -> None:
    assert set(meanings()) == set(ops._RULES)


def test_every_operation_is_asked_of_every_executor() -> None:
    asked = {node.op for name in GROUPS for node in graph_of(name).nodes}
    assert asked == set(ops._RULES)
    assert set(test_ops.TARGETS) | {"interpreter"} == set(EXECUTORS)


@pytest.mark.parametrize(
    ("node", "op", "dtype"),
    [
        (lambda: make("topk_values", integers(5), k=2, largest=True), "topk_values", "i32"),
        (lambda: make("topk_indices", integers(5), k=2, largest=False), "topk_indices", "i32"),
        (lambda: make("topk_indices", booleans(5), k=2, largest=True), "topk_indices", "bool"),
        (
            lambda: make(
                "topk_indices",
                make("reshape", make("tokens"), shape=(T, 1)),
                k=1,
                largest=True,
            ),
            "topk_indices",
            "i32",
        ),
    ],
)
def test_what_the_target_cannot_do_is_refused_by_name(node: Node, op: str, dtype: str) -> None:
    assert inspect.isfunction(node)
    logits = make("cast", node(), dtype="f32")
    with pytest.raises(UnsupportedOp, match=f"{op} for {dtype}") as raised:
        generate(make_plan(Graph("g", {"logits": logits}), LIMITS))
    assert op in raised.value.where


@pytest.mark.parametrize(
    "node",
    [
        lambda: make("experts", integers(5), weight("w", 3, 4, 5), integers(2, low=0, high=3)),
        lambda: make("experts", x(5), weight("w", 3, 4, 5), x(2)),
        lambda: make("linear", integers(5), weight("w", 4, 5)),
        lambda: make("matmul", integers(2, 3), x(3, 2)),
        lambda: make("scan", integers(5), x(5)),
        lambda: make("scan", x(5), integers(5)),
        lambda: attend(integers(2, 3), x(1, 3), x(1, 3)),
        lambda: attend(x(2, 3), x(1, 3), integers(1, 3)),
        lambda: make("exp", integers(5)),
        lambda: make("add", integers(5), x(5)),
        lambda: make("add", booleans(5), booleans(5)),
        lambda: make("take", weight("w", 4, 5), x(2)),
    ],
)
def test_operands_of_another_dtype_never_reach_a_target(node: Node) -> None:
    assert inspect.isfunction(node)
    with pytest.raises(GraphError):
        node()


def found_graphs(count: int) -> list[Node]:
    """Logits of random graphs, each with weights of its own; always the same ones."""
    found: list[Graph] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(graphs())
    def collect(graph: Graph) -> None:
        found.append(graph)

    collect()
    results = []
    for i, graph in enumerate(found):
        own = {
            node: make("weight", **{**node.attrs, "name": f"{i}.{node.attrs['name']}"})
            for node in graph.nodes
            if node.op == "weight"
        }
        results.append(verify(graph.rewrite(own)).outputs["logits"])
    return results


def same(found: Array, expected: Array) -> Array:
    """1e-5 of the largest element: chains of some ten operations in f32."""
    finite = np.abs(expected[np.isfinite(expected)])
    largest = max(1.0, float(finite.max(initial=0.0)))
    close: Array = np.isclose(found, expected, rtol=1e-5, atol=1e-5 * largest, equal_nan=True)
    return close


def test_random_graphs_mean_the_same() -> None:
    """All in one program. Where the meaning itself jumps under a change of 1e-6 (a rounding or a
    choice between near equals), nothing is asked of the executor."""
    results = found_graphs(24)
    assert len(results) > 12
    graph = Graph("random", {"logits": results[0], **{f"{i}": n for i, n in enumerate(results)}})
    weights = random_weights(graph)
    rng = np.random.default_rng(0)
    nudged = {
        name: (value * (1 + 1e-6 * rng.normal(size=value.shape))).astype(np.float32)
        for name, value in weights.items()
    }
    steps = Mix((37, 5, 20), seed=1, vocab_size=VOCABULARY).steps(1, interleave=True)
    expected = interpreter(graph, weights, steps)
    elsewhere = interpreter(graph, nudged, steps)
    asked = 0
    for got, meant, near in zip(cpu(graph, weights, steps), expected, elsewhere, strict=True):
        for name, value in meant.items():
            steady = same(near[name], value)
            wrong = steady & ~same(got[name], value)
            assert not wrong.any(), f"graph {name}: {got[name][wrong][:3]} for {value[wrong][:3]}"
            asked += int(steady.sum())
    assert asked > 3_000
