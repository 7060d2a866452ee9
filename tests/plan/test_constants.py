"""Which constants a program holds, in which layout and format, and where."""

from __future__ import annotations

import numpy as np
import pytest

from foreknown.graph.ir import Graph, Node, const, make
from foreknown.plan.constants import ALIGNMENT, Constant, file_bytes, place_constants
from tests.decoders import decoder
from tests.targets.op_cases import GROUPS, attend, graph_of, weight, x


def placed(node: Node, weights: str = "as stored") -> dict[str, tuple[str, str, int]]:
    graph = Graph("g", {"logits": node})
    found = place_constants(graph, weights).values()
    return {str(c.node.attrs.get("name", c.node.op)): (c.layout, c.stored, c.bytes) for c in found}


def test_a_matrix_of_linear_lies_in_panels_and_a_norm_flat() -> None:
    product = make("linear", x(8), weight("w", 20, 8, stored="bf16"))
    found = placed(make("mul", product, weight("gain", 20, stored="bf16")))
    assert found["w"] == ("panel", "bf16", 32 * 8 * 2)
    assert found["gain"] == ("flat", "bf16", 20 * 2)


def test_a_constant_of_one_element_is_written_into_the_code() -> None:
    half = const(0.5)
    graph = Graph("g", {"logits": make("mul", make("linear", x(8), weight("w", 4, 8)), half)})
    assert half not in place_constants(graph)


def test_kernels_read_even_one_element_from_memory() -> None:
    found = place_constants(Graph("g", {"logits": make("linear", x(1), const(np.ones((1, 1))))}))
    assert "panel" in {c.layout for c in found.values()}


def test_what_moves_bf16_stays_bf16_and_what_computes_becomes_f32() -> None:
    a, b = weight("a", 4, 8, stored="bf16"), weight("b", 8, 4, stored="bf16")
    moved = make("concat", a, make("permute", b, axes=(1, 0)), axis=0)
    assert placed(make("linear", x(8), moved))["concat"][1] == "bf16"
    assert placed(make("linear", x(8), make("mul", a, const(2.0))))["mul"][1] == "f32"
    mixed = make("concat", a, weight("c", 4, 8), axis=0)
    assert placed(make("linear", x(8), mixed))["concat"][1] == "f32"


def test_f16_is_held_as_f32_which_has_all_its_values() -> None:
    assert placed(make("linear", x(8), weight("w", 16, 8, stored="f16")))["w"][1] == "f32"


@pytest.mark.parametrize("stored", ["f32", "bf16", "f16"])
def test_the_user_may_choose_the_format_of_matrices(stored: str) -> None:
    gain = weight("gain", 16, stored=stored)
    node = make("mul", make("linear", x(8), weight("w", 16, 8, stored=stored)), gain)
    for chosen in ("f32", "bf16"):
        found = placed(node, chosen)
        assert found["w"][1] == chosen
        assert found["gain"][1] == "f32"


def test_sinks_and_biases_are_f32_whatever_they_were() -> None:
    q, k = x(2, 4, seed=1), x(1, 4, seed=2)
    sinks, bias = weight("s", 2, stored="bf16"), weight("b", 2, 5, stored="bf16")
    for weights in ("as stored", "bf16", "f32"):
        found = placed(attend(q, k, k, sinks, bias, sinks=True, bias=True), weights)
        assert found["s"] == ("flat", "f32", 8)
        assert found["b"] == ("flat", "f32", 40)


@pytest.mark.parametrize("graph", [*map(graph_of, GROUPS), decoder()], ids=lambda g: g.name)
def test_constants_start_on_pages_and_do_not_overlap(graph: Graph) -> None:
    found = sorted(place_constants(graph).values(), key=lambda c: c.offset)
    end = 0
    for constant in found:
        assert constant.offset % ALIGNMENT == 0
        assert constant.offset >= end
        assert constant.bytes == bytes_of(constant)
        end = constant.offset + constant.bytes
    assert end <= file_bytes(found) < end + ALIGNMENT or not found


def bytes_of(constant: Constant) -> int:
    """What a constant takes, counted afresh from its shape."""
    if constant.layout == "flat":
        items = constant.node.row_size
    else:
        *count, n, k = constant.node.row_shape
        rows = 32 if constant.layout == "lowbit" else 16
        items = int(np.prod(count, dtype=np.int64)) * -(-n // rows) * rows * k
    bits = {"bf16": 16, "f32": 32, "i32": 32, "bool": 8, "int8": 8, "int4": 4}[constant.stored]
    size = items * bits // 8
    if constant.layout == "lowbit":
        size += items // constant.node.integer("group") * 2
    return size


def test_low_bit_weights_take_their_codes_and_a_scale_for_each_group() -> None:
    row = make("quantise", x(128), group=64)
    for bits, size in ((4, 64 * (128 // 2 + 2 * 2)), (8, 64 * (128 + 2 * 2))):
        w = make("lowbit", weight("w", 50, 128), bits=bits, group=64)
        assert placed(make("linear", row, w))["lowbit"] == ("lowbit", f"int{bits}", size)
