"""foreknown bench [MODEL]"""

from __future__ import annotations

import argparse
import json
import sys

from foreknown.cli.arguments import add_json, add_model, add_threads
from foreknown.cli.models import found_artifact
from foreknown.cli.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_threads(parser)
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from foreknown.report.bench import bench
    from foreknown.report.host import host_threads, known_host
    from foreknown.report.phase_times import debug_level

    artifact = found_artifact(args)
    threads = args.threads or host_threads()
    with progress(quiet=args.json) as tell:
        machine = known_host(threads)
        measured = bench(
            artifact,
            threads=threads,
            machine=machine,
            quick=args.quick,
            phases=debug_level() >= 2,
            progress=lambda done, total: tell("measuring the model", done, total),
        )
    if args.json:
        print(json.dumps(measured.record))
    else:
        measured.print(sys.stdout)
    if measured.phase_times is not None:
        measured.phase_times.print(machine, sys.stderr)
    return 0
