"""Evaluation on an engine whose steps take what a test says, and which talks nonsense."""

from __future__ import annotations

import ctypes
import json
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from foreknown.engine import Engine, SamplingParams
from foreknown.errors import ForeknownError, RequestError
from foreknown.evaluation.bench import Bench
from foreknown.evaluation.evaluate import check, evaluate, settings
from foreknown.evaluation.measured import Measured
from foreknown.evaluation.task import Question, Task, asked
from foreknown.graph.batch import Batch
from foreknown.strategies.answer import Terms
from foreknown.strategies.budget import Budget
from foreknown.strategies.compose import Kit
from foreknown.strategies.expression import parse
from foreknown.strategies.strategy import Problem
from foreknown.strategies.verifiers import Verdict
from tests.engine.conftest import FakeProgram
from tests.engine.reality import Linear, SteppingClock, TimedProgram

PRICE = Linear(10_007, 311, 103, 0.7, 0.3)
LETTERS = "0123456789=+*-\n# abcdefghijklmnopqrstuvw"
PARAMS = SamplingParams(temperature=1.0, max_tokens=12, seed=5)
STRATEGIES = ("vote(4)", "best_of(3)", "search(3, width=2)", "reflect(rounds=1)")


class Letters:
    """A token is a letter."""

    def push(self, token: int, /) -> str:
        return LETTERS[token]

    def finish(self) -> str:
        return ""


class Talking(TimedProgram):
    """Takes the time of a price and says what a hash of the past says."""

    def step(self, batch: Batch) -> NDArray[np.float32]:
        super().step(batch)
        return FakeProgram.step(self, batch)


class Even:
    """Finds a reply the better, the more even its letters are; raises for some."""

    def verify(self, question: str, answer: str) -> Verdict:
        if zlib.crc32(answer.encode()) % 7 == 0:
            raise ValueError("seven")
        return Verdict(sum(ord(letter) % 2 == 0 for letter in answer) / max(len(answer), 1), "")


def task(n: int = 6, check: Callable[[str], bool] | None = None) -> Task:
    def by_chance(reply: str) -> bool:
        return zlib.crc32(reply.encode()) % 3 == 0

    questions = [
        Question(str(i), asked(f"question {i}"), "", check or by_chance, Even()) for i in range(n)
    ]
    return Task("chance", tuple(questions), "even")


def prompt_ids(problem: Problem) -> list[int]:
    text = "\n".join(message["content"] for message in problem.messages) + problem.begun
    return [ord(letter) % len(LETTERS) for letter in text[-120:]]


@pytest.fixture
def bench(library: ctypes.CDLL) -> Callable[..., Bench]:
    """New benches of one engine each."""

    def new(timed: int = 3, **sizes: int) -> Bench:
        sizes = {"max_tokens": 64, "max_rows": 16, "n_blocks": 200, "context": 256, **sizes}
        clock = SteppingClock()
        program = Talking(library, PRICE, clock, vocab_size=len(LETTERS), **sizes)
        engine = Engine(program, clock=clock, speculate=False, price=PRICE, new_detokenizer=Letters)
        terms = Terms(prompt_ids, engine.capacity, PRICE, 20.0, 0.36)
        return Bench(engine, Kit(), terms, timed)

    return new


def measure(
    bench: Bench,
    asked: Task,
    *strategies: str,
    budgets: tuple[Budget, ...] = (),
    params: SamplingParams = PARAMS,
) -> list[Measured]:
    wanted = settings([parse(text) for text in strategies], budgets, params)
    found = list(evaluate(asked, wanted, bench))
    assert not bench.engine.has_work
    bench.engine.check_integrity()
    return found


def texts(measured: Measured) -> list[str]:
    return [one.reply.text for one in measured.judged]


def test_the_same_seed_gives_the_same_record(bench: Callable[..., Bench]) -> None:
    first, again = (measure(bench(), task(), *STRATEGIES) for _ in range(2))
    assert json.dumps([m.record() for m in first]) == json.dumps([m.record() for m in again])
    assert [texts(m) for m in first] == [texts(m) for m in again]
    other = measure(bench(), task(), *STRATEGIES, params=replace(PARAMS, seed=6))
    assert texts(other[0]) == texts(first[0]), "the baseline is greedy"
    assert texts(other[1]) != texts(first[1])


def test_company_changes_no_answer(bench: Callable[..., Bench]) -> None:
    together = measure(bench(timed=1), task(8), *STRATEGIES)
    alone = measure(bench(timed=8), task(8), *STRATEGIES)
    assert [texts(m) for m in together] == [texts(m) for m in alone]
    assert [m.tokens for m in together] == [m.tokens for m in alone]
    assert [len(m.timed) for m in together] == [1] * 5
    assert [len(m.timed) for m in alone] == [8] * 5


def test_what_is_recorded(bench: Callable[..., Bench]) -> None:
    baseline, vote = measure(bench(), task(), "vote(4)")
    record = vote.record()
    assert record["n"] == 6
    assert record["right"] == sum(one.is_right for one in vote.judged)
    assert record["interval"][0] < record["accuracy"] < record["interval"][1]
    assert record["gain"] == pytest.approx(vote.accuracy - baseline.accuracy)
    assert record["tokens"] == 4 * 12
    assert record["joules"] == pytest.approx(20 * record["seconds"])
    assert record["usd"] == pytest.approx(record["seconds"] / 1e4)
    assert record["forecast"]["exceeded"] == 0
    assert 0.7 < record["forecast"]["median_ratio"] <= 1
    assert record["did_less"] == record["cut_short"] == record["late"] == record["lost"] == 0
    assert baseline.record()["gain_interval"][0] < 0 < baseline.record()["gain_interval"][1]


