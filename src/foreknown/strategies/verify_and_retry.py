"""Answers one after the other, until a verifier is content."""

from __future__ import annotations

from dataclasses import dataclass, replace

from foreknown.strategies.direct import direct
from foreknown.strategies.strategy import Choice, Part, Problem, Steps, Strategy
from foreknown.strategies.verifiers import Verifier


@dataclass(frozen=True)
class VerifyAndRetry:
    """The first answer that scores enough, else the best one.

    Attributes:
        verifier: scores them.
        inner: gives each of them.
        tries: at most.
        enough: score that ends it.
    """

    verifier: Verifier
    inner: Strategy = direct
    tries: int = 4
    enough: float = 1.0

    def __call__(self, problem: Problem) -> Steps:
        best: Choice | None = None
        most, scores, parts = -1.0, list[float](), list[Part]()
        for index in range(self.tries):
            choice = yield from self.inner(problem.drawn(index))
            if best is not None and not choice.is_whole:
                break
            score = self.verifier.verify(problem.question, choice.text).score
            scores.append(round(score, 4))
            parts.append(choice.part)
            if score > most:
                best, most = choice, score
            if score >= self.enough:
                break
        assert best is not None
        name = f"verify_and_retry(tries={self.tries})"
        return replace(best, part=Part(name, notes={"scores": scores}, parts=parts))
