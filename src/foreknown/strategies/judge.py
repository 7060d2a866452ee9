"""The model's own judgement of answers: a grade, as a share of 1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from foreknown.strategies.strategy import Ask, Draft, Problem, StepsOf
from foreknown.strategies.templates import Templates

GRADE_TOKENS = 16
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def judged(problem: Problem, answers: Sequence[str], templates: Templates) -> StepsOf[list[float]]:
    """Grades of answers to a problem, from 0 to 1; -1 where none was given.

    All are asked for at once, greedily.
    """
    params = replace(problem.params, temperature=0.0, max_tokens=GRADE_TOKENS, min_tokens=0)
    asks = [
        Ask(
            "judge",
            replace(
                problem.instead(templates.judge.format(question=problem.question, answer=answer)),
                params=params,
            ),
            is_answer=False,
        )
        for answer in answers
    ]
    drafts = yield asks
    return [_grade(draft) for (draft,) in drafts]


def _grade(draft: Draft) -> float:
    found = _NUMBER.search(draft.text)
    if found is None or not draft.is_whole:
        return -1.0
    return min(float(found[0]), 100.0) / 100
