"""Strategies on an engine whose steps take what a test says: what they cost, and their time."""

from __future__ import annotations

import ctypes
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.errors import RequestError
from foreknown.strategies.budget import Budget, fitted
from foreknown.strategies.compose import Kit, built
from foreknown.strategies.conduct import conduct
from foreknown.strategies.cost import Cost, cost
from foreknown.strategies.course import Course, parse_reach
from foreknown.strategies.expression import Call, parse
from foreknown.strategies.strategy import Problem
from tests.engine.reality import Linear, Reality, new_reality
from tests.strategies.scripted import problem

CONTEXT = 512
PRICE = Linear(10_007, 311, 103, 0.7, 0.3)
STRATEGIES = [
    "direct",
    "vote(4)",
    "best_of(3)",
    "best_of(2, by=judge)",
    "reflect(rounds=2)",
    "vote(reflect(rounds=1), n=3)",
    "reflect(vote(4), rounds=1)",
    "search(4, width=2, by=logprob)",
]


def prompt_ids(asked: Problem) -> list[int]:
    """A letter is a token."""
    text = "\n".join(message["content"] for message in asked.messages)
    return [1 + ord(letter) % 37 for letter in text[-300:]]


def new(library: ctypes.CDLL) -> Reality:
    sizes = {"max_tokens": 64, "max_rows": 16, "n_blocks": 400, "context": CONTEXT}
    return new_reality(library, PRICE, learns=False, **sizes)


def asked(max_tokens: int = 12) -> Problem:
    return problem("q" * 70, max_tokens=max_tokens, ignore_eos=True, temperature=1.0)


def seconds_of(reality: Reality) -> float:
    return reality.program.clock.now / 1e9


@pytest.mark.parametrize("text", STRATEGIES)
def test_what_it_takes_is_known_before(library: ctypes.CDLL, text: str) -> None:
    reality = new(library)
    strategy = built(parse(text), Kit())
    told = cost(strategy, asked(), prompt_ids, reality.engine.capacity, PRICE)
    course = Course(strategy, asked(), prompt_ids, CONTEXT)
    start_s = seconds_of(reality)
    conduct(reality.engine, course)
    took_s = seconds_of(reality) - start_s
    assert course.n_rounds <= told.n_rounds
    assert course.n_tokens <= told.n_tokens
    assert took_s <= 1.05 * told.seconds
    if "reflect" not in text and "by" not in text:
        assert course.n_tokens == told.n_tokens
        assert took_s == pytest.approx(told.seconds, rel=0.1)
    assert reality.engine.blocks.n_free == 400


@settings(max_examples=40, deadline=None)
@given(text=st.sampled_from(STRATEGIES), seconds=st.floats(0.05, 3))
def test_there_is_an_answer_when_the_time_is_over(
    library: ctypes.CDLL, text: str, seconds: float
) -> None:
    reality = new(library)
    course = Course(built(parse(text), Kit()), asked(40), prompt_ids, CONTEXT)
    start_s = seconds_of(reality)
    choice = conduct(reality.engine, course, seconds=seconds)
    assert choice is course.choice
    longest_s = PRICE.step / 1e6 + 64 * (PRICE.token + PRICE.row) / 1e6 + 0.1
    assert seconds_of(reality) - start_s <= seconds + longest_s
    if seconds > 0.5:
        assert seconds_of(reality) - start_s <= seconds
    assert not reality.engine.has_work
    assert reality.engine.blocks.n_free == 400


@settings(max_examples=20, deadline=None)
@given(text=st.sampled_from(STRATEGIES), most=st.integers(1, 60))
def test_no_more_tokens_come_than_there_may(library: ctypes.CDLL, text: str, most: int) -> None:
    reality = new(library)
    course = Course(built(parse(text), Kit()), asked(40), prompt_ids, CONTEXT)
    conduct(reality.engine, course, max_tokens=most)
    assert course.n_tokens < most + 16, "all rows of the step in which they were used up"


