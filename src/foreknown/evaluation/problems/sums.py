"""Kind `sums`: bare sums, several at once, quick or with the tens and units taken apart."""

from __future__ import annotations

from random import Random

from .cast import addend, below, factors
from .equations import apply, careful_equation, chains_in, equation, holds
from .problem import Kind, Message, Problem

_QUICK = ("Work out {}", "What is {}?", "Compute {}", "How much is {}?", "Calculate {}.", "{}")
_CAREFUL = ("Work out carefully: {}", "Step by step, what is {}?", "Carefully compute {}")


def generate(rng: Random) -> Problem:
    sums = [_sum(rng) for _ in range(rng.choice((1, 1, 2, 4, 6)))]
    asked = ", ".join(f"{left} {op} {right}" for left, op, right in sums)
    careful = rng.random() < 0.4
    write = careful_equation if careful else equation
    replies = [write(*terms) for terms in sums]
    values = " ".join(str(apply(*terms)) for terms in sums)
    return Problem(
        kind="sums",
        key=f"sums: {asked}",
        prompt=(Message("user", rng.choice(_CAREFUL if careful else _QUICK).format(asked)),),
        solution="\n".join([*replies, f"#### {values}"]),
        answer=values,
        note="careful" if careful else "quick",
    )


def _sum(rng: Random) -> tuple[int, str, int]:
    op = rng.choices("+-*/", (35, 35, 18, 12))[0]
    if op == "+":
        return addend(rng), op, addend(rng)
    if op == "-":
        left = max(4, addend(rng) + rng.choice((0, 0, addend(rng))))
        return left, op, below(rng, left)
    each, count = factors(rng)
    return (each, op, count) if op == "*" else (each * count, op, count)


def check(problem: Problem, reply: str) -> bool:
    """Right if the answers after `####` are, and every equation written on the way holds."""
    body, mark, tail = reply.rpartition("####")
    return bool(mark) and tail.strip() == problem.answer and all(map(holds, chains_in(body)))


SUMS = Kind("sums", 0.25, generate, check)
