"""An answer by a strategy within a budget: what was planned, what came, and how it came about."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.snapshot import Capacity
from foreknown.plan.price import Price, Slower
from foreknown.strategies.budget import Budget, Fitted, fitted
from foreknown.strategies.compose import Kit, built, with_effort
from foreknown.strategies.conduct import conduct
from foreknown.strategies.cost import Cost, cost
from foreknown.strategies.course import Course, Reach, Round
from foreknown.strategies.expression import Call
from foreknown.strategies.strategy import Choice, Message, Problem

DRAFT_SHARE = 4
"""A draft has this part of the context at most, where nobody says: others follow it."""


def new_problem(messages: Sequence[Message], params: SamplingParams, context: int) -> Problem:
    """A conversation to be answered by drafts that end, from a seed that is a number."""
    most = params.max_tokens or max(context // DRAFT_SHARE, 1)
    params = replace(params, seed=params.seed or 0, max_tokens=most)
    return Problem(tuple(messages), params)


@dataclass(frozen=True)
class Terms:
    """What an answer is made with.

    Attributes:
        prompt_ids: the tokens of a problem.
        capacity: of the engine.
        price: of its steps.
        watts: that the machine draws while it works.
        usd_per_hour: what it costs.
    """

    prompt_ids: Callable[[Problem], Sequence[int]]
    capacity: Capacity
    price: Price
    watts: float
    usd_per_hour: float

    def taken(self, seconds: float, n_tokens: int) -> dict[str, Any]:
        """What so much is, as records have it."""
        return {
            "total_ms": round(1e3 * seconds, 3),
            "tokens": n_tokens,
            "joules": round(seconds * self.watts, 6),
            "usd": seconds * self.usd_per_hour / 3600 if self.usd_per_hour else None,
        }


@dataclass(frozen=True)
class Answer:
    """What came of a strategy.

    Attributes:
        asked: the strategy as it was given.
        plan: what of it fitted the budget, and its cost at most.
        choice: the answer.
        seconds: from its start to its end.
        n_tokens: that came out.
        n_cached: tokens of prompts that were found computed.
        rounds: each time that drafts were asked for.
        start_ns: of the first one, by the engine's clock.
        reach: where its time or its tokens were used up; None: it came to its end.
        why: this strategy, where it was chosen and not named.
    """

    asked: Call
    plan: Fitted
    choice: Choice
    seconds: float
    n_tokens: int
    n_cached: int
    rounds: Sequence[Round]
    start_ns: int
    reach: Reach | None
    why: str = ""

    @classmethod
    def of(
        cls,
        asked: Call,
        plan: Fitted,
        course: Course,
        choice: Choice,
        seconds: float,
        start_ns: int,
    ) -> Answer:
        """What came of a course."""
        counts = (course.n_tokens, course.n_cached)
        return cls(asked, plan, choice, seconds, *counts, course.rounds, start_ns, course.reach)

    @property
    def n_rounds(self) -> int:
        """How often drafts were asked for."""
        return len(self.rounds)

    def record(self, terms: Terms, *, trace: bool = False) -> dict[str, Any]:
        """As `run --strategy … --json` prints it."""
        planned = terms.taken(self.plan.seconds, self.plan.cost.n_tokens)
        record: dict[str, Any] = {
            "text": self.choice.text,
            "strategy": {
                "asked": str(self.asked),
                "done": str(self.plan.call),
                "fits": self.plan.fits,
                "rounds": self.n_rounds,
                "cached_tokens": self.n_cached,
                "whole": self.choice.is_whole,
                "reach": None if self.reach is None else str(self.reach),
            },
            "forecast": planned,
            "actual": terms.taken(self.seconds, self.n_tokens),
        }
        if self.why:
            record["strategy"]["why"] = self.why
        if trace:
            record["trace"] = self.choice.part.record()
            record["timeline"] = self._timeline(terms)
        return record

    def _timeline(self, terms: Terms) -> list[dict[str, Any]]:
        """What each round was for, and took."""
        lines, before_ns = [], self.start_ns
        for one in self.rounds:
            end_ns = max(one.end_ns, before_ns)
            taken = terms.taken((end_ns - before_ns) / 1e9, one.n_tokens)
            lines.append({"parts": list(one.parts), **taken})
            before_ns = end_ns
        return lines


def planned(
    call: Call,
    kit: Kit,
    problem: Problem,
    budget: Budget,
    terms: Terms,
    is_late: Callable[[], bool] = lambda: False,
) -> Fitted:
    """As much of a strategy as a budget has room for, and what that takes at most.

    Args:
        is_late: whether planning has taken long enough: less may be done then than would fit.

    Raises:
        RequestError: the strategy makes no sense.
    """
    rendered: dict[str, Sequence[int]] = {}

    def prompt_ids(asked: Problem) -> Sequence[int]:
        """Every trial asks much the same."""
        key = repr((asked.messages, asked.begun))
        if key not in rendered:
            rendered[key] = terms.prompt_ids(asked)
        return rendered[key]

    def cost_of(call: Call, seconds: float, max_tokens: float) -> Cost:
        strategy = built(call, replace(kit, rehearses=True))
        return cost(
            strategy,
            problem,
            prompt_ids,
            terms.capacity,
            terms.price,
            seconds=seconds,
            max_tokens=max_tokens,
            is_late=is_late if call != least else lambda: False,
        )

    built(call, kit)  # refused, if it makes no sense, before it is made less
    least = with_effort(call, 0.0)
    seconds = budget.seconds(terms.watts, terms.usd_per_hour)
    return fitted(call, cost_of, seconds, budget.max_tokens or math.inf, is_late)


def begun(
    call: Call,
    kit: Kit,
    problem: Problem,
    budget: Budget,
    terms: Terms,
    bound: Reach | None = None,
    *,
    is_late: Callable[[], bool] = lambda: False,
    plan: Fitted | None = None,
    name: str = "course",
    request: Request | None = None,
) -> tuple[Fitted, Course]:
    """What is planned of a strategy, and its course, which has asked for nothing yet.

    Args:
        bound: the reach of an answer before: what was done then is done again, whatever it takes.
        is_late: see `planned`.
        plan: where there was no time to make one.
        name, request: see `Course`.

    Raises:
        RequestError: the strategy makes no sense.
    """
    plan = plan or planned(call, kit, problem, budget, terms, is_late)
    if bound is not None:
        plan = replace(plan, call=call)
    course = Course(
        built(plan.call, kit),
        problem,
        terms.prompt_ids,
        terms.capacity.context,
        name=name,
        request=request,
        bound=bound,
    )
    return plan, course


def answer(
    engine: Engine,
    call: Call,
    kit: Kit,
    problem: Problem,
    budget: Budget,
    terms: Terms,
    bound: Reach | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Answer:
    """Answer a problem on an engine that belongs to the caller.

    Args:
        bound: the reach of an answer before, to have the same one.
        is_stopped: whether somebody wants the best so far.

    Raises:
        RequestError, ForeknownError: see `planned` and `conduct`.
    """
    start_ns = engine.clock.now_ns()
    terms = replace(terms, price=Slower(terms.price, engine.drift.ratio))
    plan, course = begun(call, kit, problem, budget, terms, bound)
    begin_ns = engine.clock.now_ns()
    plan = replace(plan, planning_s=(begin_ns - start_ns) / 1e9)
    left_s = budget.seconds(terms.watts, terms.usd_per_hour) - plan.planning_s
    max_tokens = budget.max_tokens or math.inf
    choice = conduct(engine, course, seconds=left_s, max_tokens=max_tokens, is_stopped=is_stopped)
    seconds = (engine.clock.now_ns() - start_ns) / 1e9
    return Answer.of(call, plan, course, choice, seconds, begin_ns)
