from foreknown.passes.contract_with_constants import contract_with_constants
from tests.passes.results import becomes, stays

X = """graph g {
  %e = weight {name="e", shape=[9,2,4], stored="f32"}
  %t = tokens
  %x = take %e, %t : f32[T,2,4]
"""


def test_a_matrix() -> None:
    becomes(
        contract_with_constants,
        X
        + """  %w = weight {name="w", shape=[4,5], stored="f32"}
  %y = matmul %x, %w : f32[T,2,5]
  return y=%y }""",
        X
        + """  %w = weight {name="w", shape=[4,5], stored="f32"}
  %p = permute %w {axes=[1,0]}
  %y = linear %x, %p : f32[T,2,5]
  return y=%y }""",
    )


def test_a_matrix_for_each_head() -> None:
    becomes(
        contract_with_constants,
        X
        + """  %w = weight {name="w", shape=[2,4,5], stored="f32"}
  %r = reshape %x {shape=[T,2,1,4]}
  %y = matmul %r, %w : f32[T,2,1,5]
  return y=%y }""",
        X
        + """  %w = weight {name="w", shape=[2,4,5], stored="f32"}
  %p = permute %w {axes=[0,2,1]}
  %r = reshape %x {shape=[T,2,1,4]}
  %v = reshape %r {shape=[T,2,4]}
  %l = linear %v, %p : f32[T,2,5]
  %y = reshape %l {shape=[T,2,1,5]}
  return y=%y }""",
    )


def test_two_values_of_rows_stay() -> None:
    stays(
        contract_with_constants,
        X + "  %p = permute %x {axes=[0,2,1]}\n  %y = matmul %x, %p\n  return y=%y }",
    )
