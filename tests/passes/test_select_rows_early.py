from foreknown.passes.select_rows_early import select_rows_early
from tests.passes.results import becomes, stays

HEADS = "{scale=1.0, window=none, chunk=none, softcap=none, sinks=false, bias=false}"
X = f"""graph g {{
  %e = weight {{name="e", shape=[9,4], stored="f32"}}
  %w = weight {{name="w", shape=[4,4], stored="f32"}}
  %t = tokens
  %x = take %e, %t : f32[T,4]
  %h = reshape %x {{shape=[T,2,2]}}
  %a = attend %h, %h, %h {HEADS}
"""


def test_all_that_follows_the_last_attention() -> None:
    becomes(
        select_rows_early,
        X
        + """
  %1 = reshape %a {shape=[T,4]}
  %2 = linear %1, %w
  %3 = add %x, %2
  %4 = sum %3 {axes=[1]}
  %5 = broadcast %4 {shape=[T,4]}
  %6 = mul %3, %5
  %7 = linear %6, %e
  %r = rows
  %8 = select_rows %7, %r
  %9 = tanh %8
  return y=%9 }""",
        X
        + """
  %r = rows
  %sx = select_rows %x, %r
  %sa = select_rows %a, %r
  %1 = reshape %sa {shape=[R,4]}
  %2 = linear %1, %w
  %3 = add %sx, %2
  %4 = sum %3 {axes=[1]}
  %5 = broadcast %4 {shape=[R,4]}
  %6 = mul %3, %5
  %7 = linear %6, %e
  %9 = tanh %7
  return y=%9 }""",
    )


def test_without_a_past_tokens_themselves_are_selected() -> None:
    becomes(
        select_rows_early,
        """graph g {
  %e = weight {name="e", shape=[9,4], stored="f32"}
  %t = tokens
  %p = positions
  %1 = add %t, %p
  %x = take %e, %1
  %r = rows
  %y = select_rows %x, %r
  return y=%y }""",
        """graph g {
  %e = weight {name="e", shape=[9,4], stored="f32"}
  %t = tokens
  %p = positions
  %r = rows
  %st = select_rows %t, %r
  %sp = select_rows %p, %r
  %1 = add %st, %sp
  %y = take %e, %1
  return y=%y }""",
    )


def test_a_slice_of_what_every_token_has_is_selected_after_slicing() -> None:
    stays(
        select_rows_early,
        X
        + """
  %s = slice %a {axis=1, start=0, stop=1, step=1}
  %r = rows
  %y = select_rows %s, %r
  return y=%y }""",
    )


def test_what_an_output_has_of_every_token_is_not_computed_twice() -> None:
    stays(
        select_rows_early,
        X
        + """
  %1 = linear %x, %w
  %r = rows
  %y = select_rows %1, %r
  return every=%1, y=%y }""",
    )


def test_two_selections_share_what_they_select() -> None:
    becomes(
        select_rows_early,
        X
        + """
  %1 = neg %a
  %2 = abs %1
  %r = rows
  %y = select_rows %1, %r
  %z = select_rows %2, %r
  return y=%y, z=%z }""",
        X
        + """
  %r = rows
  %s = select_rows %a, %r
  %1 = neg %s
  %2 = abs %1
  return y=%1, z=%2 }""",
    )
