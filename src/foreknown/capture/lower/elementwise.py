"""Operations on single elements: arithmetic, comparison, choice, and values made of nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from foreknown.capture.lower import scores
from foreknown.capture.lower.layout import Value, align, constant
from foreknown.capture.lower.lowering import Lowering
from foreknown.capture.lower.rules import rule
from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import const, make

Operand = Any  # Value, number, or what `scores` knows of


def cast(x: Value, dtype: str) -> Value:
    return x if x.node.dtype == dtype else Value(make("cast", x.node, dtype=dtype), x.axes)


def as_value(x: Operand, dtype: str) -> Value:
    """A value of a dtype; numbers become constants."""
    if isinstance(x, Value):
        return cast(x, dtype)
    if isinstance(x, bool | int | float):
        value = {"f32": float, "i32": int, "bool": bool}[dtype](x)
        return Value(const(value, dtype), ())
    raise UnsupportedOp(f"an element-wise operation on {_kind(x)}")


def _kind(x: Any) -> str:
    return "pairs of tokens" if not isinstance(x, tuple) else "the number of tokens"


def elementwise(op: str, *values: Value) -> Value:
    """One IR operation with PyTorch's broadcasting."""
    nodes, axes = align(values)
    return Value(make(op, *nodes), axes)


def number(op: str, x: Value, y: float) -> Value:
    return elementwise(op, x, as_value(y, x.node.dtype))


def promoted(*operands: Operand) -> str:
    """The dtype that operands of mixed kinds meet in."""
    order = ["bool", "i32", "f32"]
    kinds = []
    for x in operands:
        if isinstance(x, Value):
            kinds.append(x.node.dtype)
        elif isinstance(x, bool):
            kinds.append("bool")
        else:
            kinds.append("f32" if isinstance(x, float) else "i32")
    return max(kinds, key=order.index)


# Arithmetic


def _scaled(x: Operand, alpha: float, dtype: str) -> Operand:
    return x if alpha == 1 else number("mul", as_value(x, dtype), alpha)


def _arithmetic(op: str) -> Callable[..., Any]:
    def lower(low: Lowering, x: Operand, other: Operand, alpha: float = 1) -> Any:
        if scores.involved(x, other):
            return scores.binary(low, op, x, other, alpha)
        dtype = low.result_dtype()
        neutral = 1 if op == "mul" else 0
        if isinstance(x, Value) and isinstance(other, int | float) and other == neutral:
            return cast(x, dtype)
        if dtype == "bool" and op in {"add", "mul"}:
            op_ = {"add": "or", "mul": "and"}[op]
            return elementwise(op_, as_value(x, dtype), as_value(other, dtype))
        return elementwise(op, as_value(x, dtype), as_value(_scaled(other, alpha, dtype), dtype))

    return lower


for _op, _names in {"add": "add", "sub": "sub subtract", "mul": "mul multiply"}.items():
    for _name in _names.split():
        rule(f"aten.{_name}")(_arithmetic(_op))


@rule("aten.rsub")
def _rsub(low: Lowering, x: Operand, other: Operand, alpha: float = 1) -> Any:
    dtype = low.result_dtype()
    return elementwise("sub", as_value(other, dtype), as_value(_scaled(x, alpha, dtype), dtype))


@rule("aten.div", "aten.divide", "aten.true_divide")
def _div(low: Lowering, x: Operand, other: Operand, rounding_mode: str | None = None) -> Any:
    if scores.involved(x, other):
        return scores.binary(low, "div", x, other, 1)
    dtype = low.result_dtype()
    if rounding_mode is None:
        if isinstance(x, Value) and isinstance(other, int | float) and other == 1:
            return cast(x, dtype)
        return elementwise("div", as_value(x, "f32"), as_value(other, "f32"))
    if rounding_mode != "floor":
        raise UnsupportedOp(f"division rounded by {rounding_mode!r}")
    result = elementwise("div", as_value(x, dtype), as_value(other, dtype))
    return result if dtype == "i32" else Value(make("floor", result.node), result.axes)


@rule("aten.floor_divide")
def _floor_divide(low: Lowering, x: Operand, other: Operand) -> Value:
    dtype = low.result_dtype()
    result = elementwise("div", as_value(x, dtype), as_value(other, dtype))
    return result if dtype == "i32" else Value(make("floor", result.node), result.axes)


@rule("aten.remainder")
def _remainder(low: Lowering, x: Operand, other: Operand) -> Value:
    dtype = low.result_dtype()
    return elementwise("mod", as_value(x, dtype), as_value(other, dtype))


@rule("aten.maximum", "aten.minimum")
def _extreme(low: Lowering, x: Operand, other: Operand) -> Any:
    assert low.node is not None
    op = "max" if "maximum" in str(low.node.target) else "min"
    if scores.involved(x, other):
        return scores.binary(low, op, x, other, 1)
    dtype = low.result_dtype()
    return elementwise(op, as_value(x, dtype), as_value(other, dtype))


