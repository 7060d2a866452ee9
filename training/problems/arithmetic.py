"""Kind `arithmetic`: word problems, answered in short worked lines that end in `#### answer`."""

from __future__ import annotations

from random import Random

from .equations import final_answer
from .problem import Kind, Message, Problem
from .stories import story
from .worked import solution


def generate(rng: Random) -> Problem:
    drawn = story(rng)
    return Problem(
        kind="arithmetic",
        key=drawn.key,
        prompt=(Message("user", drawn.question),),
        solution=solution(drawn.steps),
        answer=str(drawn.answer),
        note=f"{len(drawn.steps)} steps" if len(drawn.steps) > 1 else "1 step",
    )


def check(problem: Problem, reply: str) -> bool:
    """Right if the number after the last `####` is the answer."""
    return final_answer(reply) == problem.answer


ARITHMETIC = Kind("arithmetic", 0.40, generate, check)
