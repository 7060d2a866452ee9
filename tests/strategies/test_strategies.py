"""What strategies ask for, and what they make of the drafts."""

from __future__ import annotations

from typing import Any

import pytest

from foreknown.errors import RequestError
from foreknown.strategies.best_of import BestOf
from foreknown.strategies.compose import STRATEGIES, Kit, compose, with_effort
from foreknown.strategies.direct import direct
from foreknown.strategies.expression import parse
from foreknown.strategies.reflect import Reflect
from foreknown.strategies.search import Search
from foreknown.strategies.strategy import Ask, Draft
from foreknown.strategies.templates import Templates
from foreknown.strategies.verifiers import Verdict
from foreknown.strategies.verify_and_retry import VerifyAndRetry
from foreknown.strategies.vote import Vote
from tests.strategies.scripted import draft, play, problem

LOST = Draft("", 0, 0.0, "cancelled")


def texts(*given: str | Draft) -> Any:
    """Drafts in the order in which they are asked for."""
    left = list(given)
    return lambda ask, place: left.pop(0)


class Wants:
    """A verifier that knows the answer."""

    def __init__(self, wanted: str) -> None:
        self.wanted, self.seen = wanted, list[str]()

    def verify(self, question: str, answer: str) -> Verdict:
        self.seen.append(answer)
        return Verdict(1.0 if self.wanted in answer else 0.2, "looked at")


def test_no_strategy_is_one_draft() -> None:
    choice, rounds = play(direct, texts("It is 42."))
    assert (choice.text, choice.is_whole) == ("It is 42.", True)
    assert [len(asks) for asks in rounds] == [1]
    assert rounds[0][0].problem == problem()


def test_votes_elect_what_most_answers_end_in() -> None:
    choice, rounds = play(Vote(5), texts("so 41", "so 42", "is 42.0", "7", "42"))
    assert choice.text == "so 42"
    assert [ask.samples for ask in rounds[0]] == [5], "one prompt, one batch"
    assert choice.part.record()["votes"][0] == {"answer": "42", "votes": 3, "weight": 3.0}


def test_greedy_drafts_that_vote_are_drawn() -> None:
    _, rounds = play(Vote(2), texts("1", "2"), problem(temperature=0.0))
    assert rounds[0][0].problem.params.temperature > 0.1
    _, rounds = play(Vote(2), texts("1", "2"), problem(temperature=0.3))
    assert rounds[0][0].problem.params.temperature == 0.3


def test_votes_may_weigh_by_confidence_or_by_a_verifier() -> None:
    sure = texts(draft("1", -0.01), draft("2", -3), draft("2", -3))
    assert play(Vote(3, weight="confidence"), sure)[0].text == "1"
    verifier = Wants("1")
    chosen, _ = play(Vote(3, weight="verifier", verifier=verifier), texts("1", "2", "2"))
    assert chosen.text == "1"


def test_answers_that_were_cut_off_do_not_vote() -> None:
    cut = Draft("so 41", 3, -0.1, "cancelled")
    assert play(Vote(3), texts(cut, cut, "42"))[0].text == "42"
    assert play(Vote(2), texts(cut, LOST))[0].text == "so 41", "better than nothing"


def test_best_of_by_probability_by_verifier_and_by_the_model_itself() -> None:
    drafts = (draft("1", -2), draft("2", -0.1), draft("3", -1))
    assert play(BestOf(3), texts(*drafts))[0].text == "2"
    assert play(BestOf(3, by="verifier", verifier=Wants("3")), texts(*drafts))[0].text == "3"
    choice, rounds = play(BestOf(3, by="judge"), texts(*drafts, "20", "I say 35", "no idea"))
    assert choice.text == "2"
    assert [len(asks) for asks in rounds] == [1, 3]
    assert "How much is 6 times 7?" in rounds[1][0].problem.question
    assert choice.part.record()["scores"] == [0.2, 0.35, -1.0]


def test_reflection_lists_picks_applies_and_stops_when_nothing_changes() -> None:
    script = texts(
        "41", "- the sum is wrong\n- no words", "the sum is wrong", "42", "more", "it", "42 "
    )
    choice, rounds = play(Reflect(rounds=5), script)
    assert choice.text == "42"
    assert [ask.part for (ask,) in rounds] == ["answer", *("ideas", "pick", "revise") * 2]
    last = rounds[-1][0].problem.messages
    assert [m["role"] for m in last] == ["user", *("assistant", "user") * 3]
    assert last[1]["content"] == "42", "the draft that is revised"
    assert choice.part.record()["stopped"] == "nothing changed"


def test_reflection_that_finds_nothing_costs_one_question() -> None:
    choice, rounds = play(Reflect(rounds=3), texts("42", "Nothing."))
    assert choice.text == "42"
    assert len(rounds) == 2


def test_a_revision_that_is_lost_does_not_replace_the_draft() -> None:
    cut = Draft("4", 1, -1.0, "cancelled")
    for script in (("42", LOST), ("42", "ideas", "one", cut), ("42", "ideas", "one", "  ")):
        assert play(Reflect(rounds=3), texts(*script))[0].text == "42"


