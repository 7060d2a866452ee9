"""foreknown calibrate"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from foreknown.cli.arguments import add_json, add_threads
from foreknown.cli.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_threads(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from foreknown.machine.machine import machine_toml
    from foreknown.report.host import calibrate, host_threads, profile_path

    threads = args.threads or host_threads()
    with progress(quiet=args.json) as tell:
        machine = calibrate(
            threads, lambda done, total: tell("measuring this machine", done, total)
        )
    if args.json:
        print(json.dumps({**asdict(machine), "path": str(profile_path(threads))}))
    else:
        print(f"{machine_toml(machine)}# kept in {profile_path(threads)}")
    return 0
