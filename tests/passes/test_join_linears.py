from foreknown.passes.join_linears import join_linears
from tests.passes.results import becomes, stays

X = """graph g {
  %e = weight {name="e", shape=[9,4], stored="f32"}
  %t = tokens
  %x = take %e, %t : f32[T,4]
  %a = weight {name="a", shape=[5,4], stored="bf16"}
  %b = weight {name="b", shape=[4,3], stored="STORED"}
  %bt = permute %b {axes=[1,0]}
"""
ALIKE, UNLIKE = X.replace("STORED", "bf16"), X.replace("STORED", "f32")


def test_linears_that_share_an_input() -> None:
    becomes(
        join_linears,
        ALIKE
        + """
  %1 = linear %x, %a
  %2 = linear %x, %bt
  return y=%1, z=%2 }""",
        ALIKE
        + """
  %w = concat %a, %bt {axis=0}
  %j = linear %x, %w : f32[T,8]
  %1 = slice %j {axis=1, start=0, stop=5, step=1}
  %2 = slice %j {axis=1, start=5, stop=8, step=1}
  return y=%1, z=%2 }""",
    )


def test_chains_of_joined_linears() -> None:
    becomes(
        join_linears,
        ALIKE
        + """
  %1 = linear %x, %a
  %2 = linear %x, %bt
  %s = slice %1 {axis=1, start=0, stop=4, step=1}
  %3 = linear %s, %a
  %4 = linear %s, %bt
  return x=%1, y=%2, z=%3, u=%4 }""",
        ALIKE
        + """
  %w = concat %a, %bt {axis=0}
  %j = linear %x, %w : f32[T,8]
  %1 = slice %j {axis=1, start=0, stop=5, step=1}
  %2 = slice %j {axis=1, start=5, stop=8, step=1}
  %s = slice %1 {axis=1, start=0, stop=4, step=1}
  %k = linear %s, %w : f32[T,8]
  %3 = slice %k {axis=1, start=0, stop=5, step=1}
  %4 = slice %k {axis=1, start=5, stop=8, step=1}
  return x=%1, y=%2, z=%3, u=%4 }""",
    )


def test_experts_that_share_input_and_choice() -> None:
    text = """graph g {
  %e = weight {name="e", shape=[9,4], stored="f32"}
  %t = tokens
  %x = take %e, %t
  %i = topk_indices %x {k=2, largest=true}
  %a = weight {name="a", shape=[4,5,4], stored="bf16"}
  %b = weight {name="b", shape=[4,3,4], stored="bf16"}
"""
    becomes(
        join_linears,
        text + "  %1 = experts %x, %a, %i\n  %2 = experts %x, %b, %i\n  return y=%1, z=%2 }",
        text
        + """
  %w = concat %a, %b {axis=1}
  %j = experts %x, %w, %i
  %1 = slice %j {axis=2, start=0, stop=5, step=1}
  %2 = slice %j {axis=2, start=5, stop=8, step=1}
  return y=%1, z=%2 }""",
    )


def test_weights_stored_otherwise_stay_apart() -> None:
    stays(
        join_linears, UNLIKE + "  %1 = linear %x, %a\n  %2 = linear %x, %bt\n  return y=%1, z=%2 }"
    )


def test_computed_weights_and_groups_stay_apart() -> None:
    stays(
        join_linears,
        ALIKE
        + """
  %n = neg %a
  %1 = linear %x, %n
  %2 = linear %x, %a
  %r = reshape %x {shape=[T,2,2]}
  %g = weight {name="g", shape=[2,3,2], stored="bf16"}
  %h = weight {name="h", shape=[2,3,2], stored="bf16"}
  %3 = linear %r, %g
  %4 = linear %r, %h
  return y=%1, z=%2, u=%3, v=%4 }""",
    )
