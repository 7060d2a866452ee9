"""Costs against figures worked out by hand."""

from __future__ import annotations

import pytest

from foreknown.graph.ir import Graph, Node, T, make
from foreknown.machine.kernels import Attention, Kernel, Product, Rows
from foreknown.plan.constants import place_constants
from foreknown.plan.costs import Cost, Formula, phase_cost, phase_kernels
from foreknown.plan.phases import fuse
from tests.targets.op_cases import attend, integers, weight, x


def costs(**outputs: Node) -> dict[str, list[Cost]]:
    """The costs of a graph's phases by their kind."""
    graph = Graph("g", outputs)
    constants = place_constants(graph)
    found: dict[str, list[Cost]] = {}
    for phase in fuse(graph):
        found.setdefault(phase.kind, []).append(phase_cost(phase, constants))
    return found


def test_a_formula_is_a_sum_of_its_terms() -> None:
    formula = Formula(constant=5, per_token=3, per_row=7, per_context=0.5)
    assert formula.at(tokens=4, rows=2, context=10) == 5 + 12 + 14 + 20
    both = formula + Formula(constant=1, per_context=1.5)
    assert both == Formula(constant=6, per_token=3, per_row=7, per_context=2)


def test_linear_moves_its_weights_once_a_step() -> None:
    # 20 outputs are two panels of 16: 32 x 8 weights of 2 bytes; rows of 8 in, 20 out, 4 bytes
    (cost,) = costs(logits=make("linear", x(8), weight("w", 20, 8, stored="bf16")))["linear"]
    assert cost.bytes == Formula(constant=32 * 8 * 2, per_token=4 * (8 + 20))
    assert cost.flops == Formula(per_token=2 * 20 * 8)


def test_a_product_of_selected_rows_is_paid_by_row() -> None:
    chosen = make("select_rows", x(8), make("rows"))
    (cost,) = costs(logits=make("linear", chosen, weight("w", 16, 8)))["linear"]
    assert cost.bytes == Formula(constant=16 * 8 * 4, per_row=4 * (8 + 16))
    assert cost.flops == Formula(per_row=2 * 16 * 8)


def test_groups_of_a_linear_count_their_own_columns() -> None:
    (cost,) = costs(logits=make("linear", x(3, 8), weight("w", 3, 16, 8)))["linear"]
    assert cost.bytes.constant == 3 * 16 * 8 * 4
    assert cost.flops == Formula(per_token=2 * 3 * 16 * 8)


def test_experts_move_the_weights_of_those_chosen() -> None:
    index = integers(2, low=0, high=5)
    (cost,) = costs(logits=make("experts", x(8), weight("w", 5, 16, 8), index))["experts"]
    # two of five experts of 16 x 8 weights of 4 bytes for each token
    assert cost.bytes == Formula(per_token=2 * 16 * 8 * 4 + 4 * (8 + 2 * 16))
    assert cost.flops == Formula(per_token=2 * 2 * 16 * 8)


def test_attention_pays_for_its_context() -> None:
    q, k, v = x(6, 12, seed=1), x(2, 12, seed=2), x(2, 20, seed=3)
    (cost,) = costs(logits=attend(q, k, v))["attend"]
    assert cost.bytes == Formula(per_context=4 * 2 * (12 + 32))  # values in whole vectors
    assert cost.flops == Formula(per_context=2 * 6 * (12 + 20))
    assert cost.flops.at(tokens=3, rows=0, context=100) == 3 * 100 * 2 * 6 * 32


def test_a_window_bounds_what_attention_pays() -> None:
    q, k, v = x(6, 12, seed=1), x(2, 12, seed=2), x(2, 20, seed=3)
    (cost,) = costs(logits=attend(q, k, v, window=10))["attend"]
    assert cost.bytes == Formula(per_token=4 * 2 * (12 + 32) * 10)
    assert cost.flops == Formula(per_token=2 * 6 * (12 + 20) * 10)


