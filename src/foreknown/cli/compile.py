"""foreknown compile CHECKPOINT -o ARTIFACT"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from foreknown.cli.arguments import add_compile_options, add_json, add_threads, compile_options
from foreknown.cli.progress import progress


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
    from foreknown.report.instructions import host_for
    from foreknown.report.summary import print_summary, summary_record

    threads = args.threads or host_threads()
    with progress(quiet=args.json) as tell:
        start = time.perf_counter()
        artifact = compile_checkpoint(args.checkpoint, args.output, compile_options(args), tell)
        seconds = time.perf_counter() - start
    record = summary_record(artifact, threads, host_for(artifact.manifest.target, threads))
    record["seconds"]["total"] = round(seconds, 3)
    if args.json:
        print(json.dumps(record))
    else:
        print_summary(record, sys.stdout)
    return 0
