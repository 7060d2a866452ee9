"""Matrices in few bits, rows in codes, state in fewer bits; what cannot be held so stays."""

from __future__ import annotations

import pytest

from foreknown.graph.ir import Graph, make
from foreknown.graph.text import parse_graph, print_graph
from foreknown.graph.verify import verify
from foreknown.passes.lower_bits import lower_state, lower_weights, why_not
from tests.decoders import decoder
from tests.targets.op_cases import attend, weight, x

BEFORE = """
graph g {
  %0 = weight {name="embed", shape=[40,64], stored="bf16"}
  %1 = tokens
  %2 = take %0, %1
  %3 = weight {name="w", shape=[96,64], stored="bf16"}
  %4 = linear %2, %3
  %5 = weight {name="gate", shape=[4,64], stored="bf16"}
  %6 = linear %2, %5
  return logits=%4, gate=%6
}
"""


def same(found: Graph, expected: str) -> None:
    assert print_graph(verify(found)) == print_graph(parse_graph(expected))


def test_a_matrix_and_its_rows_are_rounded() -> None:
    same(
        lower_weights(parse_graph(BEFORE), 4, 64),
        """
graph g {
  %0 = weight {name="embed", shape=[40,64], stored="bf16"}
  %1 = lowbit %0 {bits=4, group=64}
  %2 = tokens
  %3 = take %1, %2
  %4 = quantise %3 {group=64}
  %5 = weight {name="w", shape=[96,64], stored="bf16"}
  %6 = lowbit %5 {bits=4, group=64}
  %7 = linear %4, %6
  %8 = weight {name="gate", shape=[4,64], stored="bf16"}
  %9 = linear %3, %8
  return logits=%7, gate=%9
}
""",
    )


def test_the_gain_of_a_norm_tells_which_columns_matter() -> None:
    gain = weight("gain", 64)
    normed = make("mul", make("tanh", x(64)), gain)
    graph = lower_weights(Graph("g", {"logits": make("linear", normed, weight("w", 32, 64))}), 4)
    _, importance = graph.outputs["logits"].args[1].args
    assert importance is make("mul", gain, gain)


def test_a_tied_table_is_rounded_once_as_its_product_needs() -> None:
    embed = weight("embed", 29, 64)
    normed = make("mul", make("take", embed, make("tokens")), weight("gain", 64))
    graph = lower_weights(Graph("g", {"logits": make("linear", normed, embed)}), 4)
    (low,) = [n for n in graph.nodes if n.op == "lowbit"]
    assert len(low.args) == 2
    assert [n.op for n in graph.users[low]] == ["take", "linear"]


@pytest.mark.parametrize("group", [32, 64])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_group_is_as_large_as_asked_for(bits: int, group: int) -> None:
    nodes = lower_weights(parse_graph(BEFORE), bits, group).nodes
    assert {n.attrs["group"] for n in nodes if n.op in {"lowbit", "quantise"}} == {group}


def test_what_shares_an_input_shares_its_codes() -> None:
    a = x(64)
    both = {n: make("linear", a, weight(n, 32, 64)) for n in ("logits", "other")}
    nodes = lower_weights(Graph("g", both), 4).nodes
    assert len([n for n in nodes if n.op == "quantise"]) == 1


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((32, 60), "not a multiple of 32"), ((8, 64), "only 8 outputs"), ((2, 32, 64), "meet parts")],
)
def test_what_cannot_be_held_in_few_bits_stays_and_says_why(
    shape: tuple[int, ...], reason: str
) -> None:
    row = x(*shape[:-2], shape[-1])
    graph = Graph("g", {"logits": make("linear", row, weight("w", *shape))})
    assert lower_weights(graph, 4).outputs == graph.outputs
    assert reason in str(why_not(graph.outputs["logits"]))


def test_a_width_of_an_odd_number_of_groups_takes_the_smaller_group() -> None:
    graph = Graph("g", {"logits": make("linear", x(96), weight("w", 32, 96))})
    assert lower_weights(graph, 4, 64).outputs["logits"].args[1].attrs["group"] == 32


def test_keys_and_values_are_kept_in_the_format_asked_for() -> None:
    q, k, v = x(4, 16, seed=1), x(2, 16, seed=2), x(2, 32, seed=3)
    graph = Graph("g", {"logits": attend(q, k, v)})
    assert lower_state(graph, "f32") is graph
    half = lower_state(graph, "bf16").outputs["logits"]
    assert [a.op for a in half.args] == [q.op, "bf16", "bf16"]
    codes = lower_state(graph, "int8").outputs["logits"]
    assert [a.op for a in codes.args] == ["quantise"] * 3
    assert [a.attrs["group"] for a in codes.args] == [16, 16, 32]


def test_heads_of_odd_widths_stay_in_f32() -> None:
    q, k, v = x(4, 12, seed=1), x(2, 12, seed=2), x(2, 20, seed=3)
    graph = Graph("g", {"logits": attend(q, k, v)})
    assert lower_state(graph, "int8").outputs == graph.outputs


def test_rows_stay_independent() -> None:
    graph = lower_state(lower_weights(decoder("awmer", wide=True), 4), "int8")
    assert verify(graph) is graph
