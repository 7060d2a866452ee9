"""Law 2: rows are independent.

Only `attend`, `scan` and `shift` read another token's row. Here it is proven by the verifier and
then tried in numbers: what a token's logits are does not depend on who shares its batch, on how
its prompt was cut, on the order of the tokens of other sequences or on which rows are selected.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreknown.errors import GraphError
from foreknown.graph.batch import Batch
from foreknown.graph.interpret import run
from foreknown.graph.ir import Graph, Node, T, make
from foreknown.graph.ops import PAST
from foreknown.graph.state import State
from foreknown.graph.verify import ROW_PROOFS, verify
from tests.graph.random_graphs import batches, graphs, random_weights, schedule

RANDOM = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
CLOSE = {"rtol": 1e-6, "atol": 1e-30}  # sums are rounded once from f64
Weights = dict[str, np.ndarray]


def logits_of(graph: Graph, steps: tuple[Batch, ...], weights: Weights) -> dict[int, np.ndarray]:
    """Logits of every token, by sequence, in the order of positions."""
    state = State(int(max(step.block_tables.max() for step in steps)) + 1)
    found: dict[int, list[np.ndarray]] = {}
    for step in steps:
        logits = run(graph, step, weights, state)["logits"]
        for row, place in zip(logits, step.rows, strict=True):
            found.setdefault(int(step.sequence[place]), []).append(row)
    return {sequence: np.array(rows) for sequence, rows in found.items()}


def alone(steps: tuple[Batch, ...], sequence: int) -> tuple[Batch, ...]:
    """The same steps with the tokens of one sequence only."""
    kept = []
    for step in steps:
        mine = step.sequence == sequence
        if mine.any():
            rows = np.arange(int(mine.sum()), dtype=np.int32)
            kept.append(
                Batch(
                    step.tokens[mine],
                    step.positions[mine],
                    step.sequence[mine],
                    step.block_tables,
                    rows,
                )
            )
    return tuple(kept)


@RANDOM
@given(graphs(steps=25), batches())
def test_who_shares_the_batch_does_not_matter(graph: Graph, steps: tuple[Batch, ...]) -> None:
    weights = random_weights(graph)
    for sequence, expected in logits_of(graph, steps, weights).items():
        found = logits_of(graph, alone(steps, sequence), weights)
        np.testing.assert_allclose(found[sequence], expected, **CLOSE)


@RANDOM
@given(graphs(steps=25), st.lists(st.integers(1, 39), min_size=1, max_size=3), st.data())
def test_how_a_prompt_is_cut_does_not_matter(
    graph: Graph, lengths: list[int], data: st.DataObject
) -> None:
    weights = random_weights(graph)
    whole = logits_of(graph, schedule(lengths, lambda left: left), weights)
    token_by_token = logits_of(graph, schedule(lengths, lambda left: 1), weights)
    cut = schedule(lengths, lambda left: data.draw(st.integers(0, left)))
    in_chunks = logits_of(graph, cut, weights)
    for sequence, expected in whole.items():
        np.testing.assert_allclose(token_by_token[sequence], expected, **CLOSE)
        np.testing.assert_allclose(in_chunks[sequence], expected, **CLOSE)


@RANDOM
@given(graphs(steps=25), st.randoms(use_true_random=False))
def test_how_sequences_are_interleaved_does_not_matter(graph: Graph, random: object) -> None:
    weights = random_weights(graph)
    (step,) = schedule([7, 20, 3], lambda left: left)
    turns = step.sequence.tolist()
    random.shuffle(turns)  # type: ignore[attr-defined]
    queues = {s: list(np.flatnonzero(step.sequence == s)) for s in set(turns)}
    order = np.array([queues[s].pop(0) for s in turns])
    mixed = dataclasses.replace(
        step,
        tokens=step.tokens[order],
        positions=step.positions[order],
        sequence=step.sequence[order],
    )
    expected = logits_of(graph, (step,), weights)
    for sequence, found in logits_of(graph, (mixed,), weights).items():
        np.testing.assert_allclose(found, expected[sequence], **CLOSE)


@RANDOM
@given(graphs(steps=25), st.lists(st.integers(0, 19), min_size=1, max_size=6))
def test_which_rows_are_selected_does_not_matter(graph: Graph, rows: list[int]) -> None:
    weights = random_weights(graph)
    (step,) = schedule([12, 8], lambda left: left)
    every = run(graph, step, weights, State(9))["logits"]
    some = dataclasses.replace(step, rows=np.array(rows, np.int32))
    np.testing.assert_allclose(run(graph, some, weights, State(9))["logits"], every[rows], **CLOSE)


@RANDOM
@given(graphs(steps=25))
def test_the_future_does_not_matter(graph: Graph) -> None:
    weights = random_weights(graph)
    (step,) = schedule([20], lambda left: left)
    tokens = step.tokens.copy()
    tokens[12:] = (tokens[12:] + 1) % 11
    other = dataclasses.replace(step, tokens=tokens)
    (expected,) = logits_of(graph, (step,), weights).values()
    (found,) = logits_of(graph, (other,), weights).values()
    np.testing.assert_allclose(found[:12], expected[:12], **CLOSE)


def forge(op: str, *args: Node, **attrs: object) -> Node:
    """An operation as no shape rule would let it be made, its result as its first argument."""
    node = Node()
    node.op, node.args, node.attrs = op, args, attrs
    node.dtype, node.shape = args[0].dtype, args[0].shape
    return node


def test_only_three_operations_may_read_another_row() -> None:
    assert {"attend", "scan", "shift"} == PAST
    x = make("take", make("weight", name="w", shape=(9, 4), stored="f32"), make("tokens"))
    verify(Graph("g", {"y": make("shift", x, n=1)}))
    for op in ("cumsum", "concat", "slice", "argmax"):
        with pytest.raises(GraphError, match=op):
            verify(Graph("g", {"y": forge(op, x, axis=0)}))
    with pytest.raises(GraphError, match="roll"):
        verify(Graph("g", {"y": forge("roll", x, n=1)}))


def test_what_has_no_proof_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation added to the IR without a proof meets rows nowhere."""
    graph = Graph("g", {"y": make("neg", make("reshape", make("tokens"), shape=(T, 1)))})
    verify(graph)
    monkeypatch.delitem(ROW_PROOFS, "neg")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="no row reads another row"):
        verify(graph)
