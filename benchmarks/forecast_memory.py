"""Holds the memory that a bare configuration promises against what a process really takes.

    forecast_memory.py [SHAPE|CHECKPOINT ...] [--weights int4,bf16] [--contexts 512,2048]

Of each model, format, context and number of sequences: what is planned from config.json alone,
without weights and without compiling, and by how much a process grows that loads the compiled model
and fills its state, every position of every sequence, twice. It fails (exit status 1) if one is
off by more than 1 % + 32 MiB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from loads.tables import markdown
from make_checkpoint import SHAPES
from peers import named_checkpoint

from foreknown.artifact import open_artifact
from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.artifact.loading import load_program
from foreknown.artifact.planned import Planner
from foreknown.errors import ForeknownError
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.report.host import host_threads
from foreknown.report.resident import resident_bytes

MIB = 2**20
ALLOWED_SHARE, ALLOWED_BYTES = 0.01, 32 * MIB


def main() -> int:
    arguments = parse()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, int(arguments.sequences[0]))))
        return 0
    rows = []
    try:
        for row in compared(arguments):
            rows.append(row)
            print(f"{row['model']} {row['weights']}: off by {row['off']}", file=sys.stderr)
    except (ForeknownError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(rows) if arguments.json else table(rows))
    return 0 if all(row["within"] for row in rows) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", metavar="SHAPE|CHECKPOINT", nargs="*", default=list(SHAPES))
    parser.add_argument("--weights", type=several, default=["int4"], metavar="W[,W...]")
    parser.add_argument("--contexts", type=several, default=["512", "2048"], metavar="N[,N...]")
    parser.add_argument("--sequences", type=several, default=["1"], metavar="N[,N...]")
    parser.add_argument("--work", type=Path, default=Path("build/peers-work"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def several(text: str) -> list[str]:
    return text.split(",")


def compared(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each case, as soon as it is measured."""
    threads = host_threads()
    for name in arguments.models:
        checkpoint = named_checkpoint(name, arguments.work)
        with TemporaryDirectory(prefix="forecast-memory-", dir=arguments.work) as work:
            bare = Path(work) / f"{checkpoint.name}.json"
            shutil.copyfile(checkpoint / "config.json", bare)
            planner = Planner(bare)
            for weights in arguments.weights:
                for context in map(int, arguments.contexts):
                    options = Options(weights=weights, context=context)
                    planned = planner.planned(options)
                    made = compile_checkpoint(checkpoint, Path(work) / "made.fk", options)
                    for sequences in map(int, arguments.sequences):
                        found = measured(made.directory, sequences)
                        total = planned.memory(threads, sequences).total
                        yield row(checkpoint.name, weights, context, sequences, total, found)
                    shutil.rmtree(made.directory)


def row(
    model: str, weights: str, context: int, sequences: int, planned: int, found: dict[str, int]
) -> dict[str, Any]:
    off = max((grown - planned for grown in found.values()), key=abs)
    return {
        "model": model,
        "weights": weights,
        "context": context,
        "sequences": sequences,
        "planned": planned,
        **found,
        "off": off,
        "within": abs(off) <= ALLOWED_SHARE * planned + ALLOWED_BYTES,
    }


def measured(artifact: Path, sequences: int) -> dict[str, int]:
    """What `measure` finds in a process of its own."""
    command = [sys.executable, __file__, "--measure", artifact, "--sequences", str(sequences)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def measure(directory: Path, sequences: int) -> dict[str, int]:
    """Bytes by which this process grows, with its state filled once and once more."""
    artifact = open_artifact(directory)
    before = resident_bytes()
    program = load_program(artifact, sequences=sequences).program
    sizes = artifact.manifest.sizes
    blocks = -(-sizes.context // BLOCK_TOKENS)
    tables = np.arange(sequences * blocks, dtype=np.int32).reshape(sequences, blocks)
    tokens = np.random.default_rng(0).integers(0, sizes.vocab_size, sizes.context, dtype=np.int32)

    def fill() -> int:
        for sequence in range(sequences):
            for start in range(0, sizes.context, sizes.max_tokens):
                n = min(sizes.max_tokens, sizes.context - start)
                positions = np.arange(start, start + n, dtype=np.int32)
                owner = np.full(n, sequence, np.int32)
                rows = np.arange(min(n, sizes.max_rows), dtype=np.int32)
                program.step(Batch(tokens[start : start + n], positions, owner, tables, rows))
        return resident_bytes() - before

    return {"filled": fill(), "filled_again": fill()}


def table(rows: list[dict[str, Any]]) -> str:
    heads = ("", "context", "sequences", "planned, MiB", "real, MiB", "off, MiB", "allowed, MiB")
    return markdown(
        heads,
        [
            [
                f"{one['model']} {one['weights']}{'' if one['within'] else ' (too far off)'}",
                str(one["context"]),
                str(one["sequences"]),
                f"{one['planned'] / MIB:,.1f}",
                f"{(one['planned'] + one['off']) / MIB:,.1f}",
                f"{one['off'] / MIB:+,.1f}",
                f"{(ALLOWED_SHARE * one['planned'] + ALLOWED_BYTES) / MIB:.1f}",
            ]
            for one in rows
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
