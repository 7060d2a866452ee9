"""foreknown evaluate [MODEL] --task NAME --strategy TEXT"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from foreknown.api import Model, new_kit
from foreknown.cli.arguments import add_json, add_model, add_sequences, add_threads, whole
from foreknown.cli.models import open_model
from foreknown.cli.progress import Progress, progress
from foreknown.cli.sampling import add_sampling, sampling_params
from foreknown.cli.strategy import add_kit
from foreknown.errors import RequestError

if TYPE_CHECKING:
    from foreknown.evaluation.measured import Measured
    from foreknown.evaluation.reply import Answering, Setting
    from foreknown.evaluation.task import Task
    from foreknown.strategies.compose import Kit

PROBLEMS, MOST_PROBLEMS, TIMED = 100, 100_000, 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    _add_tasks(parser.add_argument_group("what is asked"))
    ways = parser.add_argument_group("how it is answered")
    ways.add_argument(
        "--strategy",
        action="append",
        default=[],
        metavar="TEXT",
        help='as in "vote(8)"; may be given again. A greedy draft is always measured, too',
    )
    add_kit(ways)
    ways.add_argument(
        "--deadline-ms",
        action="append",
        default=[],
        type=float,
        metavar="X",
        help="until each answer; may be given again: each is a budget of its own",
    )
    ways.add_argument(
        "--budget-tokens",
        action="append",
        default=[],
        type=whole(1),
        metavar="N",
        help="of all drafts of each answer together; may be given again, as above",
    )
    ways.add_argument("--raw", action="store_true", help="ask without the model's chat template")
    add_sampling(parser)
    _add_results(parser.add_argument_group("what is measured and kept"))
    add_threads(parser)
    add_json(parser)


def _add_tasks(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--task",
        action="append",
        required=True,
        metavar="NAME",
        help="arithmetic, arithmetic-long, sums, totals, products, countdown, countdown-long, "
        "review, judge, about, gsm8k:FILE, bbh:FILE, "
        "samples:FILE or FILE.jsonl; may be given again",
    )
    group.add_argument(
        "--problems",
        type=whole(1, MOST_PROBLEMS),
        default=PROBLEMS,
        metavar="N",
        help=f"the first N of each task (default {PROBLEMS})",
    )
    group.add_argument("--suffix", default="", metavar="TEXT", help="written after each question")
    for name, default, what in (
        ("question", "question", "questions"),
        ("answer", "answer", "right answers"),
        ("replies", "response", "replies, in sample sets"),
        ("rewards", "pred_score", "their rewards"),
    ):
        group.add_argument(
            f"--{name}-field",
            default=default,
            metavar="NAME",
            help=f"of JSON lines: where {what} stand (default {default})",
        )


def _add_results(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--timed",
        type=whole(1),
        default=TIMED,
        metavar="N",
        help="answers that run alone and are timed; the rest run side by side, which changes no "
        f"answer (default {TIMED}; with a deadline all are)",
    )
    add_sequences(group)
    group.add_argument("--jsonl", type=Path, metavar="FILE", help="write every answer there")
    group.add_argument("--trace", action="store_true", help="with --jsonl: how each came about")
    group.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw accuracy against time: .svg or .png"
    )
    group.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="keep what was measured for --strategy auto there, not in the cache",
    )


def run(args: argparse.Namespace) -> int:
    from foreknown.evaluation.plots import draw_evaluation
    from foreknown.report.plots import check_plot

    if args.plot is not None:
        check_plot(args.plot)
    tasks = _tasks(args)
    with ExitStack() as stack:
        needs_model = not all(task.is_given for task in tasks)
        model = stack.enter_context(open_model(args, args.sequences)) if needs_model else None
        lines = None
        if args.jsonl is not None:
            lines = stack.enter_context(args.jsonl.open("w", encoding="utf-8"))
        tell = stack.enter_context(progress(quiet=args.json))
        measured = _measure(args, tasks, model, lines, tell)
    name = "given replies" if model is None else model.artifact.directory.name
    if args.json:
        print(json.dumps({**_about(model), "results": [one.record() for one in measured]}))
    if args.plot is not None:
        draw_evaluation(measured, name, args.plot)
    return 0


def _tasks(args: argparse.Namespace) -> list[Task]:
    from foreknown.evaluation.samples import Fields
    from foreknown.evaluation.tasks import open_task

    fields = Fields(args.question_field, args.answer_field, args.replies_field, args.rewards_field)
    given = list(dict.fromkeys(args.task))
    tasks = [open_task(text, args.problems, fields, args.suffix) for text in given]
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise RequestError(
            f"two tasks have the same name: {', '.join(names)}",
            remedy="rename a file, or evaluate one after the other",
            field="task",
        )
    if any(task.is_given for task in tasks) and (args.deadline_ms or args.budget_tokens):
        raise RequestError(
            "a sample set takes no time, so a budget means nothing there",
            remedy="leave --deadline-ms and --budget-tokens out, or evaluate it by itself",
        )
    return tasks


def _about(model: Model | None) -> dict[str, Any]:
    """Whose results these are, as JSON shows it; without a model there is nothing to say."""
    from foreknown.report.provenance import machine_origin

    if model is None:
        return {"model": None, "fingerprint": None, "machine": None}
    return {
        "model": model.artifact.directory.name,
        "fingerprint": model.artifact.manifest.weights_checksum,
        "machine": machine_origin(model.machine),
    }


def _measure(
    args: argparse.Namespace,
    tasks: Sequence[Task],
    model: Model | None,
    lines: TextIO | None,
    tell: Progress,
) -> list[Measured]:
    """All tasks, one after the other; each is kept and shown when it is done."""
    from foreknown.evaluation.entries import Kept
    from foreknown.evaluation.evaluate import check, evaluate
    from foreknown.evaluation.tables import print_task

    wanted = _settings(args, model)
    kit = new_kit(args.verifier, args.templates, allow_code=args.allow_code)
    for task in tasks:
        check(task, wanted, kit)
    kept = None
    if model is not None:
        kept = Kept(model.artifact.manifest.weights_checksum, model.machine, args.profile)
    found: list[Measured] = []
    for task in tasks:
        own: list[Measured] = []
        for one in evaluate(task, wanted, _answering(args, task, kit, model), tell):
            own.append(one)
            if lines is not None:
                _write(one, lines, trace=args.trace)
        if kept is not None and not task.is_given:
            kept.add(own, kit, args.verifier or task.verifier)
        if not args.json:
            print_task(own, sys.stdout)
        found += own
    return found


def _settings(args: argparse.Namespace, model: Model | None) -> list[Setting]:
    from foreknown.engine import SamplingParams
    from foreknown.evaluation.evaluate import settings
    from foreknown.strategies.answer import new_problem
    from foreknown.strategies.budget import Budget
    from foreknown.strategies.expression import parse

    budgets = [Budget(deadline_ms=ms) for ms in args.deadline_ms]
    budgets += [Budget(max_tokens=n) for n in args.budget_tokens]
    params = SamplingParams(temperature=0, max_tokens=1, seed=0)  # of replies that are there
    if model is not None:
        given = sampling_params(args, model.checkpoint.generation)
        params = new_problem((), given, model.engine.capacity.context).params
    return settings([parse(text) for text in args.strategy], budgets, params)


def _answering(args: argparse.Namespace, task: Task, kit: Kit, model: Model | None) -> Answering:
    from foreknown.evaluation.bench import Bench
    from foreknown.evaluation.given import FromReplies

    if task.is_given or model is None:
        return FromReplies(kit)
    return Bench(model.engine, kit, model.terms(raw=args.raw), args.timed)


def _write(measured: Measured, lines: TextIO, *, trace: bool) -> None:
    for judged in measured.judged:
        record = judged.record(measured.setting, measured.task, trace=trace)
        lines.write(json.dumps(record) + "\n")
    lines.flush()
