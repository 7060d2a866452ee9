"""What a compile made, and what running it will take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from foreknown.artifact import Artifact
from foreknown.artifact.format import OBJECT, SOURCE
from foreknown.artifact.loading import plan_memory
from foreknown.errors import ForeknownError
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.report.forecast import forecast
from foreknown.report.host import calibrate, known_host
from foreknown.report.tables import Table, bytes_text, seconds_text
from foreknown.targets.cpu.toolchain import can_run, find_target

TYPICAL_PROMPT, TYPICAL_OUTPUT = 128, 128
"""Tokens of the request that a fresh artifact's forecast is for."""


def compiled_record(
    artifact: Artifact,
    seconds: float,
    *,
    threads: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """As JSON shows it. Measures the machine if it is not known yet and the artifact is for it."""
    manifest = artifact.manifest
    sizes = manifest.sizes
    memory = plan_memory(artifact, -(-sizes.context // BLOCK_TOKENS), threads)
    phases = artifact.phases()
    record: dict[str, Any] = {
        "artifact": str(artifact.directory),
        "target": manifest.target,
        "weights": manifest.weights,
        "context": sizes.context,
        "phases": len(phases),
        "functions": len({phase.function for phase in phases}),
        "bytes": {
            "weights": manifest.weights_bytes,
            "program": (artifact.directory / OBJECT).stat().st_size,
            "source": (artifact.directory / SOURCE).stat().st_size,
        },
        "seconds": {**manifest.compile_seconds, "total": round(seconds, 3)},
        "memory": {
            "weights_bytes": memory.weights,
            "state_bytes": memory.state,
            "scratch_bytes": memory.scratch,
            "total_bytes": memory.total,
        },
        "forecast": None,
    }
    if can_run(find_target(manifest.target)):
        try:
            machine = known_host(threads) or calibrate(threads, progress)
        except ForeknownError:
            return record  # what was made is no worse for a machine that cannot be measured
        prompt_tokens = max(1, min(TYPICAL_PROMPT, sizes.context // 2))
        output_tokens = max(1, min(TYPICAL_OUTPUT, sizes.context - prompt_tokens))
        made = forecast(
            artifact, machine, prompt_tokens=prompt_tokens, output_tokens=output_tokens
        )
        record["forecast"] = {
            "machine": machine.name,
            "threads": threads,
            "prompt_tokens": prompt_tokens,
            "output_tokens": output_tokens,
            **made.record(),
        }
    return record


def print_compiled(record: dict[str, Any], file: TextIO) -> None:
    """For people."""
    memory, size, seconds = record["memory"], record["bytes"], record["seconds"]
    made = Table(f"compiled {record['artifact']}", ("", ""))
    made.row("target", record["target"])
    made.row("weights", f"{bytes_text(size['weights'])}, {record['weights']}")
    made.row(
        "program",
        f"{bytes_text(size['program'])}: {record['phases']} phases, {record['functions']} functions",
    )
    parts = ", ".join(f"{k} {seconds_text(v)}" for k, v in seconds.items() if k != "total")
    made.row("took", f"{seconds_text(seconds['total'])} ({parts})")
    made.print(file)
    told = record["forecast"]
    takes = Table("what running it will take", ("", "forecast"))
    takes.row(
        "memory",
        f"{bytes_text(memory['total_bytes'])}: weights {bytes_text(memory['weights_bytes'])}, "
        f"state of {record['context']} tokens {bytes_text(memory['state_bytes'])}, "
        f"scratch {bytes_text(memory['scratch_bytes'])}",
    )
    if told:
        first, speed = told["first_token_ms"], told["decode_tok_s"]
        takes.row("first token", f"{first:.2f} ms after a prompt of {told['prompt_tokens']} tokens")
        takes.row("then", f"{speed:,.0f} tokens a second over {told['output_tokens']} tokens")
        takes.row("on", f"{told['machine']}, {told['threads']} threads")
        takes.row("basis", told["basis"])
    takes.print(file)
