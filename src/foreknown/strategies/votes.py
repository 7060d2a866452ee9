"""Counts answers that mean the same, and says which one most are for or which scored best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from foreknown.errors import RequestError
from foreknown.strategies.answers import normalised

MOST_WEIGHT = 1e300
"""Sums of weights stay finite, however many vote."""


@dataclass(frozen=True)
class Ballot:
    """One vote.

    Attributes:
        answer: what it is for; None, or an answer that says nothing: nothing could be told.
        weight: how much it counts, from 0 to `MOST_WEIGHT`.

    Raises:
        RequestError: the weight is negative, infinite, or not a number.
    """

    answer: str | None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= MOST_WEIGHT:
            raise RequestError(
                f"a ballot's weight is {self.weight}, where a number from 0 to {MOST_WEIGHT:g} "
                "is expected",
                remedy="give each ballot a weight that is finite and not negative",
                field="weight",
            )


@dataclass(frozen=True)
class Tally:
    """What one answer got.

    Attributes:
        answer: as it was first written; None: the ballots from which nothing could be told.
        votes: how many ballots.
        weight: the sum of theirs.
        members: which ballots, by their place, in order.
    """

    answer: str | None
    votes: int
    weight: float
    members: tuple[int, ...]


def tally(ballots: Sequence[Ballot]) -> list[Tally]:
    """Every answer with what it got, the best first; none if there are no ballots.

    Answers that mean the same (`normalised`) count together. More weight is better; among equals
    the answer that came first. None is last, whatever its weight.
    """
    groups: dict[str, list[int]] = {}
    for place, ballot in enumerate(ballots):
        groups.setdefault(normalised(ballot.answer or ""), []).append(place)
    counted = [_counted(ballots, members, is_none=not key) for key, members in groups.items()]
    return sorted(counted, key=lambda one: (one.answer is None, -one.weight))


def _counted(ballots: Sequence[Ballot], members: list[int], *, is_none: bool) -> Tally:
    return Tally(
        answer=None if is_none else ballots[members[0]].answer,
        votes=len(members),
        weight=math.fsum(ballots[place].weight for place in members),
        members=tuple(members),
    )


def majority(ballots: Sequence[Ballot]) -> Tally:
    """The answer that most weight is for; the first of `tally`.

    Raises:
        RequestError: nobody voted.
    """
    if not ballots:
        raise RequestError("nobody voted", remedy="give at least one ballot")
    return tally(ballots)[0]


def best(scores: Sequence[float], answers: Sequence[str | None]) -> int:
    """The place of the answer that scored highest; the first of several.

    A score that is not a number never wins; an answer that is None wins only where every other
    one is None or has no number for a score.

    Raises:
        RequestError: there are not as many scores as answers, or no score is a number.
    """
    if len(scores) != len(answers):
        raise RequestError(
            f"there are {len(scores)} scores for {len(answers)} answers",
            remedy="give one score for each answer",
            field="scores",
        )
    places = [place for place, score in enumerate(scores) if not math.isnan(score)]
    if not places:
        raise RequestError(
            f"none of the {len(scores)} scores is a number",
            remedy="give at least one answer a score",
            field="scores",
        )
    return max(places, key=lambda place: (answers[place] is not None, scores[place]))
