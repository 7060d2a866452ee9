"""Answers questions by strategies on one engine that belongs to the caller.

What is timed has the engine to itself. Answers whose time is no limit come out the same alone and
in company, so only some of them are timed, and the rest run side by side. Every answer has a salt:
nothing is found computed that an earlier one left, so what is measured is what was told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foreknown.engine import Engine, Request
from foreknown.errors import ForeknownError
from foreknown.evaluation.counted import Counted, kit_for
from foreknown.evaluation.reply import Reply, Setting, Tell
from foreknown.evaluation.side_by_side import side_by_side
from foreknown.evaluation.task import Question
from foreknown.strategies.answer import Terms, begun
from foreknown.strategies.budget import Fitted
from foreknown.strategies.compose import Kit
from foreknown.strategies.conduct import conduct
from foreknown.strategies.course import Course
from foreknown.strategies.strategy import Problem

TIMED = 16
"""Answers of a setting that are timed, where their time is no limit."""
AT_ONCE = 16
"""Answers that run side by side."""


@dataclass
class _Underway:
    """An answer in the making."""

    question: Question
    plan: Fitted
    course: Course
    verifier: Counted | None

    def reply(self, seconds: float | None = None, error: ForeknownError | None = None) -> Reply:
        return Reply(
            self.question,
            None if error is not None else self.course.choice,
            self.plan,
            self.course.n_tokens,
            seconds,
            self.course.reach,
            0 if self.verifier is None else self.verifier.n_failed,
            "" if error is None else error.what,
        )


@dataclass(frozen=True)
class Bench:
    """An engine with what strategies need.

    Attributes:
        kit: a question's own verifier stands in where it has none.
        timed: see `TIMED`.
    """

    engine: Engine
    kit: Kit
    terms: Terms
    timed: int = TIMED

    @property
    def costs(self) -> tuple[float, float]:
        """Watts that the machine draws, and USD that it costs an hour."""
        return self.terms.watts, self.terms.usd_per_hour

    def replies(self, questions: Sequence[Question], setting: Setting, tell: Tell) -> list[Reply]:
        """What comes of questions, in their order; a reply that is lost says why."""
        n_alone = len(questions) if setting.budget.deadline_ms else min(self.timed, len(questions))
        if setting.is_baseline:  # the first steps of a program take longer than all others
            self._alone(-1, questions[0], setting)
        replies = []
        for number, question in enumerate(questions[:n_alone]):
            tell(number, len(questions))
            replies.append(self._alone(number, question, setting))
        replies += self._in_company(questions, n_alone, setting, tell)
        tell(len(questions), len(questions))
        return replies

    def _alone(self, number: int, question: Question, setting: Setting) -> Reply:
        clock, terms, budget = self.engine.clock, self.terms, setting.budget
        start_ns = clock.now_ns()
        try:
            one = self._begun(number, question, setting)
        except ForeknownError as error:
            return Reply(question, None, failure=error.what)
        left_s = budget.seconds(terms.watts, terms.usd_per_hour)
        left_s -= (clock.now_ns() - start_ns) / 1e9
        most = budget.max_tokens or math.inf
        try:
            conduct(self.engine, one.course, seconds=left_s, max_tokens=most)
        except ForeknownError as error:
            return one.reply(error=error)
        return one.reply((clock.now_ns() - start_ns) / 1e9)

    def _in_company(
        self, questions: Sequence[Question], first: int, setting: Setting, tell: Tell
    ) -> list[Reply]:
        """Replies to the questions from the first one on, none of them timed."""
        begun: dict[str, _Underway] = {}
        replies: dict[int, Reply] = {}

        def courses() -> Iterator[tuple[str, Course]]:
            for number, question in enumerate(questions[first:], first):
                try:
                    one = self._begun(number, question, setting)
                except ForeknownError as error:
                    replies[number] = Reply(question, None, failure=error.what)
                    continue
                begun[str(number)] = one
                yield str(number), one.course

        most = setting.budget.max_tokens or math.inf
        for name, error in side_by_side(self.engine, courses(), AT_ONCE, most):
            replies[int(name)] = begun.pop(name).reply(error=error)
            tell(first + len(replies), len(questions))
        return [replies[number] for number in sorted(replies)]

    def _begun(self, number: int, question: Question, setting: Setting) -> _Underway:
        kit, counted = kit_for(self.kit, question)
        problem, terms = Problem(question.messages, setting.params), self.terms
        salted = Request((0,), salt=f"{number} {setting}")
        given = (setting.call, kit, problem, setting.budget, terms)
        plan, course = begun(*given, name=str(number), request=salted)
        return _Underway(question, plan, course, counted)
