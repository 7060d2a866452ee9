"""Puzzles that are guessed at: a few tries, a line each, of which the last reaches the target.

The tries are random, so a model guesses, works its guesses out, and tells which one is right. What
it cannot reach within as many tries as it was ever shown it can only claim, and each time another
way. So drafts that are right agree, drafts that are wrong do not, and their last equation does not
hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from .problem import Message, Problem

_MOST_FAILURES = 3


@dataclass(frozen=True)
class Try:
    """What is written for a try, its expression as a whole, and its value."""

    equations: tuple[str, ...]
    expression: str
    value: int

    @property
    def line(self) -> str:
        """`3 + 5 = 8, 8 * 2 = 16`."""
        return ", ".join(self.equations)

    @property
    def claim(self) -> str:
        """`(3 + 5) * 2 = 16`."""
        return f"{self.expression} = {self.value}"

    def claiming(self, target: int) -> Try:
        """The same with another value, which is claimed and not true."""
        *first, last = self.equations
        claim = f"{last.partition(' = ')[0]} = {target}"
        return Try((*first, claim), self.expression, target)


@dataclass(frozen=True)
class Puzzle:
    """A question, a try that reaches its target, and how others are made.

    `key` is the same for puzzles that ask the same.
    """

    key: str
    question: str
    hit: Try
    attempt: Callable[[Random], Try]
    note: str

    @property
    def target(self) -> int:
        return self.hit.value

    def failure(self, rng: Random) -> Try:
        """A try that misses the target."""
        while True:
            one = self.attempt(rng)
            if one.value != self.target:
                return one

    def tries(self, rng: Random) -> list[Try]:
        """Some that fail, no two the same, and one that does not."""
        failed = [self.failure(rng) for _ in range(rng.randint(0, _MOST_FAILURES))]
        return [*dict.fromkeys(failed), self.hit]


def reply(made: list[Try]) -> str:
    """The tries, and the last one's expression and value as the answer."""
    return "\n".join([*(one.line for one in made), f"#### {made[-1].claim}"])


def guessed_problem(kind: str, rng: Random, asked: Puzzle) -> Problem:
    """The puzzle as a problem that is answered in a few tries."""
    return Problem(
        kind=kind,
        key=asked.key,
        prompt=(Message("user", asked.question),),
        solution=reply(asked.tries(rng)),
        answer=str(asked.target),
        note=asked.note,
    )
