"""foreknown forecast [MODEL] --prompt N --output N"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foreknown.cli.arguments import add_json, add_threads, compile_options, whole
from foreknown.cli.models import chosen_machine, wanted_objective
from foreknown.cli.progress import Progress, progress
from foreknown.errors import RequestError

if TYPE_CHECKING:
    from foreknown.artifact.build import Options
    from foreknown.artifact.planned import PlannedModel, Planner
    from foreknown.engine.promises import Objective
    from foreknown.machine import Machine
    from foreknown.report.forecast import Case
    from foreknown.report.workloads import Workload

FORMATS = ("f32", "bf16", "int8", "int4")
WORKLOADS = ("summarise", "chat", "rag", "code", "translate", "voice", "all")
QUESTIONS = {"largest_batch": "batch", "longest_context": "prompt", "cheapest_weights": ""}
"""And the option that the answer is to find."""
USUAL_PROMPT, USUAL_OUTPUT = 512, 128
"""Where a question leaves them open, as far as the model holds them."""
MOST_CASES, MOST_GIB = 4096, 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        type=Path,
        help="artifact, checkpoint, a directory with only a config.json, or such a file; the "
        "bundled model if left out",
    )
    case = parser.add_argument_group("the case, or a grid of cases")
    for name, least, text in (
        ("prompt", 1, "tokens that go in"),
        ("output", 1, "tokens that come out"),
        ("batch", 1, "requests at once (default 1)"),
    ):
        case.add_argument(
            f"--{name}",
            type=several(whole(least)),
            metavar="N[,N...]",
            help=text,
        )
    case.add_argument(
        "--workload",
        choices=WORKLOADS,
        help="a case that is ordinary for a use, and whether it is fast enough for that",
    )
    add_questions(parser.add_argument_group("the other way round"))
    built = parser.add_argument_group("if MODEL is not compiled yet")
    built.add_argument(
        "--weights",
        type=several(_format),
        metavar="|".join(FORMATS),
        help="format of the matrices, or several with commas; as stored if not given",
    )
    built.add_argument(
        "--state", choices=("f32", "bf16", "int8"), help="format of kept keys and values"
    )
    built.add_argument(
        "--group",
        type=int,
        choices=(32, 64),
        default=32,
        help="weights that share a scale in int8 and int4",
    )
    built.add_argument(
        "--context",
        type=whole(1),
        metavar="N",
        help="tokens of the longest sequence; if not given up to 4096, or what the cases need",
    )
    built.add_argument(
        "--trust-checkpoint-code",
        action="store_true",
        help="run the Python code that the checkpoint brings",
    )
    parser.set_defaults(calibration=None, target="host")
    where = parser.add_argument_group("the machine")
    where.add_argument(
        "--machine",
        type=Path,
        metavar="FILE",
        help="a profile that foreknown calibrate wrote; this machine's if not given",
    )
    add_threads(parser)
    add_json(parser)


def add_questions(group: argparse._ArgumentGroup) -> None:
    """What is to be found, and what it has to keep."""
    asked = group.add_mutually_exclusive_group()
    for name, text in (
        ("largest-batch", "the most requests at once that keep the objective"),
        ("longest-context", "the most tokens of prompt and output that fit and keep the objective"),
        ("cheapest-weights", "the format of weights that keeps the objective at the least price"),
    ):
        asked.add_argument(f"--{name}", action="store_true", help=text)
    for name, text in (
        ("ttft", "milliseconds from a request to its first token, at most"),
        ("tpot", "milliseconds from token to token in the mean, at most"),
        ("total", "milliseconds from a request to its last token, at most"),
    ):
        group.add_argument(f"--{name}-ms", type=float, metavar="MS", help=text)
    group.add_argument(
        "--memory-gib",
        type=float,
        metavar="X",
        help="memory that there is; if not given all that this machine has, for a question what is "
        "free",
    )


def several(one: Callable[[str], object]) -> Callable[[str], list[object]]:
    """A type for one value or several with commas between them."""
    return lambda text: [one(part.strip()) for part in text.split(",")]


def _format(text: str) -> str:
    if text not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(FORMATS)}")
    return text


def run(args: argparse.Namespace) -> int:
    from foreknown.artifact.planned import Planner

    objective = _objective(args)
    question = next((name for name in QUESTIONS if getattr(args, name)), None)
    _require_sense(args, question)
    machine, planner = chosen_machine(args), Planner(args.model)
    if question is not None:
        return _ask(args, planner, machine, objective)
    if args.workload:
        return _workloads(args, planner, machine, objective)
    return _grid(args, planner, machine, objective)


def _objective(args: argparse.Namespace) -> Objective | None:
    try:
        return wanted_objective(args.total_ms, args.ttft_ms, args.tpot_ms)
    except RequestError as error:
        options = {"deadline_ms": "--total-ms", "ttft_ms": "--ttft-ms", "tpot_ms": "--tpot-ms"}
        what = error.what.replace(error.field, options[error.field], 1)
        raise RequestError(what, remedy=error.remedy) from None


def _require_sense(args: argparse.Namespace, question: str | None) -> None:
    """Refuse what would be ignored beside something else."""
    if question is not None and QUESTIONS[question]:
        _refuse(args, QUESTIONS[question], f"--{question.replace('_', '-')}", "finds it")
    if args.workload:
        for name in ("prompt", "output"):
            _refuse(args, name, f"--workload {args.workload}", "says how much it is")
    if question is not None and args.workload == "all":
        raise RequestError(
            "--workload all is several",
            remedy=f"a question takes one of {', '.join(WORKLOADS[:-1])}",
        )


def _refuse(args: argparse.Namespace, name: str, beside: str, why: str) -> None:
    if getattr(args, name) is not None:
        raise RequestError(
            f"--{name} means nothing beside {beside}, which {why}",
            remedy="leave one of them out",
        )


def _grid(
    args: argparse.Namespace, planner: Planner, machine: Machine, objective: Objective | None
) -> int:
    from foreknown.report.forecast import Case, forecast, step_price
    from foreknown.report.forecast_tables import print_forecast, print_grid
    from foreknown.report.objectives import kept_record

    if args.prompt is None or args.output is None:
        raise RequestError(
            "a forecast needs to know how much goes in and how much comes out",
            remedy="give --prompt N and --output N, or --workload all",
        )
    cases = [Case(p, o, b) for b in args.batch or [1] for p in args.prompt for o in args.output]
    n_formats = len(args.weights or [1])
    if len(cases) * n_formats > MOST_CASES:
        raise RequestError(
            f"{len(cases) * n_formats} cases are more than {MOST_CASES}",
            remedy="ask for fewer at once",
        )
    told, room = [], _room_bytes(args)
    with progress(quiet=args.json) as tell:
        for model in _models(args, planner, max(case.tokens for case in cases), tell):
            price = step_price(model, machine)
            for case in cases:
                told.append(forecast(model, machine, case, price, room))
                tell("cases", len(told), len(cases) * n_formats)
    if args.json:
        records = [
            {**one.record(), **(kept_record(objective, one) if objective else {})} for one in told
        ]
        print(json.dumps(records[0] if len(records) == 1 else records))
    elif len(told) == 1:
        print_forecast(told[0], objective, sys.stdout)
    else:
        print_grid(told, objective, sys.stdout)
    return 0


def _workloads(
    args: argparse.Namespace, planner: Planner, machine: Machine, objective: Objective | None
) -> int:
    from foreknown.report.forecast_tables import print_workloads
    from foreknown.report.workloads import WORKLOADS, expectations

    chosen = list(WORKLOADS.values()) if args.workload == "all" else [WORKLOADS[args.workload]]
    if objective is not None:
        chosen = [replace(one, objective=objective, why="as it was asked for") for one in chosen]
    room = _room_bytes(args)
    with progress(quiet=args.json) as tell:
        longest = max(workload.tokens for workload in chosen)
        told = [
            expectation
            for model in _models(args, planner, longest, tell)
            for batch in args.batch or [1]
            for expectation in expectations(chosen, model, machine, batch, room)
        ]
    if args.json:
        records = [one.record() for one in told]
        print(json.dumps(records[0] if len(records) == 1 else records))
    else:
        print_workloads(told, sys.stdout)
    return 0


def _ask(
    args: argparse.Namespace, planner: Planner, machine: Machine, objective: Objective | None
) -> int:
    from foreknown.artifact.loading import available_bytes
    from foreknown.report.forecast_tables import print_answer
    from foreknown.report.questions import Wish, cheapest_weights, largest_batch, longest_context
    from foreknown.report.workloads import WORKLOADS

    workload = WORKLOADS[args.workload] if args.workload else None
    if workload is not None:
        objective = objective or workload.objective
    if objective is None and not args.longest_context:
        raise RequestError(
            "the question needs an objective", remedy="give --ttft-ms, --tpot-ms or --total-ms"
        )
    case = _case(args, planner, workload)
    wish = Wish(objective, _given_bytes(args) or available_bytes())
    if args.cheapest_weights and planner.artifact is not None:
        raise RequestError(
            "an artifact has its weights in one format",
            where=str(planner.path),
            remedy="name the checkpoint it was made of, or its config.json",
        )
    with progress(quiet=args.json) as tell:
        if args.cheapest_weights:
            args.weights = args.weights or list(FORMATS)
            models = _models(args, planner, case.tokens, tell)
            answer = cheapest_weights(list(models), machine, case, wish)
        elif args.largest_batch:
            _one(args, "weights", None)
            (model,) = _models(args, planner, case.tokens, tell)
            answer = largest_batch(model, machine, case, wish)
        else:
            answer = longest_context(planner, _options(args), machine, case, wish)
    if args.json:
        print(json.dumps(answer.record()))
    else:
        print_answer(answer, sys.stdout)
    answer.require()
    return 0


def _case(args: argparse.Namespace, planner: Planner, workload: Workload | None) -> Case:
    """What a question is asked of: a workload, or what was given; the rest is usual."""
    from foreknown.report.forecast import Case

    batch = _one(args, "batch", 1)
    if workload is not None:
        return Case(workload.prompt_tokens, workload.output_tokens, batch)
    prompt, output = _one(args, "prompt", None), _one(args, "output", None)
    longest = args.context or planner.longest or USUAL_PROMPT + USUAL_OUTPUT
    if output is None:
        output = max(1, min(USUAL_OUTPUT, longest - prompt if prompt else longest // 2))
    return Case(prompt or max(1, min(USUAL_PROMPT, longest - output)), output, batch)


def _models(
    args: argparse.Namespace, planner: Planner, tokens: int, tell: Progress
) -> Iterator[PlannedModel]:
    """The model in each format that was asked for, for sequences of so many tokens."""
    for weights in args.weights or [None]:
        tell("planning the model", 0, 1)
        yield planner.planned_for(_options(args, weights), tokens)
        tell("planning the model", 1, 1)


def _options(args: argparse.Namespace, weights: str | None = None) -> Options:
    one = weights or _one(args, "weights", None)
    return compile_options(argparse.Namespace(**{**vars(args), "weights": one}))


def _one(args: argparse.Namespace, name: str, usual: Any) -> Any:
    """The one value that a question takes of an option which a grid may have several of."""
    values = getattr(args, name)
    if values is None:
        return usual
    if len(values) > 1:
        raise RequestError(f"--{name} has {len(values)} values", remedy="a question takes one")
    return values[0]


def _room_bytes(args: argparse.Namespace) -> int:
    """Memory that there is for a case, whatever else holds some of it now."""
    from foreknown.artifact.loading import installed_bytes

    return _given_bytes(args) or installed_bytes()


def _given_bytes(args: argparse.Namespace) -> int | None:
    """Memory as the command line has it."""
    if args.memory_gib is None:
        return None
    if not (math.isfinite(args.memory_gib) and 0 < args.memory_gib <= MOST_GIB):
        raise RequestError(
            f"--memory-gib is {args.memory_gib}, where a number above 0 and up to {MOST_GIB} is "
            "expected",
            remedy="it counts in units of 2^30 bytes",
        )
    return max(1, int(args.memory_gib * 2**30))
