"""Servers under the same load, in turn: throughput, first tokens and gaps by number of users."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loads.figures import median_ratio, medians, round_figures
from loads.servers import Server
from loads.users import questions, run_users

LOWER_IS_BETTER = ("first_p50_ms", "first_p99_ms", "gap_p50_ms", "gap_p99_ms")


@dataclass(frozen=True)
class Load:
    """What users ask for.

    Attributes:
        requests: of each user in a round.
        n_prompt: tokens of a prompt.
        n_output: tokens of an answer, on average.
        vocabulary: ids that prompts are drawn from.
        seed: of the prompts; every round has others, every system the same.
    """

    requests: int
    n_prompt: int
    n_output: int
    vocabulary: int
    seed: int


def compare(
    servers: Sequence[Server],
    users: Sequence[int],
    load: Load,
    n_rounds: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Rows of figures for each server and number of users, and ours to the others' as ratios.

    Ratios are such that more is better: of throughput ours to theirs, of times theirs to ours.
    """
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    idle_s = {server.system: 0.0 for server in servers}
    for turn in range(-1, n_rounds):  # the first wakes everything up and is not counted
        for n_users in users if turn >= 0 else users[-1:]:
            for server in servers:
                others = [s for s in servers if s is not server]
                before = {s.system: s.processor_s() for s in others}
                chance = random.Random(f"{load.seed} {turn} {n_users}")
                n = n_users * (load.requests if turn >= 0 else 1)
                asked = questions(chance, n, load.n_prompt, load.n_output, load.vocabulary)
                figures = round_figures(asyncio.run(run_users(server, n_users, asked)))
                for other in others:
                    idle_s[other.system] += other.processor_s() - before[other.system]
                if turn >= 0:
                    found.setdefault((server.system, n_users), []).append(figures)
                    progress(
                        f"round {turn + 1}: {server.system}, {n_users} users: "
                        f"{figures['tok_s']:.1f} tok/s"
                    )
    return {
        "rows": [
            {"system": system, "users": n_users, **medians(rounds)}
            for (system, n_users), rounds in found.items()
        ],
        "ratios": _ratios(found, servers, users),
        "idle_processor_s": {name: round(seconds, 2) for name, seconds in idle_s.items()},
        "resident_bytes": {server.system: server.resident_bytes() for server in servers},
    }


def _ratios(
    found: dict[tuple[str, int], list[dict[str, float]]],
    servers: Sequence[Server],
    users: Sequence[int],
) -> list[dict[str, Any]]:
    ours = servers[0].system
    rows = []
    for peer in servers[1:]:
        for n_users in users:
            row: dict[str, Any] = {"peer": peer.system, "users": n_users}
            for name in ("tok_s", *LOWER_IS_BETTER):
                mine = [figures[name] for figures in found[ours, n_users]]
                theirs = [figures[name] for figures in found[peer.system, n_users]]
                pair = (theirs, mine) if name in LOWER_IS_BETTER else (mine, theirs)
                row[name] = median_ratio(*pair)
            rows.append(row)
    return rows
