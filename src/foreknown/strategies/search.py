"""Monte-Carlo tree search over the steps of an answer; a step is a line.

A node is what an answer begins with. Each round goes down the tree by the upper confidence bound
(UCT: Kocsis and Szepesvari, "Bandit Based Monte-Carlo Planning", 2006), draws whole answers from
there, and scores them; their next lines are the node's children, and the scores count for all nodes
above. Answers from one node share all that was read before, and run in one batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foreknown.strategies.direct import warmed
from foreknown.strategies.scores import scored
from foreknown.strategies.strategy import (
    EMPTY,
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

EXPLORE = math.sqrt(2)
"""How much is given for what was seldom looked at: the bound's constant for scores from 0 to 1."""


@dataclass
class Node:
    """What an answer begins with.

    Attributes:
        text: all of it.
        visits: answers that were drawn from here or below.
        total: the sum of their scores.
        children: by their line.
    """

    text: str
    visits: int = 0
    total: float = 0.0
    children: dict[str, Node] = field(default_factory=dict)

    def bound(self, visits: int) -> float:
        """How good it may be, if all nodes beside it were looked at so often together."""
        return self.total / self.visits + EXPLORE * math.sqrt(math.log(visits) / self.visits)

    def record(self) -> dict[str, Any]:
        """As a trace has it."""
        record: dict[str, Any] = {
            "line": last_line(self.text),
            "visits": self.visits,
            "mean": round(self.total / max(self.visits, 1), 4),
        }
        if self.children:
            record["children"] = [child.record() for child in self.children.values()]
        return record


@dataclass(frozen=True)
class Search:
    """The best answer that a search finds.

    Attributes:
        expansions: rounds at most.
        width: answers that are drawn in each.
        depth: lines that the tree is deep at most.
        enough: a score that ends the search.
        by: what scores answers: "verifier", "judge" or "logprob".
        verifier: for that.
        templates: for the judge.
    """

    expansions: int = 8
    width: int = 4
    depth: int = 16
    enough: float = 1.0
    by: str = "verifier"
    verifier: Verifier | None = None
    templates: Templates = field(default_factory=Templates)

    def __call__(self, problem: Problem) -> Steps:
        problem = warmed(problem)
        root, best, most = Node(problem.begun), EMPTY, -math.inf
        n_rounds = 0
        while n_rounds < self.expansions:
            path = self._selected(root)
            begun = replace(problem.drawn(n_rounds), begun=path[-1].text)
            (drafts,) = yield [Ask("answers", begun, self.width)]
            if n_rounds and not any(draft.is_whole for draft in drafts):
                break
            scores = yield from self._scores(problem, drafts)
            n_rounds += 1
            for draft, score in zip(drafts, scores, strict=True):
                self._grow(path, draft, score)
                if score > most:
                    best, most = draft, score
            if most >= self.enough:
                break
        notes = {"rounds": n_rounds, "score": round(most, 4), "tree": root.record()}
        part = Part(f"search({self.expansions})", (best,), notes)
        return Choice(best.text, best.logprob, best.finish_reason, part)

    def _selected(self, root: Node) -> list[Node]:
        """From the root to the node that answers are drawn from next."""
        path = [root]
        while path[-1].children and len(path) <= self.depth:
            visits = path[-1].visits
            path.append(max(path[-1].children.values(), key=lambda child: child.bound(visits)))
        return path

    def _grow(self, path: Sequence[Node], draft: Draft, score: float) -> None:
        """Count a score for all nodes that its draft goes through; the next line is one."""
        node = path[-1]
        for above in path:
            above.visits += 1
            above.total += score
        line = draft.text[len(node.text) :].partition("\n")
        if not draft.is_whole or not line[1] or len(path) > self.depth:
            return
        child = node.children.setdefault(line[0], Node(node.text + line[0] + line[1]))
        child.visits += 1
        child.total += score

    def _scores(self, problem: Problem, drafts: Sequence[Draft]) -> StepsOf[list[float]]:
        """Of drafts, from 0 to 1; what was cut off counts nothing."""
        scores = yield from scored(problem, drafts, self.by, self.verifier, self.templates)
        if self.by == "logprob":
            scores = [math.exp(min(score, 0.0)) for score in scores]
        pairs = zip(drafts, scores, strict=True)
        return [max(score, 0.0) if draft.is_whole else 0.0 for draft, score in pairs]
