"""Every byte of a loaded program: weights, arena, scratch, state."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TextIO

from foreknown.artifact import Artifact
from foreknown.artifact.loading import plan_memory
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.report.tables import Table, bytes_text


def memory_record(artifact: Artifact, threads: int) -> dict[str, Any]:
    """As JSON shows it, for one sequence of full context."""
    plan, context = artifact.plan(), artifact.manifest.sizes.context
    blocks = -(-context // BLOCK_TOKENS)
    total = plan_memory(artifact, blocks, threads)
    return {
        "threads": threads,
        "context": context,
        "blocks": blocks,
        "totals": {**asdict(total), "total": total.total},
        **{name: plan[name] for name in ("memory", "constants", "buffers", "slots")},
    }


def print_memory(record: dict[str, Any], file: TextIO) -> None:
    """For people."""
    constants = Table(
        "weights.bin", ("offset", "size", "stored", "layout", "shape", "value"), _RIGHT
    )
    for one in record["constants"]:
        shape = " x ".join(map(str, one["shape"]))
        size, value = bytes_text(one["bytes"]), _short(one["value"])
        constants.row(one["offset"], size, one["stored"], one["layout"], shape, value)
    constants.print(file)
    arena = Table("arena", ("offset", "size", "meetings", "value"), _RIGHT)
    for one in record["buffers"]:
        alive = f"{one['born']} to {one['dies']}"
        arena.row(one["offset"], bytes_text(one["bytes"]), alive, one["value"])
    arena.print(file)
    slots = Table("state of a block of 16 tokens", ("kind", "values"))
    for one in record["slots"]:
        slots.row(one["kind"], ", ".join(one["values"]))
    slots.print(file)
    totals, memory = record["totals"], record["memory"]
    total = Table("totals", ("", "size", ""), ("size",))
    total.row("weights", bytes_text(totals["weights"]), f"{len(record['constants'])} constants")
    total.row(
        "state",
        bytes_text(totals["state"]),
        f"{record['blocks']} blocks of {bytes_text(memory['state_bytes_per_block'])} for "
        f"{record['context']} tokens",
    )
    total.row(
        "scratch",
        bytes_text(totals["scratch"]),
        f"arena {bytes_text(memory['arena_bytes'])}, {record['threads']} threads of "
        f"{bytes_text(memory['scratch_bytes_per_thread'])}",
    )
    total.row("together", bytes_text(totals["total"]), "")
    total.print(file)


_RIGHT = ("offset", "size")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
