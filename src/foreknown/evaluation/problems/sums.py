"""Kind `sums`: bare sums, several at once, quick or with the tens and units taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from .cast import addend, below, factors
from .equations import apply, careful_equation, chains_in, equation, holds
from .problem import Kind, Message, Problem

_QUICK = ("Work out {}", "What is {}?", "Compute {}", "How much is {}?", "Calculate {}.", "{}")
_CAREFUL = ("Work out carefully: {}", "Step by step, what is {}?", "Carefully compute {}")

Sum = tuple[int, str, int]
"""left, operator, right."""


def several(rng: Random) -> list[Sum]:
    """What is to be worked out: one to six sums."""
    return [_sum(rng) for _ in range(rng.choice((1, 1, 2, 4, 6)))]


def _sum(rng: Random) -> Sum:
    op = rng.choices("+-*/", (35, 35, 18, 12))[0]
    if op == "+":
        return addend(rng), op, addend(rng)
    if op == "-":
        left = max(4, addend(rng) + rng.choice((0, 0, addend(rng))))
        return left, op, below(rng, left)
    each, count = factors(rng)
    return (each, op, count) if op == "*" else (each * count, op, count)


def question(rng: Random, sums: list[Sum], careful: bool) -> str:
    """The sums in words that ask for a quick or a careful reply."""
    return rng.choice(_CAREFUL if careful else _QUICK).format(_listed(sums))


def key(sums: list[Sum]) -> str:
    return f"sums: {_listed(sums)}"


def _listed(sums: list[Sum]) -> str:
    return ", ".join(f"{left} {op} {right}" for left, op, right in sums)


def worked(sums: list[Sum], write: Callable[[int, str, int], str]) -> str:
    """Lines of equations as `write` gives them, and all results."""
    return reply((write(*each) for each in sums), (apply(*each) for each in sums))


def reply(lines: Iterable[str], results: Iterable[int]) -> str:
    return "\n".join([*lines, f"#### {' '.join(map(str, results))}"])


def generate(rng: Random) -> Problem:
    sums = several(rng)
    careful = rng.random() < 0.4
    return Problem(
        kind="sums",
        key=key(sums),
        prompt=(Message("user", question(rng, sums, careful)),),
        solution=worked(sums, careful_equation if careful else equation),
        answer=" ".join(str(apply(*each)) for each in sums),
        note="careful" if careful else "quick",
    )


def check(problem: Problem, reply: str) -> bool:
    """Right if the answers after `####` are, and every equation written on the way holds."""
    body, mark, tail = reply.rpartition("####")
    return bool(mark) and tail.strip() == problem.answer and all(map(holds, chains_in(body)))


SUMS = Kind("sums", 0.05, generate, check)
