"""Beams: several answers side by side, of which the best go on; by tokens or by lines.

Over tokens it is the engine's own beam search, for the likeliest whole answers. Over steps, which
are lines, each beginning that is kept is continued by several drafts of its next line, and the best
of all that come of it are kept, as by the breadth-first search of Yao et al., "Tree of Thoughts:
Deliberate Problem Solving with Large Language Models", 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foreknown.engine.stop_strings import StopStrings
from foreknown.strategies.direct import warmed
from foreknown.strategies.scores import scored
from foreknown.strategies.strategy import (
    Ask,
    Choice,
    Draft,
    Part,
    Problem,
    Steps,
    StepsOf,
    last_line,
)
from foreknown.strategies.templates import Templates
from foreknown.strategies.verifiers import Verifier

LINE_END = "\n"
LINE_TOKENS = 64
"""Of a step at most: a longer line goes on in the next."""
GOES_ON = ""
"""The reason why a beginning that has not ended did."""
HALF = "\ufffd"
"""What is shown of a character that was cut."""


@dataclass(frozen=True)
class Beam:
    """An answer, or what one begins with, and how good that is."""

    draft: Draft
    score: float

    @property
    def goes_on(self) -> bool:
        """Whether its answer has not ended."""
        return self.draft.finish_reason == GOES_ON

    @property
    def worth(self) -> tuple[bool, float, float]:
        """By what beams are compared: cut off or not, the score, of equal ones the likelier."""
        return self.draft.is_whole, self.score, self.draft.logprob

    def record(self) -> dict[str, Any]:
        """As a trace has it."""
        return {
            "line": last_line(self.draft.text),
            "tokens": self.draft.n_tokens,
            "score": round(self.score, 4),
            "finish_reason": self.draft.finish_reason or None,
        }


@dataclass(frozen=True)
class TokenBeams:
    """The best of the likeliest answers.

    Temperature and penalties do not matter: beams go by the model's own probabilities. There is
    nothing of them before they end, so a greedy draft goes along for when the time is over.

    Attributes:
        width: answers side by side.
        by: what they are compared by in the end: "logprob", "verifier" or "judge".
        verifier: for that.
        templates: for the judge.
    """

    width: int = 4
    by: str = "logprob"
    verifier: Verifier | None = None
    templates: Templates = field(default_factory=Templates)

    def __call__(self, problem: Problem) -> Steps:
        params = replace(
            problem.params,
            temperature=0.0,
            repetition_penalty=1.0,
            presence_penalty=0.0,
            frequency_penalty=0.0,
        )
        problem = replace(problem, params=params)
        asks = [Ask("greedy", problem)]
        if self.width > 1:
            asks.append(Ask("beams", problem, self.width, beams=True))
        greedy, *beams = yield asks
        drafts = beams[0] if beams and beams[0][0].is_whole else greedy
        scores = yield from scored(problem, drafts, self.by, self.verifier, self.templates)
        return _chosen(f"beam({self.width})", list(map(Beam, drafts, scores)), {"by": self.by})


@dataclass(frozen=True)
class StepBeams:
    """The best answer that beams over lines find.

    An answer that has ended is compared on with those that go on. What has not ended after as many
    lines as beams go is drawn to its end.

    Attributes:
        width: beginnings that are kept, and continuations of each.
        depth: lines that beams go at most.
        by: what they are compared by: "logprob", the mean of all tokens; "verifier" or "judge".
        verifier: for that.
        templates: for the judge.
        rehearses: take no line for long, so that all is asked for that ever may be.
    """

    width: int = 4
    depth: int = 16
    by: str = "logprob"
    verifier: Verifier | None = None
    templates: Templates = field(default_factory=Templates)
    rehearses: bool = False

    def __call__(self, problem: Problem) -> Steps:
        problem = warmed(problem)
        kept = [Beam(Draft(problem.begun, 0, 0.0, GOES_ON), 0.0)]
        steps = list[list[dict[str, Any]]]()
        while any(beam.goes_on for beam in kept):
            kept = yield from self._step(problem, kept, len(steps))
            steps.append([beam.record() for beam in kept])
        return _chosen(f"beam({self.width}, over=steps)", kept, {"by": self.by, "steps": steps})

    def _step(self, problem: Problem, kept: Sequence[Beam], step: int) -> StepsOf[list[Beam]]:
        """The best of what comes of beginnings with one line more."""
        live = [beam for beam in kept if beam.goes_on]
        asks = [self._ask(problem, beam.draft, step, place) for place, beam in enumerate(live)]
        given = yield asks
        ended = [beam for beam in kept if not beam.goes_on]
        grown: dict[tuple[str, str], Draft] = {}
        for beam, ask, drafts in zip(live, asks, given, strict=True):
            begun = beam.draft
            came = [_grown(problem, begun, ask, self._taken(begun, one)) for one in drafts]
            if not any(one.is_whole for one in came):  # no time for it any more, or no room
                longest = max(came, key=lambda one: one.n_tokens)
                ended.append(Beam(longest, beam.score))
            for one in came:
                if one.is_whole:
                    grown.setdefault((one.text, one.finish_reason), one)
        drafts = list(grown.values())
        scores = yield from scored(problem, drafts, self.by, self.verifier, self.templates)
        beams = [*ended, *map(Beam, drafts, scores)]
        return _ranked(beams)[: self.width]

    def _ask(self, problem: Problem, begun: Draft, step: int, place: int) -> Ask:
        """For the next line of a beginning; in the end, for all that follows."""
        drawn = problem.drawn(step * self.width + place)
        is_last = step == self.depth
        most = _left(problem, begun)
        if not is_last:
            most = LINE_TOKENS if most is None else min(most, LINE_TOKENS)
        least = max(drawn.params.min_tokens - begun.n_tokens, 0)
        params = replace(
            drawn.params,
            max_tokens=most,
            min_tokens=least if most is None else min(least, most),
            stop=drawn.params.stop if is_last else (*drawn.params.stop, LINE_END),
        )
        drawn = replace(drawn, params=params, begun=begun.text)
        return Ask("ends", drawn) if is_last else Ask("lines", drawn, self.width, is_answer=False)

    def _taken(self, begun: Draft, draft: Draft) -> Draft:
        """A draft as it came; in a rehearsal a line of one word of it."""
        if not self.rehearses or not draft.n_tokens:
            return draft
        text = begun.text + draft.text.partition(" ")[0]
        return replace(draft, text=text, n_tokens=1, stopped_by=LINE_END)


def _grown(problem: Problem, begun: Draft, ask: Ask, draft: Draft) -> Draft:
    """A beginning with what was drawn of it; of all of its tokens."""
    if not draft.n_tokens:
        return replace(begun, finish_reason=draft.finish_reason)
    n_tokens = begun.n_tokens + draft.n_tokens
    total = begun.logprob * begun.n_tokens + draft.logprob * draft.n_tokens
    grown = Draft(draft.text, n_tokens, total / n_tokens, draft.finish_reason)
    if not draft.is_whole:
        return grown
    is_line = draft.stopped_by == LINE_END
    if is_line:
        grown = replace(grown, text=grown.text + LINE_END)
    reader = StopStrings(problem.params.stop)  # one may end here that began lines before
    text = problem.begun + reader.push(grown.text.removeprefix(problem.begun))
    if reader.stopped:
        return replace(grown, text=text, finish_reason="stop")
    is_cut = draft.finish_reason == "length" and draft.n_tokens == ask.problem.params.max_tokens
    if ask.is_answer or not (is_line or is_cut):
        return grown
    if _left(problem, grown) == 0:
        return replace(grown, finish_reason="length")
    return replace(grown, text=grown.text.rstrip(HALF), finish_reason=GOES_ON)


def _left(problem: Problem, begun: Draft) -> int | None:
    """Tokens that an answer which begins so may still have; None: as many as there is room for."""
    most = problem.params.max_tokens
    return None if most is None else most - begun.n_tokens


def _chosen(name: str, beams: Sequence[Beam], notes: dict[str, Any]) -> Choice:
    ranked = _ranked(beams)
    scores = [round(beam.score, 4) for beam in ranked]
    drafts = [beam.draft for beam in ranked]
    part = Part(name, drafts, {"scores": scores, **notes})
    return Choice(drafts[0].text, drafts[0].logprob, drafts[0].finish_reason, part)


def _ranked(beams: Sequence[Beam]) -> list[Beam]:
    return sorted(beams, key=lambda beam: beam.worth, reverse=True)
