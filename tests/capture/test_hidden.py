"""Hidden states: the rows that the head reads, as transformers' base model returns them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from foreknown.capture import Captured, capture
from foreknown.capture.hidden import hidden_states
from foreknown.capture.reference import load_eager, quiet, relative_error
from foreknown.capture.tiny import make_tiny_checkpoint, plain_tokens
from foreknown.graph.batch import Batch, single
from foreknown.graph.interpret import run
from foreknown.graph.ir import Graph, Node, const, make
from foreknown.graph.state import State
from foreknown.passes.pipeline import Formats, lower
from tests.executors import Array, assert_same_bits, compiled
from tests.targets.op_cases import weight, x

WIDTH, VOCABULARY = 8, 21
TOKENS = plain_tokens(24, seed=3)


def reference(directory: Path, tokens: Sequence[int]) -> Array:
    """f32[len, hidden_size] from the model below the head, eagerly."""
    model = load_eager(directory)
    with quiet(), torch.inference_mode():
        found = model.base_model(input_ids=torch.tensor([list(tokens)]), use_cache=False)
    states: Array = found.last_hidden_state[0].numpy()
    return states


def weights_of(captured: Captured) -> dict[str, Array]:
    nodes = [n for n in captured.graph.nodes if n.op == "weight"]
    return {str(n.attrs["name"]): captured.weights.read(str(n.attrs["name"])) for n in nodes}


def some_rows(start: int, stop: int) -> Batch:
    return single(TOKENS[start:stop], start, list(range(stop - start))[::-2])


@pytest.mark.parametrize(
    "model_type",
    [
        "llama",
        "gpt2",  # matrices stored transposed, norms with a bias
        "bloom",
        "codegen",  # a head with a bias
        "gemma2",  # logits softly capped
        "granite",  # logits divided
        "gpt_oss",
        "lfm2",
        "mamba2",
    ],
)
@pytest.mark.filterwarnings("ignore")  # transformers' and torch's own, while they trace
def test_they_are_those_of_transformers(model_type: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    make_tiny_checkpoint(model_type, tmp_path)
    captured = capture(tmp_path)
    expected = reference(tmp_path, TOKENS)
    weights, state = weights_of(captured), State(4)
    for start, stop in ((0, 19), (19, 20), (20, 24)):
        step = some_rows(start, stop)
        found = run(captured.graph, step, weights, state)["hidden"]
        assert found.dtype == np.float32
        # f32 sums in another order: ten times what is seen
        assert relative_error(found, expected[start:stop][step.rows]) < 2e-5


@pytest.mark.parametrize("stored", ["as stored", "int8"])
@pytest.mark.filterwarnings("ignore")
def test_a_program_leaves_what_would_be_its_result(stored: str, tmp_path: Path) -> None:
    """The same bits as a program whose only result are the hidden states, rounded or not."""
    make_tiny_checkpoint("gemma2", tmp_path)
    captured = capture(tmp_path)
    graph = lower(captured.graph, 128, Formats(stored))
    weights = weights_of(captured)
    both, one = (
        compiled(g, weights)
        for g in (graph, Graph("hidden alone", {"logits": graph.outputs["hidden"]}))
    )
    steps = [some_rows(0, 17), *(some_rows(i, i + 1) for i in range(17, 20)), some_rows(20, 24)]
    state = State(2)
    with both.program(n_blocks=2) as program, one.program(n_blocks=2) as alone:
        assert program.hidden_size == 64
        assert alone.hidden_size == 0
        for step in steps:
            logits = program.step(step)
            hidden = program.hidden(len(step.rows))
            assert hidden.shape == (len(step.rows), 64)
            assert_same_bits(hidden, alone.step(step))
            meant = run(graph, step, weights, state)
            # what the head reads is rounded to 8 bits with the weights: 2 % as in law 3
            tolerance = 1e-5 if stored == "as stored" else 2e-2
            assert relative_error(hidden, meant["hidden"]) < tolerance
            assert relative_error(logits, meant["logits"]) < tolerance


def head(rows: Node, n: int = VOCABULARY, name: str = "head") -> Node:
    return make("linear", rows, weight(name, n, rows.row_shape[-1]))


def test_through_what_works_on_each_row_alone() -> None:
    h = x(WIDTH)
    padded = make("add", head(h, VOCABULARY + 3), weight("bias", VOCABULARY + 3))
    cut = make("slice", padded, axis=1, start=0, stop=VOCABULARY, step=1)
    capped = make("mul", make("tanh", make("div", cut, const(30.0))), const(30.0))
    masked = make("where", const(np.arange(VOCABULARY) < 19), capped, const(-1e9))
    for logits in (head(h), padded, cut, capped, masked):
        assert hidden_states(logits) is h


def test_a_row_of_one_more_axis_is_laid_flat() -> None:
    h = make("reshape", x(WIDTH), shape=(x(WIDTH).shape[0], 1, WIDTH))
    found = hidden_states(head(h))
    assert found is not None
    assert found.shape == x(WIDTH).shape


@pytest.mark.parametrize(
    "logits",
    [
        lambda: x(VOCABULARY),
        lambda: make("add", head(x(WIDTH)), head(x(WIDTH), name="other")),
        lambda: make("mul", head(x(WIDTH)), make("sigmoid", head(x(WIDTH), name="gate"))),
        lambda: make("concat", head(x(WIDTH)), head(x(WIDTH), name="other"), axis=1),
        lambda: make("broadcast", head(x(WIDTH), 1), shape=(*x(WIDTH).shape[:1], VOCABULARY)),
        lambda: make("sub", head(x(WIDTH)), make("amax", head(x(WIDTH)), axes=(1,))),
        lambda: make(
            "reshape",
            make("linear", x(3, WIDTH), weight("head", 7, WIDTH)),
            shape=(*x(WIDTH).shape[:1], VOCABULARY),
        ),
    ],
    ids=["no product", "two", "gated", "joined", "spread", "normalised", "several rows"],
)
def test_heads_of_other_forms_have_none(logits: object) -> None:
    assert callable(logits)
    assert hidden_states(logits()) is None
