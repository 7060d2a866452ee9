"""The text of a graph prints and parses back to the same nodes."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreknown.errors import GraphError
from foreknown.graph.ir import Graph, Node, R, T, const, make
from foreknown.graph.text import literals, parse_graph, print_graph
from tests.graph.random_graphs import graphs

TINY = """\
graph tiny {
  %0 = weight {name="embed", shape=[10,8], stored="bf16"} : f32[10,8]
  %1 = tokens : i32[T]
  %2 = take %0, %1 : f32[T,8]
  %3 = const {value=0.5} : f32[]
  %4 = mul %2, %3 : f32[T,8]
  return hidden=%4
}
"""


def test_print_is_what_the_grammar_says() -> None:
    assert print_graph(parse_graph(TINY)) == TINY


def comes_back(graph: Graph) -> bool:
    again = parse_graph(print_graph(graph), literals(graph))
    return again.name == graph.name and dict(again.outputs) == dict(graph.outputs)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(steps=30))
def test_random_graphs_come_back(graph: Graph) -> None:
    assert comes_back(graph)


def every_operation() -> list[Node]:
    x = make(
        "take", make("weight", name='a "b"\\é\n', shape=(4, 2, 3), stored="f16"), make("tokens")
    )
    i = make("topk_indices", x, k=2, largest=False)
    return [
        make("sum", x, axes=()),
        make("concat", x, x, x, axis=2),
        make("broadcast", const(1.0), shape=(T, 3)),
        make("gather", x, i, axis=2),
        make("scatter", x, i, make("topk_values", x, k=2, largest=True), axis=2),
        make(
            "attend",
            x,
            x,
            x,
            scale=1e-7,
            window=None,
            chunk=8,
            softcap=50.0,
            sinks=False,
            bias=False,
        ),
        make("scan", const(0.5), x),
        make("where", make("not", make("lt", x, const(0.0))), x, const(-math.inf)),
        make("select_rows", x, make("rows")),
        make("reshape", make("select_rows", x, make("rows")), shape=(R, 6)),
        make("argmax", x, axis=1),
        make("cast", i, dtype="bool"),
    ]


def test_every_kind_of_attribute_comes_back() -> None:
    outputs = {f"output {n}": node for n, node in enumerate(every_operation())}
    assert comes_back(Graph("with spaces", outputs))


@given(st.floats(width=32, allow_nan=True, allow_infinity=True))
def test_every_float_comes_back_with_its_bits(value: float) -> None:
    assert comes_back(Graph("g", {"y": const(value)}))
    assert comes_back(Graph("g", {"y": const(np.array([[value], [-value]]))}))


def test_a_nan_of_other_bits_is_named_by_digest() -> None:
    odd = np.array(0x7FC00001, np.uint32).view(np.float32)
    graph = Graph("g", {"y": const(odd), "z": const(math.nan)})
    assert "@" in print_graph(graph)
    assert comes_back(graph)


def test_kinds_of_numbers_are_told_apart() -> None:
    graph = Graph("g", {"i": const(1), "f": const(1.0), "b": const(True), "n": const(-0.0)})
    text = print_graph(graph)
    assert "value=1}" in text
    assert "value=1.0}" in text
    assert "value=true}" in text
    assert "value=-0.0}" in text
    assert comes_back(graph)


def test_large_arrays_are_named_by_digest() -> None:
    graph = Graph("g", {"y": const(np.arange(100.0))})
    with pytest.raises(GraphError, match="not at hand"):
        parse_graph(print_graph(graph))
    (digest,) = literals(graph)
    with pytest.raises(GraphError, match="has digest"):
        parse_graph(print_graph(graph), {digest: np.zeros(3)})
    assert comes_back(graph)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%1 = foo %0", "there is no operation named 'foo'"),
        ("%1 = neg %9", "%9 is used before it is defined"),
        ("%0 = tokens", "%0 is defined twice"),
        ("%1 = neg %0 : f32[T]", "gives i32[T] here"),
        ("%1 = neg %0 : f64[T]", "no dtype f64"),
        ("%1 = neg %0 : i32[T,x]", "expected a value"),
        ("%1 = neg %0, : i32[T]", "expected a id"),
        ("%1 = neg %0 {a=}", "expected a value"),
        ("%1 = neg %0 {a=1, a=2}", "a is given twice"),
        ("%1 = neg %0 $", "'$' means nothing here"),
        ("%1 = reshape %0 {shape=[T,2]}", "reshape does not take"),
        ("%1 = const {value=1}", "a constant needs its type"),
        ("%1 = const {value=1.5} : i32[]", "does not fit its type"),
        ("%1 = const {value=[1,2]} : i32[3]", "does not fit its type"),
        ("%1 = const {value=4000000000} : i32[]", "does not fit its type"),
        ("%1 = const {value=1} : i32[T]", "does not fit its type"),
        ('%1 = "neg" %0', "expected a name"),
    ],
)
def test_malformed_text_names_its_line(line: str, says: str) -> None:
    text = f"graph g {{\n  %0 = tokens : i32[T]\n  {line}\n  return y=%0\n}}"
    with pytest.raises(GraphError) as raised:
        parse_graph(text)
    assert says in str(raised.value)
    assert raised.value.where == f"line 3: {line}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "graph",
        "graph g {",
        "graph g {\n return }",
        "graph g {\n %0 = tokens\n return y=%0",
        "graph g {\n %0 = tokens\n return y=%0 } more",
        "graph g {\n %0 = tokens\n return y=%0, y=%0 }",
    ],
)
def test_a_text_that_is_no_graph_is_refused(text: str) -> None:
    with pytest.raises(GraphError):
        parse_graph(text)
