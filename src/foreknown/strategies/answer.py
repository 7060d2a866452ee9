"""An answer by a strategy within a budget: what was planned, what came, and how it came about."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from foreknown.engine import Engine
from foreknown.engine.snapshot import Capacity
from foreknown.plan.price import Price
from foreknown.strategies.budget import Budget, Fitted, fitted
from foreknown.strategies.compose import Kit, built
from foreknown.strategies.conduct import conduct
from foreknown.strategies.cost import Cost, cost
from foreknown.strategies.course import Course
from foreknown.strategies.expression import Call
from foreknown.strategies.strategy import Choice, Problem


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
        n_rounds: how often drafts were asked for.
    """

    asked: Call
    plan: Fitted
    choice: Choice
    seconds: float
    n_tokens: int
    n_cached: int
    n_rounds: int

    def record(self, terms: Terms, *, trace: bool = False) -> dict[str, Any]:
        """As `run --strategy … --json` prints it."""
        planned = _taken(terms, self.plan.cost.seconds, self.plan.cost.n_tokens)
        record: dict[str, Any] = {
            "text": self.choice.text,
            "whole": self.choice.is_whole,
            "strategy": {
                "asked": str(self.asked),
                "done": str(self.plan.call),
                "fits": self.plan.fits,
                "rounds": self.n_rounds,
                "cached_tokens": self.n_cached,
            },
            "forecast": planned,
            "actual": _taken(terms, self.seconds, self.n_tokens),
        }
        if trace:
            record["trace"] = self.choice.part.record()
        return record


def _taken(terms: Terms, seconds: float, n_tokens: int) -> dict[str, Any]:
    return {
        "total_ms": round(1e3 * seconds, 3),
        "tokens": n_tokens,
        "joules": round(seconds * terms.watts, 6),
        "usd": seconds * terms.usd_per_hour / 3600 if terms.usd_per_hour else None,
    }


def planned(call: Call, kit: Kit, problem: Problem, budget: Budget, terms: Terms) -> Fitted:
    """As much of a strategy as a budget has room for, and what that takes at most.

    Raises:
        RequestError: the strategy makes no sense.
    """

    def cost_of(call: Call) -> Cost:
        strategy = built(call, replace(kit, rehearses=True))
        return cost(strategy, problem, terms.prompt_ids, terms.capacity, terms.price)

    seconds = budget.seconds(terms.watts, terms.usd_per_hour)
    return fitted(call, cost_of, seconds, budget.max_tokens or math.inf)


def answer(
    engine: Engine, call: Call, kit: Kit, problem: Problem, budget: Budget, terms: Terms
) -> Answer:
    """Answer a problem on an engine that belongs to the caller.

    Raises:
        RequestError, ForeknownError: see `planned` and `conduct`.
    """
    start_ns = engine.clock.now_ns()
    plan = planned(call, kit, problem, budget, terms)
    course = Course(built(plan.call, kit), problem, terms.prompt_ids, terms.capacity.context)
    left_s = budget.seconds(terms.watts, terms.usd_per_hour)
    left_s -= (engine.clock.now_ns() - start_ns) / 1e9
    choice = conduct(engine, course, seconds=left_s, max_tokens=budget.max_tokens or math.inf)
    seconds = (engine.clock.now_ns() - start_ns) / 1e9
    return Answer(call, plan, choice, seconds, course.n_tokens, course.n_cached, course.n_rounds)
