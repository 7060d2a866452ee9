from foreknown.passes.order_operands import order_operands
from tests.passes.results import becomes, stays

X = """graph g {
  %w = weight {name="w", shape=[9,8], stored="f32"}
  %v = weight {name="v", shape=[8], stored="f32"}
  %t = tokens
  %x = take %w, %t : f32[T,8]
  %n = neg %x
"""


def test_operands_in_another_order_are_one_value() -> None:
    becomes(
        order_operands,
        X + "  %1 = mul %x, %n\n  %2 = mul %n, %x\n  %3 = add %1, %2\n  return y=%3 }",
        X + "  %1 = mul %x, %n\n  %3 = add %1, %1\n  return y=%3 }",
    )


def test_constants_come_last() -> None:
    becomes(
        order_operands,
        X + "  %1 = mul %v, %x\n  return y=%1 }",
        X + "  %1 = mul %x, %v\n  return y=%1 }",
    )


def test_what_does_not_commute_stays() -> None:
    stays(order_operands, X + "  %1 = sub %n, %x\n  %2 = max %1, %x\n  return y=%2 }")


def test_layers_written_alike_stay_alike() -> None:
    """Which of two operands came first in the graph must not turn them around."""
    stays(
        order_operands,
        X
        + """
  %a = tanh %x
  %1 = mul %a, %n
  %b = tanh %1
  %2 = mul %b, %n
  %3 = add %2, %1
  return y=%3 }""",
    )
