"""Low-bit weights from the checkpoint to the answer: packed as drawn, refused when they must be,
and of the quality that their bits allow.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foreknown.artifact import load_program, open_artifact
from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.artifact.pack import pack
from foreknown.errors import CheckpointError
from foreknown.graph.batch import single
from foreknown.graph.bf16 import from_bf16, to_bf16
from foreknown.graph.ir import Graph, make
from foreknown.graph.quantise import CODEBOOK, dequantise, quantise_weights
from foreknown.plan.constants import file_bytes, place_constants
from foreknown.report.weights import weights_record
from tests.executors import Memory
from tests.targets.op_cases import weight, x

Array = NDArray[Any]
FORMATS = ("int8", "int4")


def packed(value: Array, bits: int, group: int, stored: str = "f32") -> Array:
    """The bytes of one matrix in panels."""
    w = weight("w", *value.shape, stored=stored)
    low = make("lowbit", w, bits=bits, group=group)
    graph = Graph("g", {"y": make("linear", make("quantise", x(value.shape[1]), group=group), low)})
    constants = place_constants(graph)
    file = io.BytesIO(bytes(file_bytes(constants.values())))
    pack(constants.values(), Memory(graph, {"w": value}), file)
    placed = constants[low]
    raw = file.getvalue()[placed.offset : placed.offset + placed.bytes]
    return np.frombuffer(raw, np.uint8)


def unpacked(raw: Array, n: int, k: int, bits: int, group: int) -> Array:
    """f32[n, k] read back from panels by their drawing in plan/layout.py."""
    found = np.zeros((n, k), np.float32)
    group_bytes = 64 + 32 * group * bits // 8
    for row in range(n):
        for column in range(k):
            start = (row // 32 * (k // group) + column // group) * group_bytes
            scale = raw[start + row % 32 * 2 :][:2].view(np.float16)[0]
            j = column % group
            of_line = 8 if bits == 4 else 4
            line = (j // of_line * 2 + row % 32 // 16) * 64
            byte = int(raw[start + 64 + line + row % 16 * 4 + j % 4])
            code = CODEBOOK[byte & 15 if j % 8 < 4 else byte >> 4] if bits == 4 else byte - 128
            found[row, column] = np.float32(code) * np.float32(scale)
    return found


@pytest.mark.parametrize(("bits", "group"), [(4, 64), (4, 32), (8, 32), (8, 64)])
@pytest.mark.parametrize(("n", "k"), [(32, 64), (50, 128), (16, 192)])
@pytest.mark.parametrize("stored", ["f32", "bf16"])
def test_panels_hold_what_the_meaning_says(
    bits: int, group: int, n: int, k: int, stored: str
) -> None:
    value = np.random.default_rng(n + k).normal(size=(n, k)).astype(np.float32)
    value[3] = 0.0
    if stored == "bf16":
        value = from_bf16(to_bf16(value))
    expected = dequantise(*quantise_weights(value, bits, group), group)
    found = unpacked(packed(value, bits, group, stored), n, k, bits, group)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros(bits: int) -> None:
    found = unpacked(packed(np.zeros((32, 64), np.float32), bits, 32), 32, 64, bits, 32)
    assert not found.any()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("value", [np.inf, np.nan, 3e38])
def test_weights_that_no_scale_can_hold_are_refused(bits: int, value: float) -> None:
    weights = np.ones((32, 64), np.float32)
    weights[5, 7] = value
    with pytest.raises(CheckpointError, match=r"finite|too large") as refused:
        packed(weights, bits, 32)
    assert "w" in str(refused.value.where)


@pytest.fixture(scope="module")
def stories(
    shared_data: Path, made_once: Callable[[str, Callable[[Path], None]], Path]
) -> dict[str, Path]:
    """A trained model in every format; its inner width, 172, is no multiple of 32."""
    source = shared_data / "models" / "stories260K"

    def make_one(weights: str) -> Path:
        def write(place: Path) -> None:
            compile_checkpoint(source, place, Options(weights=weights))

        return made_once(f"stories-{weights}", write)

    return {weights: make_one(weights) for weights in ("f32", *FORMATS)}


def logits(artifact: Path) -> Array:
    """f32[T, vocabulary] of a text that the model knows."""
    tokens = [1, 403, 407, 261, 378, 505, 322, 432, 383, 285, 261, 376, 400, 267, 337, 410]
    with load_program(open_artifact(artifact)).program as program:
        program.poison()
        batch = single(tokens)
        whole = type(batch)(
            batch.tokens,
            batch.positions,
            batch.sequence,
            batch.block_tables,
            np.arange(len(tokens), dtype=np.int32),
        )
        return program.step(whole).copy()


def divergence(found: Array, expected: Array) -> float:
    """Mean Kullback-Leibler divergence of found from expected, in nats."""

    def log_softmax(z: Array) -> Array:
        z = z.astype(np.float64) - z.max(-1, keepdims=True)
        result: Array = z - np.log(np.exp(z).sum(-1, keepdims=True))
        return result

    p, q = log_softmax(expected), log_softmax(found)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def test_fewer_bits_say_nearly_the_same(stories: dict[str, Path]) -> None:
    """On this model 4-bit weights of the usual kind diverge by some 0.05, 8-bit ones by 0.0005."""
    exact = logits(stories["f32"])
    assert divergence(logits(stories["int8"]), exact) < 2e-3
    assert divergence(logits(stories["int4"]), exact) < 0.15


@pytest.mark.parametrize("weights", FORMATS)
def test_a_matrix_that_few_bits_do_not_fit_stays_and_says_why(
    stories: dict[str, Path], weights: str
) -> None:
    record = weights_record(open_artifact(stories[weights]))
    by_width = {m["shape"][-1]: m for m in record["matrices"] if "weight" in m["value"]}
    assert by_width[172]["stored"] == "bf16"
    assert "not a multiple of 32" in by_width[172]["why_not_lowbit"]
    assert by_width[64]["stored"] == weights
    assert by_width[64]["why_not_lowbit"] is None
    assert record["weights"] == weights


def test_state_goes_with_the_weights(stories: dict[str, Path]) -> None:
    kept = {w: open_artifact(path).manifest.state for w, path in stories.items()}
    assert kept == {"f32": "f32", "int8": "f32", "int4": "int8"}
