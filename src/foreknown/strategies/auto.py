"""Chooses a strategy by what was measured: the best that surely fits a budget, and says why.

What counts is what a strategy takes at most now, by the forecast for this very problem. How good it
is was measured before, on other problems: see `profile.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from foreknown.errors import RequestError
from foreknown.strategies.answer import Terms
from foreknown.strategies.budget import Budget
from foreknown.strategies.compose import Kit, built
from foreknown.strategies.cost import Cost, cost
from foreknown.strategies.expression import Call, bind, parse
from foreknown.strategies.profile import Entry, Profile, profile_path, read_profile
from foreknown.strategies.strategy import Problem
from foreknown.strategies.verifiers import parse_verifier

AUTO = "auto"
VERIFIER = "arithmetic"
"""The verifier that is at hand where a user names none: it runs no code."""


@dataclass(frozen=True)
class Limits:
    """What there is for an answer."""

    seconds: float = math.inf
    tokens: float = math.inf

    def hold(self, entry: Entry, cost: Cost) -> bool:
        """Whether a way of answering surely keeps them: by its own budget, or by what it costs."""
        its_s = cost.seconds if entry.deadline_ms is None else entry.deadline_ms / 1e3
        its_tokens = cost.n_tokens if entry.budget_tokens is None else entry.budget_tokens
        return its_s <= self.seconds and its_tokens <= self.tokens


@dataclass(frozen=True)
class Way:
    """A way of answering that was measured.

    Attributes:
        entry: it, as it showed where it was best known.
        accuracy: from 0 to 1, in the mean over tasks.
    """

    entry: Entry
    accuracy: float

    @property
    def call(self) -> Call:
        return parse(self.entry.strategy)

    def applied(self, problem: Problem, max_tokens: int | None) -> Problem:
        """A problem with drafts as they were measured, of so many tokens at most."""
        params = replace(
            problem.params,
            temperature=self.entry.temperature,
            max_tokens=min(self.entry.draft_tokens, max_tokens or self.entry.draft_tokens),
        )
        return replace(problem, params=params)


@dataclass(frozen=True)
class Chosen:
    """What was chosen.

    Attributes:
        way: it.
        why: in a sentence, for people.
    """

    way: Way
    why: str


@dataclass(frozen=True)
class Found:
    """A strategy that was chosen, with what it is done with.

    Attributes:
        kit: with the verifier that it was measured with.
        problem: with drafts as they were measured.
        why: in a sentence, for people.
    """

    call: Call
    kit: Kit
    problem: Problem
    why: str


def require_made(call: Call, kit: Kit) -> None:
    """Whether a strategy can be made; auto, which takes no arguments, always can.

    Raises:
        RequestError: it makes no sense.
    """
    if call.name == AUTO:
        bind(call, ())
    else:
        built(call, kit)


def best_measured(
    weights: str,
    kit: Kit,
    problem: Problem,
    budget: Budget,
    terms: Terms,
    *,
    verifier: str = "",
    task: str | None = None,
    file: Path | None = None,
    max_tokens: int | None = None,
) -> Found:
    """What is best for a problem by what was measured of a model.

    Args:
        weights: the model's checksum.
        verifier: the kit's, as it was named; "": none was.
        task: what the problem is like, as measured; None: like all.
        file: the profile; None: what was kept of the model.
        max_tokens: of a draft, if the user says so.

    Raises:
        RequestError: nothing was measured yet.
    """
    profile = read_profile(file or profile_path(weights), weights)
    if kit.verifier is None:
        kit = replace(kit, verifier=parse_verifier(VERIFIER))
    limits = Limits(budget.seconds(terms.watts, terms.usd_per_hour), budget.max_tokens or math.inf)
    cost_of = costs(kit, problem, terms, max_tokens)
    best = chosen(profile, limits, cost_of, verifier=verifier or VERIFIER, task=task)
    return Found(best.way.call, kit, best.way.applied(problem, max_tokens), best.why)


def costs(
    kit: Kit, problem: Problem, terms: Terms, max_tokens: int | None = None
) -> Callable[[Way], Cost]:
    """What ways of answering a problem take at most, now.

    Args:
        max_tokens: of a draft, if the user says so; None: as they were measured.
    """

    def cost_of(way: Way) -> Cost:
        strategy = built(way.call, replace(kit, rehearses=True))
        applied = way.applied(problem, max_tokens)
        return cost(strategy, applied, terms.prompt_ids, terms.capacity, terms.price)

    return cost_of


def ways(profile: Profile, verifier: str, task: str | None = None) -> list[Way]:
    """What was measured and can be done with a verifier, each with its mean accuracy.

    Where a way was not measured on a task it counts there as the greedy draft does.

    Args:
        verifier: that is at hand, as a user names it.
        task: the only one that matters; None: all.

    Raises:
        RequestError: nothing was measured on it.
    """
    entries = [e for e in profile.entries if task in (None, e.task)]
    if not entries:
        known = sorted({entry.task for entry in profile.entries})
        raise RequestError(
            f"nothing was measured on the task {task!r}" if task else "nothing was measured",
            remedy=f"name one of {', '.join(known)}" if known else "foreknown evaluate measures",
            field="task",
        )
    baseline = {e.task: e.accuracy for e in entries if e.is_baseline}
    groups: dict[Entry, list[Entry]] = {}
    for entry in entries:
        if entry.verifier in ("", verifier):
            groups.setdefault(entry.way, []).append(entry)
    return [_way(own, baseline) for own in groups.values()]


def _way(own: Sequence[Entry], baseline: dict[str, float]) -> Way:
    accuracy = {**baseline, **{entry.task: entry.accuracy for entry in own}}
    return Way(max(own, key=lambda entry: entry.n), fmean(accuracy.values()))


def chosen(
    profile: Profile,
    limits: Limits,
    cost_of: Callable[[Way], Cost],
    *,
    verifier: str = VERIFIER,
    task: str | None = None,
) -> Chosen:
    """The most accurate way that surely fits; of equal ones, the one that takes least time.

    Where none fits it is the one that takes least: it may be cut short.

    Args:
        cost_of: what a way takes at most now.
        verifier, task: see `ways`.

    Raises:
        RequestError: nothing was measured on the task.
    """
    known = ways(profile, verifier, task)
    priced: list[tuple[Way, Cost]] = []
    for way in known:
        with suppress(RequestError):  # its verifier needs a leave that is not given now
            priced.append((way, cost_of(way)))
    if not priced:
        raise RequestError(
            f"nothing that was measured can be done with the verifier {verifier}",
            remedy="name the verifier that was measured with",
            field="verifier",
        )
    fitting = [(way, cost) for way, cost in priced if limits.hold(way.entry, cost)]
    if fitting:
        way, cost = min(fitting, key=lambda pair: (-pair[0].accuracy, pair[1].seconds))
    else:
        way, cost = min(priced, key=lambda pair: pair[1].seconds)
    return Chosen(way, _why(way, cost, len(known), len(fitting), profile, task))


def _why(
    way: Way, cost: Cost, n_known: int, n_fitting: int, profile: Profile, task: str | None
) -> str:
    entry, tasks = way.entry, {e.task for e in profile.entries if task in (None, e.task)}
    takes = f"it takes {1e3 * cost.seconds:,.0f} ms and {cost.n_tokens:,} tokens at most"
    if entry.deadline_ms is not None:
        takes = f"it was measured within {entry.deadline_ms:,.0f} ms"
    if not n_fitting:
        return f"{entry.strategy}: none of {n_known} surely fits, and {takes}, the least of all"
    shown = f"right in {100 * way.accuracy:.1f} % of {len(tasks)} tasks, in the mean"
    if len(tasks) == 1:
        about = f"{100 * entry.low:.1f} to {100 * entry.high:.1f}"
        shown = f"right in {100 * way.accuracy:.1f} % ({about}) of {entry.n} of {entry.task}"
    best = f"the best of {n_fitting} that surely fit, of {n_known} measured"
    return f"{entry.strategy}: {shown}, {best}; {takes}"
