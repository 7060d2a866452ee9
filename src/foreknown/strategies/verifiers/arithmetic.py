"""Verifies the arithmetic that an answer shows: every equation between numbers is recalculated."""

from __future__ import annotations

from fractions import Fraction

from foreknown.strategies.verifiers.equations import Equation, Literal, Side, equations
from foreknown.strategies.verifiers.exact import NotExact, evaluate
from foreknown.strategies.verifiers.verifier import Verdict, failed, in_a_line


class Arithmetic:
    """The share of an answer's equations that hold, calculated exactly.

    A number with decimals is right if the other side rounds to it (half a unit in its last place
    either way): 1/3 = 0.33, but not 1/3 = 0.34 nor 10/3 = 3. A percentage is right as a share or as
    a number of per cent: 1/4 = 25% and 1/4 * 100 = 25%. A division by zero equals nothing. What is
    too large or irrational is left out. It says nothing of whether the equations are to the point.
    """

    def verify(self, question: str, answer: str) -> Verdict:
        """The share that holds, with the first that does not; failed if there is none to judge."""
        judged = [
            (equation, holds)
            for equation in equations(answer)
            if (holds := _holds(equation)) is not None
        ]
        if not judged:
            return failed("there is no equation between numbers in the answer")
        wrong = [equation for equation, holds in judged if not holds]
        n_right = len(judged) - len(wrong)
        reason = f"{n_right} of {len(judged)} equations hold"
        if wrong:
            reason += f"; wrong: {wrong[0].left.shown} = {wrong[0].right.shown}"
        return Verdict(n_right / len(judged), in_a_line(reason))


def _holds(equation: Equation) -> bool | None:
    """Whether it does; None if that cannot be told."""
    try:
        left, right = evaluate(equation.left.text), evaluate(equation.right.text)
    except NotExact:
        return None
    except ZeroDivisionError:
        return False
    return any(
        _equal(left * left_factor, right * right_factor, equation, left_factor, right_factor)
        for left_factor in _factors(equation.left)
        for right_factor in _factors(equation.right)
    )


def _factors(side: Side) -> tuple[int, ...]:
    """What a side may be multiplied by: 25% is said for 0.25 and for 25."""
    return (1, 100) if side.literal is not None and side.literal.percent else (1,)


def _equal(
    left: Fraction, right: Fraction, equation: Equation, left_factor: int, right_factor: int
) -> bool:
    allowed = max(
        _half_unit(equation.left.literal, left_factor),
        _half_unit(equation.right.literal, right_factor),
    )
    return abs(left - right) <= allowed


def _half_unit(literal: Literal | None, factor: int) -> Fraction:
    """Half of a number's last place; 0 for whole numbers, which are not rounded."""
    if literal is None or literal.places == 0:
        return Fraction(0)
    return Fraction(factor, 2 * 10**literal.places * (100 if literal.percent else 1))