@rule("aten.clamp", "aten.clip", "aten.clamp_min", "aten.clamp_max", "aten.hardtanh")
def _clamp(
    low: Lowering,
    x: Operand,
    min: Operand = None,
    max: Operand = None,
    min_val: float | None = None,
    max_val: float | None = None,
) -> Any:
    lowest, highest = (min if min_val is None else min_val), (max if max_val is None else max_val)
    if scores.involved(x):
        return scores.clamp(x, lowest, highest)
    dtype = low.result_dtype()
    x = as_value(x, dtype)
    for op, bound in (("max", lowest), ("min", highest)):
        if bound is not None:
            x = elementwise(op, x, as_value(bound, dtype))
    return x


@rule("aten.pow")
def _pow(low: Lowering, x: Operand, exponent: Operand) -> Value:
    dtype = low.result_dtype()
    if isinstance(exponent, int | float) and isinstance(x, Value):
        x = cast(x, dtype)
        if exponent in (1, 2, 3):
            result: Value = x
            for _ in range(int(exponent) - 1):
                result = elementwise("mul", result, x)
            return result
        if exponent in (0.5, -0.5):
            return Value(make("sqrt" if exponent > 0 else "rsqrt", x.node), x.axes)
        if exponent == -1:
            return elementwise("div", as_value(1.0, dtype), x)
    return elementwise("pow", as_value(x, dtype), as_value(exponent, dtype))


@rule("aten.addcmul")
def _addcmul(low: Lowering, x: Value, tensor1: Value, tensor2: Value, value: float = 1) -> Value:
    product = elementwise("mul", tensor1, tensor2)
    return elementwise("add", x, product if value == 1 else number("mul", product, value))


@rule("aten.addcdiv")
def _addcdiv(low: Lowering, x: Value, tensor1: Value, tensor2: Value, value: float = 1) -> Value:
    product = elementwise("div", tensor1, tensor2)
    return elementwise("add", x, product if value == 1 else number("mul", product, value))


@rule("aten.lerp")
def _lerp(low: Lowering, x: Value, end: Value, weight: Operand) -> Value:
    step = elementwise("mul", elementwise("sub", end, x), as_value(weight, "f32"))
    return elementwise("add", x, step)


# One argument


def _unary(op: str) -> Callable[..., Any]:
    def lower(low: Lowering, x: Operand) -> Any:
        if scores.involved(x):
            return scores.unary(op, x)
        dtype = low.result_dtype()
        return Value(make(op, as_value(x, dtype).node), x.axes)

    return lower


for (
    _name
) in "neg abs exp expm1 log log1p sqrt rsqrt tanh sigmoid erf sin cos floor ceil sign".split():
    rule(f"aten.{_name}")(_unary(_name))
rule("aten.negative")(_unary("neg"))
rule("aten.absolute")(_unary("abs"))
rule("aten.special_expit")(_unary("sigmoid"))


@rule("aten.round")
def _round(low: Lowering, x: Value, decimals: int = 0) -> Value:
    if decimals:
        raise UnsupportedOp(f"rounding to {decimals} decimals")
    return Value(make("round", x.node), x.axes)


@rule("aten.reciprocal")
def _reciprocal(low: Lowering, x: Value) -> Value:
    return elementwise("div", as_value(1.0, "f32"), as_value(x, "f32"))


@rule("aten.square")
def _square(low: Lowering, x: Value) -> Value:
    return elementwise("mul", x, x)


@rule("aten.log2")
def _log2(low: Lowering, x: Value) -> Value:
    return number("mul", apply("log", as_value(x, "f32")), 1 / math.log(2))


@rule("aten.exp2")
def _exp2(low: Lowering, x: Value) -> Value:
    return apply("exp", number("mul", as_value(x, "f32"), math.log(2)))


def apply(op: str, x: Value) -> Value:
    return Value(make(op, x.node), x.axes)


# Comparison and choice


def _comparison(op: str) -> Callable[..., Any]:
    def lower(low: Lowering, x: Operand, other: Operand) -> Value:
        dtype = promoted(x, other)
        return elementwise(op, as_value(x, dtype), as_value(other, dtype))

    return lower


for _op, _name in {
    "eq": "eq",
    "ne": "ne not_equal",
    "lt": "lt less",
    "le": "le less_equal",
    "gt": "gt greater",
    "ge": "ge greater_equal",
}.items():
    for _alias in _name.split():
        rule(f"aten.{_alias}")(_comparison(_op))


def _logical(op: str) -> Callable[..., Any]:
    def lower(low: Lowering, x: Operand, other: Operand) -> Value:
        if low.result_dtype() != "bool":
            raise UnsupportedOp("bits of whole numbers")
        return elementwise(op, truth(x), truth(other))

    return lower


def truth(x: Operand) -> Value:
    if isinstance(x, Value) and x.node.dtype != "bool":
        return number("ne", x, 0)
    return as_value(x, "bool")