def test_nothing_is_found_computed(bench: Callable[..., Bench]) -> None:
    first, second = measure(bench(), task(), "direct", params=replace(PARAMS, temperature=0.5))
    assert first.seconds == pytest.approx(second.seconds)


def test_a_deadline_is_kept_and_all_answers_are_timed(bench: Callable[..., Bench]) -> None:
    budgets = (Budget(deadline_ms=300), Budget(deadline_ms=900))
    _, short, long = measure(bench(), task(), "search(8, width=2)", budgets=budgets)
    for one, most in ((short, 0.3), (long, 0.9)):
        assert len(one.timed) == 6
        assert max(one.timed) <= most
        assert one.n_late == 0
        assert one.n_less == 6
    assert short.tokens < long.tokens


def test_a_budget_in_tokens_is_kept_in_company(bench: Callable[..., Bench]) -> None:
    budget = (Budget(max_tokens=30),)
    _, shown = measure(bench(timed=2), task(10), "reflect(rounds=4)", "vote(8)", budgets=budget)[1:]
    assert all(one.reply.n_tokens <= 30 + 16 for one in shown.judged)
    assert shown.n_less == 10
    assert shown.judged[0].reply.plan is not None
    assert str(shown.judged[0].reply.plan.call) == "vote(n=2)"


def test_where_even_the_least_is_too_much_it_is_cut(bench: Callable[..., Bench]) -> None:
    budget = (Budget(max_tokens=5),)
    for timed in (1, 20):
        _, shown = measure(bench(timed=timed), task(10), "vote(8)", budgets=budget)
        assert shown.n_cut == 10
        assert all(one.reply.n_tokens <= 5 for one in shown.judged)
        assert all(one.record(shown.setting, "", trace=True)["reach"] for one in shown.judged)


def test_a_check_that_raises_marks_wrong(bench: Callable[..., Bench]) -> None:
    def check(reply: str) -> bool:
        if len(reply) % 2:
            raise KeyError(reply)
        return True

    (shown,) = measure(bench(), task(8, check), params=replace(PARAMS, max_tokens=11))
    assert shown.n_right == 0
    assert shown.record()["lost"] == 8
    assert all("KeyError" in failure for failure in shown.record()["failures"])
    assert len(shown.record()["failures"]) == 5


def test_verdicts_that_fail_are_counted(bench: Callable[..., Bench]) -> None:
    _, shown = measure(bench(), task(), "best_of(8, by=verifier)")
    assert 0 < shown.record()["unjudged"] < 8 * 6
    assert shown.record()["lost"] == 0


def test_a_question_too_long_for_the_model_is_wrong(bench: Callable[..., Bench]) -> None:
    short = task(2, check=bool).questions
    long = replace(short[0], id="long", messages=asked("a question of more than sixteen letters"))
    for timed in (1, 3):
        small = bench(timed=timed, context=16, n_blocks=16)
        (shown,) = measure(small, Task("long", (*short, long)))
        assert [one.is_right for one in shown.judged] == [True, True, False]
        assert texts(shown)[2] == ""


@pytest.mark.parametrize("timed", [1, 20])
def test_a_reply_that_is_lost_stops_nothing(bench: Callable[..., Bench], timed: int) -> None:
    def picky(problem: Problem) -> list[int]:
        if "question 0" in problem.question or "question 9" in problem.question:
            raise RequestError("this question is not liked")
        if len(problem.messages) > 1 and "question 3" in problem.messages[0]["content"]:
            raise RequestError("this conversation is not liked")
        return prompt_ids(problem)

    made = bench(timed=timed)
    made = replace(made, terms=replace(made.terms, prompt_ids=picky))
    _, shown = measure(made, task(10), "reflect(rounds=1)")
    lost = [one.reply.question.id for one in shown.judged if one.failure]
    assert lost == ["0", "3", "9"]
    assert not any(one.is_right for one in shown.judged if one.failure)
    assert "not liked" in shown.record()["failures"][0]


def test_a_program_that_breaks_loses_its_replies(bench: Callable[..., Bench]) -> None:
    made = bench(timed=2)
    made.engine.program.broken_after = 16  # type: ignore[attr-defined]
    (shown,) = measure(made, task(6))
    assert shown.record()["lost"] == 6


def test_settings_are_each_there_once() -> None:
    greedy = replace(PARAMS, temperature=0.0)
    calls = [parse("direct"), parse("vote(4)"), parse("vote(4)")]
    assert [str(one.call) for one in settings(calls, [], greedy)] == ["direct", "vote(4)"]
    assert len(settings(calls, [], PARAMS)) == 3
    both = [Budget(deadline_ms=5), Budget(max_tokens=5)]
    wanted = settings(calls, both, greedy)
    assert [one.budget for one in wanted] == [Budget(), *both, *both]
    assert all(one.params.seed == 5 for one in wanted)


@pytest.mark.parametrize("strategy", ["luck", "vote(0)", "search"])
def test_what_cannot_be_made_is_refused_before_anything_runs(strategy: str) -> None:
    questions = (replace(task().questions[0], verifier=None),)
    with pytest.raises(ForeknownError):
        check(Task("t", questions), settings([parse(strategy)], [], PARAMS), Kit())
