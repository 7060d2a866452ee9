"""foreknown compile CHECKPOINT -o ARTIFACT"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.cli.arguments import add_compile_options, add_json, add_threads, compile_options
from foreknown.cli.progress import progress

if TYPE_CHECKING:
    from foreknown.artifact import Artifact
    from foreknown.machine import Machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, help="a Hugging Face checkpoint's directory"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="ARTIFACT",
        type=Path,
        required=True,
        help="the directory to make; an artifact that is there already is replaced",
    )
    add_compile_options(parser)
    add_threads(parser)
    add_json(parser, "print what was made as JSON")


def run(args: argparse.Namespace) -> int:
    from foreknown.artifact.build import compile_checkpoint
    from foreknown.report.host import host_threads
    from foreknown.report.summary import print_summary, summary_record

    threads = args.threads or host_threads()
    with progress(quiet=args.json) as tell:
        start = time.perf_counter()
        artifact = compile_checkpoint(args.checkpoint, args.output, compile_options(args), tell)
        seconds = time.perf_counter() - start
    machine = _machine(artifact, threads)
    record = summary_record(artifact, threads, machine)
    record["seconds"]["total"] = round(seconds, 3)
    if args.json:
        print(json.dumps(record))
    else:
        print_summary(record, sys.stdout)
    return 0


def _machine(artifact: Artifact, threads: int) -> Machine | None:
    """This machine, as measured or estimated; None if the artifact is for another."""
    from foreknown.report.host import known_host
    from foreknown.targets.cpu.toolchain import can_run, find_target

    if not can_run(find_target(artifact.manifest.target)):
        return None
    return known_host(threads)
