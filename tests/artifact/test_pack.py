"""Packed weights: bit for bit what the checkpoint holds, where the plan says, and finite."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foreknown.artifact.pack import pack
from foreknown.errors import CheckpointError
from foreknown.graph.bf16 import to_bf16
from foreknown.graph.ir import Graph, Node, const, make
from foreknown.plan.constants import Constant, file_bytes, place_constants
from tests.executors import Memory, random_weights, rounded
from tests.targets.op_cases import weight, x

Array = NDArray[Any]
DTYPES = {"f32": np.float32, "bf16": np.uint16, "i32": np.int32, "bool": np.uint8}


def packed(
    w: Node, weights: dict[str, Array], *, matrix: bool = True, stored: str = "as stored"
) -> tuple[Constant, Array]:
    """A constant as it lies in the file: the elements of its layout."""
    result = make("take", w, make("tokens"))
    if matrix:
        result = make("linear", x(w.row_shape[-1]), w)
    graph = Graph("g", {"logits": result})
    constants = place_constants(graph, stored)
    file = io.BytesIO(b"\xff" * file_bytes(constants.values()))
    pack(constants.values(), Memory(graph, weights), file)
    constant = constants[w]
    raw = file.getvalue()[constant.offset : constant.offset + constant.bytes]
    return constant, np.frombuffer(raw, DTYPES[constant.stored])


def unpanelled(elements: Array, n: int, k: int) -> Array:
    """[n / 16][k][16] back to [n, k], by its definition."""
    found = np.empty((n, k), elements.dtype)
    for row in range(n):
        for column in range(k):
            found[row, column] = elements[(row // 16 * k + column) * 16 + row % 16]
    return found


@pytest.mark.parametrize(("n", "k"), [(1, 1), (16, 8), (17, 3), (33, 50), (5, 7)])
@pytest.mark.parametrize("stored", ["f32", "bf16", "f16"])
def test_a_matrix_keeps_its_bits_in_panels(stored: str, n: int, k: int) -> None:
    w = weight("w", n, k, stored=stored)
    value = random_weights(Graph("g", {"w": w}))["w"]
    constant, found = packed(w, {"w": value})
    expected = to_bf16(value) if stored == "bf16" else value
    assert constant.stored == ("bf16" if stored == "bf16" else "f32")
    assert found.size == -(-n // 16) * 16 * k
    np.testing.assert_array_equal(unpanelled(found, n, k), expected)
    padding = np.arange(-(-n // 16) * 16) >= n
    assert not found.reshape(-1, k, 16).swapaxes(1, 2).reshape(-1, k)[padding].any()


def test_a_large_matrix_is_written_in_pieces_and_whole() -> None:
    n, k = 1000, 700
    w = weight("w", n, k)
    value = np.arange(n * k, dtype=np.float32).reshape(n, k)
    _, found = packed(w, {"w": value})
    whole = found.reshape(-1, k, 16).swapaxes(1, 2).reshape(-1, k)[:n]
    np.testing.assert_array_equal(whole, value)


@pytest.mark.parametrize("stored", ["f32", "bf16", "f16", "i32"])
def test_a_table_lies_flat(stored: str) -> None:
    w = weight("w", 30, 9, stored=stored)
    value = random_weights(Graph("g", {"w": w}))["w"]
    _, found = packed(w, {"w": value}, matrix=False)
    expected = to_bf16(value) if stored == "bf16" else value
    np.testing.assert_array_equal(found.reshape(30, 9), expected)


def test_groups_and_experts_lie_one_after_another() -> None:
    w = weight("w", 3, 18, 4)
    value = random_weights(Graph("g", {"w": w}))["w"]
    graph = Graph("g", {"logits": make("linear", x(3, 4), w)})
    constants = place_constants(graph)
    file = io.BytesIO(bytes(file_bytes(constants.values())))
    pack(constants.values(), Memory(graph, {"w": value}), file)
    at = constants[w].offset
    found = np.frombuffer(file.getvalue()[at : at + constants[w].bytes], np.float32)
    for group, elements in enumerate(found.reshape(3, -1)):
        np.testing.assert_array_equal(unpanelled(elements, 18, 4), value[group])


def test_joined_turned_and_sliced_bf16_keeps_its_bits() -> None:
    a, b = weight("a", 5, 6, stored="bf16"), weight("b", 6, 8, stored="bf16")
    turned = make("permute", b, axes=(1, 0))
    part = make("slice", turned, axis=0, start=1, stop=8, step=2)
    w = make("reshape", make("concat", a, part, axis=0), shape=(18, 3))
    weights = random_weights(Graph("g", {"w": w}))
    constant, found = packed(w, weights)
    expected = np.concatenate([weights["a"], weights["b"].T[1:8:2]]).reshape(18, 3)
    assert constant.stored == "bf16"
    np.testing.assert_array_equal(unpanelled(found, 18, 3), to_bf16(expected))


def test_what_is_computed_is_rounded_once() -> None:
    a = weight("a", 20, 6, stored="bf16")
    w = make("add", make("mul", a, const(0.1)), const(1.0))
    weights = random_weights(Graph("g", {"w": w}))
    _, found = packed(w, weights)
    expected = weights["a"] * np.float32(0.1) + np.float32(1.0)
    np.testing.assert_array_equal(unpanelled(found, 20, 6), expected)


@pytest.mark.parametrize("stored", ["f32", "bf16", "f16"])
@pytest.mark.parametrize("chosen", ["f32", "bf16"])
def test_the_chosen_format_is_rounded_to_from_any_other(stored: str, chosen: str) -> None:
    w = weight("w", 20, 6, stored=stored)
    value = random_weights(Graph("g", {"w": w}))["w"]
    constant, found = packed(w, {"w": value}, stored=chosen)
    assert constant.stored == chosen
    expected = to_bf16(value) if chosen == "bf16" else value
    np.testing.assert_array_equal(unpanelled(found, 20, 6), expected)


def test_bf16_rounds_to_the_nearest_and_ties_to_even() -> None:
    one = np.float32(1.0)
    step = np.float32(2.0**-7)
    given = np.array([one + step / 2, one + 3 * step / 2, one + step * 0.51, -one - step * 0.49])
    expected = np.array([one, one + 2 * step, one + step, -one])
    np.testing.assert_array_equal(rounded(given.astype(np.float32), "bf16"), expected)


@pytest.mark.parametrize("stored", ["f32", "bf16", "f16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chosen", ["as stored", "bf16", "f32"])
def test_a_weight_that_is_no_number_is_refused_by_name(
    stored: str, value: float, chosen: str
) -> None:
    good, bad = weight("good", 4, 6, stored=stored), weight("the.bad", 3, 6, stored=stored)
    joined = make("concat", good, bad, axis=0)
    weights = random_weights(Graph("g", {"w": joined}))
    weights["the.bad"][1, 2] = value
    with pytest.raises(CheckpointError) as raised:
        packed(joined, weights, stored=chosen)
    assert raised.value.where == "the.bad"
    assert "NaN or infinity" in raised.value.what


def test_a_weight_too_large_for_bf16_is_refused() -> None:
    w = weight("huge", 3, 6)
    weights = {"huge": np.full((3, 6), np.finfo(np.float32).max)}
    with pytest.raises(CheckpointError, match="become infinite") as raised:
        packed(w, weights, stored="bf16")
    assert "--weights f32" in raised.value.remedy


def test_our_own_tables_may_hold_infinities() -> None:
    table = const(np.array([[0.0, -np.inf]] * 40, np.float32))
    _, found = packed(table, {}, matrix=False)
    np.testing.assert_array_equal(found, np.tile(np.array([0.0, -np.inf], np.float32), 40))


def test_progress_is_told_every_byte() -> None:
    graph = Graph("g", {"logits": make("linear", x(300), weight("w", 900, 300))})
    constants = place_constants(graph)
    told: list[int] = []
    file = io.BytesIO(bytes(file_bytes(constants.values())))
    pack(constants.values(), Memory(graph, random_weights(graph)), file, told.append)
    assert sum(told) == sum(c.bytes for c in constants.values())
    assert len(told) > 3
