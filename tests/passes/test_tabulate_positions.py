import numpy as np
import pytest

from foreknown.errors import GraphError
from foreknown.graph.ir import Graph
from foreknown.graph.text import literals, parse_graph
from foreknown.passes.tabulate_positions import tabulate_positions
from tests.passes.results import becomes, stays


def tabulated(graph: Graph) -> Graph:
    return tabulate_positions(graph, context=20)


ANGLES = """graph g {
  %f = const {value=[1.0,0.1]} : f32[2]
  %p = positions
  %1 = cast %p {dtype="f32"}
  %2 = reshape %1 {shape=[T,1]}
  %3 = mul %2, %f
"""


def test_a_table_of_cosines() -> None:
    before = parse_graph(
        ANGLES
        + """
  %4 = cos %3
  %5 = concat %4, %4 {axis=1}
  %6 = reshape %5 {shape=[T,1,4]}
  %w = weight {name="w", shape=[9,3,4], stored="f32"}
  %t = tokens
  %x = take %w, %t
  %y = mul %x, %6
  return y=%y }"""
    )
    after = tabulated(before)
    (table,) = literals(after).values()
    angles = np.arange(20, dtype=np.float32)[:, None] * np.float32([1.0, 0.1])
    np.testing.assert_array_equal(table, np.cos(angles))
    (digest,) = literals(after)
    expected = parse_graph(
        f"""graph g {{
  %table = const {{value=@{digest}}} : f32[20,2]
  %p = positions
  %4 = take %table, %p
  %5 = concat %4, %4 {{axis=1}}
  %6 = reshape %5 {{shape=[T,1,4]}}
  %w = weight {{name="w", shape=[9,3,4], stored="f32"}}
  %t = tokens
  %x = take %w, %t
  %y = mul %x, %6
  return y=%y }}""",
        literals(after),
    )
    assert after.outputs == expected.outputs


def test_what_is_cheap_stays() -> None:
    stays(tabulated, ANGLES + "  return y=%3 }")


def test_embeddings_of_positions_stay() -> None:
    stays(
        tabulated,
        """graph g {
  %w = weight {name="w", shape=[22,4], stored="f32"}
  %two = const {value=2} : i32[]
  %p = positions
  %1 = add %p, %two
  %y = take %w, %1
  return y=%y }""",
    )


def test_what_tokens_take_part_in_stays() -> None:
    stays(
        tabulated,
        """graph g {
  %t = tokens
  %p = positions
  %1 = add %p, %t
  %2 = cast %1 {dtype="f32"}
  %y = cos %2
  return y=%y }""",
    )


def test_a_table_that_is_too_large_is_not_made() -> None:
    text = ANGLES + "  %4 = cos %3\n  return y=%4 }"
    stays(lambda graph: tabulate_positions(graph, context=(64 << 20) // 8 + 1), text)


def test_buckets_of_integers_are_tabulated() -> None:
    becomes(
        lambda graph: tabulate_positions(graph, context=8),
        """graph g {
  %p = positions
  %c = const {value=3} : i32[]
  %1 = mod %p, %c
  %2 = mul %1, %1
  %3 = sub %2, %p
  return y=%3 }""",
        """graph g {
  %table = const {value=[0,0,2,-3,-3,-1,-6,-6]} : i32[8]
  %p = positions
  %3 = take %table, %p
  return y=%3 }""",
    )


def test_positions_that_the_model_does_not_have() -> None:
    text = """graph g {
  %c = const {value=[1.0,2.0]} : f32[2]
  %p = positions
  %1 = take %c, %p
  %2 = cos %1
  return y=%2 }"""
    with pytest.raises(GraphError, match="shorter --context"):
        tabulated(parse_graph(text))
