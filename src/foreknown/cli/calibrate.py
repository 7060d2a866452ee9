"""foreknown calibrate"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from foreknown.cli.arguments import add_json, add_threads, whole
from foreknown.cli.progress import progress
from foreknown.errors import MachineError

MOST_MINUTES = 1440


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_threads(parser)
    parser.add_argument(
        "--minutes",
        type=whole(1, MOST_MINUTES),
        default=0,
        metavar="N",
        help="measure for so many minutes instead of half of one: for a machine whose speed "
        "changes from minute to minute",
    )
    parser.add_argument(
        "--usd-per-hour",
        type=float,
        metavar="X",
        help="what this machine costs, for prices of answers; kept until another is given",
    )
    parser.add_argument(
        "--watts",
        metavar="IDLE,BUSY",
        help="what it draws, if you know; else measured where the processor tells, or estimated",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from foreknown.machine import machine_toml
    from foreknown.machine.machine import check_price, check_watts
    from foreknown.report.host import calibrate, host_threads, profile_path

    threads = args.threads or host_threads()
    watts = _watts(args.watts)
    if args.usd_per_hour is not None:
        check_price(args.usd_per_hour)
    if watts is not None:
        check_watts(*watts)
    with progress(quiet=args.json) as tell:
        machine = calibrate(
            threads,
            lambda done, total: tell("measuring this machine", done, total),
            usd_per_hour=args.usd_per_hour,
            watts=watts,
            minutes=args.minutes,
        )
    if args.json:
        print(json.dumps({**asdict(machine), "path": str(profile_path(threads))}))
    else:
        summary, _, _ = machine_toml(machine).partition("\n# what the generator's kernels take")
        print(f"{summary}\n# what each kernel takes stands in {profile_path(threads)}")
    if not machine.quiet:
        print(
            "something else ran meanwhile: stop it and calibrate again, or forecasts will be of a "
            "machine as busy as now",
            file=sys.stderr,
        )
    return 0


def _watts(given: str | None) -> tuple[float, float] | None:
    if given is None:
        return None
    try:
        idle, busy = map(float, given.split(","))
    except ValueError:
        raise MachineError(
            f"{given!r} are no two numbers of watts", remedy="give them as IDLE,BUSY: --watts 20,95"
        ) from None
    return idle, busy
