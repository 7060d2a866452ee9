"""Answer, list ways in which it could have been better, pick the best, apply it, and again.

The revision stands in a conversation that holds the draft, so its words are guessed from there and
those that stay cost a fraction; what was read before is found computed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

from foreknown.strategies.direct import direct
from foreknown.strategies.scores import scored
from foreknown.strategies.strategy import (
    Ask,
    Choice,
    Draft,
    Part,
    Problem,
    Steps,
    StepsOf,
    Strategy,
)
from foreknown.strategies.templates import Templates
from foreknown.strategies.verifiers import Verifier

NOTHING = re.compile(r"\W*nothing\W*", re.IGNORECASE)
"""What a model says that would change nothing."""


@dataclass(frozen=True)
class Reflect:
    """An answer that is revised until nothing changes.

    Attributes:
        inner: gives the first draft.
        rounds: at most.
        ideas: ways of being better that are asked for in each.
        by: what a revision must be better by, to be kept: "verifier", "judge" or "logprob";
            "last": it is kept.
        enough: a score that needs no revision.
        verifier: for that.
        templates: what is asked.
    """

    inner: Strategy = direct
    rounds: int = 2
    ideas: int = 3
    by: str = "last"
    enough: float = 1.0
    verifier: Verifier | None = None
    templates: Templates = field(default_factory=Templates)

    def __call__(self, problem: Problem) -> Steps:
        best = yield from self.inner(problem)
        score = yield from self._score(problem, best)
        parts, scores, stopped = [best.part], [score], "rounds"
        for number in range(1, self.rounds + 1):
            if score >= self.enough:
                stopped = "good enough"
                break
            revision, part = yield from self._round(problem.drawn(number), best.text)
            parts.append(part)
            if not revision.is_whole or not revision.text.strip():
                stopped = "nothing was written" if revision.is_whole else "cut short"
                break
            if revision.text.strip() == best.text.strip():
                stopped = "nothing changed"
                break
            revised = Choice(revision.text, revision.logprob, revision.finish_reason, part)
            if self.by != "last":
                scores.append((yield from self._score(problem, revised)))
                if scores[-1] <= score:
                    stopped = "no better"
                    break
                score = scores[-1]
            best = revised
        notes: dict[str, Any] = {"stopped": stopped}
        if self.by != "last":
            notes |= {"by": self.by, "scores": [round(one, 4) for one in scores]}
        part = Part(f"reflect(rounds={self.rounds})", notes=notes, parts=parts)
        return replace(best, part=part)

    def _score(self, problem: Problem, choice: Choice) -> StepsOf[float]:
        if self.by == "last":
            return -math.inf
        (score,) = yield from scored(problem, [choice], self.by, self.verifier, self.templates)
        return score

    def _round(self, problem: Problem, text: str) -> StepsOf[tuple[Draft, Part]]:
        """A revision of a text, and how it came about."""
        said: list[tuple[str, str]] = []
        best = text
        drafts: list[Draft] = []
        asked: list[str] = []
        for name in ("ideas", "pick", "revise"):
            template = getattr(self.templates, name)
            if not template:
                continue
            said.append((text, template.format(n=self.ideas)))
            turns = [turn for pair in said for turn in pair]
            ((draft,),) = yield [Ask(name, problem.asked(*turns), is_answer=name == "revise")]
            drafts.append(draft)
            asked.append(name)
            text = draft.text
            if name == "ideas" and NOTHING.fullmatch(text.strip()):
                draft = replace(draft, text=best)
                break
            if not draft.is_whole:
                break
        return draft, Part("round", drafts, {"asked": asked})
