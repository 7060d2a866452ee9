"""Answer, list ways in which it could have been better, pick the best, apply it, and again.

The revision stands in a conversation that holds the draft, so its words are guessed from there and
those that stay cost a fraction; what was read before is found computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from foreknown.strategies.direct import direct
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

NOTHING = re.compile(r"\W*nothing\W*", re.IGNORECASE)
"""What a model says that would change nothing."""


@dataclass(frozen=True)
class Reflect:
    """An answer that is revised until nothing changes.

    Attributes:
        inner: gives the first draft.
        rounds: at most.
        ideas: ways of being better that are asked for in each.
        templates: what is asked.
    """

    inner: Strategy = direct
    rounds: int = 2
    ideas: int = 3
    templates: Templates = field(default_factory=Templates)

    def __call__(self, problem: Problem) -> Steps:
        best = yield from self.inner(problem)
        parts, stopped = [best.part], "rounds"
        for number in range(1, self.rounds + 1):
            revision, part = yield from self._round(problem.drawn(number), best.text)
            parts.append(part)
            if not revision.is_whole or not revision.text.strip():
                stopped = "nothing was written" if revision.is_whole else "cut short"
                break
            if revision.text.strip() == best.text.strip():
                stopped = "nothing changed"
                break
            best = Choice(revision.text, revision.logprob, revision.finish_reason, part)
        part = Part(f"reflect(rounds={self.rounds})", notes={"stopped": stopped}, parts=parts)
        return replace(best, part=part)

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
