"""A worked solution: steps whose operands are numbers or the results of earlier steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .equations import apply, careful_equation, equation, final_answer
from .problem import Message, Problem


@dataclass(frozen=True)
class Result:
    """Stands for the result of the step at `index`."""

    index: int


Operand = int | Result


@dataclass(frozen=True)
class Step:
    """`label: left op right = ...`; without a label the equation alone."""

    label: str
    left: Operand
    op: str
    right: Operand


@dataclass(frozen=True)
class Story:
    """A question in words with the steps that answer it; the last step's result is the answer.

    `same` is the same for all that ask the same, where there are several ways to answer it.
    """

    template: str
    question: str
    steps: tuple[Step, ...]
    same: str = ""

    @property
    def key(self) -> str:
        """The template and its numbers: the same for two stories that differ in names only."""
        numbers = self.same or "; ".join(equation(*each) for each in operands(self.steps))
        return f"{self.template}: {numbers}"

    @property
    def answer(self) -> int:
        return results(self.steps)[-1]


def results(steps: tuple[Step, ...], slips: dict[int, int] | None = None) -> list[int]:
    """Every step's result. `slips` adds an error to some of them, which the later steps inherit.

    Raises ValueError if a step is not a whole number.
    """
    values: list[int] = []
    for index, step in enumerate(steps):
        left, right = (_number(operand, values) for operand in (step.left, step.right))
        values.append(apply(left, step.op, right) + (slips or {}).get(index, 0))
    return values


def operands(
    steps: tuple[Step, ...], slips: dict[int, int] | None = None
) -> list[tuple[int, str, int]]:
    """Every step as (left, op, right) in numbers."""
    values = results(steps, slips)
    return [(_number(step.left, values), step.op, _number(step.right, values)) for step in steps]


def _number(operand: Operand, values: list[int]) -> int:
    return values[operand.index] if isinstance(operand, Result) else operand


def lines(steps: tuple[Step, ...], slips: dict[int, int] | None = None) -> list[str]:
    """The quick form, a line a step: `After buying: 12 + 7 = 19`."""
    values = results(steps, slips)
    return [
        _labelled(step, f"{left} {op} {right} = {value}")
        for step, (left, op, right), value in zip(
            steps, operands(steps, slips), values, strict=True
        )
    ]


def _labelled(step: Step, written: str) -> str:
    return f"{step.label}: {written}" if step.label else written


def careful_lines(steps: tuple[Step, ...]) -> list[str]:
    """The careful form of the same: tens and units apart where that helps."""
    return [
        _labelled(step, careful_equation(*numbers))
        for step, numbers in zip(steps, operands(steps), strict=True)
    ]


def solution(steps: tuple[Step, ...], slips: dict[int, int] | None = None) -> str:
    """All lines and the final `#### answer`."""
    return "\n".join([*lines(steps, slips), f"#### {results(steps, slips)[-1]}"])


def without_step(steps: tuple[Step, ...], index: int) -> tuple[Step, ...]:
    """The steps with one left out: whoever used its result uses its left operand instead."""
    left = steps[index].left

    def rewired(operand: Operand) -> Operand:
        if not isinstance(operand, Result) or operand.index < index:
            return operand
        return left if operand.index == index else Result(operand.index - 1)

    return tuple(
        replace(step, left=rewired(step.left), right=rewired(step.right))
        for position, step in enumerate(steps)
        if position != index
    )


def worked_problem(kind: str, drawn: Story) -> Problem:
    """The story as a problem that is answered in the quick form."""
    count = len(drawn.steps)
    return Problem(
        kind=kind,
        key=drawn.key,
        prompt=(Message("user", drawn.question),),
        solution=solution(drawn.steps),
        answer=str(drawn.answer),
        note=f"{count} steps" if count > 1 else "1 step",
    )


def is_answered(problem: Problem, reply: str) -> bool:
    """Right if the number after the last `####` is the answer."""
    return final_answer(reply) == problem.answer
