"""Every generated problem is right by its own exact checker, and the same for the same seed."""

from __future__ import annotations

from random import Random

import pytest

from foreknown.evaluation.problems import KINDS, draw
from foreknown.evaluation.problems.equations import (
    careful_equation,
    chains_in,
    evaluate,
    final_answer,
    holds,
)
from foreknown.evaluation.problems.review import _wrong_draft
from foreknown.evaluation.problems.split import split_of
from foreknown.evaluation.problems.stories import story

_COUNT = 200
_EVERY_KIND = pytest.mark.parametrize("name", sorted(KINDS))


@_EVERY_KIND
def test_same_seed_gives_same_problem(name: str) -> None:
    first = [draw(KINDS[name], "train", 7, index) for index in range(20)]
    assert first == [draw(KINDS[name], "train", 7, index) for index in range(20)]
    assert first != [draw(KINDS[name], "train", 8, index) for index in range(20)]


@_EVERY_KIND
def test_solution_passes_its_own_checker(name: str) -> None:
    for index in range(_COUNT):
        problem = draw(KINDS[name], "train", 1, index)
        assert KINDS[name].check(problem, problem.solution), problem
        assert not KINDS[name].check(problem, "I am not sure."), problem


@_EVERY_KIND
def test_every_equation_in_a_solution_holds(name: str) -> None:
    for index in range(_COUNT):
        problem = draw(KINDS[name], "test", 1, index)
        assert all(map(holds, chains_in(problem.solution))), problem


@pytest.mark.parametrize("name", ["arithmetic", "arithmetic-long", "countdown", "review"])
def test_a_changed_answer_is_wrong(name: str) -> None:
    for index in range(_COUNT):
        problem = draw(KINDS[name], "train", 2, index)
        body, _, _ = problem.solution.rpartition("####")
        assert not KINDS[name].check(problem, f"{body}#### {int(problem.answer) + 1}")


@_EVERY_KIND
def test_splits_are_disjoint(name: str) -> None:
    train = {draw(KINDS[name], "train", 1, index).key for index in range(_COUNT)}
    test = {draw(KINDS[name], "test", 1, index).key for index in range(_COUNT)}
    assert not train & test
    assert {split_of(key) for key in train} == {"train"}
    assert {split_of(key) for key in test} == {"test"}


def test_review_shares_the_split_of_the_story_it_reviews() -> None:
    for index in range(_COUNT):
        assert split_of(draw(KINDS["review"], "test", 1, index).key) == "test"
    assert draw(KINDS["review"], "train", 1, 0).key.split(":")[0]


def test_wrong_drafts_are_wrong() -> None:
    for seed in range(_COUNT):
        rng = Random(seed)
        drawn = story(rng)
        draft, values = _wrong_draft(rng, drawn)
        assert final_answer(draft) != str(drawn.answer)
        assert len(values) == len(drawn.steps)


def test_about_half_the_drafts_are_right() -> None:
    notes = [draw(KINDS["review"], "train", 3, index).note for index in range(_COUNT)]
    assert 0.35 < notes.count("draft right") / _COUNT < 0.65


@pytest.mark.parametrize(
    ("terms", "written"),
    [
        ((47, "+", 38), "47 + 38 = 77 + 8 = 85"),
        ((85, "-", 38), "85 - 38 = 55 - 8 = 47"),
        ((23, "*", 4), "23 * 4 = 80 + 12 = 92"),
        ((92, "/", 4), "92 / 4 = 20 + 3 = 23"),
        ((6, "*", 7), "6 * 7 = 42"),
    ],
)
def test_careful_equations(terms: tuple[int, str, int], written: str) -> None:
    assert careful_equation(*terms) == written
    assert holds(written)


@pytest.mark.parametrize("text", ["__import__('os')", "2 ** 9", "1 / 0", "True", "x", "", "1.5"])
def test_evaluate_refuses_what_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError, match=r"expression|numbers"):
        evaluate(text)


def test_countdown_needs_each_number_once() -> None:
    kind = KINDS["countdown"]
    problem = draw(kind, "train", 1, 0)
    assert not kind.check(problem, f"#### {problem.answer} = {problem.answer}")
