"""Better answers, as options of `run` and `chat`: what is spent on them, and how."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.api import Model, Prompt, new_kit
from foreknown.cli.arguments import whole
from foreknown.cli.auto import add_auto, auto_choice
from foreknown.cli.sampling import sampling_params

if TYPE_CHECKING:
    from foreknown.strategies.answer import Answer
    from foreknown.strategies.budget import Budget
    from foreknown.strategies.compose import Kit
    from foreknown.strategies.course import Reach
    from foreknown.strategies.expression import Call


def add_strategy(parser: argparse.ArgumentParser, *, is_recorded: bool = True) -> None:
    """What better answers may take; and, where one record is made of them, its own options."""
    group = parser.add_argument_group("better answers")
    group.add_argument(
        "--strategy",
        metavar="TEXT",
        help='as in "vote(8)" or "reflect(vote(4), rounds=2)"; "auto": the best one by what '
        "foreknown evaluate measured",
    )
    add_auto(group)
    add_kit(group)
    group.add_argument("--deadline-ms", type=float, metavar="X", help="until the answer")
    group.add_argument("--budget-tokens", type=whole(1), metavar="N", help="of all drafts together")
    group.add_argument("--budget-joules", type=float, metavar="X", help="drawn meanwhile")
    group.add_argument("--budget-usd", type=float, metavar="X", help="paid meanwhile")
    if not is_recorded:
        return
    group.add_argument(
        "--reach", metavar="TEXT", help="as a record has it: stop there, to have its answer again"
    )
    group.add_argument("--trace", action="store_true", help="with --json: how it came about")


def add_kit(group: argparse._ActionsContainer) -> None:
    """What strategies use beside their arguments."""
    group.add_argument(
        "--verifier",
        metavar="TEXT",
        help="arithmetic, schema:FILE, regex:PATTERN, function:MODULE:NAME or code:TESTS_FILE",
    )
    group.add_argument(
        "--allow-code", action="store_true", help="verifiers may run code that the model wrote"
    )
    group.add_argument("--templates", type=Path, metavar="FILE", help="TOML: what models are asked")


def run_strategy(args: argparse.Namespace, model: Model, prompt: str) -> None:
    """Answer a prompt by --strategy, and print what came."""
    from foreknown.strategies.course import parse_reach

    bound = None if args.reach is None else parse_reach(args.reach)
    came = strategy_answer(args, model, prompt, raw=args.raw, bound=bound)
    if args.json:
        print(json.dumps(came.record(model.terms(raw=args.raw), trace=args.trace)))
        return
    print(came.choice.text, flush=True)
    if args.stats or sys.stderr.isatty():
        _print_stats(came)


def strategy_answer(
    args: argparse.Namespace,
    model: Model,
    prompt: Prompt,
    *,
    raw: bool = False,
    bound: Reach | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Answer:
    """The answer of --strategy to a text or a conversation.

    Args:
        raw, bound, is_stopped: see `foreknown.api.Model.generate` and `answer`.

    Raises:
        RequestError: an option makes no sense, or the prompt is too long.
    """
    from foreknown.strategies.answer import answer
    from foreknown.strategies.auto import AUTO

    call, kit, budget = strategy_wishes(args)
    params = sampling_params(args, model.checkpoint.generation)
    problem, terms = model.problem(prompt, params, raw=raw), model.terms(raw=raw)
    if call.name != AUTO:
        return answer(model.engine, call, kit, problem, budget, terms, bound, is_stopped)
    found = auto_choice(args, model, kit, problem, budget, terms)
    given = (found.call, found.kit, found.problem, budget, terms, bound, is_stopped)
    return replace(answer(model.engine, *given), why=found.why)


def strategy_wishes(args: argparse.Namespace) -> tuple[Call, Kit, Budget]:
    """What the options ask for.

    Raises:
        RequestError: one of them makes no sense.
    """
    from foreknown.strategies.auto import require_made
    from foreknown.strategies.budget import Budget
    from foreknown.strategies.expression import parse

    budget = Budget(args.deadline_ms, args.budget_tokens, args.budget_joules, args.budget_usd)
    kit = new_kit(args.verifier, args.templates, allow_code=args.allow_code)
    call = parse(args.strategy)
    require_made(call, kit)
    return call, kit, budget


def print_line(came: Answer) -> None:
    """For people who go on talking: what was done, in a line."""
    from foreknown.report.objectives import ms_text

    cost = came.plan.cost
    took = f"{came.n_tokens:,} tokens, {ms_text(1e3 * came.seconds)}"
    most = f"{cost.n_tokens:,} tokens, {ms_text(1e3 * came.plan.seconds)}"
    sys.stderr.write(f"{came.plan.call}: {took} (at most {most})\n")
    _print_shortage(came)


def _print_stats(came: Answer) -> None:
    """For people, after the answer."""
    from foreknown.report.objectives import ms_text
    from foreknown.report.tables import Table

    columns = ("", "forecast, at most", "measured")
    table = Table(str(came.plan.call), columns, right=columns[1:])
    cost = came.plan.cost
    table.row("total", ms_text(1e3 * came.plan.seconds), ms_text(1e3 * came.seconds))
    table.row("tokens out", f"{cost.n_tokens:,}", f"{came.n_tokens:,}")
    table.row("rounds", f"{cost.n_rounds:,}", f"{came.n_rounds:,}")
    sys.stderr.write("\n")
    table.print(sys.stderr)
    _print_shortage(came)


def _print_shortage(came: Answer) -> None:
    """What did not fit the budget, if anything."""
    if came.asked != came.plan.call:
        sys.stderr.write(f"{came.asked} did not fit the budget; {came.plan.call} was done\n")
    if not came.plan.fits:
        sys.stderr.write("not even that fitted: this is the best that came in time\n")