for _name in ("logical_and", "bitwise_and", "__and__"):
    rule(f"aten.{_name}")(_logical("and"))
for _name in ("logical_or", "bitwise_or", "__or__"):
    rule(f"aten.{_name}")(_logical("or"))
for _name in ("logical_xor", "bitwise_xor", "__xor__"):
    rule(f"aten.{_name}")(_logical("ne"))


@rule("aten.logical_not", "aten.bitwise_not")
def _not(low: Lowering, x: Value) -> Value:
    if low.result_dtype() != "bool":
        raise UnsupportedOp("bits of whole numbers")
    return apply("not", truth(x))


@rule("aten.where")
def _where(low: Lowering, condition: Operand, x: Operand = None, other: Operand = None) -> Any:
    if x is None or other is None:
        raise UnsupportedOp("the places where a condition holds")
    if scores.involved(condition, x, other):
        return scores.choose(low, condition, x, other)
    dtype = low.result_dtype()
    return elementwise("where", truth(condition), as_value(x, dtype), as_value(other, dtype))


@rule("aten.masked_fill")
def _masked_fill(low: Lowering, x: Operand, mask: Operand, value: Operand) -> Any:
    if scores.involved(x, mask):
        return scores.choose(low, mask, value, x)
    dtype = low.result_dtype()
    return elementwise("where", truth(mask), as_value(value, dtype), as_value(x, dtype))


@rule("aten.isnan")
def _isnan(low: Lowering, x: Value) -> Value:
    return elementwise("ne", x, x)


@rule("aten.isinf")
def _isinf(low: Lowering, x: Value) -> Value:
    return number("eq", apply("abs", x), math.inf)


@rule("aten.nan_to_num")
def _nan_to_num(
    low: Lowering,
    x: Operand,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Any:
    if scores.involved(x):
        return x
    largest = 3.4028234663852886e38
    x = elementwise("where", elementwise("ne", x, x), as_value(nan or 0.0, "f32"), x)
    x = number("min", x, largest if posinf is None else posinf)
    return number("max", x, -largest if neginf is None else neginf)


# What changes nothing but the dtype


@rule(
    "aten._to_copy",
    "aten.to",
    "aten.type_as",
    "aten.clone",
    "aten.contiguous",
    "aten.detach",
    "aten.alias",
    "aten.lift_fresh_copy",
    "aten.lift_fresh",
    "aten.detach_copy",
    "aten.dropout",
    "aten.native_dropout",
    "aten._conj",
    "aten.resolve_conj",
    "aten.float",
    "foreknown.query_positions",
)
def _copy(low: Lowering, x: Operand = None, **options: Any) -> Any:
    x = options.get("input", options.get("positions", x)) if x is None else x
    if options.get("train"):
        raise UnsupportedOp("dropout in training")
    if not isinstance(x, Value):
        return x
    return cast_like(x, low.result_dtype())


def cast_like(x: Value, dtype: str) -> Value:
    if dtype == "bool" and x.node.dtype != "bool":
        return truth(x)
    return cast(x, dtype)


@rule("aten.copy")
def _copied(low: Lowering, x: Value, src: Value, non_blocking: bool = False) -> Value:
    from foreknown.capture.lower.layout import expand

    return cast_like(expand(src, low.result_sizes()), low.result_dtype())


# Made of nothing


@rule("aten.full", "aten.zeros", "aten.ones", "aten.empty", "aten.scalar_tensor")
def _full(low: Lowering, **options: Any) -> Value:
    assert low.node is not None
    name = str(low.node.target)
    fill = options.get("fill_value", options.get("s", 1 if "ones" in name else 0))
    return filled(low, fill)


@rule(
    "aten.full_like",
    "aten.zeros_like",
    "aten.ones_like",
    "aten.new_full",
    "aten.new_zeros",
    "aten.new_ones",
    "aten.empty_like",
    "aten.new_empty",
)
def _full_like(low: Lowering, x: Operand, **options: Any) -> Value:
    assert low.node is not None
    fill = options.get("fill_value", 1 if "ones" in str(low.node.target) else 0)
    return filled(low, fill)


@rule("aten.fill")
def _fill(low: Lowering, x: Operand, value: float) -> Value:
    return filled(low, value)


def filled(low: Lowering, fill: Any) -> Value:
    from foreknown.capture.lower.layout import expand

    return expand(as_value(fill, low.result_dtype()), low.result_sizes())


@rule("aten.arange")
def _arange(low: Lowering, **options: Any) -> Value:
    from foreknown.capture.lower.layout import Tokens
    from foreknown.graph.ir import T

    (size,) = low.result_sizes()
    if not isinstance(size, Tokens):
        assert low.node is not None
        return constant(const(low.known.array(low.node, 3)))
    start, step = options.get("start", 0), options.get("step", 1)
    if size != Tokens(1) or start != 0 or step != 1:
        raise UnsupportedOp("a range that is not the positions of the tokens")
    return cast(Value(make("positions"), ((T,),)), low.result_dtype())
