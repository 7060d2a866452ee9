"""Kind `countdown`: reach a target from three or four numbers, each used exactly once.

The reply is a short search: leave one number out, combine the other two in every way, and see
whether the number left out takes one of the results to the target.
"""

from __future__ import annotations

from random import Random

from .equations import evaluate, final_answer, numbers_in
from .problem import Kind, Message, Problem

_ASKS = (
    "Use {numbers} to make {target}.",
    "Make {target} from {numbers}. Use each number once.",
    "Countdown: numbers {numbers}, target {target}.",
    "Reach {target} with {numbers} and + - * /.",
)
_MAX_TARGET = 100

Term = tuple[int, str]
"""A value and the expression that made it."""


def generate(rng: Random) -> Problem:
    while True:
        numbers = [rng.randint(2, 10) for _ in range(4 if rng.random() < 0.1 else 3)]
        found = _random_target(rng, numbers)
        if found:
            break
    target, first = found
    listed = ", ".join(map(str, numbers[:-1])) + f" and {numbers[-1]}"
    lines, expression = _search(_terms_after(numbers, first), target)
    if first:
        lines.insert(0, f"First: {first[2]} = {first[3]}")
    return Problem(
        kind="countdown",
        key=f"countdown: {sorted(numbers)} {target}",
        prompt=(Message("user", rng.choice(_ASKS).format(numbers=listed, target=target)),),
        solution="\n".join([*lines, f"#### {expression} = {target}"]),
        answer=str(target),
        note=f"{len(numbers)} numbers",
    )


FirstStep = tuple[int, int, str, int]
"""The positions of the two numbers combined first, what is written, and its value."""


def _random_target(rng: Random, numbers: list[int]) -> tuple[int, FirstStep | None] | None:
    """A target that can be reached, and for four numbers the first step towards it."""
    first: FirstStep | None = None
    terms: list[Term] = [(number, str(number)) for number in numbers]
    if len(numbers) == 4:
        i, j = rng.sample(range(4), 2)
        combined = _combinations(terms[i], terms[j])
        value, written = rng.choice(combined)
        first = (i, j, written, value)
        terms = _terms_after(numbers, first)
    rng.shuffle(terms)
    a, b, c = terms
    middle = rng.choice(_combinations(a, b))
    targets = [value for value, _ in _combinations(middle, c) if 2 <= value <= _MAX_TARGET]
    return (rng.choice(targets), first) if targets else None


def _terms_after(numbers: list[int], first: FirstStep | None) -> list[Term]:
    terms = [(number, str(number)) for number in numbers]
    if first is None:
        return terms
    i, j, written, value = first
    rest = [term for position, term in enumerate(terms) if position not in (i, j)]
    return [(value, f"({written})"), *rest]


def _combinations(a: Term, b: Term) -> list[Term]:
    """Every positive whole result of two terms: sum, difference, product, ratio, larger first."""
    (x, x_text), (y, y_text) = (a, b) if a[0] >= b[0] else (b, a)
    made = [(x + y, "+"), (x - y, "-"), (x * y, "*")]
    if y and x % y == 0:
        made.append((x // y, "/"))
    return [(value, f"{x_text} {op} {y_text}") for value, op in made if value > 0]


def _search(terms: list[Term], target: int) -> tuple[list[str], str]:
    """The lines of the search through three terms, and the expression it found."""
    lines: list[str] = []
    for left_out in range(3):
        out = terms[left_out]
        a, b = (term for position, term in enumerate(terms) if position != left_out)
        tried: list[str] = []
        plain = _combinations((a[0], str(a[0])), (b[0], str(b[0])))
        for (value, expression), (_, written) in zip(_combinations(a, b), plain, strict=True):
            tried.append(f"{written} = {value}")
            for last, whole in _combinations((value, f"({expression})"), out):
                if last == target:
                    lines.append(f"Leave {out[0]}: " + ", ".join(tried))
                    final = _combinations((value, str(value)), (out[0], str(out[0])))
                    lines += [f"{text} = {made}" for made, text in final if made == target][:1]
                    return lines, whole
        lines.append(f"Leave {out[0]}: " + ", ".join(tried))
    raise ValueError(f"{target} cannot be reached from {terms}")


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


COUNTDOWN = Kind("countdown", 0.08, generate, check)
