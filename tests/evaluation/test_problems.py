"""Every generated problem is right by its own exact checker, and the same for the same seed."""

from __future__ import annotations

from random import Random

import pytest

from foreknown.evaluation.problems import (
    KINDS,
    countdown,
    draw,
    products,
    totals,
)
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
from foreknown.evaluation.problems.worked import solution
from foreknown.strategies.templates import Templates

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


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"judge", "about"}))
def test_a_changed_answer_is_wrong(name: str) -> None:
    for index in range(_COUNT):
        problem = draw(KINDS[name], "train", 2, index)
        body, _, _ = problem.solution.rpartition("####")
        assert not KINDS[name].check(problem, f"{body}#### {int(problem.answer.split()[0]) + 1}")


@_EVERY_KIND
def test_splits_are_disjoint(name: str) -> None:
    train = {draw(KINDS[name], "train", 1, index).key for index in range(_COUNT)}
    test = {draw(KINDS[name], "test", 1, index).key for index in range(_COUNT)}
    assert not train & test
    assert {split_of(key) for key in train} == {"train"}
    assert {split_of(key) for key in test} == {"test"}


@pytest.mark.parametrize("kind", ["sums", "totals", "products", "countdown"])
@pytest.mark.parametrize("check", ["review", "judge"])
def test_a_check_has_the_key_of_what_it_checks(check: str, kind: str) -> None:
    """So a problem that is measured was seen in no draft either."""
    checks = {draw(KINDS[check], "train", 1, index).key for index in range(_COUNT)}
    own = {key for key in checks if key.startswith(f"{kind}:")}
    assert own
    assert not own & {draw(KINDS[kind], "test", 1, index).key for index in range(_COUNT)}


def test_a_check_in_turns_asks_as_reflection_does() -> None:
    ask = Templates()
    for index in range(_COUNT):
        problem = draw(KINDS["review"], "train", 1, index)
        if problem.prompt[-1].text == ask.revise:
            break
    asked = [turn.text for turn in problem.prompt if turn.role == "user"]
    assert asked[1:] == [ask.ideas.format(n=3), ask.pick, ask.revise]
    ideas, pick = problem.prompt[3].text, problem.prompt[5].text
    assert pick in ideas.splitlines()


def test_totals_are_added_up_in_many_orders() -> None:
    ways = {
        solution(totals.in_some_order(Random(seed), [12, 345, 67, 8])) for seed in range(_COUNT)
    }
    assert len(ways) == 24
    assert all(way.endswith("#### 432") for way in ways)


@pytest.mark.parametrize(("left", "right"), [(347, 26), (26, 347), (12, 99), (9, 4096)])
def test_products_are_taken_apart_in_many_ways(left: int, right: int) -> None:
    ways = {solution(products.in_some_way(Random(seed), left, right)) for seed in range(_COUNT)}
    assert len(ways) > 10
    for way in ways:
        assert way.endswith(f"#### {left * right}")
        assert all(map(holds, chains_in(way)))


def test_a_puzzle_can_be_failed_at() -> None:
    for seed in range(_COUNT):
        puzzle = countdown.puzzle(Random(seed))
        assert puzzle.failure(Random(seed)).value != puzzle.target


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
        ((347, "*", 26), "347 * 26 = 7800 + 1040 + 182 = 9022"),
        ((40, "*", 30), "40 * 30 = 1200"),
        ((91266, "+", 50173), "91266 + 50173 = 141366 + 73 = 141439"),
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
