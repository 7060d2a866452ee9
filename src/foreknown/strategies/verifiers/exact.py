"""Evaluates sums of numbers exactly, with a bound on how large anything may become.

Only whole numbers and + - * / % ** with parentheses: Python's own parser reads the text, and what
it finds is walked here, so nothing is ever run.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from fractions import Fraction

MAX_CHARACTERS = 2000
MAX_BITS = 4096
"""Of a numerator or a denominator, also of those on the way."""

_SUMS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


class NotExact(Exception):
    """An expression that has no value here: not a sum of numbers, irrational, or too large."""


def evaluate(text: str) -> Fraction:
    """The value of an expression in Python's syntax and precedence.

    Raises:
        NotExact: it is no such expression, a power is not a whole number, or it is too large.
        ZeroDivisionError: it has no value anywhere.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotExact("the expression is too long")
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotExact("the expression cannot be read") from None


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return _bounded(Fraction(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
        value = _value(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _SUMS:
            return _bounded(_SUMS[type(node.op)](left, right))
    raise NotExact("the expression has more in it than numbers and signs")


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise NotExact("a power is not a whole number")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits > 1 and bits * abs(exponent.numerator) > MAX_BITS:  # 0, 1 and -1 stay small
        raise NotExact("a power is too large")
    # Of -1, 0 and 1 only whether the exponent is odd, and its sign, matter.
    times = exponent.numerator
    if bits <= 1:
        times = (times > 0) - (times < 0) if times % 2 else 2 * ((times > 0) - (times < 0))
    return _bounded(Fraction(base**times))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise NotExact("a number is too large")
    return value
