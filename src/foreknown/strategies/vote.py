"""Self-consistency: of many answers, the one that most agree on.

Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models", 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from foreknown.strategies.answers import final_answer
from foreknown.strategies.direct import direct, several
from foreknown.strategies.strategy import Choice, Part, Problem, Steps, Strategy
from foreknown.strategies.verifiers import Verifier
from foreknown.strategies.votes import Ballot, tally


@dataclass(frozen=True)
class Vote:
    """Many answers vote with what they end in.

    Attributes:
        n: answers.
        inner: gives each of them.
        weight: "count": each has one vote; "confidence": its mean probability of a token;
            "verifier": its score.
        verifier: for that.
    """

    n: int = 8
    inner: Strategy = direct
    weight: str = "count"
    verifier: Verifier | None = None

    def __call__(self, problem: Problem) -> Steps:
        choices = yield from several(self.inner, problem, self.n)
        ballots = [self._ballot(problem, choice) for choice in choices]
        tallies = tally(ballots)
        best = max(tallies[0].members, key=lambda place: (ballots[place].weight, -place))
        votes = [
            {"answer": one.answer, "votes": one.votes, "weight": round(one.weight, 4)}
            for one in tallies
        ]
        notes = {"votes": votes, "chosen": best}
        chosen = choices[best]
        part = Part(f"vote({self.n})", notes=notes, parts=[choice.part for choice in choices])
        return Choice(chosen.text, chosen.logprob, chosen.finish_reason, part)

    def _ballot(self, problem: Problem, choice: Choice) -> Ballot:
        """An answer that was cut off says nothing."""
        answer = final_answer(choice.text) if choice.is_whole else None
        if self.weight == "confidence":
            return Ballot(answer, math.exp(min(choice.logprob, 0.0)))
        if self.weight == "verifier":
            assert self.verifier is not None
            return Ballot(answer, self.verifier.verify(problem.question, choice.text).score)
        return Ballot(answer)
