"""Answers the questions of a sample set by the replies that are given beside them, without a model.

A strategy asks as it would ask a model, and is given the replies in their order; when there are no
more, what it asks for comes back empty, as it does when its time is over. So votes and choices by
reward can be looked at where no model is at hand. What needs new text cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from foreknown.errors import RequestError
from foreknown.evaluation.counted import kit_for
from foreknown.evaluation.reply import Reply, Setting, Tell
from foreknown.evaluation.task import Question
from foreknown.strategies.compose import Kit, built
from foreknown.strategies.strategy import EMPTY, Ask, Choice, Draft, Problem, Strategy


@dataclass(frozen=True)
class FromReplies:
    """Answers questions by the replies that are given beside them.

    Attributes:
        kit: a question's own verifier stands in where it has none.
    """

    kit: Kit
    costs: tuple[float, float] = (0.0, 0.0)

    def replies(self, questions: Sequence[Question], setting: Setting, tell: Tell) -> list[Reply]:
        """What comes of questions, in their order; nothing is timed.

        Raises:
            RequestError: the strategy asks for more than replies to the question.
        """
        replies = []
        for question in questions:
            kit, counted = kit_for(self.kit, question)
            problem = Problem(question.messages, setting.params)
            choice = _chosen(question, built(setting.call, kit), problem)
            n_unjudged = 0 if counted is None else counted.n_failed
            replies.append(Reply(question, choice, n_unjudged=n_unjudged))
            tell(len(replies), len(questions))
        return replies


def _chosen(question: Question, strategy: Strategy, problem: Problem) -> Choice:
    """What a strategy makes of the replies that are given."""
    left = iter(question.drafts)
    steps = strategy(problem)
    try:
        asks = next(steps)
        while True:
            asks = steps.send([_given(ask, problem, left) for ask in asks])
    except StopIteration as stop:
        choice: Choice = stop.value
        return choice


def _given(ask: Ask, problem: Problem, left: Iterator[Draft]) -> list[Draft]:
    if (ask.problem.messages, ask.problem.begun) != (problem.messages, problem.begun):
        raise RequestError(
            f"{ask.part} need a model, and a sample set has only replies to its questions",
            remedy="use direct, vote, best_of or verify_and_retry",
            field="strategy",
        )
    drafts = list(islice(left, ask.samples))
    return drafts + [EMPTY] * (ask.samples - len(drafts))
