"""--strategy auto, for `run` and `chat`: what was measured decides, and standard error says why."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.api import Model
from foreknown.errors import RequestError

if TYPE_CHECKING:
    from foreknown.strategies.answer import Terms
    from foreknown.strategies.auto import Found
    from foreknown.strategies.budget import Budget
    from foreknown.strategies.compose import Kit
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
) -> Found:
    """The strategy that is best by what was measured; standard error says why.

    Raises:
        RequestError: nothing was measured yet, or a temperature is given, which it has its own.
    """
    from foreknown.strategies.auto import best_measured

    if args.temperature is not None:
        raise RequestError(
            "auto draws as it was measured, so a temperature means nothing",
            remedy="leave --temperature out, or name a strategy",
            field="temperature",
        )
    found = best_measured(
        model.artifact.manifest.weights_checksum,
        kit,
        problem,
        budget,
        terms,
        verifier=args.verifier or "",
        task=args.task,
        file=args.profile,
        max_tokens=args.max_tokens,
    )
    print(f"auto: {found.why}", file=sys.stderr)
    return found
