"""Better answers, as options of `run`: what is spent on them, and how."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.cli.arguments import whole
from foreknown.cli.models import Model, told_price
from foreknown.cli.sampling import sampling_params

if TYPE_CHECKING:
    from foreknown.strategies.answer import Answer, Terms
    from foreknown.strategies.compose import Kit
    from foreknown.strategies.strategy import Problem

DRAFT_SHARE = 4
"""A draft has this part of the context at most, where nobody says --max-tokens: others follow."""


def add_strategy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("better answers")
    group.add_argument(
        "--strategy", metavar="TEXT", help='as in "vote(8)" or "reflect(vote(4), rounds=2)"'
    )
    group.add_argument(
        "--verifier",
        metavar="TEXT",
        help="arithmetic, schema:FILE, regex:PATTERN, function:MODULE:NAME or code:TESTS_FILE",
    )
    group.add_argument(
        "--allow-code", action="store_true", help="verifiers may run code that the model wrote"
    )
    group.add_argument("--templates", type=Path, metavar="FILE", help="TOML: what models are asked")
    group.add_argument("--deadline-ms", type=float, metavar="X", help="until the answer")
    group.add_argument("--budget-tokens", type=whole(1), metavar="N", help="of all drafts together")
    group.add_argument("--budget-joules", type=float, metavar="X", help="drawn meanwhile")
    group.add_argument("--budget-usd", type=float, metavar="X", help="paid meanwhile")
    group.add_argument("--trace", action="store_true", help="with --json: how it came about")


def run_strategy(args: argparse.Namespace, model: Model, prompt: str) -> None:
    """Answer a prompt by --strategy, and print what came."""
    from foreknown.strategies.answer import answer
    from foreknown.strategies.budget import Budget
    from foreknown.strategies.expression import parse

    budget = Budget(args.deadline_ms, args.budget_tokens, args.budget_joules, args.budget_usd)
    call, kit, terms = parse(args.strategy), _kit(args), _terms(args, model)
    came = answer(model.engine, call, kit, _problem(args, model, prompt), budget, terms)
    if args.json:
        print(json.dumps(came.record(terms, trace=args.trace)))
        return
    print(came.choice.text, flush=True)
    if args.stats or sys.stderr.isatty():
        _print_stats(came)


def _kit(args: argparse.Namespace) -> Kit:
    from foreknown.strategies.compose import Kit
    from foreknown.strategies.templates import Templates, read_templates
    from foreknown.strategies.verifiers import parse_verifier

    verifier = None
    if args.verifier is not None:
        verifier = parse_verifier(args.verifier, allow_code=args.allow_code)
    templates = Templates() if args.templates is None else read_templates(args.templates)
    return Kit(verifier, templates, args.allow_code)


def _terms(args: argparse.Namespace, model: Model) -> Terms:
    from foreknown.report.host import known_host
    from foreknown.strategies.answer import Terms

    machine, checkpoint = known_host(model.threads), model.checkpoint

    def prompt_ids(problem: Problem) -> list[int]:
        if args.raw or checkpoint.chat_template is None:
            return checkpoint.tokenizer.encode(problem.question + problem.begun)
        begun = checkpoint.tokenizer.encode(problem.begun, add_special_tokens=False)
        return model.prompt_ids(problem.messages) + begun

    return Terms(
        prompt_ids,
        model.engine.capacity,
        told_price(model.artifact, model.threads),
        machine.busy_watts,
        machine.usd_per_hour,
    )


def _problem(args: argparse.Namespace, model: Model, prompt: str) -> Problem:
    from foreknown.strategies.strategy import Problem

    params = sampling_params(args, model.checkpoint.generation)
    most = params.max_tokens or max(model.engine.capacity.context // DRAFT_SHARE, 1)
    params = replace(params, seed=params.seed or 0, max_tokens=most)
    return Problem(({"role": "user", "content": prompt},), params)


def _print_stats(came: Answer) -> None:
    """For people, after the answer."""
    from foreknown.report.objectives import ms_text
    from foreknown.report.tables import Table

    columns = ("", "forecast, at most", "measured")
    table = Table(str(came.plan.call), columns, right=columns[1:])
    cost = came.plan.cost
    table.row("total", ms_text(1e3 * cost.seconds), ms_text(1e3 * came.seconds))
    table.row("tokens out", f"{cost.n_tokens:,}", f"{came.n_tokens:,}")
    table.row("rounds", f"{cost.n_rounds:,}", f"{came.n_rounds:,}")
    sys.stderr.write("\n")
    table.print(sys.stderr)
    if came.asked != came.plan.call:
        sys.stderr.write(f"{came.asked} did not fit the budget; {came.plan.call} was done\n")
    if not came.plan.fits:
        sys.stderr.write("not even that fitted: this is the best that came in time\n")
