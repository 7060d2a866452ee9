"""foreknown inspect [MODEL] [graph|phases|memory|weights|c|asm]"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from foreknown.cli.arguments import add_json, add_model, add_threads
from foreknown.cli.models import found_artifact

VIEWS = ("summary", "graph", "phases", "memory", "weights", "c", "asm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "view",
        nargs="?",
        choices=VIEWS,
        default="summary",
        help="graph in the IR's text; phases with cost and forecast; memory map; formats of "
        "weights; generated c; asm",
    )
    parser.add_argument(
        "--tokens", type=int, default=1, metavar="T", help="forecast of phases: tokens of the step"
    )
    parser.add_argument(
        "--at", type=int, default=None, metavar="C", help="forecast of phases: context of the step"
    )
    add_threads(parser)
    add_json(parser, "print the summary, phases, memory or weights as JSON")


def run(args: argparse.Namespace) -> int:
    from foreknown.artifact.format import GRAPH, OBJECT, SOURCE
    from foreknown.errors import RequestError
    from foreknown.plan.price import StepShape
    from foreknown.report.host import host_threads
    from foreknown.report.instructions import host_for
    from foreknown.report.memory_map import memory_record, print_memory
    from foreknown.report.phases import phases_record, print_phases
    from foreknown.report.summary import print_summary, summary_record
    from foreknown.report.weights import print_weights, weights_record
    from foreknown.targets.cpu.toolchain import disassemble

    if str(args.model) in VIEWS and not Path(args.model).exists():
        args.model, args.view = None, str(args.model)  # `inspect phases` is of the bundled model
    if args.json and args.view in ("graph", "c", "asm"):
        raise RequestError(
            f"there is no JSON of {args.view}", remedy="leave --json out: it is text already"
        )
    artifact = found_artifact(args)
    threads = args.threads or host_threads()
    match args.view:
        case "graph":
            sys.stdout.write(artifact.text(GRAPH))
        case "c":
            sys.stdout.write(artifact.text(SOURCE))
        case "asm":
            sys.stdout.write(disassemble(artifact.directory / OBJECT))
        case "phases":
            context = args.at or max(1, artifact.manifest.sizes.context // 2)
            step = StepShape(args.tokens, 1, args.tokens * context, context)
            machine = host_for(artifact.manifest.target, threads)
            record = phases_record(artifact, machine, step)
            print(json.dumps(record)) if args.json else print_phases(record, sys.stdout)
        case "memory":
            record = memory_record(artifact, threads)
            print(json.dumps(record)) if args.json else print_memory(record, sys.stdout)
        case "weights":
            record = weights_record(artifact)
            print(json.dumps(record)) if args.json else print_weights(record, sys.stdout)
        case _:
            machine = host_for(artifact.manifest.target, threads)
            record = summary_record(artifact, threads, machine)
            print(json.dumps(record)) if args.json else print_summary(record, sys.stdout)
    return 0
