"""Forecasts the other way round: what is the most that still keeps an objective?

Every answer comes with what was tried for it; where nothing keeps the objective, with what came
nearest. A miss is how many times longer the worst of the asked times is than was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from foreknown.artifact.planned import PlannedModel, Planner
from foreknown.engine.promises import Objective
from foreknown.errors import RequestError
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.machine import Machine
from foreknown.report.forecast import Case, Forecast, forecast, step_price
from foreknown.report.objectives import miss, ms_text, objective_record, objective_text
from foreknown.report.tables import bytes_text

if TYPE_CHECKING:
    from foreknown.artifact.build import Options

UNEVEN_BATCHES = 8
"""Products take rows in tiles of so many, so a larger batch may be faster than a smaller."""
LONGEST_TRIED = 131_072
"""Tokens of context, for models that name no limit."""
EXACTNESS = ("f32", "bf16", "int8", "int4")
"""Formats of weights, the most exact first."""


@dataclass(frozen=True)
class Wish:
    """What a forecast is to keep.

    Attributes:
        objective: None: whatever time it takes.
        memory_bytes: that there are.
    """

    objective: Objective | None
    memory_bytes: int

    def miss(self, told: Forecast) -> float:
        """How many times too long or too large the worst is; 1 or less: it is kept."""
        time = miss(self.objective, told) if self.objective else 0.0
        return max(time, told.memory.total / max(1, self.memory_bytes))

    def is_met(self, told: Forecast) -> bool:
        """Whether a forecast keeps it."""
        return self.miss(told) <= 1

    def text(self) -> str:
        """In words."""
        memory = f"{bytes_text(self.memory_bytes)} of memory"
        return f"{objective_text(self.objective)}, {memory}" if self.objective else memory


@dataclass(frozen=True)
class Answer:
    """What was found.

    Attributes:
        question: in words.
        by: what was varied: "batch", "context" or "weights".
        best: keeps the wish; None: nothing does.
        others: forecasts beside it, by what they are.
        tried: every forecast, as tried.
    """

    question: str
    by: str
    wish: Wish
    best: Forecast | None
    others: dict[str, Forecast]
    tried: tuple[Forecast, ...]

    @property
    def nearest(self) -> Forecast:
        """Of all that was tried, what misses the wish least."""
        return min(self.tried, key=self.wish.miss)

    @property
    def value(self) -> Any:
        """The answer itself: a batch, tokens of context, or a format."""
        return None if self.best is None else self.value_of(self.best)

    def value_of(self, told: Forecast) -> Any:
        """What was varied, of one forecast."""
        return {
            "batch": told.case.batch,
            "context": told.case.tokens,
            "weights": told.model.weights,
        }[self.by]

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "question": self.question,
            "objective": objective_record(self.wish.objective),
            "memory_bytes": self.wish.memory_bytes,
            "answer": self.value,
            "forecast": None if self.best is None else self.best.record(),
            **{name: self.value_of(told) for name, told in self.others.items()},
            "nearest": None if self.best is not None else self.nearest.record(),
            "tried": [
                {
                    self.by: self.value_of(told),
                    "met": self.wish.is_met(told),
                    "ttft_ms": round(told.ttft_ms, 3),
                    "tpot_ms": None if told.tpot_ms is None else round(told.tpot_ms, 4),
                    "total_ms": round(told.total_ms, 3),
                    "tok_s": round(told.tok_s, 2),
                    "memory_bytes": told.memory.total,
                    "joules": round(told.joules, 4),
                    "usd": float(f"{told.usd:.4g}"),
                }
                for told in self.tried
            ],
        }

    def require(self) -> None:
        """Refuse to call it an answer where nothing keeps the wish.

        Raises:
            RequestError: says what comes nearest.
        """
        if self.best is not None:
            return
        near = self.nearest
        pace = "" if near.tpot_ms is None else f", {ms_text(near.tpot_ms)} a token"
        raise RequestError(
            f"no {self.by} keeps {self.wish.text()}",
            where=near.model.name,
            remedy=f"nearest of {len(self.tried)} tried comes {self.by} {self.value_of(near)}: "
            f"first token in {ms_text(near.ttft_ms)}{pace}, all in {ms_text(near.total_ms)}, "
            f"{bytes_text(near.memory.total)} of memory",
        )


class _Trials:
    """Forecasts by a number, each made once."""

    def __init__(self, told: Callable[[int], Forecast], wish: Wish) -> None:
        self._told, self._wish = told, wish
        self.made: dict[int, Forecast] = {}

    def is_met(self, number: int) -> bool:
        if number not in self.made:
            self.made[number] = self._told(number)
        return self._wish.is_met(self.made[number])

    def largest(self, least: int, most: int) -> int | None:
        """The largest number that keeps the wish, where larger ones are harder to keep."""
        if not self.is_met(least):
            return None
        below, step = least, 1
        while below < most and self.is_met(min(below + step, most)):
            below, step = min(below + step, most), 2 * step
        above = min(below + step, most + 1)
        while below + 1 < above:
            middle = (below + above) // 2
            if self.is_met(middle):
                below = middle
            else:
                above = middle
        return below


def largest_batch(model: PlannedModel, machine: Machine, case: Case, wish: Wish) -> Answer:
    """The most equal requests at once that keep the wish.

    Args:
        case: its batch says nothing.
    """
    price = step_price(model, machine)
    trials = _Trials(lambda n: forecast(model, machine, replace(case, batch=n), price), wish)
    most = min(model.sizes.max_rows, model.sizes.max_tokens)
    found = trials.largest(1, most)
    if found is not None:
        near = range(found + 1, min(found + UNEVEN_BATCHES, most) + 1)
        found = max([found, *filter(trials.is_met, near)])
    best = None if found is None else trials.made[found]
    return Answer("largest batch", "batch", wish, best, {}, _in_order(trials))


def longest_context(
    planner: Planner, options: Options, machine: Machine, case: Case, wish: Wish
) -> Answer:
    """The most tokens of prompt and output together that fit, and keep the wish.

    Args:
        options: if they say a context, none longer is tried.
        case: its output and batch hold; its prompt says nothing.

    Raises:
        RequestError: not even the output fits.
    """
    longest = options.context or planner.longest or LONGEST_TRIED
    if case.output_tokens >= longest:
        raise RequestError(
            f"{case.output_tokens} tokens out leave no room in a context of {longest}",
            where=planner.name,
            remedy=f"ask for an --output below {longest}",
        )

    def told(blocks: int) -> Forecast:
        context = min(blocks * BLOCK_TOKENS, longest)
        model = planner.planned_up_to(replace(options, context=longest), context)
        prompt_tokens = context - case.output_tokens
        return forecast(model, machine, replace(case, prompt_tokens=prompt_tokens))

    trials = _Trials(told, wish)
    least, most = case.output_tokens // BLOCK_TOKENS + 1, -(-longest // BLOCK_TOKENS)
    found = trials.largest(min(least, most), most)
    best = None if found is None else trials.made[found]
    return Answer("longest context", "context", wish, best, {}, _in_order(trials))


def cheapest_weights(
    models: Sequence[PlannedModel], machine: Machine, case: Case, wish: Wish
) -> Answer:
    """The format of weights that keeps the wish at the least price, then energy, then memory.

    Beside it, as "most_exact": of those that keep it, the one that rounds least.
    """
    tried = tuple(forecast(model, machine, case) for model in models)
    met = [told for told in tried if wish.is_met(told)]
    if not met:
        return Answer("cheapest weights", "weights", wish, None, {}, tried)
    best = min(met, key=lambda told: (told.usd, told.joules, told.memory.total))
    exact = min(met, key=lambda told: EXACTNESS.index(told.model.weights))
    return Answer("cheapest weights", "weights", wish, best, {"most_exact": exact}, tried)


def _in_order(trials: _Trials) -> tuple[Forecast, ...]:
    return tuple(trials.made[number] for number in sorted(trials.made))
