"""foreknown simulate [MODEL] --trace FILE"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foreknown.cli.arguments import (
    add_json,
    add_model,
    add_sequences,
    add_threads,
    compile_options,
    whole,
)
from foreknown.cli.models import chosen_machine, wanted_objective
from foreknown.cli.progress import progress
from foreknown.errors import RequestError

if TYPE_CHECKING:
    from foreknown.engine.promises import Objective
    from foreknown.report.simulation import Served
    from foreknown.report.traffic import Scale, Traffic

ATTAIN, THINK_SECONDS = 0.99, 30.0


def above_zero(text: str) -> float:
    """A type for finite numbers above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        required=True,
        help="requests to come: Azure's CSV, Mooncake's JSON lines, or a CSV with arrival_s, "
        "prompt_tokens, output_tokens",
    )
    scale = parser.add_argument_group("to make the trace fit")
    for name, metavar, text in (
        ("rate", "X", "requests come X times as fast"),
        ("length", "X", "prompts and answers have X times the tokens"),
        ("seconds", "S", "only what comes within S seconds, as scaled"),
    ):
        scale.add_argument(f"--{name}", type=above_zero, metavar=metavar, help=text)
    scale.add_argument("--limit", type=whole(1), metavar="N", help="only the first N requests")
    objective = parser.add_argument_group("objectives of requests that bring none")
    for name, text in (
        ("deadline", "milliseconds from a request to the end of its answer"),
        ("ttft", "milliseconds from a request to its first token"),
        ("tpot", "milliseconds from token to token, in the mean"),
    ):
        objective.add_argument(f"--{name}-ms", type=above_zero, metavar="MS", help=text)
    users = parser.add_argument_group("the load that the machine carries")
    users.add_argument(
        "--users",
        action="store_true",
        help="find the largest rate at which requests meet the objective, and how many users that "
        "is; everybody is served, in order",
    )
    users.add_argument(
        "--attain",
        type=above_zero,
        default=ATTAIN,
        metavar="X",
        help=f"share of the requests that must meet it (default {ATTAIN})",
    )
    users.add_argument(
        "--think-seconds",
        type=above_zero,
        default=THINK_SECONDS,
        metavar="S",
        help=f"from a user's answer to its next request, in the mean (default {THINK_SECONDS:.0f})",
    )
    add_sequences(parser)
    parser.add_argument(
        "--machine",
        type=Path,
        metavar="FILE",
        help="a profile that foreknown calibrate wrote; this machine's if not given",
    )
    add_threads(parser)
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what was found: .svg or .png"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from foreknown.report.trace_forms import listed
    from foreknown.report.traces import read_trace
    from foreknown.report.traffic import traffic

    objective = wanted_objective(args.deadline_ms, args.ttft_ms, args.tpot_ms)
    if args.users and objective is None:
        raise RequestError(
            "--users needs to know what users want",
            remedy="give --ttft-ms, --tpot-ms or --deadline-ms",
        )
    if args.plot is not None:
        from foreknown.report.plots import check_plot

        check_plot(args.plot)
    trace, scale = read_trace(args.trace), _scale(args)
    served = _served(args)
    comes = traffic(trace, scale, served.longest, objective)
    given = {"trace": trace.name, "form": trace.form, "ignored": list(trace.ignored), **vars(scale)}
    if trace.ignored and not args.json:
        print(f"columns that mean nothing here: {listed(trace.ignored)}", file=sys.stderr)
    about = f"{trace.name}{_scaled(args)}"
    if objective is not None and args.users:
        return _find_load(args, served, comes, objective, given, about)
    return _simulate(args, served, comes, given, about)


def _simulate(
    args: argparse.Namespace, served: Served, comes: Traffic, given: dict[str, Any], about: str
) -> int:
    from foreknown.report.simulation import SLOWER, simulate

    with progress(quiet=args.json) as tell:
        done, slower = (
            simulate(machine, comes, lambda n, total: tell("requests", n, total))
            for machine in (served, served.slower(SLOWER))
        )
    if args.json:
        told = {"times": SLOWER, **slower.times_ms}
        print(json.dumps({**done.record, "slower": told, "trace": given}))
    else:
        done.print(about, slower, sys.stdout)
    if args.plot is not None:
        from foreknown.report.plots import draw_simulation

        draw_simulation(done, f"{served.name}, {about}", args.plot)
    return 0


def _find_load(
    args: argparse.Namespace,
    served: Served,
    comes: Traffic,
    objective: Objective,
    given: dict[str, Any],
    about: str,
) -> int:
    from foreknown.report.load_search import Goal, largest_load

    goal = Goal(objective, args.attain)
    with progress(quiet=args.json) as tell:
        load = largest_load(
            served,
            comes,
            goal,
            think_s=args.think_seconds,
            progress=lambda n, total: tell("rates tried", n, total),
        )
    if args.json:
        print(json.dumps({**load.record, "trace": given}))
    else:
        load.print(about, sys.stdout)
    if args.plot is not None:
        from foreknown.report.plots import draw_load

        draw_load(load, f"{served.name}, {about}", args.plot)
    return 0


def _scale(args: argparse.Namespace) -> Scale:
    from foreknown.report.traffic import Scale

    return Scale(args.rate or 1.0, args.length or 1.0, args.seconds, args.limit)


def _scaled(args: argparse.Namespace) -> str:
    """What was done to the trace, for a title."""
    told = [
        (args.rate, "rate x {:g}"),
        (args.length, "lengths x {:g}"),
        (args.seconds, "{:g} s of it"),
        (args.limit, "{} requests at most"),
    ]
    return "".join(f", {text.format(value)}" for value, text in told if value is not None)


def _served(args: argparse.Namespace) -> Served:
    """MODEL on a machine; nothing is compiled for it."""
    from foreknown.artifact.planned import Planner
    from foreknown.report.simulation import served

    machine = chosen_machine(args)
    with progress(quiet=args.json) as tell:
        tell("planning the model", 0, 1)
        model = Planner(args.model).planned(compile_options(args))
        tell("planning the model", 1, 1)
    return served(model, machine, args.sequences)
