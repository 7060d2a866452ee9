"""The bundled tasks: problems that are made from a seed, none of which a model was trained on."""

from __future__ import annotations

from functools import partial

from foreknown.evaluation.problems import KINDS, Kind, draw
from foreknown.evaluation.task import Question, Task
from foreknown.strategies.verifiers import Arithmetic

SEED = 2026
_WITHOUT_EQUATIONS = frozenset({"about"})


def bundled(name: str, n: int) -> Task:
    """The first n unseen problems of a kind; a verifier looks at the equations of replies."""
    kind = KINDS[name]
    verified = name not in _WITHOUT_EQUATIONS
    return Task(
        name,
        tuple(_question(kind, index, verified) for index in range(n)),
        verifier="arithmetic" if verified else "",
    )


def _question(kind: Kind, index: int, verified: bool) -> Question:
    problem = draw(kind, "test", SEED, index)
    return Question(
        id=f"{kind.name}-{index}",
        messages=tuple({"role": turn.role, "content": turn.text} for turn in problem.prompt),
        answer=problem.answer,
        check=partial(kind.check, problem),
        verifier=Arithmetic() if verified else None,
    )
