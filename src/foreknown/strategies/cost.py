"""What a strategy takes at most, before it starts: the strategy itself, run on the virtual clock.

It is given drafts that nobody wrote, each as long as it may be, and asks for what it would ask for.
What its prompts have in common is computed once, as it is when it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foreknown.engine.rehearsal import Arrival, Traffic
from foreknown.engine.snapshot import Capacity
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.plan.price import Price, StepShape
from foreknown.strategies.strategy import EMPTY, Ask, Draft, Problem, Strategy

MOST_ROUNDS = 4096
"""A strategy that asks more often is taken to be without end."""
_WORD = "word "
_WORDS = 64


@dataclass(frozen=True)
class Cost:
    """What a strategy takes if all drafts are as long as they may be.

    Attributes:
        ends_s: of each time that it asks, when the drafts have come, in seconds from its start.
        n_tokens: that come out.
    """

    ends_s: tuple[float, ...]
    n_tokens: int

    @property
    def seconds(self) -> float:
        """From its start to its answer."""
        return self.ends_s[-1] if self.ends_s else 0.0

    @property
    def n_rounds(self) -> int:
        """How often it asks."""
        return len(self.ends_s)


@dataclass(frozen=True)
class Beside:
    """The price of steps that compute something else as well.

    Attributes:
        alone: the price of steps that do not.
        company: what they compute as well.
    """

    alone: Price
    company: StepShape

    def seconds(self, step: StepShape) -> float:
        return self.alone.seconds(step.beside(self.company))


def cost(
    strategy: Strategy,
    problem: Problem,
    prompt_ids: Callable[[Problem], Sequence[int]],
    capacity: Capacity,
    price: Price,
    *,
    seconds: float = math.inf,
    max_tokens: float = math.inf,
    is_late: Callable[[], bool] = lambda: False,
) -> Cost:
    """Of a strategy that answers a problem.

    Args:
        problem: with as many tokens to a draft as there may be.
        prompt_ids: see `Course`.
        seconds, max_tokens: there are. What takes more is not played to its end, and is taken to
            be without one.
        is_late: whether there is no time to tell any more; then it is so, too.
    """
    traffic = Traffic(capacity, price)
    filler = _Filler(problem, prompt_ids)
    steps = strategy(problem)
    ends_s: list[float] = []
    n_tokens = now_ns = 0
    try:
        asks = next(steps)
        while len(ends_s) < MOST_ROUNDS:
            drafts = []
            for ask in asks:
                ids = prompt_ids(ask.problem)
                n_output = max(min(_longest(ask), ask.room(len(ids), capacity.context)), 0)
                if n_output:
                    arrival = Arrival(now_ns, len(ids), n_output, prefix=_names(ids))
                    traffic.draw(arrival, ask.samples)
                n_tokens += ask.samples * n_output
                drafts.append([filler.draft(n_output) for _ in range(ask.samples)])
            if is_late() or n_tokens > max_tokens or not traffic.ends_by(seconds):
                return Cost((*ends_s, math.inf), n_tokens)
            now_ns = max(traffic.end().end_ns, now_ns)
            ends_s.append(now_ns / 1e9)
            asks = steps.send(drafts)
    except StopIteration:
        pass
    return Cost(tuple(ends_s), n_tokens)


class _Filler:
    """Drafts that nobody wrote, each another one, of about as many tokens as wanted."""

    def __init__(self, problem: Problem, prompt_ids: Callable[[Problem], Sequence[int]]) -> None:
        plain = len(prompt_ids(problem.instead("")))
        self._each = max(len(prompt_ids(problem.instead(_WORD * _WORDS))) - plain, 1) / _WORDS
        self._n_drafts = 0

    def draft(self, n_tokens: int) -> Draft:
        if not n_tokens:
            return EMPTY
        self._n_drafts += 1
        text = f"{self._n_drafts} {_WORD * round(n_tokens / self._each)}"
        return Draft(text, n_tokens, -1.0, "length")


def _longest(ask: Ask) -> int:
    assert ask.problem.params.max_tokens is not None, "what may be without end has no price"
    return ask.problem.params.max_tokens


def _names(ids: Sequence[int]) -> tuple[int, ...]:
    """Of the full blocks of a prompt: equal ones if all before is equal."""
    names, before = [], 0
    for at in range(0, len(ids) - len(ids) % BLOCK_TOKENS, BLOCK_TOKENS):
        before = hash((before, *ids[at : at + BLOCK_TOKENS]))
        names.append(before)
    return tuple(names)
