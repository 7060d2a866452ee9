"""The bundled tasks: problems that are made from a seed, none of which a model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from foreknown.evaluation.problems import KINDS, Kind, draw
from foreknown.evaluation.task import Question, Task
from foreknown.strategies.verifiers import Arithmetic, Verdict, Verifier

SEED = 2026
_VERIFIED = {
    **dict.fromkeys(
        ("arithmetic", "arithmetic-long", "sums", "totals", "products", "review"), "arithmetic"
    ),
    **dict.fromkeys(("countdown", "countdown-long"), "rules"),
}
"""What may verify replies and does not know the answers: equations; the rules, where the question
has them all."""


class Rules:
    """Right if a reply keeps the rules that its question states."""

    def __init__(self, keeps: Callable[[str], bool]) -> None:
        self._keeps = keeps

    def verify(self, question: str, answer: str) -> Verdict:
        kept = self._keeps(answer)
        return Verdict(float(kept), "the rules are kept" if kept else "a rule is broken")


def bundled(name: str, n: int) -> Task:
    """The first n unseen problems of a kind, with what may verify replies to them."""
    kind = KINDS[name]
    verified = _VERIFIED.get(name, "")
    questions = tuple(_question(kind, index, verified) for index in range(n))
    return Task(name, questions, verifier=verified)


def _question(kind: Kind, index: int, verified: str) -> Question:
    problem = draw(kind, "test", SEED, index)
    check = partial(kind.check, problem)
    verifiers: dict[str, Verifier] = {"arithmetic": Arithmetic(), "rules": Rules(check)}
    return Question(
        id=f"{kind.name}-{index}",
        messages=tuple({"role": turn.role, "content": turn.text} for turn in problem.prompt),
        answer=problem.answer,
        check=check,
        verifier=verifiers.get(verified),
    )
