"""Kind `arithmetic`: word problems, answered in short worked lines that end in `#### answer`.

Kind `arithmetic-long` is those of three and four steps alone. It is measured and never drawn for
training by itself, and leaves more room to see whether time spent on an answer makes it better.
"""

from __future__ import annotations

from random import Random

from .equations import final_answer
from .problem import Kind, Message, Problem
from .stories import story
from .worked import Story, solution

_LONG_STEPS = 3


def generate(rng: Random) -> Problem:
    return _problem("arithmetic", story(rng))


def generate_long(rng: Random) -> Problem:
    while True:
        drawn = story(rng)
        if len(drawn.steps) >= _LONG_STEPS:
            return _problem("arithmetic-long", drawn)


def _problem(kind: str, drawn: Story) -> Problem:
    return Problem(
        kind=kind,
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
ARITHMETIC_LONG = Kind("arithmetic-long", 0.0, generate_long, check)
