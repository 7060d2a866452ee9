"""A calibration text tells how large the rows are that each column meets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.artifact.calibration import CHUNK_TOKENS, column_importance
from foreknown.errors import RequestError
from foreknown.graph.batch import single
from foreknown.graph.interpret import run
from foreknown.graph.ir import Graph, make
from foreknown.graph.state import State
from foreknown.passes.lower_bits import lower_weights, products
from tests.decoders import VOCABULARY, decoder
from tests.executors import Memory, random_weights

TOKENS = np.random.default_rng(5).integers(0, VOCABULARY, 2 * CHUNK_TOKENS + 5).tolist()


def test_columns_are_as_important_as_their_rows_are_large() -> None:
    graph = decoder("awm", wide=True, name="calibrated")
    weights = random_weights(graph, seed=1)
    found = column_importance(graph, Memory(graph, weights), TOKENS, context=128, n_threads=2)
    operands = products(graph)
    squares = {str(i): make("mul", x, x) for i, x in enumerate(operands.values())}
    rows = run(Graph("g", squares), single(TOKENS), weights, State(8))
    assert found.keys() == operands.keys()
    for i, w in enumerate(operands):
        k = found[w].shape[0]
        expected = np.sqrt(rows[str(i)].reshape(-1, k).mean(0, dtype=np.float64))
        np.testing.assert_allclose(found[w], expected, rtol=1e-4)  # f32 through three layers


def test_it_takes_the_place_of_the_gain() -> None:
    graph = decoder("m", wide=True)
    w = next(iter(products(graph)))
    known = np.arange(1, w.row_shape[-1] + 1, dtype=np.float32)
    lowered = lower_weights(graph, 4, importance={w: known})
    (low,) = [n for n in lowered.nodes if n.op == "lowbit" and n.args[0] is w]
    np.testing.assert_array_equal(low.args[1].attrs["value"].array, known)


def test_an_empty_text_is_refused() -> None:
    graph = decoder("m", wide=True)
    with pytest.raises(RequestError, match="empty"):
        column_importance(graph, Memory(graph, random_weights(graph)), [], context=128, n_threads=1)


def test_a_text_changes_how_weights_are_rounded(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "models" / "stories260K"
    text = "Once upon a time there was a little girl who liked to play in the park. " * 8
    plain = compile_checkpoint(source, tmp_path / "plain", Options(weights="int4"))
    told = compile_checkpoint(source, tmp_path / "told", Options(weights="int4", calibration=text))
    assert "calibration" in told.manifest.compile_seconds
    assert plain.manifest.weights_checksum != told.manifest.weights_checksum