def test_reflection_with_one_question_alone() -> None:
    templates = Templates(ideas="", pick="", revise="Check your answer.")
    choice, rounds = play(Reflect(rounds=1, templates=templates), texts("41", "42"))
    assert choice.text == "42"
    assert rounds[1][0].problem.question == "Check your answer."


def test_a_revision_must_be_better_to_be_kept() -> None:
    templates = Templates(ideas="", pick="", revise="Check your answer.")
    careful = Reflect(rounds=3, by="verifier", verifier=Wants("42"), templates=templates)
    for script, answer, stopped in (
        (("42",), "42", "good enough"),
        (("41", "42"), "42", "good enough"),
        (("41", "43"), "41", "no better"),
    ):
        choice, rounds = play(careful, texts(*script))
        assert choice.text == answer
        assert len(rounds) == len(script)
        assert choice.part.record()["stopped"] == stopped


def test_retries_end_with_the_first_that_is_right_or_the_best() -> None:
    choice, rounds = play(VerifyAndRetry(Wants("42"), tries=5), texts("1", "42", "3"))
    assert choice.text == "42"
    assert len(rounds) == 2
    seeds = [asks[0].problem.params.seed for asks in rounds]
    assert len(set(seeds)) == 2, "drawn anew"
    assert play(VerifyAndRetry(Wants("9"), tries=2), texts("1", "2"))[0].text == "1"


def test_a_search_goes_on_where_answers_were_good() -> None:
    lines = {"": ["bad\nx 1", "good\nx 1"], "good\n": ["right\n42", "left\n1"]}

    class Steps:
        def verify(self, question: str, answer: str) -> Verdict:
            return Verdict(1.0 if "42" in answer else 0.5 * ("good" in answer), "")

    def write(ask: Ask, place: int) -> str:
        begun = ask.problem.begun
        return begun + lines.get(begun, ["x", "y"])[place]

    search = Search(expansions=6, width=2, verifier=Steps())
    choice, rounds = play(search, write)
    assert choice.text == "good\nright\n42"
    begun = [asks[0].problem.begun for asks in rounds]
    assert begun == ["", "good\n"], "the better line was followed, and the search ended"
    tree = choice.part.record()["tree"]
    assert tree["visits"] == 4
    assert [child["line"] for child in tree["children"]] == ["bad", "good"]
    assert play(search, write)[0].part.record() == choice.part.record()


def test_a_search_without_time_gives_the_best_so_far() -> None:
    script = texts("a\n1", "b\n2", LOST, LOST)
    choice, rounds = play(Search(expansions=9, width=2, by="logprob"), script)
    assert choice.text in ("a\n1", "b\n2")
    assert len(rounds) == 2


def test_strategies_in_strategies_run_side_by_side() -> None:
    strategy = compose("vote(reflect(rounds=1, ideas=2), n=3)", Kit())

    def write(ask: Ask, place: int) -> str:
        return {"answer": "41", "ideas": "one", "pick": "one", "revise": "so 42"}[ask.part]

    choice, rounds = play(strategy, write)
    assert choice.text == "so 42"
    assert [len(asks) for asks in rounds] == [3, 3, 3, 3]
    seeds = {ask.problem.params.seed for asks in rounds for ask in asks}
    assert len(seeds) >= 3, "each draws its own"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("think", "no strategy 'think'"),
        ("vote(0)", "n"),
        ("vote(8, weight=luck)", 'weight is "luck"'),
        ("vote(8, size=3)", "size"),
        ("vote(direct, of=direct)", "two strategies"),
        ("search(vote, by=logprob)", "itself"),
        ("vote(of=3)", "where a strategy is expected"),
        ("best_of(by=verifier)", "needs a verifier"),
        ("verify_and_retry", "needs a verifier"),
        ('verify_and_retry(verifier="luck")', "no verifier"),
        ("vote(8", "expected"),
        ("", "expected"),
    ],
)
def test_what_makes_no_strategy_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        compose(text, Kit())


def test_less_effort_is_the_same_strategy_doing_less() -> None:
    call = parse("reflect(vote(8), rounds=4)")
    assert with_effort(call, 1.0) == with_effort(with_effort(call, 1.0), 1.0)
    half, least = with_effort(call, 0.5), with_effort(call, 0.0)
    assert "n=4" in str(half)
    assert "rounds=2" in str(half)
    assert "n=1" in str(least)
    assert "rounds=1" in str(least)
    for name in STRATEGIES:
        with_effort(parse(name), 0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"judge": "{question}"}, "lacks"),
        ({"judge": "{answer} {grade}"}, "grade"),
        ({"ideas": "{n} {m}"}, "m"),
        ({"ideas": "{n"}, "cannot be read"),
        ({"revise": ""}, "empty"),
    ],
)
def test_templates_that_miss_something_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Templates(**given)
