"""Fusing into phases: what shares a stage, what crosses a border, who may read what and when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings

from foreknown.graph.ir import Graph, Node, R, T, const, make
from foreknown.graph.text import parse_graph
from foreknown.plan.phases import Phase, fuse
from tests.decoders import decoder
from tests.graph.random_graphs import graphs
from tests.targets.op_cases import GROUPS, graph_of

GATHERS_A_VECTOR = {"linear", "experts", "scan", "select_rows"}


def shape_of(phases: Sequence[Phase]) -> list[tuple[int, str, str]]:
    return [(p.stage, p.kind, " ".join(n.op for n in p.nodes)) for p in phases]


def source(value: Node) -> Node:
    """The node whose rows hold a value's bytes, found without the planner's own function."""
    return source(value.args[0]) if value.op == "reshape" and value.rows is not None else value


def check_schedule(graph: Graph, phases: Sequence[Phase]) -> None:
    """Every rule that makes the phases safe to run, written down once more from the beginning.

    Threads meet only between stages. So a row operation may read what its own phase computed of
    the same row, and everything else must have been finished in an earlier stage.
    """
    at: dict[Node, Phase] = {}
    for phase in phases:
        for node in phase.nodes:
            assert node not in at, f"{node!r} is computed twice"
            assert node.rows is phase.rows
            at[node] = phase
    stored = {slot: phase for phase in phases for slot in phase.stores}
    kept = {tuple(slot.values): phase for slot, phase in stored.items()}
    assert list(phases) == sorted(phases, key=lambda p: p.stage)
    leaves = {"tokens", "positions", "rows"}
    for node in graph.nodes:
        if node.rows is None or node.op in leaves or node.op == "reshape":
            continue
        phase = at[node]
        if node.op in {"attend", "shift"}:
            values = node.args[1:3] if node.op == "attend" else node.args
            assert kept[values].stage < phase.stage, f"{node!r} reads state not yet written"
        read = node.args if node.op != "attend" else (node.args[0], *node.args[3:])
        for value in map(source, () if node.op == "shift" else read):
            if value.rows is None or value.op in leaves:
                continue
            if at[value] is phase:
                assert phase.kind == "rows", f"{node!r} needs {value!r} finished"
                assert node.op not in GATHERS_A_VECTOR
                assert phase.nodes.index(value) < phase.nodes.index(node)
            else:
                assert at[value].stage < phase.stage, f"{node!r} reads {value!r} too soon"
                assert value in phase.inputs, f"{value!r} is no input"
                assert value in at[value].outputs, f"{value!r} is no output"
    for values, phase in kept.items():
        for value in map(source, values):
            if value.op in leaves or at[value] is phase:
                continue
            assert at[value].stage < phase.stage
            assert value in phase.inputs
            assert value in at[value].outputs
    for result in map(source, graph.outputs.values()):
        assert result.op in leaves or result in at[result].outputs
    for phase in phases:
        assert set(phase.outputs) <= set(phase.nodes)
        assert not set(phase.inputs) & set(phase.nodes)


def test_row_operations_share_a_phase_and_a_product_stands_alone() -> None:
    graph = parse_graph("""graph g {
      %0 = tokens
      %1 = weight {name="embed", shape=[9,4], stored="f32"}
      %2 = take %1, %0
      %3 = mul %2, %2
      %4 = sum %3 {axes=[1]}
      %5 = mul %2, %4
      %6 = weight {name="w", shape=[6,4], stored="f32"}
      %7 = linear %5, %6
      %8 = tanh %7
      return logits=%8
    }""")
    phases = fuse(graph)
    assert shape_of(phases) == [
        (0, "rows", "take mul sum mul"),
        (1, "linear", "linear"),
        (2, "rows", "tanh"),
    ]
    first, product, last = phases
    assert [n.op for n in first.outputs] == ["mul"]
    assert product.inputs == first.outputs
    assert last.inputs == product.outputs
    assert last.outputs == (graph.outputs["logits"],)


def test_attention_reads_what_an_earlier_stage_stored() -> None:
    x = make("cast", make("positions"), dtype="f32")
    q = make("broadcast", make("reshape", x, shape=(T, 1, 1)), shape=(T, 2, 4))
    k = make("exp", q)
    attrs = {"window": None, "chunk": None, "softcap": None, "sinks": False, "bias": False}
    seen = make("attend", q, k, k, scale=1.0, **attrs)
    other = make("attend", make("neg", q), k, k, scale=1.0, **attrs)
    phases = fuse(Graph("g", {"logits": make("add", seen, other)}))
    assert [(p.stage, p.kind) for p in phases] == [(0, "rows"), (1, "attend"), (2, "rows")]
    (slot,) = phases[0].stores  # both read the same keys and values, kept once
    assert (slot.kind, slot.values) == ("attend", (k, k))
    assert k not in phases[0].outputs  # it is read through the state alone
    assert len(phases[1].nodes) == 2


def test_a_reshape_of_rows_is_the_value_itself() -> None:
    x = make("tanh", make("cast", make("positions"), dtype="f32"))
    wide = make("broadcast", make("reshape", x, shape=(T, 1)), shape=(T, 6))
    split = make("reshape", make("reshape", wide, shape=(T, 2, 3)), shape=(T, 6))
    product = make("linear", split, make("weight", name="w", shape=(5, 6), stored="f32"))
    graph = Graph("g", {"logits": make("reshape", product, shape=(T, 5, 1))})
    first, second = fuse(graph)
    assert second.inputs == (wide,)
    assert first.outputs == (wide,)
    assert second.outputs == (product,)
    assert all(n.op != "reshape" for p in (first, second) for n in p.nodes)


def test_selected_rows_have_phases_of_their_own() -> None:
    x = make("tanh", make("cast", make("positions"), dtype="f32"))
    chosen = make("select_rows", x, make("rows"))
    phases = fuse(Graph("g", {"logits": make("mul", chosen, const(2.0))}))
    assert [(p.stage, p.rows) for p in phases] == [(0, T), (1, R)]


def test_what_nothing_joins_runs_without_a_barrier() -> None:
    x = make("take", make("weight", name="e", shape=(9, 4), stored="f32"), make("tokens"))
    both = [
        make("linear", x, make("weight", name=n, shape=(4, 4), stored="f32")) for n in ("a", "b")
    ]
    phases = fuse(Graph("g", {"logits": make("add", *both)}))
    assert [p.kind for p in phases] == ["rows", "linear", "rows"]


@pytest.mark.parametrize(("letters", "most"), [("am", 9), ("wm", 9), ("ae", 11), ("rm", 10)])
def test_a_layer_takes_few_phases(letters: str, most: int) -> None:
    """Barriers cost time: a layer of attention and a gated MLP has at most nine phases."""
    counts = [len(fuse(decoder(letters * n))) for n in (1, 2, 3)]
    assert counts[1] - counts[0] <= most
    assert counts[2] - counts[1] == counts[1] - counts[0]


@pytest.mark.parametrize("layers", ["awmer", "rrr", "aweaw"])
def test_a_decoder_is_scheduled_safely(layers: str) -> None:
    graph = decoder(layers)
    check_schedule(graph, fuse(graph))


@pytest.mark.parametrize("group", GROUPS)
def test_every_operation_is_scheduled_safely(group: str) -> None:
    graph = graph_of(group)
    check_schedule(graph, fuse(graph))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_any_graph_is_scheduled_safely(graph: Graph) -> None:
    check_schedule(graph, fuse(graph))
