"""Kind `review`: a draft is checked step by step and kept or corrected.

About half the drafts are right. The wrong ones hold what a small model really gets wrong: a slip
in one result, a wrong operation, a wrong number copied, a step left out.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from .equations import final_answer
from .problem import Kind, Message, Problem
from .stories import story
from .worked import Result, Step, Story, careful_lines, results, solution, without_step

_ASKS_OWN = (
    "Check your answer and correct it if it is wrong.",
    "Are you sure? Check it step by step.",
    "Please check your answer.",
    "Check each step and give the right answer.",
    "Is that right? Check it and fix any mistake.",
)
_ASKS_GIVEN = (
    "{question}\nDraft:\n{draft}\nCheck the draft and correct it if it is wrong.",
    "{question}\nHere is a draft:\n{draft}\nIs it right?",
    "Check this answer.\nProblem: {question}\nAnswer:\n{draft}",
    "{question}\nSomeone answered:\n{draft}\nIs that correct?",
)


def generate(rng: Random) -> Problem:
    drawn = story(rng)
    wrong = rng.random() < 0.5
    draft, draft_values = _wrong_draft(rng, drawn) if wrong else _right_draft(drawn)
    prompt: tuple[Message, ...]
    if rng.random() < 0.6:
        prompt = (
            Message("user", drawn.question),
            Message("assistant", draft, taught=not wrong),
            Message("user", rng.choice(_ASKS_OWN)),
        )
    else:
        asked = rng.choice(_ASKS_GIVEN).format(question=drawn.question, draft=draft)
        prompt = (Message("user", asked),)
    return Problem(
        kind="review",
        key=drawn.key,
        prompt=prompt,
        solution=_reviewed(drawn, draft_values, wrong),
        answer=str(drawn.answer),
        note="draft wrong" if wrong else "draft right",
    )


def _right_draft(drawn: Story) -> tuple[str, list[int | None]]:
    return solution(drawn.steps), list(results(drawn.steps))


def _wrong_draft(rng: Random, drawn: Story) -> tuple[str, list[int | None]]:
    """A draft whose answer is wrong, and its result for each true step (None where left out)."""
    while True:
        mistake = rng.choices(("slip", "operation", "number", "left out"), (50, 25, 15, 10))[0]
        at = rng.randrange(len(drawn.steps))
        steps, slips = drawn.steps, {}
        if mistake == "slip":
            slips = {at: _slip(rng, results(steps)[at])}
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


def _slip(rng: Random, value: int) -> int:
    """An error as a slip of one digit makes it; never zero."""
    size = rng.choices((1, 2, 10, rng.randint(1, 9), 100), (35, 15, 30, 15, 5))[0]
    sign = -1 if value > size and rng.random() < 0.5 else 1
    return sign * size


def _misread(rng: Random, step: Step) -> Step:
    """One of the step's given numbers read wrongly."""
    if isinstance(step.right, Result) or (isinstance(step.left, int) and rng.random() < 0.5):
        if isinstance(step.left, Result):
            return step
        return replace(step, left=step.left + _slip(rng, step.left))
    return replace(step, right=step.right + _slip(rng, step.right))


def _reviewed(drawn: Story, draft_values: list[int | None], wrong: bool) -> str:
    """Every step done again with care and compared with the draft's."""
    checked = []
    for line, truth, drafted in zip(
        careful_lines(drawn.steps), results(drawn.steps), draft_values, strict=True
    ):
        if drafted is None:
            verdict = "the draft leaves this out"
        elif drafted == truth:
            verdict = "right"
        else:
            verdict = f"the draft has {drafted}"
        checked.append(f"{line}, {verdict}")
    verdict = "The draft is wrong." if wrong else "The draft is right."
    return "\n".join([*checked, verdict, f"#### {drawn.answer}"])


def check(problem: Problem, reply: str) -> bool:
    """Right if the number after the last `####` is the answer, whatever the draft was."""
    return final_answer(reply) == problem.answer


REVIEW = Kind("review", 0.25, generate, check)
