"""Whole-number equations as text: written, written with care, and checked exactly."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

# A run of numbers and operators that holds at least one equals sign.
_CHAIN = re.compile(r"[\d(][\d+\-*/() ]*(?: = [\d+\-*/() ]*[\d)])+")


def apply(left: int, op: str, right: int) -> int:
    """The whole-number result of one operation; ValueError if it is not a whole number."""
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    if op == "/" and right != 0 and left % right == 0:
        return left // right
    raise ValueError(f"{left} {op} {right} is not a whole number")


def equation(left: int, op: str, right: int) -> str:
    """`12 + 7 = 19`."""
    return f"{left} {op} {right} = {apply(left, op, right)}"


def careful_equation(left: int, op: str, right: int) -> str:
    """The same with a number taken apart: `47 + 38 = 77 + 8 = 85`.

    Each part is easier than the whole, so a check that works this way is more often right than the
    quick form it checks. What is added or taken away is split in two, a product by the digits of
    its longer factor: `26 * 347 = 7800 + 1040 + 182 = 9022`.
    """
    result = apply(left, op, right)
    middle = ""
    if op in "+-" and right >= 10:
        unit = 10 ** (len(str(right)) // 2)
        low = right % unit
        middle = f"{apply(left, op, right - low)} {op} {low} = " if low else ""
    elif op == "*":
        few, many = sorted((left, right), key=lambda factor: len(str(factor).strip("0")))
        parts = [few * part for part in by_digits(many)]
        if few > 1 and len(parts) > 1:
            middle = " + ".join(map(str, parts)) + " = "
    elif op == "/" and result > 10 and result % 10:
        middle = f"{result - result % 10} + {result % 10} = "
    return f"{left} {op} {right} = {middle}{result}"


def by_digits(number: int) -> list[int]:
    """300, 40 and 7 for 347: what its digits stand for, but for zeros."""
    places = [int(digit) * 10**place for place, digit in enumerate(reversed(str(number)))]
    return [part for part in reversed(places) if part]


def evaluate(expression: str) -> Fraction:
    """The exact value of an expression of whole numbers, + - * / and brackets.

    Raises ValueError for anything else, a division by zero included.
    """
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, RecursionError, MemoryError) as error:
        raise ValueError(f"not an expression: {expression!r}") from error


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Fraction(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("only whole numbers, + - * / and brackets")


def numbers_in(expression: str) -> list[int]:
    """Every number written in the text, in order."""
    return [int(digits) for digits in re.findall(r"\d+", expression)]


def chains_in(text: str) -> list[str]:
    """Every chain of equalities written in the text."""
    return [chain.strip() for chain in _CHAIN.findall(text)]


def holds(chain: str) -> bool:
    """True if all sides of `a = b = c` are equal."""
    try:
        sides = [evaluate(side) for side in chain.split("=")]
    except ValueError:
        return False
    return all(side == sides[0] for side in sides)


def final_answer(reply: str) -> str | None:
    """What follows the last `####`, commas and currency signs removed; None if there is none."""
    _, mark, tail = reply.rpartition("####")
    if not mark:
        return None
    lines = tail.strip().splitlines()
    return lines[0].strip().replace(",", "").replace("$", "") if lines else ""
