"""What an artifact is, what it took to make, and what running it will take."""

from __future__ import annotations

from typing import Any, TextIO

from foreknown.artifact import Artifact
from foreknown.artifact.format import OBJECT, SOURCE
from foreknown.artifact.loading import plan_memory
from foreknown.artifact.planned import planned_artifact
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.machine import Machine
from foreknown.report.forecast import Case, forecast
from foreknown.report.objectives import ms_text
from foreknown.report.tables import Table, bytes_text, seconds_text

TYPICAL_PROMPT, TYPICAL_OUTPUT = 128, 128
"""Tokens of the request that the forecast is for."""


def summary_record(artifact: Artifact, threads: int, machine: Machine | None) -> dict[str, Any]:
    """As JSON shows it.

    Args:
        machine: what the forecast is made from; None: it cannot run the artifact.
    """
    manifest = artifact.manifest
    sizes = manifest.sizes
    memory = plan_memory(artifact, -(-sizes.context // BLOCK_TOKENS), threads)
    phases = artifact.phases()
    return {
        "artifact": str(artifact.directory),
        "version": manifest.version,
        "target": manifest.target,
        "weights": manifest.weights,
        "context": sizes.context,
        "vocabulary": sizes.vocab_size,
        "phases": len(phases),
        "functions": len({phase.function for phase in phases}),
        "bytes": {
            "weights": manifest.weights_bytes,
            "program": (artifact.directory / OBJECT).stat().st_size,
            "source": (artifact.directory / SOURCE).stat().st_size,
        },
        "seconds": dict(manifest.compile_seconds),
        "memory": {
            "weights_bytes": memory.weights,
            "state_bytes": memory.state,
            "scratch_bytes": memory.scratch,
            "total_bytes": memory.total,
        },
        "forecast": _forecast(artifact, machine) if machine else None,
    }


def _forecast(artifact: Artifact, machine: Machine) -> dict[str, Any]:
    context = artifact.manifest.sizes.context
    prompt_tokens = max(1, min(TYPICAL_PROMPT, context // 2))
    output_tokens = max(1, min(TYPICAL_OUTPUT, context - prompt_tokens))
    told = forecast(planned_artifact(artifact), machine, Case(prompt_tokens, output_tokens))
    return {
        "machine": told.machine.name,
        "estimated": told.machine.estimated,
        "threads": machine.threads,
        "prompt_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        **told.short_record(),
    }


def print_summary(record: dict[str, Any], file: TextIO) -> None:
    """For people."""
    memory, size = record["memory"], record["bytes"]
    made = Table(record["artifact"], ("", ""))
    made.row("target", record["target"])
    made.row("weights", f"{bytes_text(size['weights'])}, {record['weights']}")
    made.row(
        "program",
        f"{bytes_text(size['program'])}: {record['phases']} phases of {record['functions']} "
        "functions",
    )
    seconds = record["seconds"]
    parts = ", ".join(f"{k} {seconds_text(v)}" for k, v in seconds.items() if k != "total")
    total = seconds.get("total", sum(seconds.values()))
    made.row("compiled in", f"{seconds_text(total)}: {parts}")
    made.print(file)
    takes = Table("what running it will take", ("", ""))
    takes.row(
        "memory",
        f"{bytes_text(memory['total_bytes'])}: weights {bytes_text(memory['weights_bytes'])}, "
        f"state of {record['context']} tokens {bytes_text(memory['state_bytes'])}, "
        f"scratch {bytes_text(memory['scratch_bytes'])}",
    )
    told = record["forecast"]
    if told:
        first, speed = told["first_token_ms"], told["decode_tok_s"]
        after = f"after a prompt of {told['prompt_tokens']} tokens"
        takes.row("first token", f"{ms_text(first)} {after}")
        takes.row("then", f"{speed:,.0f} tokens a second over {told['output_tokens']} tokens")
        takes.row("energy", f"{told['joules']:,.3g} J for all of it")
        takes.row("bound by", told["bound_by"])
        takes.row("on", f"{told['machine']}, {told['threads']} threads")
        takes.row("basis", told["basis"])
    else:
        takes.row("time", f"not known: this machine lacks instructions of {record['target']}")
    takes.print(file)
