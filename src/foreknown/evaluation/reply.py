"""What came of a question in one setting, and whether it is right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from foreknown.engine import SamplingParams
from foreknown.evaluation.task import Question
from foreknown.strategies.budget import Budget, Fitted
from foreknown.strategies.course import Reach
from foreknown.strategies.expression import Call
from foreknown.strategies.strategy import Choice

Tell = Callable[[int, int], None]
"""Told how many questions are answered, and of how many."""


@dataclass(frozen=True)
class Setting:
    """One way of answering.

    Attributes:
        call: the strategy.
        budget: of each answer.
        params: of each draft; with a seed, and with as many tokens as it may have.
        is_baseline: what the others are compared with.
    """

    call: Call
    budget: Budget
    params: SamplingParams
    is_baseline: bool = False


@dataclass(frozen=True)
class Reply:
    """What came of a question.

    Attributes:
        choice: None: nothing, for the reason in `failure`.
        plan: what of the strategy fitted the budget, and its cost at most; None: not known.
        n_tokens: that came out.
        seconds: if it had the engine to itself; else None.
        reach: where its time or its tokens were used up; None: it came to its end.
        n_unjudged: replies that the verifier could not judge.
        failure: why it is lost; "": it is not.
    """

    question: Question
    choice: Choice | None
    plan: Fitted | None = None
    n_tokens: int = 0
    seconds: float | None = None
    reach: Reach | None = None
    n_unjudged: int = 0
    failure: str = ""

    @property
    def text(self) -> str:
        return "" if self.choice is None else self.choice.text


class Answering(Protocol):
    """Whatever answers questions."""

    @property
    def costs(self) -> tuple[float, float]:
        """Watts that are drawn meanwhile, and USD an hour; 0: not known."""
        ...

    def replies(
        self, questions: Sequence[Question], setting: Setting, tell: Tell
    ) -> list[Reply]: ...


@dataclass(frozen=True)
class Judged:
    """A reply with its mark; a lost one is wrong.

    Attributes:
        failure: why the reply is lost, or what the check of it raised; "": nothing.
    """

    reply: Reply
    is_right: bool
    failure: str

    def record(self, setting: Setting, task: str, *, trace: bool) -> dict[str, Any]:
        """As a line of `evaluate --jsonl` has it."""
        reply, plan = self.reply, self.reply.plan
        record: dict[str, Any] = {
            "task": task,
            "id": reply.question.id,
            "question": reply.question.messages[-1]["content"],
            "strategy": str(setting.call),
            "baseline": setting.is_baseline,
            "budget": budget_record(setting.budget),
            "done": str(setting.call if plan is None else plan.call),
            "text": reply.text,
            "answer": reply.question.answer,
            "right": self.is_right,
            "whole": reply.choice is not None and reply.choice.is_whole,
            "tokens": reply.n_tokens,
            "reach": None if reply.reach is None else str(reply.reach),
            "seconds": reply.seconds,
            "forecast_seconds": None if plan is None else plan.seconds,
            "unjudged": reply.n_unjudged,
            "failure": self.failure,
        }
        if trace and reply.choice is not None:
            record["trace"] = reply.choice.part.record()
        return record


def judged(reply: Reply) -> Judged:
    """Mark a reply; whatever a check raises makes it wrong, and is kept."""
    if reply.choice is None:
        return Judged(reply, False, reply.failure)
    try:
        return Judged(reply, bool(reply.question.check(reply.text)), "")
    except Exception as error:  # replies are anything, and one that breaks a check is no answer
        return Judged(reply, False, f"the check raised {type(error).__name__}: {error}")


def budget_record(budget: Budget) -> dict[str, float | None]:
    """As JSON shows it."""
    return {"deadline_ms": budget.deadline_ms, "tokens": budget.max_tokens}
