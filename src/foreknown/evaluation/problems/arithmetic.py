"""Kind `arithmetic`: word problems, answered in short worked lines that end in `#### answer`.

Kind `arithmetic-long` is those of three and four steps alone. It is measured and never drawn for
training by itself, and leaves more room to see whether time spent on an answer makes it better.
"""

from __future__ import annotations

from random import Random

from .problem import Kind, Problem
from .stories import story
from .worked import is_answered, worked_problem

_LONG_STEPS = 3


def generate(rng: Random) -> Problem:
    return worked_problem("arithmetic", story(rng))


def generate_long(rng: Random) -> Problem:
    while True:
        drawn = story(rng)
        if len(drawn.steps) >= _LONG_STEPS:
            return worked_problem("arithmetic-long", drawn)


ARITHMETIC = Kind("arithmetic", 0.11, generate, is_answered)
ARITHMETIC_LONG = Kind("arithmetic-long", 0.0, generate_long, is_answered)
