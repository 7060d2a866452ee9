"""The plan's phases: what each moves and computes, as formulas and for a step, and its forecast."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TextIO

from foreknown.artifact import Artifact
from foreknown.machine import Machine
from foreknown.plan.costs import Formula
from foreknown.plan.price import StepShape
from foreknown.report.forecast import step_costs, step_price
from foreknown.report.tables import Table


def phases_record(artifact: Artifact, machine: Machine | None, step: StepShape) -> dict[str, Any]:
    """As JSON shows it; microseconds are null where no machine is given."""
    costs = step_costs(artifact)
    price = step_price(artifact, machine) if machine else None
    told = price.phase_seconds(step) if price else [None] * len(costs.phases)
    rows = []
    for phase, work, seconds in zip(artifact.phases(), costs.works(step), told, strict=True):
        rows.append(
            {
                "stage": phase.stage,
                "kind": phase.kind,
                "function": phase.function,
                "nodes": list(phase.nodes),
                "cost": asdict(phase.cost),
                "bytes": work.bytes,
                "flops": work.flops,
                "int8_ops": work.int8_ops,
                "forecast_us": None if seconds is None else round(seconds * 1e6, 3),
            }
        )
    return {
        "step": {**step._asdict(), "context": step.context},
        "stages": costs.stages,
        "meetings": costs.meetings(step),
        "forecast_us": round(price.seconds(step) * 1e6, 3) if price else None,
        "engine_us": round(price.engine_seconds(step) * 1e6, 3) if price else None,
        "phases": rows,
    }


def print_phases(record: dict[str, Any], file: TextIO) -> None:
    """For people."""
    step = record["step"]
    title = f"a step of T={step['tokens']} tokens, R={step['rows']} rows, C={step['context']:g}"
    columns = ("stage", "function", "bytes", "flops", "int8 ops", "forecast µs", "nodes")
    table = Table(title, columns, right=("stage", "forecast µs"))
    for row in record["phases"]:
        told = row["forecast_us"]
        table.row(
            row["stage"],
            row["function"],
            formula_text(Formula(**row["cost"]["bytes"])),
            formula_text(Formula(**row["cost"]["flops"])),
            formula_text(Formula(**row["cost"]["int8_ops"])),
            "-" if told is None else f"{told:.1f}",
            _nodes_text(row["nodes"]),
        )
    table.print(file)
    if record["forecast_us"] is not None:
        file.write(
            f"forecast with {record['meetings']} meetings of all threads: "
            f"{record['forecast_us']:,.1f} µs\n"
        )


def formula_text(formula: Formula) -> str:
    """262144 + 3072 T"""
    terms = (
        (formula.constant, ""),
        (formula.per_token, " T"),
        (formula.per_row, " R"),
        (formula.per_context, " T C"),
    )
    return " + ".join(f"{value:.0f}{name}" for value, name in terms if value) or "0"


def _nodes_text(nodes: list[str]) -> str:
    """2 linear, add"""
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node] = counts.get(node, 0) + 1
    text = ", ".join(f"{c} {n}" if c > 1 else n for n, c in counts.items())
    return text if len(text) <= 60 else f"{text[:57]}..."
