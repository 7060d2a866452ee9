"""Kind `review`: drafts for problems of every kind are checked step by step and kept or corrected.

About half the drafts are right. The wrong ones hold what a small model really gets wrong: a slip
in one result, a wrong operation, a wrong number copied, a step left out; a target claimed and not
reached. The check does every step again in the careful form.

Kind `judge`: the same drafts are graded, without a word of why.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from . import countdown, sums, tries
from .checks import RIGHT, Check, checked, graded
from .equations import apply, careful_equation, equation
from .problem import Kind, Problem
from .products import product
from .slips import slip
from .stories import story
from .totals import total
from .worked import Result, Step, Story, careful_lines, is_answered, results, solution, without_step


def generate(rng: Random) -> Problem:
    return checked(rng, _check(rng))


def generate_graded(rng: Random) -> Problem:
    return graded(_check(rng))


def _check(rng: Random) -> Check:
    draft = rng.choices(_CHECKED, _SHARES)[0]
    return draft(rng, rng.random() < 0.5)


def _of_story(rng: Random, is_right: bool) -> Check:
    return _of_steps(rng, story(rng), is_right)


def _of_total(rng: Random, is_right: bool) -> Check:
    return _of_steps(rng, total(rng), is_right)


def _of_product(rng: Random, is_right: bool) -> Check:
    return _of_steps(rng, product(rng), is_right)


def _of_steps(rng: Random, drawn: Story, is_right: bool) -> Check:
    draft, draft_values = _right_draft(drawn) if is_right else _wrong_draft(rng, drawn)
    return Check(
        key=drawn.key,
        question=drawn.question,
        draft=draft,
        lines=tuple(
            f"{line}, {_verdict(drafted, truth)}"
            for line, truth, drafted in zip(
                careful_lines(drawn.steps), results(drawn.steps), draft_values, strict=True
            )
        ),
        final=str(drawn.answer),
        revised=solution(drawn.steps),
        answer=str(drawn.answer),
    )


def _verdict(drafted: int | None, truth: int) -> str:
    if drafted is None:
        return "the draft leaves this out"
    return RIGHT if drafted == truth else f"the draft has {drafted}"


def _right_draft(drawn: Story) -> tuple[str, list[int | None]]:
    return solution(drawn.steps), list(results(drawn.steps))


def _wrong_draft(rng: Random, drawn: Story) -> tuple[str, list[int | None]]:
    """A draft whose answer is wrong, and its result for each true step (None where left out)."""
    while True:
        mistake = rng.choices(("slip", "operation", "number", "left out"), (70, 10, 12, 8))[0]
        at = rng.randrange(len(drawn.steps))
        steps, slips = drawn.steps, {}
        if mistake == "slip":
            slips = {at: slip(rng, results(steps)[at])}
        elif mistake == "left out" and len(steps) > 1:
            steps = without_step(steps, at)
        elif mistake == "operation":
            steps = _with(steps, at, replace(steps[at], op=rng.choice("+-*")))
        elif mistake == "number":
            steps = _with(steps, at, _misread(rng, steps[at]))
        try:
            values: list[int | None] = list(results(steps, slips))
        except ValueError:
            continue
        if any(value is None or value <= 0 for value in values) or values[-1] == drawn.answer:
            continue
        if len(values) < len(drawn.steps):
            values.insert(at, None)
        return solution(steps, slips), values


def _with(steps: tuple[Step, ...], at: int, step: Step) -> tuple[Step, ...]:
    return (*steps[:at], step, *steps[at + 1 :])


def _misread(rng: Random, step: Step) -> Step:
    """One of the step's given numbers read wrongly."""
    if isinstance(step.right, Result) or (isinstance(step.left, int) and rng.random() < 0.5):
        if isinstance(step.left, Result):
            return step
        return replace(step, left=step.left + slip(rng, step.left))
    return replace(step, right=step.right + slip(rng, step.right))


def _of_sums(rng: Random, is_right: bool) -> Check:
    terms = sums.several(rng)
    truths = [apply(*each) for each in terms]
    drafted = list(truths)
    if not is_right:
        at = rng.randrange(len(terms))
        drafted[at] += slip(rng, drafted[at])
    answer = " ".join(map(str, truths))
    return Check(
        key=sums.key(terms),
        question=sums.question(rng, terms, careful=False),
        draft=sums.reply(
            [
                f"{left} {op} {right} = {value}"
                for (left, op, right), value in zip(terms, drafted, strict=True)
            ],
            drafted,
        ),
        lines=tuple(
            f"{careful_equation(*each)}, {_verdict(value, truth)}"
            for each, value, truth in zip(terms, drafted, truths, strict=True)
        ),
        final=answer,
        revised=sums.worked(terms, equation),
        answer=answer,
    )


def _of_countdown(rng: Random, is_right: bool) -> Check:
    puzzle = countdown.puzzle(rng)
    made = puzzle.tries(rng)
    drafted = puzzle.hit if is_right else puzzle.failure(rng)
    verdict = RIGHT if is_right else f"the draft says {puzzle.target}"
    return Check(
        key=puzzle.key,
        question=puzzle.question,
        draft=tries.reply([*made[:-1], drafted.claiming(puzzle.target)]),
        lines=(f"{drafted.line}, {verdict}",),
        more=() if is_right else tuple(one.line for one in made),
        final=puzzle.hit.claim,
        revised=tries.reply(made),
        answer=str(puzzle.target),
    )


def check(problem: Problem, reply: str) -> bool:
    """Right if the reply is a right one to what the draft was for."""
    kind, _, _ = problem.key.partition(":")
    return _CHECKS.get(kind, is_answered)(problem, reply)


_HALF = 50
"""Of all marks."""


def has_grade(problem: Problem, reply: str) -> bool:
    """Right if a draft that is right has more than half of all marks, and no other has."""
    grade = reply.strip()
    return grade.isdecimal() and (int(grade) > _HALF) == (problem.answer == "right")


_CHECKS = {"sums": sums.check, "countdown": countdown.check}

_CHECKED = (_of_story, _of_total, _of_product, _of_sums, _of_countdown)
_SHARES = (15, 18, 35, 10, 22)

REVIEW = Kind("review", 0.30, generate, check)
JUDGE = Kind("judge", 0.05, generate_graded, has_grade)