def test_rows_pay_for_what_crosses_their_border() -> None:
    a = x(8, seed=1)
    product = make("linear", make("mul", a, a), weight("w", 16, 8))
    first, last = costs(logits=make("exp", product))["rows"]
    # a lookup of 8 and a product row of 8 written; 8 multiplications
    assert first.bytes == Formula(per_token=4 * 8 + 4 * 8)
    assert first.flops == Formula(per_token=8)
    # 16 read, 16 written; an exponential counts as ten
    assert last.bytes == Formula(per_token=4 * (16 + 16))
    assert last.flops == Formula(per_token=160)


def test_stored_state_is_moved_too() -> None:
    a = x(8, seed=1)
    first, *_ = costs(logits=make("add", a, make("shift", make("neg", a), n=1)))["rows"]
    assert first.bytes.per_token == pytest.approx(4 * 8 + 4 * 8 + 4 * 8)  # lookup, output, state


def test_low_bits_move_codes_and_scales_and_count_integer_operations() -> None:
    row = make("quantise", x(64), group=32)
    w = make("lowbit", weight("w", 32, 64), bits=4, group=32)
    (cost,) = costs(logits=make("linear", row, w))["linear"]
    # 32 x 64 half bytes and 32 x 2 scales; rows of 64 codes, 2 scales and 2 sums; 32 out
    assert cost.bytes == Formula(constant=1024 + 128, per_token=64 + 16 + 4 * 32)
    assert cost.int8_ops == Formula(per_token=2 * 32 * 64)
    assert cost.flops == Formula()


def test_a_step_is_the_sum_of_its_phases() -> None:
    a, b = Cost(Formula(1), Formula(2)), Cost(Formula(3), Formula(per_token=4))
    assert a + b == Cost(Formula(4), Formula(2, 4))


def test_rows_first_is_what_costs_assume() -> None:
    assert x(8).shape == (T, 8)


def kernels(**outputs: Node) -> dict[str, list[tuple[Kernel, ...]]]:
    """The kernels of a graph's phases by their kind."""
    graph = Graph("g", outputs)
    constants = place_constants(graph)
    found: dict[str, list[tuple[Kernel, ...]]] = {}
    for phase in fuse(graph):
        found.setdefault(phase.kind, []).append(phase_kernels(phase, constants))
    return found


def test_kernels_of_products() -> None:
    index = integers(2, low=0, high=5)
    row = make("quantise", x(64), group=32)
    low = make("lowbit", weight("w", 48, 64), bits=4, group=32)
    assert kernels(logits=make("linear", row, low))["linear"] == [(Product("int4/32", 48, 64),)]
    grouped = make("linear", x(3, 8), weight("w", 3, 16, 8, stored="bf16"))
    assert kernels(logits=grouped)["linear"] == [(Product("bf16", 16, 8, matrices=3),)]
    runs = make("linear", x(5, 8), weight("w", 16, 8))
    assert kernels(logits=runs)["linear"] == [(Product("f32", 16, 8, lead=5),)]
    routed = make("experts", x(8), weight("w", 5, 16, 8), index)
    assert kernels(logits=routed)["experts"] == [(Product("f32", 16, 8, experts=5, chosen=2),)]


def test_kernels_of_attention_keep_what_lies_in_blocks() -> None:
    q, k, v = x(6, 12, seed=1), x(2, 12, seed=2), x(2, 20, seed=3)
    (own,) = kernels(logits=attend(q, k, v, window=10))["attend"]
    assert own == (Attention("f32", 6, 2, 12, 20, window=10, kept_bytes=4 * 2 * (12 + 32)),)


def test_kernels_of_rows_count_elements_by_kind() -> None:
    a = x(8, seed=1)
    total = make("sum", make("exp", make("mul", a, a)), axes=(1,))
    product = make("linear", make("mul", a, total), weight("w", 16, 8))
    ((rows,),) = kernels(logits=product)["rows"]
    assert isinstance(rows, Rows)
    # a lookup of 8; two multiplications, an exponential and a sum over 8; a row of 8 handed on
    assert dict(rows.counts) == {
        "looked_up": 8,
        "cheap": 16,
        "function": 8,
        "reduced": 8,
        "kilobytes": 32 / 1024,
    }
