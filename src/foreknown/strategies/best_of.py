"""Of many answers, the one that scores best: by its probability, by a verifier, or by the model."""

from __future__ import annotations

from dataclasses import dataclass, field

from foreknown.strategies.answers import final_answer
from foreknown.strategies.direct import direct, several
from foreknown.strategies.scores import scored
from foreknown.strategies.strategy import Choice, Part, Problem, Steps, Strategy
from foreknown.strategies.templates import Templates
from foreknown.strategies.verifiers import Verifier
from foreknown.strategies.votes import best


@dataclass(frozen=True)
class BestOf:
    """Many answers, of which the best one is given.

    Attributes:
        n: answers.
        inner: gives each of them.
        by: "logprob": the mean log-probability of a token; "verifier": its score; "judge": the
            grade that the model itself gives.
        verifier: for that.
        templates: for the judge.
    """

    n: int = 8
    inner: Strategy = direct
    by: str = "logprob"
    verifier: Verifier | None = None
    templates: Templates = field(default_factory=Templates)

    def __call__(self, problem: Problem) -> Steps:
        choices = yield from several(self.inner, problem, self.n)
        scores = yield from scored(problem, choices, self.by, self.verifier, self.templates)
        answers = [final_answer(one.text) if one.is_whole else None for one in choices]
        chosen = choices[place := best(scores, answers)]
        notes = {"by": self.by, "scores": [round(s, 4) for s in scores], "chosen": place}
        parts = [one.part for one in choices]
        part = Part(f"best_of({self.n})", notes=notes, parts=parts)
        return Choice(chosen.text, chosen.logprob, chosen.finish_reason, part)
