"""How good drafts are: by their probability, by a verifier, or by the model itself."""

from __future__ import annotations

from collections.abc import Sequence

from foreknown.strategies.judge import judged
from foreknown.strategies.strategy import Choice, Draft, Problem, StepsOf
from foreknown.strategies.templates import Templates
from foreknown.strategies.verifiers import Verifier


def scored(
    problem: Problem,
    drafts: Sequence[Draft] | Sequence[Choice],
    by: str,
    verifier: Verifier | None,
    templates: Templates,
) -> StepsOf[list[float]]:
    """Scores of drafts, more is better.

    Args:
        by: "logprob": the mean log-probability of a token; "verifier": its score, from 0 to 1;
            "judge": the model's own grade, from 0 to 1, or -1 where it gave none.
        verifier: for that.
        templates: for the judge.
    """
    if by == "judge":
        return (yield from judged(problem, [one.text for one in drafts], templates))
    if by == "verifier":
        assert verifier is not None
        return [verifier.verify(problem.question, one.text).score for one in drafts]
    return [one.logprob for one in drafts]
