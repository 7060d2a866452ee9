"""Sample sets: questions with finished replies to them, and with rewards where there are any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from foreknown.evaluation.matching import says
from foreknown.evaluation.records import Record, lines, missing, text
from foreknown.evaluation.task import Question, Task, asked
from foreknown.strategies.strategy import Draft
from foreknown.strategies.verifiers import Verdict, Verifier

MOST_REPLIES = 4096
LARGEST_REWARD = 30.0
"""Either way; scores from 0 to 1 tell rewards beyond it no longer apart."""


@dataclass(frozen=True)
class Fields:
    """Where a sample set has what; a record without rewards has none."""

    question: str = "question"
    answer: str = "answer"
    replies: str = "response"
    rewards: str = "pred_score"


@dataclass(frozen=True)
class Rewarded:
    """A verifier that knows the rewards of given replies, and of no others.

    The score of a reward r is 1 / (1 + exp(-r)), which keeps their order.
    """

    rewards: Mapping[str, float]

    def verify(self, question: str, answer: str) -> Verdict:
        reward = self.rewards.get(answer)
        if reward is None:
            return Verdict(0.0, "it has no reward", failed=True)
        return Verdict(1 / (1 + math.exp(-reward)), f"reward {reward:g}")


def sample_set(name: str, path: Path, n: int, fields: Fields) -> Task:
    """Questions with their replies, and with rewards where there are any.

    Raises:
        RequestError: see `records`, or a field holds no texts or no numbers.
    """
    read = [
        _question(at, where, record, fields) for at, (where, record) in enumerate(lines(path, n))
    ]
    rewarded = any(question.verifier is not None for question in read)
    return Task(name, tuple(read), verifier="reward" if rewarded else "", is_given=True)


def _question(number: int, where: str, record: Record, fields: Fields) -> Question:
    answer, replies = text(record, fields.answer, where), _replies(record, fields.replies, where)
    return Question(
        str(number),
        asked(text(record, fields.question, where)),
        answer,
        partial(says, answer=answer),
        _verifier(record, replies, fields.rewards, where),
        [Draft(reply, 0, 0.0, "stop") for reply in replies],
    )


def _replies(record: Record, field: str, where: str) -> list[str]:
    given = record.get(field)
    is_list = isinstance(given, list) and 0 < len(given) <= MOST_REPLIES
    if not is_list or not all(isinstance(reply, str) for reply in given or ()):
        raise missing(record, field, f"a list of 1 to {MOST_REPLIES} texts", where)
    return list(given or ())


def _verifier(record: Record, replies: list[str], field: str, where: str) -> Verifier | None:
    if field not in record:
        return None
    given = record[field]
    if not isinstance(given, list) or len(given) != len(replies):
        raise missing(record, field, "a list of as many rewards as replies", where)
    return Rewarded(
        dict(zip(replies, (_reward(one, record, field, where) for one in given), strict=True))
    )


def _reward(given: Any, record: Record, field: str, where: str) -> float:
    """A number, alone or in a list by itself."""
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not is_number or not -LARGEST_REWARD <= given <= LARGEST_REWARD:
        raise missing(
            record, field, f"a list of numbers up to {LARGEST_REWARD:g} either way", where
        )
    return float(given)