def test_company_leaves_no_trace_in_the_drafts(library: ctypes.CDLL) -> None:
    strategy = built(parse("vote(4)"), Kit())
    found = []
    for n_others in (0, 3):
        engine = new(library).engine
        for i in range(n_others):
            engine.add_samples(
                Course(strategy, asked(30), prompt_ids, CONTEXT, name=f"other-{i}").begin()[0]
            )
        course = Course(strategy, asked(), prompt_ids, CONTEXT)
        found.append(conduct(engine, course).part.record())
    assert found[0] == found[1]


def test_what_there_is_no_room_for_comes_back_empty(library: ctypes.CDLL) -> None:
    reality = new(library)
    strategy = built(parse("reflect(rounds=3)"), Kit())
    room = len(prompt_ids(asked())) + 20  # for the answer, not for a word about it
    course = Course(strategy, asked(40), prompt_ids, room)
    choice = conduct(reality.engine, course)
    assert choice.is_whole
    assert course.n_tokens == 20
    assert choice.part.record()["stopped"] == "cut short"


@settings(max_examples=40, deadline=None)
@given(text=st.sampled_from(STRATEGIES), seconds=st.floats(0.01, 2))
def test_what_came_in_time_comes_again_by_its_reach(
    library: ctypes.CDLL, text: str, seconds: float
) -> None:
    strategy = built(parse(text), Kit())
    course = Course(strategy, asked(40), prompt_ids, CONTEXT)
    first = conduct(new(library).engine, course, seconds=seconds)
    bound = None if course.reach is None else parse_reach(str(course.reach))
    engine = new(library).engine
    engine.add_samples(Course(strategy, asked(30), prompt_ids, CONTEXT, name="other").begin()[0])
    again = Course(strategy, asked(40), prompt_ids, CONTEXT, bound=bound)
    assert conduct(engine, again) == first
    assert again.reach == course.reach


@pytest.mark.parametrize("text", ["", "3", "3:", ":1", "x:1", "1:-,", "1:1.5", "1:²", "9" * 99_999])
def test_what_is_no_reach(text: str) -> None:
    with pytest.raises(RequestError, match="reach"):
        parse_reach(text)


def test_a_reach_of_another_strategy(library: ctypes.CDLL) -> None:
    strategy = built(parse("vote(4)"), Kit())
    course = Course(strategy, asked(), prompt_ids, CONTEXT, bound=parse_reach("1:3,-"))
    with pytest.raises(RequestError, match="2 drafts in round 1, where this strategy has 4"):
        course.begin()


# Budgets


def test_what_limits_seconds() -> None:
    assert Budget().seconds(10, 0.1) == math.inf
    assert Budget(deadline_ms=1500).seconds(10, 0.1) == 1.5
    assert Budget(deadline_ms=1500, max_joules=5).seconds(10, 0.1) == 0.5
    assert Budget(max_usd=0.001).seconds(10, 3.6) == pytest.approx(1)
    assert Budget(max_usd=0.001).seconds(10, 0) == math.inf, "nobody said what it costs"


@pytest.mark.parametrize("name", ["deadline_ms", "max_tokens", "max_joules", "max_usd"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True])
def test_budgets_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(RequestError, match=name):
        Budget(**{name: value})


@given(st.floats(0.01, 100), st.integers(1, 10_000))
def test_the_most_that_fits_is_done(seconds: float, tokens: int) -> None:
    call = parse("reflect(vote(16), rounds=4)")

    def cost_of(one: Call, most_s: float, most_tokens: float) -> Cost:
        n, rounds = (
            int(str(one).split(f"{name}=")[1].split(",")[0].rstrip(")")) for name in ("n", "rounds")
        )
        return Cost((0.1 * n + 0.3 * rounds,), 50 * n + 20 * rounds)

    plan = fitted(parse("reflect(vote(n=16), rounds=4)"), cost_of, seconds, tokens)
    least = Cost((0.4,), 70)
    assert plan.fits == (least.seconds <= seconds and least.n_tokens <= tokens)
    if plan.fits:
        assert plan.cost.seconds <= seconds
        assert plan.cost.n_tokens <= tokens
    assert call.name == plan.call.name == "reflect"
