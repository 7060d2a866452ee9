"""--strategy auto, for `run` and `chat`: what was measured decides, and standard error says why."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.api import Model
from foreknown.errors import RequestError

if TYPE_CHECKING:
    from foreknown.strategies.answer import Terms
    from foreknown.strategies.budget import Budget
    from foreknown.strategies.compose import Kit
    from foreknown.strategies.expression import Call
    from foreknown.strategies.strategy import Problem


def add_auto(group: argparse._ActionsContainer) -> None:
    """Options that mean something with --strategy auto."""
    group.add_argument(
        "--task", metavar="NAME", help="with --strategy auto: what this is like, as measured"
    )
    group.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="with --strategy auto: what evaluate measured; what it kept of MODEL if not given",
    )


def auto_choice(
    args: argparse.Namespace, model: Model, kit: Kit, problem: Problem, budget: Budget, terms: Terms
) -> tuple[Call, Kit, Problem]:
    """The strategy that is best by what was measured; with the kit and the drafts that it had.

    Raises:
        RequestError: nothing was measured yet, or a temperature is given, which it has its own.
    """
    from foreknown.strategies.auto import VERIFIER, Limits, chosen, costs
    from foreknown.strategies.profile import profile_path, read_profile
    from foreknown.strategies.verifiers import parse_verifier

    if args.temperature is not None:
        raise RequestError(
            "auto draws as it was measured, so a temperature means nothing",
            remedy="leave --temperature out, or name a strategy",
            field="temperature",
        )
    name = model.artifact.manifest.weights_checksum
    profile = read_profile(args.profile or profile_path(name), name)
    if kit.verifier is None:
        kit = replace(kit, verifier=parse_verifier(VERIFIER))
    limits = Limits(budget.seconds(terms.watts, terms.usd_per_hour), budget.max_tokens or math.inf)
    cost_of = costs(kit, problem, terms, args.max_tokens)
    verifier = args.verifier or VERIFIER
    choice = chosen(profile, limits, cost_of, verifier=verifier, task=args.task)
    print(f"auto: {choice.why}", file=sys.stderr)
    return choice.way.call, kit, choice.way.applied(problem, args.max_tokens)
