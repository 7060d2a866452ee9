"""The strategy of no strategy: one draft is the answer."""

from __future__ import annotations

from dataclasses import replace

from foreknown.engine.sampling import GREEDY_BELOW
from foreknown.strategies.strategy import (
    Ask,
    Choice,
    Part,
    Problem,
    Steps,
    StepsOf,
    Strategy,
    together,
)


def direct(problem: Problem) -> Steps:
    """The first draft, as it is."""
    ((draft,),) = yield [Ask("answer", problem)]
    return Choice(draft.text, draft.logprob, draft.finish_reason, Part("answer", (draft,)))


DRAWN = 0.7
"""Temperature of several drafts where nobody said one: greedy ones would all be the same."""


def warmed(problem: Problem) -> Problem:
    """The same, with drafts that differ."""
    if problem.params.temperature >= GREEDY_BELOW:
        return problem
    return replace(problem, params=replace(problem.params, temperature=DRAWN))


def several(inner: Strategy, problem: Problem, n: int) -> StepsOf[list[Choice]]:
    """Answers of a strategy to the same problem, each drawn anew.

    Of single drafts all are samples of one prompt, which is computed once.
    """
    if n > 1:
        problem = warmed(problem)
    if inner is not direct:
        return (yield from together([inner(problem.drawn(index)) for index in range(n)]))
    (drafts,) = yield [Ask("answers", problem, n)]
    return [Choice(d.text, d.logprob, d.finish_reason, Part("answer", (d,))) for d in drafts]
