"""Answers by deadlines, from a server with other load: no answer later than its deadline.

    deadlines.py [MODEL] [--runs 1000] [--workers 4] [--others 2] [--threads N] [--json]

MODEL is an artifact or a checkpoint; without it the bundled model. Workers ask for answers by
strategies, drawn at random, that would mostly take longer than they may: half of them have a
budget, which is never refused, half are promised a deadline. Deadlines are drawn evenly by their
logarithm from 50 ms to 10 s. Others stream plain answers all the while, and one answer came before.
What counts is what a caller sees, from before it sends to the last byte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loads.connection import ask, post
from loads.servers import free_port, our_command, started

from foreknown.evaluation.problems import KINDS, draw
from foreknown.report.host import host_threads
from foreknown.report.tables import Table

LEAST_MS, MOST_MS = 50.0, 10_000.0
STRATEGIES = (
    *("vote(16)", "vote(64)", "best_of(32)", "reflect(rounds=16)", "reflect(vote(8), rounds=4)"),
    *("search(64, by=logprob)", "search(256, verifier=arithmetic)", "beam(4, over=steps)"),
)
BANDS = (50, 200, 1_000, 3_000, 10_000)
"""Deadlines that are shown together, in milliseconds."""


@dataclass(frozen=True)
class Run:
    """One answer: what it was allowed, and took; took_ms None: it was refused."""

    deadline_ms: float
    promised: bool
    took_ms: float | None = None
    server_ms: float | None = None
    whole: bool = False
    tokens: int = 0

    @property
    def is_late(self) -> bool:
        """Whether it came after its deadline, as its caller saw it."""
        return self.took_ms is not None and self.took_ms > self.deadline_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--others", type=int, default=2, help="who stream plain answers")
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    runs = measure(arguments)
    if arguments.json:
        print(json.dumps(record(runs)))
    else:
        show(runs)
    return 1 if any(run.is_late for run in runs) else 0


def measure(arguments: argparse.Namespace) -> list[Run]:
    """All runs, from a server of their own."""
    port = free_port()
    command = our_command(arguments.model, port, arguments.threads, [])
    with (
        tempfile.TemporaryDirectory() as folder,
        started("foreknown", command, port, Path(folder) / "serve.log") as server,
    ):
        model = server.get("/v1/models")["data"][0]["id"]
        asyncio.run(one(port, model, arguments.runs))  # the first one ever compiles templates
        return asyncio.run(crowd(port, model, arguments))


async def crowd(port: int, model: str, arguments: argparse.Namespace) -> list[Run]:
    """Workers and others side by side, until all runs are made."""
    others = [asyncio.create_task(other(port, model, i)) for i in range(arguments.others)]
    left, runs = iter(range(arguments.runs)), list[Run]()

    async def worker() -> None:
        for number in left:
            runs.append(await one(port, model, number))

    await asyncio.gather(*(worker() for _ in range(arguments.workers)))
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return runs


async def one(port: int, model: str, number: int) -> Run:
    """The run of a number, always the same question, strategy and deadline."""
    chance = random.Random(number)
    ms = round(LEAST_MS * (MOST_MS / LEAST_MS) ** chance.random(), 1)
    promised = chance.random() < 0.5
    when: dict[str, Any] = {"deadline_ms": ms} if promised else {"budget": {"deadline_ms": ms}}
    body = {
        **question(model, number),
        "strategy": chance.choice(STRATEGIES),
        "max_tokens": chance.choice((16, 64, 128)),
        **when,
    }
    start_s = time.perf_counter()
    response = await ask(port, post("/v1/chat/completions", body))
    took_ms = (time.perf_counter() - start_s) * 1e3
    if response.status in (400, 429) and promised:
        return Run(ms, promised)
    if response.status != 200:
        raise RuntimeError(f"{response.status} {bytes(response.body)!r} for {body}")
    told = response.json()["foreknown"]
    actual, strategy = told["actual"], told["strategy"]
    return Run(ms, promised, took_ms, actual["total_ms"], strategy["whole"], actual["tokens"])


async def other(port: int, model: str, number: int) -> None:
    """Plain answers, one after another, for ever."""
    while True:
        number += 1_000_003
        body = {**question(model, number), "max_tokens": 200, "ignore_eos": True, "stream": True}
        await ask(port, post("/v1/chat/completions", body))


def question(model: str, number: int) -> dict[str, Any]:
    kinds = ("arithmetic-long", "sums", "countdown")
    problem = draw(KINDS[kinds[number % len(kinds)]], "test", 2026, number)
    messages = [{"role": each.role, "content": each.text} for each in problem.prompt]
    return {"model": model, "messages": messages}


def record(runs: Sequence[Run]) -> dict[str, Any]:
    """All of it, and by deadline."""
    bands = [
        (f"{low}-{high} ms", [run for run in runs if low <= run.deadline_ms < high])
        for low, high in zip(BANDS, (*BANDS[1:-1], math.inf), strict=False)
    ]
    return {name: _figures(some) for name, some in [("all", list(runs)), *bands] if some}


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    came = [run for run in runs if run.took_ms is not None]
    late = [run for run in came if run.is_late]
    spare = [run.deadline_ms - (run.took_ms or 0.0) for run in came]
    return {
        "runs": len(runs),
        "promised": sum(run.promised for run in runs),
        "refused": len(runs) - len(came),
        "late": len(late),
        "latest_ms": round(max((-ms for ms in spare), default=0.0), 2),
        "whole": sum(run.whole for run in came),
        "tokens": round(statistics.fmean(run.tokens for run in came), 1) if came else 0,
        "used": round(statistics.median(r.took_ms / r.deadline_ms for r in came), 3) if came else 0,  # type: ignore[operator]
    }


def show(runs: Sequence[Run]) -> None:
    """For people: `latest` is the least that anybody had to spare, negative if nobody was late."""
    names = ("runs", "promised", "refused", "late", "latest_ms", "whole", "tokens", "used")
    table = Table("answers by deadlines", ("deadline", *names), right=names)
    for band, figures in record(runs).items():
        table.row(band, *(str(figures[name]) for name in names))
    table.print(sys.stdout)
    for run in runs:
        if run.is_late:
            print(
                f"late: {run.took_ms:.1f} of {run.deadline_ms:.1f} ms for its caller, "
                f"{run.server_ms:.1f} for the server"
            )


if __name__ == "__main__":
    raise SystemExit(main())
