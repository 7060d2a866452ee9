from foreknown.passes.drop_no_ops import drop_no_ops
from tests.passes.results import becomes, stays

X = """graph g {
  %w = weight {name="w", shape=[9,8], stored="f32"}
  %t = tokens
  %x = take %w, %t : f32[T,8]
"""


def test_views_of_all() -> None:
    becomes(
        drop_no_ops,
        X
        + """
  %1 = reshape %x {shape=[T,8]}
  %2 = permute %1 {axes=[0,1]}
  %3 = slice %2 {axis=1, start=0, stop=8, step=1}
  %4 = broadcast %3 {shape=[T,8]}
  %5 = concat %4 {axis=1}
  %6 = cast %5 {dtype="f32"}
  %7 = sum %6 {axes=[]}
  return y=%7 }""",
        X + "  return y=%x }",
    )


def test_a_sum_of_one_term() -> None:
    becomes(
        drop_no_ops,
        X + "  %1 = reshape %x {shape=[T,8,1]}\n  %2 = sum %1 {axes=[2]}\n  return y=%2 }",
        X + "  %1 = reshape %x {shape=[T,8,1]}\n  return y=%1 }",
    )


def test_neutral_elements() -> None:
    becomes(
        drop_no_ops,
        X
        + """
  %zero = const {value=0.0} : f32[]
  %minus_zero = const {value=-0.0} : f32[]
  %one = const {value=[1.0]} : f32[1]
  %1 = mul %one, %x
  %2 = div %1, %one
  %3 = add %2, %minus_zero
  %4 = sub %3, %zero
  %5 = pow %4, %one
  return y=%5 }""",
        X + "  return y=%x }",
    )


def test_what_only_seems_neutral_stays() -> None:
    scalar = "  %c = const {value=CONST} : f32[]\n  %1 = OP\n  return y=%1 }"
    for value, op in [("0.0", "add %x, %c"), ("1.0", "div %c, %x"), ("0.0", "mul %x, %c")]:
        stays(drop_no_ops, X + scalar.replace("CONST", value).replace("OP", op))
    stays(  # it makes eight numbers of one
        drop_no_ops,
        X
        + """  %1 = sum %x {axes=[1]}
  %c = const {value=[1.0,1.0,1.0]} : f32[3]
  %2 = mul %1, %c
  return y=%2 }""",
    )


def test_zero_of_integers_is_neutral() -> None:
    becomes(
        drop_no_ops,
        "graph g {\n %t = tokens\n %c = const {value=0} : i32[]\n %1 = add %t, %c\n return y=%1 }",
        "graph g {\n %t = tokens\n return y=%t }",
    )


def test_what_undoes_itself() -> None:
    becomes(
        drop_no_ops,
        X
        + """
  %1 = neg %x
  %2 = neg %1
  %3 = abs %2
  %4 = abs %3
  %5 = max %4, %4
  %c = lt %5, %x
  %d = not %c
  %e = not %d
  %6 = cast %e {dtype="i32"}
  %7 = cast %6 {dtype="f32"}
  return y=%7 }""",
        X + '  %1 = abs %x\n  %c = lt %1, %x\n  %2 = cast %c {dtype="f32"}\n  return y=%2 }',
    )


def test_a_cast_that_rounds_stays() -> None:
    stays(
        drop_no_ops,
        X + '  %1 = cast %x {dtype="i32"}\n  %2 = cast %1 {dtype="f32"}\n  return y=%2 }',
    )


def test_choices_already_made() -> None:
    choice = """
  %c = const {value=VALUE} : bool[]
  %n = neg %x
  %s = sum %x {axes=[1]}
  %1 = where %c, %s, %n
  return y=%1 }"""
    becomes(drop_no_ops, X + choice.replace("VALUE", "false"), X + "  %n = neg %x\n  return y=%n }")
    becomes(
        drop_no_ops,
        X + choice.replace("VALUE", "true"),
        X + "  %s = sum %x {axes=[1]}\n  %1 = broadcast %s {shape=[T,8]}\n  return y=%1 }",
    )
