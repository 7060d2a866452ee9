"""How a draft is handed over to be checked, and what is said about it.

Either all at once: every line of the check, a verdict and the answer. Or in the three turns of
`foreknown.strategies.reflect`: what could be better, which of it matters most, and the whole answer
again with that applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from foreknown.strategies.templates import Templates

from .problem import Message, Problem

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
_OWN, _GIVEN, _IN_TURNS = 45, 10, 45
_IDEAS = 3
RIGHT = "right"


@dataclass(frozen=True)
class Check:
    """A draft and what is to be said about it.

    Attributes:
        lines: what is worked out again, each with a verdict: `right`, or what the draft has.
        more: lines that only then lead to the answer.
        final: what stands after `####`.
        revised: the whole answer as it should have been.
    """

    key: str
    question: str
    draft: str
    lines: tuple[str, ...]
    final: str
    revised: str
    answer: str
    more: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        return all(map(_is_right, self.lines))

    @property
    def verdict(self) -> str:
        return "The draft is right." if self.is_right else "The draft is wrong."


def _is_right(line: str) -> bool:
    return line.endswith(f", {RIGHT}")


def checked(rng: Random, check: Check) -> Problem:
    """The conversation that ends in the check, in one of its forms."""
    form = rng.choices((_own, _given, _in_turns), (_OWN, _GIVEN, _IN_TURNS))[0]
    prompt, solution = form(rng, check)
    return Problem(
        kind="review",
        key=check.key,
        prompt=prompt,
        solution=solution,
        answer=check.answer,
        note="draft right" if check.is_right else "draft wrong",
    )


def graded(check: Check) -> Problem:
    """A draft that is to be graded, without a word of why."""
    asked = Templates().judge.format(question=check.question, answer=check.draft)
    return Problem(
        kind="judge",
        key=check.key,
        prompt=(Message("user", asked),),
        solution=GRADES[check.is_right],
        answer="right" if check.is_right else "wrong",
        note="draft right" if check.is_right else "draft wrong",
    )


GRADES = {True: "99", False: "1"}
"""Of 100, for drafts that are right and wrong."""

Turns = tuple[tuple[Message, ...], str]
"""The conversation so far, and the reply to it."""


def _own(rng: Random, check: Check) -> Turns:
    return (*_drafted(check), Message("user", rng.choice(_ASKS_OWN))), _at_once(check)


def _given(rng: Random, check: Check) -> Turns:
    asked = rng.choice(_ASKS_GIVEN).format(question=check.question, draft=check.draft)
    return (Message("user", asked),), _at_once(check)


def _in_turns(rng: Random, check: Check) -> Turns:
    ask = Templates()
    matters = next((line for line in check.lines if not _is_right(line)), check.lines[-1])
    return (
        *_drafted(check),
        Message("user", ask.ideas.format(n=_IDEAS)),
        Message("assistant", "\n".join(check.lines)),
        Message("user", ask.pick),
        Message("assistant", matters),
        Message("user", ask.revise),
    ), check.revised


def _drafted(check: Check) -> tuple[Message, ...]:
    """Of one's own drafts only what is right is taught."""
    draft = Message("assistant", check.draft, taught=check.is_right)
    return Message("user", check.question), draft


def _at_once(check: Check) -> str:
    return "\n".join([*check.lines, check.verdict, *check.more, f"#### {check.final}"])
