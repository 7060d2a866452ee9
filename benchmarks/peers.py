"""Compares us with llama.cpp and OpenVINO: same shape, same weights, same machine, in turn.

    peers.py CHECKPOINT|SHAPE [--json] [--save DIRECTORY]

CHECKPOINT is the directory of a Llama-shaped model; SHAPE names one of make_checkpoint.py, which
is then made with random weights. The peers are installed into an environment of their own on first
use; `--peers none` measures us alone. Every system runs in its own process with the same number of
threads. Conversions are kept in --work. systems/ shows how each system is set up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

from make_checkpoint import SHAPES, write_checkpoint
from systems.case import CASES
from systems.contest import hold
from systems.conversions import ConversionFailed, Conversions
from systems.environment import PeersMissing, make_environment, missing_instructions
from systems.lineup import PEERS, load, ours
from systems.summary import possible_cases, ratios, rows
from systems.worker import WorkerFailed

from foreknown.report.host import host_threads
from foreknown.report.tables import Table, bytes_text
from foreknown.targets.cpu.tools import int8_gop_s, read_gb_s

UNSTEADY = 1.5
"""Fastest to slowest round: beyond this something else was running, and ratios say little."""
READ_BYTES = 512 << 20
"""Working set of the bandwidth's measurement: far larger than caches."""


def main() -> int:
    arguments = parse()
    checkpoint = named_checkpoint(arguments.checkpoint, arguments.work)
    try:
        record = compare(checkpoint, arguments)
    except (ConversionFailed, PeersMissing, WorkerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.save:
        save(record, arguments.save, arguments.environment)
    if arguments.json:
        print(json.dumps(record))
    else:
        print_record(record)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT|SHAPE")
    parser.add_argument("--ours", type=names, default="int4,int4@64,int8", help="our formats")
    parser.add_argument("--peers", type=names, default=",".join(PEERS), help="or none")
    parser.add_argument("--environment", type=Path, default=Path("build/peers"))
    parser.add_argument("--work", type=Path, default=Path("build/peers-work"))
    parser.add_argument("--save", type=Path, help="write peers.json, peers.svg and peers.png here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a case in a round")
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    if unknown := set(arguments.peers) - set(PEERS):
        parser.error(f"unknown peers {', '.join(unknown)}; there are {', '.join(PEERS)}, none")
    return arguments


def names(text: str) -> list[str]:
    """int4,int8 → both; none → nothing."""
    return [] if text == "none" else text.split(",")


def named_checkpoint(name: str, work: Path) -> Path:
    """A checkpoint's directory; a shape's random one is made if it is not there yet."""
    if name not in SHAPES:
        return Path(name).absolute()
    directory = work.absolute() / name
    if not (directory / "config.json").exists():  # it is written last
        with redirect_stdout(sys.stderr):
            write_checkpoint(SHAPES[name], directory)
    return directory


def compare(checkpoint: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that `--json` prints."""
    config = json.loads((checkpoint / "config.json").read_text())
    cases = possible_cases(CASES, config)
    conversions = Conversions(checkpoint, arguments.work.absolute())
    entries = ours(conversions, arguments.ours)
    if arguments.peers:
        python = make_environment(arguments.environment)
        for peer in arguments.peers:
            entries += PEERS[peer](conversions, python)
    threads = arguments.threads
    probes = {
        "read_gb_s": lambda: read_gb_s(READ_BYTES, threads),
        "int8_gop_s": lambda: int8_gop_s(threads),
    }
    with ExitStack() as stack:
        contestants = load(entries, conversions, threads, stack)
        limits = hold(
            contestants,
            cases,
            probes,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            progress=lambda what: print(what, file=sys.stderr),
        )
    return {
        "checkpoint": checkpoint.name,
        "rounds": arguments.rounds,
        "machine": machine_record(limits, threads),
        "systems": [{"system": c.system, "weights": c.weights, **c.facts} for c in contestants],
        "rows": rows(contestants, cases, limits, config),
        "ratios": ratios(contestants, cases, limits["read_gb_s"]),
    }


def machine_record(limits: Mapping[str, Sequence[float]], threads: int) -> dict[str, Any]:
    """The machine's limits: medians, and between which values they moved."""
    record: dict[str, Any] = {"threads": threads}
    for name, values in limits.items():
        record[name] = round(statistics.median(values), 2)
        record[f"{name}_range"] = [round(min(values), 2), round(max(values), 2)]
    return record


def save(record: dict[str, Any], directory: Path, environment: Path) -> None:
    """Write the record and its plot, if there is something to draw it with."""
    directory.mkdir(parents=True, exist_ok=True)
    written = directory / "peers.json"
    written.write_text(json.dumps(record, indent=1) + "\n")
    own = environment / "bin" / "python"
    drawing = [own if own.exists() else sys.executable, Path(__file__).parent / "systems/bars.py"]
    plots = [directory / "peers.svg", directory / "peers.png"]
    done = subprocess.run([*drawing, written, *plots], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no plot: {done.stderr.splitlines()[-1]}", file=sys.stderr)


def print_record(record: dict[str, Any]) -> None:
    """For people."""
    machine = record["machine"]
    systems = {f"{s['system']} {s['weights']}": s for s in record["systems"]}
    cases = dict.fromkeys(row["case"] for row in record["rows"])
    speeds = {(f"{r['system']} {r['weights']}", r["case"]): r for r in record["rows"]}
    title = f"{record['checkpoint']}: tokens a second (and share of what the machine allows)"
    table = Table(title, ("", *systems), right=tuple(systems))
    for case in cases:
        found = [speeds[system, case] for system in systems]
        table.row(
            case, *(f"{r['tok_s']:,.1f} ({r['tok_s'] / r['limit_tok_s']:.0%})" for r in found)
        )
    for fact in ("weights_bytes", "resident_bytes"):
        name = fact.removesuffix("_bytes") + " in memory" * fact.startswith("resident")
        table.row(name, *(bytes_text(s[fact]) for s in systems.values()))
    table.print(sys.stdout)
    if record["ratios"]:
        table = Table(
            "ours to the better peer, and to the machine", ("", "ratio"), right=("ratio",)
        )
        for name, ratio in record["ratios"].items():
            table.row(name, f"{ratio:.2f}")
        table.print(sys.stdout)
    print(
        f"{machine['read_gb_s']:.1f} GB/s read, {machine['int8_gop_s']:.0f} GOP/s in int8, "
        f"{machine['threads']} threads; medians of {record['rounds']} rounds"
    )
    for name, system in systems.items():
        print(f"{name}: {system['version']}, {system['settings']}")
        if missing := missing_instructions(system.get("system_info")):
            print(f"  built without {', '.join(missing)}: this comparison is unfair")
    for row in record["rows"]:
        if row["max_tok_s"] > UNSTEADY * row["min_tok_s"]:
            print(
                f"unsteady: {row['system']} {row['weights']}, {row['case']}: "
                f"{row['min_tok_s']:,.1f} to {row['max_tok_s']:,.1f}"
            )
    if len({s["system"] for s in record["systems"]}) == 1:
        print("no peers: this is a measurement of one system, not a comparison")


if __name__ == "__main__":
    sys.exit(main())
