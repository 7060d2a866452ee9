"""Puts 20,000 requests of every kind through a server, and looks for what they leave behind.

    soak.py [MODEL] [--requests 20000] [--together 64] [--json]

MODEL is an artifact or a checkpoint; without it the bundled model. Short chats, completions,
streams, several samples and schemas, among clients that leave at a random time or in the middle of
their body, bodies that are too large, and every sort of nonsense. It fails (exit status 1) if one
of its claims does: no answer with a status of 500 or more; every request answered as it must be,
within its time; no block, sequence or request left; memory flat; the same answer to the same
request before and after; a clean end, and no exception in the log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loads.connection import ask
from loads.crowd import Target, probe
from loads.endurance import STUCK, Books, crowd, fill_blocks, settled
from loads.servers import Server, ServerFailed, free_port, get_json, our_command, started, stop
from loads.tables import markdown

from foreknown.report.host import host_threads
from foreknown.report.tables import bytes_text

MEMORY_GROWTH = 1.05
WARM_UP = 2000
VOCABULARY = 500
"""Every model has so many tokens."""
SAMPLES = 20
"""Looks at the server's memory on the way."""


def main() -> int:
    arguments = parse()
    try:
        with tempfile.TemporaryDirectory() as folder:
            record = soak(arguments, Path(folder) / "serve.log")
    except ServerFailed as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(record))
    else:
        print_record(record)
    return 0 if all(record["claims"].values()) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", type=Path)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--together", type=int, default=64, help="requests at a time")
    parser.add_argument(
        "--warm-up",
        type=int,
        help=f"requests before memory is looked at first (default: {WARM_UP}, or half)",
    )
    parser.add_argument("--timeout", type=float, default=120, help="seconds of a request")
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--seed", type=int, help="of the requests (default: another each time)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def soak(arguments: argparse.Namespace, log: Path) -> dict[str, Any]:
    """Everything that `--json` prints."""
    port = free_port()
    command = our_command(arguments.model, port, arguments.threads, [])
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    with started("foreknown", command, port, log) as server:
        record = asyncio.run(_soak(server, arguments, seed))
        status = stop(server)
        exceptions = log.read_text(errors="replace").count("Traceback")
    claims = record["claims"]
    claims["a clean end"] = status == 0
    claims["no exception in the log"] = not exceptions
    return {"seed": seed, **record, "exit_status": status, "exceptions": exceptions}


async def _soak(server: Server, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    target = await _target(server)
    chance, books = random.Random(seed), Books()
    n_requests = arguments.requests
    warm_up = arguments.warm_up or min(WARM_UP, n_requests // 2)
    before = await _probe(server, target)
    await fill_blocks(server, target, chance)
    memory: list[tuple[int, int]] = []
    start_s = time.monotonic()

    async def run(n: int, already: int) -> None:
        def progress(done: int) -> None:
            if (already + done) % max(1, n_requests // SAMPLES) == 0:
                memory.append((already + done, server.resident_bytes()))
                if not arguments.json:
                    print(f"{already + done} of {n_requests}", file=sys.stderr)

        together, timeout_s = arguments.together, arguments.timeout
        await crowd(server, target, books, chance, n, together, timeout_s, progress)

    await run(warm_up, 0)
    await settled(server)
    warm_bytes = server.resident_bytes()
    await run(n_requests - warm_up, warm_up)
    seconds = time.monotonic() - start_s
    busy = await settled(server)
    end_bytes = server.resident_bytes()
    after = await _probe(server, target)
    return {
        "requests": n_requests,
        "together": arguments.together,
        "seconds": round(seconds, 1),
        "outcomes": [
            {"kind": kind, "outcome": outcome, "requests": n}
            for (kind, outcome), n in sorted(books.counts.items())
        ],
        "failures": dict(books.failures),
        "examples": books.examples,
        "engine": busy,
        "warm_up": warm_up,
        "warm_bytes": warm_bytes,
        "end_bytes": end_bytes,
        "memory": memory,
        "claims": {
            "no status of 500 or more": not any(
                name.startswith("status 5") for name in books.failures
            ),
            "no request stuck": not books.failures[STUCK],
            "every request answered as it must be": not books.failures,
            "no sequence left": busy["running"] == busy["waiting"] == 0,
            "no block lost": busy["blocks"]["held"] == 0,
            "memory flat": end_bytes <= MEMORY_GROWTH * warm_bytes,
            "the same answer before and after": before == after,
        },
    }


async def _target(server: Server) -> Target:
    described = (await get_json(server.port, "/v1/models"))["data"][0]
    return Target(described["id"], described["context_length"], VOCABULARY)


async def _probe(server: Server, target: Target) -> Any:
    answer = await ask(server.port, probe(target).parts[0])
    if answer.status != 200:
        raise ServerFailed(f"the probe was answered {answer.status}: {bytes(answer.body)!r}")
    return answer.json()["choices"]


def print_record(record: dict[str, Any]) -> None:
    """For people."""
    kinds = dict.fromkeys(row["kind"] for row in record["outcomes"])
    outcomes = dict.fromkeys(sorted(row["outcome"] for row in record["outcomes"]))
    counts = {(row["kind"], row["outcome"]): row["requests"] for row in record["outcomes"]}
    rows = [
        [kind, *(str(counts.get((kind, outcome), "")) for outcome in outcomes)] for kind in kinds
    ]
    print(markdown(("requests", *outcomes), rows))
    print(
        markdown(
            ("claim", ""), [[c, "kept" if k else "BROKEN"] for c, k in record["claims"].items()]
        )
    )
    print(
        f"{record['requests']:,} requests, {record['together']} at a time, in "
        f"{record['seconds']:.0f} s; memory {bytes_text(record['warm_bytes'])} after "
        f"{record['warm_up']:,} of them, {bytes_text(record['end_bytes'])} at the end; seed "
        f"{record['seed']}"
    )
    for failure, n in record["failures"].items():
        print(f"{n} times: {failure}")
    for example in record["examples"]:
        print(json.dumps(example))


if __name__ == "__main__":
    sys.exit(main())
