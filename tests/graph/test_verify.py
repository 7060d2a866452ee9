"""Every rule of the verifier, and every row proof, accepts one graph and refuses another.

Most of what is refused here could not be built with `make`, whose shape rules refuse it first;
the verifier must not lean on them, so the nodes are forged.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from foreknown.errors import GraphError
from foreknown.graph import ops
from foreknown.graph.ir import Graph, Literal, Node, R, Shape, T, const, make
from foreknown.graph.verify import ATTRIBUTES, NODE_RULES, ROW_PROOFS, rows_are_independent, verify
from tests.graph.random_graphs import graphs


def forge(op: str, *args: Node, dtype: str = "f32", shape: Shape = (T,), **attrs: object) -> Node:
    """A node as `make` would never build it."""
    node = Node()
    node.op, node.args, node.attrs, node.dtype, node.shape = op, args, attrs, dtype, shape
    return node


tokens, positions, rows = make("tokens"), make("positions"), make("rows")


def weight(*shape: int) -> Node:
    return make("weight", name=f"w{shape}", shape=shape, stored="f32")


x1 = make("cast", positions, dtype="f32")
x2 = make("take", weight(9, 4), tokens)
x3 = make("reshape", x2, shape=(T, 2, 2))
r2 = make("select_rows", x2, rows)
index = make("topk_indices", x2, k=2, largest=True)
HEADS = {
    "scale": 1.0,
    "window": None,
    "chunk": None,
    "softcap": None,
    "sinks": False,
    "bias": False,
}
attend = make("attend", x3, x3, x3, **HEADS)


def attend_with(**changes: object) -> Node:
    return forge("attend", x3, x3, x3, shape=(T, 2, 2), **{**HEADS, **changes})


GOOD = {
    "unary": make("neg", x2),
    "binary": make("add", x2, const(np.ones(4))),
    "binary, a constant of one row": make("add", x2, const(np.ones((1, 4)))),
    "selected rows": make("mul", r2, r2),
    "constants": make("mul", const(2.0), weight(3, 3)),
    "constants permuted": make("permute", weight(3, 4), axes=(1, 0)),
    "constants reduced": make("sum", weight(3, 4), axes=(0,)),
    "where": make("where", make("lt", x2, const(0.0)), x2, const(0.0)),
    "reshape": make("reshape", x2, shape=(T, 2, 1, 2)),
    "permute": make("permute", x3, axes=(0, 2, 1)),
    "slice": make("slice", x2, axis=1, start=0, stop=2, step=1),
    "concat": make("concat", x2, x2, axis=1),
    "broadcast": make("broadcast", const(1.0), shape=(T, 3)),
    "broadcast of rows": make("broadcast", make("sum", x2, axes=(1,)), shape=(T, 3)),
    "sum": make("sum", x2, axes=(1,)),
    "argmax": make("argmax", x2, axis=1),
    "cumsum": make("cumsum", x2, axis=1),
    "topk": make("topk_values", x2, k=2, largest=False),
    "take": x2,
    "take of a constant": make("take", weight(3, 4), const(np.array([1, 0]))),
    "gather": make("gather", x2, index, axis=1),
    "gather in a constant": make("gather", weight(9, 2), index, axis=0),
    "scatter": make("scatter", x2, index, make("gather", x2, index, axis=1), axis=1),
    "linear": make("linear", x2, weight(5, 4)),
    "linear in groups": make("linear", x3, weight(2, 5, 2)),
    "matmul": make("matmul", x3, x3),
    "matmul with a constant": make("matmul", x3, weight(2, 7)),
    "experts": make("experts", x2, weight(3, 5, 4), index),
    "attend": attend,
    "attend with sinks and bias": make(
        "attend", x3, x3, x3, weight(2), weight(2, 9), **{**HEADS, "sinks": True, "bias": True}
    ),
    "shift": make("shift", x2, n=1),
    "scan": make("scan", const(0.5), x2),
    "scan with vectors": make(
        "scan",
        make("sigmoid", x3),
        x3,
        x2_ := make("reshape", make("slice", x2, axis=1, start=0, stop=2, step=1), shape=(T, 2)),
        x2_,
    ),
    "select_rows": r2,
}


@pytest.mark.parametrize("name", GOOD)
def test_accepts(name: str) -> None:
    graph = Graph("good", {"y": GOOD[name]})
    assert verify(graph) is graph


RULES = {
    "the operation exists": forge("softmax", x2, shape=(T, 4)),
    "its attributes": forge("sum", x2, shape=(T, 1), axes=(1,), keepdims=True),
    "its dtype is": forge("neg", x2, dtype="f64", shape=(T, 4)),
    "rows come first": forge("permute", x2, shape=(4, T), axes=(1, 0)),
    "dimensions are positive": forge("weight", shape=(0, 3)),
    "axes are axes": forge("sum", x3, shape=(T, 1, 2), axes=(1, 1)),
    "dtype and shape follow": forge("neg", x2, shape=(T, 5)),
    "rows of tokens and selected rows": forge("add", x2, r2, shape=(T, 4)),
    "the past is of tokens": forge("shift", r2, shape=(R, 4), n=1),
    "scale, softcap, window and chunk": attend_with(window=0),
    "no row reads another row": forge("sum", x2, shape=(1, 4), axes=(0,)),
}
RULES["dimensions are positive"].attrs = {"name": "e", "shape": (0, 3), "stored": "f32"}


def test_every_rule_has_a_graph_that_it_refuses() -> None:
    assert len(RULES) == len(NODE_RULES)


@pytest.mark.parametrize("says", RULES)
def test_refuses_by_rule(says: str) -> None:
    node = RULES[says]
    (rule,) = (r for r in NODE_RULES if r.says.startswith(says))
    assert not rule.holds(node)
    with pytest.raises(GraphError) as raised:
        verify(Graph("bad", {"y": node}))
    assert raised.value.what.startswith(f"{node.op} breaks a rule")
    assert f"= {node.op}" in raised.value.where


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": float("nan")},
        {"scale": 1},
        {"softcap": 0.0},
        {"softcap": -1.0},
        {"softcap": float("inf")},
        {"window": -1},
        {"window": 1.5},
        {"window": True},
        {"chunk": 0},
    ],
)
def test_refuses_an_attend_that_makes_no_sense(changes: dict[str, object]) -> None:
    with pytest.raises(GraphError, match="make sense"):
        verify(Graph("bad", {"y": attend_with(**changes)}))


MIXES_ROWS = {
    "a reduction over rows": forge("sum", x2, shape=(1, 4), axes=(0,)),
    "a maximum over rows": forge("amax", x1, shape=(1,), axes=(0,)),
    "rows permuted away": forge("permute", x3, shape=(2, T, 2), axes=(1, 0, 2)),
    "rows in a reshape": forge("reshape", x2, shape=(4,)),
    "a slice of rows": forge("slice", x2, shape=(1, 4), axis=0, start=0, stop=1, step=1),
    "a concat of rows": forge("concat", x2, x2, shape=(T, 4), axis=0),
    "a concat of rows and a constant": forge("concat", x2, weight(3, 4), shape=(T, 8), axis=1),
    "an argmax over rows": forge("argmax", x2, dtype="i32", shape=(1, 4), axis=0),
    "a running sum over rows": forge("cumsum", x2, shape=(T, 4), axis=0),
    "a running sum of one number a row": forge("cumsum", x1, shape=(T,), axis=0),
    "the largest of a number a row": forge("topk_values", x1, shape=(2,), k=2, largest=True),
    "their indices": forge("topk_indices", x1, dtype="i32", shape=(T,), k=2, largest=True),
    "a gather of rows": forge("gather", x2, index, shape=(T, 2), axis=0),
    "a gather of rows by a constant": forge(
        "gather", x2, const(np.zeros((3, 4), np.int32)), shape=(3, 4), axis=0
    ),
    "a scatter into a constant": forge("scatter", weight(9, 2), index, index, shape=(9, 2), axis=0),
    "a scatter over rows": forge("scatter", x2, index, index, shape=(T, 4), axis=0),
    "a table with rows": forge("take", x2, tokens, shape=(T, 4)),
    "a table with rows by a constant": forge("take", x2, const(1), shape=(4,)),
    "a weight with rows": forge("linear", x2, x2, shape=(T, T)),
    "a contraction of rows": forge("linear", x1, weight(5, 9), shape=(5,)),
    "groups on rows": forge("linear", x2, weight(9, 5, 4), shape=(T, 5)),
    "a product over rows": forge("matmul", x2, weight(4, 7), shape=(T, 7)),
    "a product of a constant with rows": forge("matmul", weight(3, 9), x2, shape=(3, 4)),
    "a constant of many rows": forge("add", x2, weight(9, 4), shape=(T, 4)),
    "rows on another axis": forge("mul", x1, x2, shape=(T, 4)),
    "experts with rows": forge("experts", x2, x3, index, shape=(T, 2, 2)),
    "experts of a constant": forge(
        "experts", weight(9, 4), weight(3, 5, 4), index, shape=(T, 2, 5)
    ),
    "rows chosen by arithmetic": forge(
        "select_rows", x2, make("add", rows, const(1)), shape=(R, 4)
    ),
    "a broadcast that moves rows": forge("broadcast", x1, shape=(T, 5)),
    "rows from nothing": forge("neg", const(1.0), shape=(T,)),
    "a scan over a constant of many rows": forge("scan", weight(9, 4), x2, shape=(T, 4)),
}


@pytest.mark.parametrize("name", MIXES_ROWS)
def test_refuses_rows_that_mix(name: str) -> None:
    node = MIXES_ROWS[name]
    assert not rows_are_independent(node)
    with pytest.raises(GraphError, match=node.op):
        verify(Graph("bad", {"y": node}))


def test_every_operation_that_takes_rows_has_a_proof() -> None:
    assert set(ROW_PROOFS) == set(ops._RULES) - ops.LEAF
    assert set(ATTRIBUTES) == set(ops._RULES)


def test_refuses_selected_rows_in_the_past() -> None:
    query = make("reshape", r2, shape=(R, 2, 2))
    bad = forge("attend", query, x3, x3, shape=(R, 2, 2), **HEADS)
    with pytest.raises(GraphError, match="attend"):
        verify(Graph("bad", {"y": bad}))
    sinks = make("sum", x2, axes=(1,))
    bad = forge("attend", x3, x3, x3, sinks, shape=(T, 2, 2), **{**HEADS, "sinks": True})
    with pytest.raises(GraphError, match="attend"):
        verify(Graph("bad", {"y": bad}))


def test_refuses_a_weight_of_two_shapes() -> None:
    shapes = [make("weight", name="w", shape=shape, stored="f32") for shape in ((4,), (2, 4))]
    both = make("add", *shapes)
    with pytest.raises(GraphError, match="one weight has one shape"):
        verify(Graph("bad", {"y": both}))


@pytest.mark.parametrize("node", [rows, make("neg", rows), make("take", weight(9, 4), rows)])
def test_refuses_a_place_in_the_batch_as_a_value(node: Node) -> None:
    with pytest.raises(GraphError, match="rows are used by select_rows alone"):
        verify(Graph("bad", {"y": node}))


def test_refuses_an_array_that_was_changed() -> None:
    node = const(np.ones(100, np.float32))
    literal = node.attrs["value"]
    assert isinstance(literal, Literal)
    changed = Literal(literal.array * 2)
    changed.digest = literal.digest
    with pytest.raises(GraphError, match="an array is what its digest says"):
        verify(Graph("bad", {"y": forge("const", shape=(100,), value=changed)}))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(steps=30))
def test_accepts_random_graphs(graph: Graph) -> None:
    verify(graph)
