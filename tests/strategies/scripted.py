"""Strategies played by a script instead of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foreknown.engine import SamplingParams
from foreknown.strategies.strategy import Ask, Choice, Draft, Problem, Strategy

Write = Callable[[Ask, int], str]


def problem(question: str = "How much is 6 times 7?", **params: object) -> Problem:
    given = {"max_tokens": 32, "seed": 5, **params}
    return Problem(({"role": "user", "content": question},), SamplingParams(**given))  # type: ignore[arg-type]


def draft(text: str, logprob: float = -0.5, finish_reason: str = "stop") -> Draft:
    return Draft(text, len(text.split()), logprob, finish_reason)


def play(
    strategy: Strategy,
    write: Callable[[Ask, int], Draft | str],
    asked: Problem | None = None,
) -> tuple[Choice, list[Sequence[Ask]]]:
    """Its choice, and all that it asked for; `write` gives the draft of each ask's samples."""
    steps, rounds = strategy(asked or problem()), []
    asks = next(steps)
    while True:
        rounds.append(asks)
        given = [[write(ask, i) for i in range(ask.samples)] for ask in asks]
        drafts = [[d if isinstance(d, Draft) else draft(d) for d in own] for own in given]
        try:
            asks = steps.send(drafts)
        except StopIteration as stop:
            return stop.value, rounds
