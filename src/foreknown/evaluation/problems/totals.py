"""Kind `totals`: a handful of numbers added up, one after another in some order.

Every order has other sums on the way, so what goes wrong in one seldom goes wrong in the same way
in another: drafts that are right agree.
"""

from __future__ import annotations

from random import Random

from .problem import Kind
from .worked import Operand, Result, Step, Story, is_answered, worked_problem

_ASKS = (
    "Add up {}.",
    "What is the total of {}?",
    "Find the total: {}",
    "How much is {} together?",
    "Work out the total of {}.",
)
_FEWEST, _MOST = 3, 9
_MOST_DIGITS = 8


def total(rng: Random) -> Story:
    """Numbers of up to so many digits, and the way in which they are added up."""
    greatest = 10 ** rng.randint(2, _MOST_DIGITS) - 1
    added = [rng.randint(2, greatest) for _ in range(rng.randint(_FEWEST, _MOST))]
    asked = rng.choice(_ASKS).format(", ".join(map(str, added[:-1])) + f" and {added[-1]}")
    return Story("totals", asked, in_some_order(rng, added), same=str(sorted(added)))


def in_some_order(rng: Random, added: list[int]) -> tuple[Step, ...]:
    """The sums on the way to a total."""
    so_far: Operand
    so_far, *rest = rng.sample(added, len(added))
    steps: list[Step] = []
    for number in rest:
        steps.append(Step("", so_far, "+", number))
        so_far = Result(len(steps) - 1)
    return tuple(steps)


TOTALS = Kind("totals", 0.11, lambda rng: worked_problem("totals", total(rng)), is_answered)
