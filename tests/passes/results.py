"""What tests of passes ask: does it become that text, and does it still mean the same?"""

from __future__ import annotations

import numpy as np

from foreknown.graph.batch import Batch
from foreknown.graph.interpret import run
from foreknown.graph.ir import Graph
from foreknown.graph.state import State
from foreknown.graph.text import literals, parse_graph, print_graph
from foreknown.graph.verify import verify
from foreknown.passes.pipeline import Pass
from tests.graph.random_graphs import random_weights


def becomes(run_pass: Pass, before: str, expected: str) -> None:
    """Fails with both texts where the pass makes something else of `before`."""
    after = verify(run_pass(verify(parse_graph(before))))
    wanted = parse_graph(expected, literals(after))
    same = dict(after.outputs) == dict(wanted.outputs)
    assert same, f"became\n{print_graph(after)}\nexpected\n{print_graph(wanted)}"


def stays(run_pass: Pass, text: str) -> None:
    """Fails where the pass changes a graph that it must leave alone."""
    becomes(run_pass, text, text)


def means_the_same(before: Graph, after: Graph, steps: tuple[Batch, ...]) -> None:
    """Fails where the outputs of any step differ by more than the rounding of f64 to f32."""
    weights = random_weights(before)
    blocks = int(max(s.block_tables.max() for s in steps)) + 1
    states = State(blocks), State(blocks)
    for step in steps:
        expected = run(before, step, weights, states[0])
        found = run(after, step, weights, states[1])
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-30)
