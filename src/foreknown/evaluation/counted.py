"""A verifier that never raises, and counts what it could not judge."""

from __future__ import annotations

from dataclasses import replace

from foreknown.evaluation.task import Question
from foreknown.strategies.compose import VERIFIER_S, Kit
from foreknown.strategies.verifiers import Verdict, Verifier, guarded


class Counted:
    """A verifier whose failed verdicts are counted.

    Attributes:
        n_failed: so far.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier, self.n_failed = guarded(verifier, seconds=VERIFIER_S), 0

    def verify(self, question: str, answer: str) -> Verdict:
        verdict = self._verifier.verify(question, answer)
        self.n_failed += verdict.failed
        return verdict


def kit_for(kit: Kit, question: Question) -> tuple[Kit, Counted | None]:
    """A kit with a counted verifier: its own, else the question's; None: neither has one."""
    verifier = kit.verifier or question.verifier
    counted = None if verifier is None else Counted(verifier)
    return replace(kit, verifier=counted), counted
