"""Who is elected, and what best is; on small ballots and on a set of sampled solutions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.errors import RequestError
from foreknown.strategies.answers import final_answer, same_answer
from foreknown.strategies.votes import MOST_WEIGHT, Ballot, Tally, best, majority, tally

answers = st.sampled_from([None, "1", "1.0", "2", "$2$", "3", "", "x"])
ballots = st.lists(st.builds(Ballot, answers, st.integers(0, 5).map(float)), max_size=12)


def test_what_means_the_same_counts_together_as_first_written() -> None:
    votes = [Ballot("2"), Ballot(r"\frac12"), Ballot("0.5"), Ballot(None), Ballot("1/2")]
    assert tally(votes) == [
        Tally(r"\frac12", 3, 3.0, (1, 2, 4)),
        Tally("2", 1, 1.0, (0,)),
        Tally(None, 1, 1.0, (3,)),
    ]


def test_weight_elects_not_number() -> None:
    assert majority([Ballot("a1", 0.4), Ballot("b2", 1.0), Ballot("a1", 0.4)]).answer == "b2"


@pytest.mark.parametrize("weight", [0.0, 1.0, 0.1])
def test_ties_go_to_the_first(weight: float) -> None:
    votes = [Ballot(answer, weight) for answer in ("7", "9", "9", "8", "7", "8")]
    assert [one.answer for one in tally(votes)] == ["7", "9", "8"]


def test_none_is_elected_only_alone() -> None:
    votes = [Ballot(None, 5.0), Ballot("", 5.0), Ballot("4", 0.0)]
    assert majority(votes).answer == "4"
    assert tally(votes)[1] == Tally(None, 2, 10.0, (0, 1))
    assert majority(votes[:2]) == Tally(None, 2, 10.0, (0, 1))


def test_nobody_voted() -> None:
    assert tally([]) == []
    with pytest.raises(RequestError, match="nobody voted"):
        majority([])


@pytest.mark.parametrize("weight", [-1, -1e-300, math.nan, math.inf, -math.inf, MOST_WEIGHT * 2])
def test_weights_that_make_no_sense(weight: float) -> None:
    with pytest.raises(RequestError, match="weight is") as refused:
        Ballot("1", weight)
    assert refused.value.field == "weight"


def test_the_greatest_weights_add_up() -> None:
    assert majority([Ballot("1", MOST_WEIGHT)] * 1000).weight == pytest.approx(1e303)


@given(ballots)
def test_a_tally_counts_every_ballot_once(votes: list[Ballot]) -> None:
    counted = tally(votes)
    assert sorted(place for one in counted for place in one.members) == list(range(len(votes)))
    for one in counted:
        assert one.votes == len(one.members)
        assert one.weight == sum(votes[place].weight for place in one.members)
        assert list(one.members) == sorted(one.members)
        if one.answer is not None:
            assert one.answer == votes[one.members[0]].answer
    order = [(one.answer is None, -one.weight, one.members[0]) for one in counted]
    assert order == sorted(order)


def test_the_best_is_the_first_of_the_highest() -> None:
    assert best([0.1, 0.9, 0.9], ["1", "2", "3"]) == 1
    assert best([-math.inf, -math.inf], ["1", "2"]) == 0
    assert best([1, math.inf], ["1", "2"]) == 1


def test_not_a_number_never_wins() -> None:
    assert best([math.nan, -5.0, math.nan], ["1", "2", "3"]) == 1
    assert best([math.nan, -math.inf], ["1", None]) == 1
    with pytest.raises(RequestError, match="none of the 2 scores"):
        best([math.nan, math.nan], ["1", "2"])


def test_no_answer_wins_only_where_there_is_none() -> None:
    assert best([9.0, 1.0], [None, "2"]) == 1
    assert best([1.0, 9.0], [None, None]) == 1


@pytest.mark.parametrize(("scores", "said"), [([1.0], ["1", "2"]), ([], ["1"]), ([], [])])
def test_scores_belong_to_answers(scores: list[float], said: list[str]) -> None:
    with pytest.raises(RequestError, match="scores"):
        best(scores, said)


@pytest.fixture(scope="module")
def samples(shared_data: Path) -> list[dict[str, Any]]:
    """100 problems, each with 8 sampled solutions, their rewards and the right answer."""
    path = shared_data / "eval" / "math_cot_100" / "math_cot_100.jsonl"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def is_right(problem: dict[str, Any], answer: str | None) -> bool:
    return answer is not None and same_answer(answer, problem["gt"])


def test_single_samples_are_right_as_often_as_the_set_says(samples: list[dict[str, Any]]) -> None:
    right = [
        [is_right(problem, final_answer(text)) for text in problem["response"]]
        for problem in samples
    ]
    marked = [problem["score"] for problem in samples]
    # One sample is right that the set marks wrong: 10000, where the answer is 10{,}000.
    assert [
        (place, one)
        for place in range(len(samples))
        for one in range(8)
        if right[place][one] != marked[place][one]
    ] == [(72, 7)]
    assert sum(map(sum, right)) / 8 >= 91


def test_the_majority_of_eight(samples: list[dict[str, Any]]) -> None:
    elected = [
        majority([Ballot(final_answer(text)) for text in problem["response"]]).answer
        for problem in samples
    ]
    assert sum(map(is_right, samples, elected)) >= 93


def test_the_best_of_eight_by_reward(samples: list[dict[str, Any]]) -> None:
    n_right = 0
    for problem in samples:
        said = [final_answer(text) for text in problem["response"]]
        chosen = best([reward[0] for reward in problem["pred_score"]], said)
        n_right += is_right(problem, said[chosen])
    assert n_right >= 94
