"""Kind `products`: a product of larger numbers, taken apart in one of many ways.

A factor is split by its digits or anywhere, rounded up, or factored itself. Each way has other sums
on it, so what goes wrong on one seldom goes wrong in the same way on another: drafts that are right
agree.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .equations import by_digits
from .problem import Kind
from .worked import Operand, Result, Step, Story, is_answered, worked_problem

_ASKS = (
    "What is {left} times {right}?",
    "Multiply {left} by {right}.",
    "Find the product of {left} and {right}.",
    "Work out {left} times {right}.",
    "How much is {left} times {right}?",
)
_SIZES = ((99, 99), (999, 99), (9999, 99), (999, 999), (9999, 999))
"""The greatest left and right factor of a problem."""
_LEAST = 3

Way = Callable[[Random, int, int], tuple[Step, ...] | None]
"""The steps from two factors to their product; None if it does not go that way."""


def product(rng: Random) -> Story:
    """Two factors, and one of the ways to their product."""
    most_left, most_right = rng.choice(_SIZES)
    left, right = rng.randint(most_left // 10, most_left), rng.randint(_LEAST, most_right)
    if rng.random() < 0.5:
        left, right = right, left
    asked = rng.choice(_ASKS).format(left=left, right=right)
    steps = in_some_way(rng, left, right)
    return Story("products", asked, steps, same=str(sorted((left, right))))


def in_some_way(rng: Random, left: int, right: int) -> tuple[Step, ...]:
    """The steps on one of the ways to a product of numbers of which one is above ten."""
    while True:
        kept, apart = (left, right) if rng.random() < 0.5 else (right, left)
        steps = rng.choice(_WAYS)(rng, kept, apart)
        if steps is not None:
            return steps


def _by_digits(rng: Random, kept: int, apart: int) -> tuple[Step, ...] | None:
    """`347 * 26`: 347 * 20, 347 * 6."""
    parts = by_digits(apart)
    return _in_parts(kept, parts) if len(parts) > 1 else None


def _anywhere(rng: Random, kept: int, apart: int) -> tuple[Step, ...] | None:
    """`347 * 26`: 347 * 17, 347 * 9."""
    if apart < 2 * _LEAST:
        return None
    part = rng.randint(_LEAST, apart - _LEAST)
    return _in_parts(kept, [part, apart - part])


def _in_parts(kept: int, parts: list[int]) -> tuple[Step, ...]:
    """Each part's product, and their sum."""
    steps = [Step("", kept, "*", part) for part in parts]
    so_far: Operand = Result(0)
    for index in range(1, len(parts)):
        steps.append(Step("", so_far, "+", Result(index)))
        so_far = Result(len(steps) - 1)
    return tuple(steps)


def _rounded_up(rng: Random, kept: int, apart: int) -> tuple[Step, ...] | None:
    """`347 * 26`: 347 * 30, less 347 * 4."""
    unit = 10 ** rng.randint(1, max(1, len(str(apart)) - 1))
    above = -apart % unit
    if above < 1:
        return None
    return (
        Step("", kept, "*", apart + above),
        Step("", kept, "*", above),
        Step("", Result(0), "-", Result(1)),
    )


def _by_factors(rng: Random, kept: int, apart: int) -> tuple[Step, ...] | None:
    """`347 * 26`: 347 * 2, that times 13."""
    factors = [factor for factor in range(2, 10) if apart % factor == 0 and apart > factor]
    if not factors:
        return None
    first = rng.choice(factors)
    return Step("", kept, "*", first), Step("", Result(0), "*", apart // first)


_WAYS: tuple[Way, ...] = (_by_digits, _anywhere, _rounded_up, _by_factors)

PRODUCTS = Kind("products", 0.18, lambda rng: worked_problem("products", product(rng)), is_answered)
