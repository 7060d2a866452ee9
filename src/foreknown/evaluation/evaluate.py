"""Measures strategies on a task: a greedy draft first, and everything else beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from foreknown.engine import SamplingParams
from foreknown.evaluation.counted import kit_for
from foreknown.evaluation.measured import Measured
from foreknown.evaluation.reply import Answering, Setting, judged
from foreknown.evaluation.task import Task
from foreknown.strategies.budget import Budget
from foreknown.strategies.compose import Kit, built
from foreknown.strategies.expression import Call

DIRECT = Call("direct")
Tell = Callable[[str, int, int], None]


def _silent(name: str, done: int, total: int) -> None:
    """Nobody is told."""


def settings(
    calls: Sequence[Call], budgets: Sequence[Budget], params: SamplingParams
) -> list[Setting]:
    """Every strategy in every budget, after the baseline: one greedy draft without a limit.

    Args:
        params: of each draft; with a seed, and with as many tokens as it may have.
    """
    baseline = Setting(DIRECT, Budget(), replace(params, temperature=0.0), is_baseline=True)
    wanted = [baseline]
    for call in calls:
        for budget in budgets or [Budget()]:
            is_known = (call, budget) == (DIRECT, Budget()) and params.greedy
            new = Setting(call, budget, params)
            if not is_known and new not in wanted:
                wanted.append(new)
    return wanted


def check(task: Task, wanted: Sequence[Setting], kit: Kit) -> None:
    """Whether every strategy can be made for a task, before anything is asked.

    Raises:
        RequestError: one makes no sense, or needs a verifier that there is not.
    """
    kit, _ = kit_for(kit, task.questions[0])
    for setting in wanted:
        built(setting.call, kit)


def evaluate(
    task: Task, wanted: Sequence[Setting], answering: Answering, tell: Tell = _silent
) -> Iterator[Measured]:
    """What each setting shows, one after the other; the first one is the baseline.

    Args:
        tell: told what is measured, and how many of how many questions are answered.

    Raises:
        RequestError: a strategy asks for what cannot be had.
    """
    baseline: list[bool] = []
    for setting in wanted:
        name = f"{task.name}: {setting.call}"
        replies = answering.replies(task.questions, setting, partial(tell, name))
        marked = [judged(reply) for reply in replies]
        baseline = baseline or [one.is_right for one in marked]
        yield Measured(task.name, setting, marked, baseline, *answering.costs)
