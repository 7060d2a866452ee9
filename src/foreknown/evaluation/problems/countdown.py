"""Kind `countdown`: reach a target from three to five numbers, each used exactly once.

Kind `countdown-long` is the puzzles of five numbers alone. It is measured and never drawn for
training by itself.
"""

from __future__ import annotations

from functools import partial
from random import Random

from .equations import apply, evaluate, final_answer, numbers_in
from .problem import Kind, Problem
from .tries import Puzzle, Try, guessed_problem

_ASKS = (
    "Use {numbers} to make {target}.",
    "Make {target} from {numbers}. Use each number once.",
    "Countdown: numbers {numbers}, target {target}.",
    "Reach {target} with {numbers} and + - * /.",
)
_COUNTS = ((3, 4, 5), (35, 40, 25))
"""How many numbers, and how often."""
_MOST = 5
_GREATEST = 12
_MAX_TARGET = 200


def puzzle(rng: Random, count: int | None = None) -> Puzzle:
    """One that can be solved, of so many numbers."""
    while True:
        n_numbers = count or rng.choices(*_COUNTS)[0]
        numbers = tuple(rng.randint(2, _GREATEST) for _ in range(n_numbers))
        hit = _attempt(rng, numbers)
        if 2 <= hit.value <= _MAX_TARGET:
            break
    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    return Puzzle(
        key=f"countdown: {sorted(numbers)} {hit.value}",
        question=rng.choice(_ASKS).format(numbers=listed, target=hit.value),
        hit=hit,
        attempt=partial(_attempt, numbers=numbers),
        note=f"{len(numbers)} numbers",
    )


def _attempt(rng: Random, numbers: tuple[int, ...]) -> Try:
    """Two numbers are combined, then the result with another or another two, until one is left."""
    terms = [(number, str(number)) for number in numbers]
    equations = []
    while len(terms) > 1:
        rng.shuffle(terms)
        (x, x_text), (y, y_text) = sorted((terms.pop(), terms.pop()), key=lambda term: -term[0])
        op = rng.choice([op for op in "+-*/" if _is_useful(x, op, y)])
        value = apply(x, op, y)
        equations.append(f"{x} {op} {y} = {value}")
        terms.append((value, f"{_inner(x_text)} {op} {_inner(y_text)}"))
    return Try(tuple(equations), terms[0][1], terms[0][0])


def _is_useful(x: int, op: str, y: int) -> bool:
    """Whether x op y is a whole number above zero; x is no less than y."""
    return {"+": True, "-": x > y, "*": True, "/": x % y == 0}[op]


def _inner(expression: str) -> str:
    return f"({expression})" if " " in expression else expression


def generate(rng: Random) -> Problem:
    return guessed_problem("countdown", rng, puzzle(rng))


def generate_long(rng: Random) -> Problem:
    return guessed_problem("countdown-long", rng, puzzle(rng, _MOST))


def check(problem: Problem, reply: str) -> bool:
    """Right if the expression after `####` uses exactly the given numbers and is the target."""
    answer = final_answer(reply)
    if answer is None:
        return False
    expression = answer.split("=")[0]
    given = sorted(numbers_in(problem.key.split("]")[0]))
    try:
        value = evaluate(expression)
    except ValueError:
        return False
    return value == int(problem.answer) and sorted(numbers_in(expression)) == given


COUNTDOWN = Kind("countdown", 0.18, generate, check)
COUNTDOWN_LONG = Kind("countdown-long", 0.0, generate_long, check)
